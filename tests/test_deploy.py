"""What `deploy/` starts is what there is."""

from __future__ import annotations

import argparse
import importlib
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from nucleus_logging.cli import COMMANDS
from tests.servers import nats
from tests.tools import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once

DEPLOY = ROOT / "deploy"


def _commands() -> list[list[str]]:
    units = (path.read_text() for path in sorted((DEPLOY / "systemd").iterdir()))
    starts = [found for text in units for found in re.findall(r"/nucleus-logging (.*)", text)]
    starts += re.findall(r"command: ((?:serve|store) .*)", (DEPLOY / "compose.yaml").read_text())
    return [start.split() for start in starts]


@pytest.mark.parametrize("command", _commands(), ids=" ".join)
def test_commands_are_understood(command: list[str]) -> None:
    """Each command and option exists."""
    parser = argparse.ArgumentParser()
    importlib.import_module(COMMANDS[command[0]][0]).add_arguments(parser)
    parser.parse_args(command[1:])


@pytest.mark.parametrize("unit", ["nucleus-collector", "nucleus-store"])
def test_a_unit_is_started_for_ever(unit: str) -> None:
    """While the stream is away each start fails within a second; systemd gives up after five."""
    unit_part = (DEPLOY / "systemd" / f"{unit}.service").read_text().partition("[Service]")[0]
    assert "StartLimitIntervalSec=0" in unit_part.partition("[Unit]")[2].splitlines()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    """No line of them is one that systemd would ignore with a warning."""
    for unit in (DEPLOY / "systemd").iterdir():
        text = unit.read_text().replace("/opt/nucleus/bin/nucleus-logging", sys.executable)
        (tmp_path / unit.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", *tmp_path.iterdir()],
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if str(tmp_path) in line or "nucleus" in line]
    assert (done.returncode, ours) == (0, [])


@pytest.mark.skipif(bool(nats.missing()), reason=nats.missing())
def test_nats_understands_its_options(tmp_path: Path) -> None:
    """Each node's command is one of the server's, but for where its data is."""
    commands = re.findall(r"command: (-n nats.*)", (DEPLOY / "compose.yaml").read_text())
    assert len(commands) == 3
    for command in commands:
        options = [*command.replace("/data", str(tmp_path)).split(), "-c", "/dev/null", "-t"]
        done = subprocess.run(
            [nats.binary() or "", *options], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0
        assert "is valid" in done.stderr


def test_variables_are_known() -> None:
    """Nothing is set that nobody reads."""
    ours = [path.read_text() for path in (ROOT / "nucleus_logging").rglob("*.py")]
    texts = [path.read_text() for path in DEPLOY.rglob("*") if path.is_file()]
    names = set(re.findall(r"\b(?:NUCLEUS|NATS)_[A-Z]+[A-Z_]*\b", " ".join(texts)))
    assert names
    assert {name for name in names if not any(f'"{name}"' in text for text in ours)} == set()


def test_both_ways_start_collectors_and_stores() -> None:
    """Nothing has been left out."""
    assert sorted(command[0] for command in _commands()) == ["serve"] * 3 + ["store"] * 2
