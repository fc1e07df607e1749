"""The command ``nucleus-logging``: a table of sub-commands, each a module of its own.

Idea: only the module of the command that was asked for is imported; it offers
``add_arguments(parser)`` and ``run(arguments) -> exit status``. A new command is one more row here.
Owns: the table, the help, exit status 2 for a wrong call.
Called by: the console script and ``python -m nucleus_logging``.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMMANDS", "main"]

COMMANDS: dict[str, tuple[str, str]] = {
    "check": (
        "nucleus_logging.check_command",
        "show step by step whether records get from this machine to the server",
    ),
    "export": (
        "nucleus_logging.collector.export",
        "write the events of a collector's database as JSON lines or CSV",
    ),
    "serve": (
        "nucleus_logging.collector.serve",
        "run a collector on this machine: a server that stores and shows events",
    ),
    "ship": (
        "nucleus_logging.collector.shipping.ship",
        "send what is already in log files, once or following them",
    ),
    "spool": (
        "nucleus_logging.spool_command",
        "list what waits on this machine; show it, send it now, or delete it",
    ),
    "store": (
        "nucleus_logging.collector.store_command",
        "store what collectors have published to a stream",
    ),
    "tail": (
        "nucleus_logging.collector.tail",
        "follow the events of a running collector in the terminal",
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one sub-command.

    Args:
        arguments: without the program's name; None takes ``sys.argv``.

    Returns:
        The exit status: the command's own, 130 after an interrupt. A wrong call raises
        ``SystemExit(2)``, as argparse does.
    """
    parser = argparse.ArgumentParser(
        prog="nucleus-logging",
        description="Send log records to Nucleus, and see them arrive.",
        epilog="\n".join(
            ["commands:", *(f"  {name:8}{text}" for name, (_, text) in sorted(COMMANDS.items()))]
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=sorted(COMMANDS), metavar="command")
    parser.add_argument(
        "arguments", nargs=argparse.REMAINDER, help="see 'nucleus-logging COMMAND --help'"
    )
    given = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    module_name, text = COMMANDS[given.command]
    module = importlib.import_module(module_name)
    command = argparse.ArgumentParser(
        prog=f"nucleus-logging {given.command}", description=f"{text[0].upper()}{text[1:]}."
    )
    module.add_arguments(command)
    try:
        return int(module.run(command.parse_args(given.arguments)))
    except KeyboardInterrupt:
        return 130
