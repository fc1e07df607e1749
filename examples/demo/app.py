"""An application that inspects every module of Python's standard library, and logs while it does.

It logs in the three ways that are found in the wild, and sends all of them to Nucleus:

1. stdlib logging, set up by `dictConfig`: progress, broken modules, Python's own warnings;
2. a structlog pipeline: what was found in each module;
3. a third-party library's logger, which was there before us: `attach` puts a handler on it.

Where to send it comes from the environment: NUCLEUS_APP_ID and NUCLEUS_ENDPOINT.
"""

from __future__ import annotations

import argparse
import ast
import itertools
import json
import logging
import logging.config
import sysconfig
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import markdown_it
import structlog

import nucleus_logging
from examples.demo.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

THIRD_PARTY = "markdown_it"

audit = logging.getLogger("audit")
log = structlog.get_logger()


def main() -> None:
    """Inspect, then wait for the acknowledgements and write down what was logged."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the log file and the ledger go")
    parser.add_argument("--modules", type=int, help="inspect only so many")
    options = parser.parse_args()
    ledger = Ledger()
    with open(options.folder / "app.log", "w", encoding="utf-8") as file:
        client = configure(file, ledger)
        inspect_all(list(itertools.islice(modules(), options.modules)), client)
        acknowledged = client.flush(timeout=60)
        ledger.save(options.folder / "ledger.json")
        say(done=True, flushed=acknowledged, **counts(client))


def configure(file: TextIO, ledger: Ledger) -> nucleus_logging.Client:
    """Set up all logging; what has to do with Nucleus is four lines of it."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {
                "file": {"class": "logging.StreamHandler", "stream": file},
                "ledger": {"()": lambda: ledger},
                "nucleus": {"class": "nucleus_logging.NucleusHandler"},
            },
            "loggers": {
                "audit": {"level": "DEBUG", "handlers": ["file", "ledger", "nucleus"]},
                "py.warnings": {"handlers": ["file", "ledger", "nucleus"], "propagate": False},
                THIRD_PARTY: {"level": "DEBUG", "handlers": ["ledger"]},
            },
        }
    )
    logging.captureWarnings(True)
    processor = nucleus_logging.NucleusProcessor()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            ledger.count,
            processor,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=file),
    )
    nucleus_logging.attach(THIRD_PARTY)
    return processor.client


def modules() -> Iterator[Path]:
    """The standard library's source files; what was installed beside it is not ours to judge."""
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        if not {"site-packages", "dist-packages"}.intersection(path.parts):
            yield path


def inspect_all(paths: list[Path], client: nucleus_logging.Client) -> None:
    """Inspect each module, reporting the progress to the log and to whoever started us."""
    renderer = markdown_it.MarkdownIt()
    numbers = itertools.count(1)
    said = 0.0
    audit.info("inspecting %d modules", len(paths), extra={"number": next(numbers)})
    for done, path in enumerate(paths, 1):
        inspect_one(path, renderer, numbers)
        if done % 50 == 0 or done == len(paths):
            audit.info("%d of %d inspected", done, len(paths), extra={"number": next(numbers)})
        if time.monotonic() - said > 0.1 or done == len(paths):
            said = time.monotonic()
            say(inspected=done, modules=len(paths), **counts(client))


def inspect_one(path: Path, renderer: markdown_it.MarkdownIt, numbers: Iterator[int]) -> None:
    """Compile a module, look at what is in it, and render its summary."""
    try:
        source = path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            tree = ast.parse(source, str(path))
            compile(tree, str(path), "exec", dont_inherit=True)
    except (SyntaxError, ValueError):  # real ones: the test suite's bad files
        audit.exception("cannot compile %s", path.name, extra={"number": next(numbers)})
        return
    summary = (ast.get_docstring(tree) or "").partition("\n\n")[0]
    kinds = [type(node) for node in ast.walk(tree)]
    log.info(
        "module inspected",
        number=next(numbers),
        module=path.name,
        bytes=len(source),
        lines=source.count(b"\n"),
        found={"classes": kinds.count(ast.ClassDef), "functions": kinds.count(ast.FunctionDef)},
        summary=len(renderer.render(summary)),
    )


def counts(client: nucleus_logging.Client) -> dict[str, int]:
    """What the client says about itself."""
    stats = client.stats()
    return {
        "accepted": stats.accepted,
        "acknowledged": stats.acknowledged,
        "waiting": stats.queued + stats.in_flight,
        # Folded into another event, that is, which says so.
        "repeats": stats.dropped.pop("folded", 0),
        "dropped": sum(stats.dropped.values()),
    }


def say(**facts: int) -> None:
    """Tell whoever started us how far we are."""
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main()
