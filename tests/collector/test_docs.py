"""What `docs/collector.rst` shows is run, line by line, and comes out as it is shown."""

from __future__ import annotations

import argparse
import functools
import importlib
import os
import re
import shlex
import subprocess
import sys
import textwrap
from contextlib import closing
from http.client import HTTPConnection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from nucleus_logging.cli import COMMANDS
from tests.collector.wire import TIMEOUT, Serving, request
from tests.tools import ROOT, wait_until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once

DOCS = (ROOT / "docs" / "collector.rst").read_text()
_BLOCK = re.compile(r"^( *)\.\. code-block:: (\w+)\n\n((?:\1    .*\n|\n)+)", re.MULTILINE)


def blocks(language: str) -> list[str]:
    """The blocks of a language, as they would be typed."""
    return [
        textwrap.dedent(text).strip("\n")
        for _, found, text in _BLOCK.findall(DOCS)
        if found == language
    ]


def sessions() -> list[tuple[str, str]]:
    """Each command that is shown, and what comes out."""
    found = []
    for block in blocks("console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            found.append((command, shown.strip("\n")))
    return found


def like(shown: str) -> re.Pattern[str]:
    """What is shown as a pattern, in which dots stand for anything."""
    return re.compile(re.escape(shown).replace("…", ".*?") + r"\s*", re.DOTALL)


def test_all_of_it(tmp_path: Path) -> None:
    """Served, shipped, followed, exported and asked in turn, everything is as it is shown."""
    environ = {"TZ": "UTC", "XDG_STATE_HOME": str(tmp_path), "NO_COLOR": "1"}
    (tmp_path / "app.log").write_text(blocks("text")[0] + "\n")
    (first, shown), *others = sessions()
    assert first == "nucleus-logging serve"
    with Serving("--port", "0", **environ) as serving:
        port = serving.url.rpartition(":")[2]
        assert like(shown.replace("4600", port)).fullmatch(serving.line)
        for command, shown in others:
            words = [word.replace("4600", port) for word in shlex.split(command)]
            if words[0] == "curl":
                wait_until(functools.partial(_answers, words[-1], like(shown)))
                continue
            if words[1] == "tail":
                words[2:2] = ["--url", serving.url]
            done = subprocess.run(
                [sys.executable, "-m", "nucleus_logging", *words[1:]],
                cwd=tmp_path,
                env={**os.environ, **environ, "PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
                check=False,
            )
            assert (done.returncode, done.stderr) == (0, ""), command
            assert like(shown).fullmatch(done.stdout), (command, done.stdout)
        assert len((tmp_path / "errors.csv").read_text().splitlines()) >= 2
        assert b"nucleus_collector_stored_total 4.0" in request(serving.url, "GET", "/metrics")[2]


def _answers(url: str, shown: re.Pattern[str]) -> bool:
    # Figures come a moment after their events.
    return shown.fullmatch(curl(url)) is not None


def curl(url: str) -> str:
    """What comes first for an address; a stream does not end."""
    parts = urlsplit(url)
    with closing(HTTPConnection(parts.netloc, timeout=TIMEOUT)) as connection:
        connection.request("GET", f"{parts.path}?{parts.query}")
        response = connection.getresponse()
        if response.headers["Content-Type"] != "text/event-stream":
            return response.read().decode()
        text = ""
        while not text.endswith("]\n\n") or text.count("data: ") < 2:
            text += response.readline().decode()
        return text


@pytest.mark.parametrize("command", ["serve", "store", "ship", "tail", "export"])
def test_every_option_is_told(command: str) -> None:
    """No option of a command is missing from its part of the page."""
    parser = argparse.ArgumentParser()
    importlib.import_module(COMMANDS[command][0]).add_arguments(parser)
    options = set(re.findall(r"--[\w-]+", parser.format_help())) - {"--help"}
    part = re.search(
        rf"^{command}\n-+\n(.*?)^\w+\n---", DOCS + "End\n---", re.DOTALL | re.MULTILINE
    )
    assert part is not None
    assert options <= set(re.findall(r"--[\w-]+", part[1]))
