"""What `deploy/` starts is what there is."""

from __future__ import annotations

import argparse
import importlib
import re

import pytest

from nucleus_logging.cli import COMMANDS
from tests.tools import ROOT

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


def test_both_ways_start_collectors_and_stores() -> None:
    """Nothing has been left out."""
    assert sorted(command[0] for command in _commands()) == ["serve"] * 3 + ["store"] * 2
