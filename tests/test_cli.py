"""The command `nucleus-logging`."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from nucleus_logging.cli import COMMANDS, main
from tests.tools import ROOT


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` lists the commands, and imports none of them."""
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["--what"]])
def test_a_wrong_call_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A call that means nothing is answered with the usage."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: nucleus-logging" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command of the table can be imported and explains itself."""
    module = importlib.import_module(COMMANDS[name][0])
    assert callable(module.run)
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    assert f"usage: nucleus-logging {name}" in capsys.readouterr().out


def test_python_m_is_the_same() -> None:
    """`python -m nucleus_logging` is the command."""
    done = subprocess.run(
        [sys.executable, "-m", "nucleus_logging"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("usage: nucleus-logging")
