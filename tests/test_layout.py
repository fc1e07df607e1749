"""The shape of the package: imports point downwards, and importing it costs and starts nothing."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

import nucleus_logging
from tests.tools import run_python

PACKAGE = Path(nucleus_logging.__file__).parent

# From the ways in, on top, down to the ground floor. A module may import its own row and those
# below it; a new module has to be given its place here.
ROWS = (
    ("cli", "__main__", "check_command", "spool_command", "collector", "testing", "pytest_plugin"),
    ("handler", "processor"),
    ("captures", "rendered"),
    ("client", "lifecycle"),
    ("watch", "tracking", "surroundings"),
    ("hooks", "crashes"),
    ("machine",),
    ("worker",),
    ("shipper",),
    ("resting",),
    ("notices", "repeats", "uptake", "waiters"),
    ("link", "spool"),
    ("adoption", "carrying"),
    ("attempt", "pulse"),
    ("diversion",),
    ("intake", "passage"),
    ("delivery", "buffer"),
    ("flight", "lanes"),
    ("journal", "appending", "segment", "lines", "orphans", "surplus", "syncing", "inventory"),
    ("transports",),
    ("events",),
    ("volume", "rewriting", "trail", "context", "templates"),
    ("encoding", "naming", "records"),
    ("payload", "scrub", "stack", "assignments", "shapes", "texts", "values", "words"),
    ("device", "session"),
    ("counting", "pace", "stats"),
    ("options", "table", "checks", "endpoint", "distribution", "errors", "diagnostics", "deadline"),
)
HEIGHT = {name: -row for row, names in enumerate(ROWS) for name in names}

LATE = {
    "aiohttp",
    "asyncio",
    "dataclasses",
    "inspect",
    "machineid",
    "multiprocessing",
    "nucleus_logging.collector",
    "platformdirs",
    "psutil",
    "rich",
    "socks",
    "sqlite3",
    "ssl",
    "structlog",
    "urllib3",
    "websocket",
}


def _modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def _part(path: Path) -> str:
    """The row's name for it: a module of the top level, or a sub-package as a whole."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


class _Imports(ast.NodeVisitor):
    """Collects the parts of the package that a module imports, wherever in it."""

    def __init__(self, path: Path) -> None:
        self.package = ["nucleus_logging", *path.relative_to(PACKAGE).parts[:-1]]
        self.found: set[str] = set()

    def visit_If(self, node: ast.If) -> None:
        # An import that only the type checker sees makes no module depend on another.
        if ast.unparse(node.test) != "TYPE_CHECKING":
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(alias.name.split("."))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        start = self.package[: len(self.package) + 1 - node.level] if node.level else []
        base = [*start, *(node.module.split(".") if node.module else [])]
        for alias in node.names:
            self._add([*base, alias.name])

    def _add(self, dotted: list[str]) -> None:
        if dotted[0] == "nucleus_logging" and len(dotted) > 1:
            self.found.add(dotted[1])


@pytest.mark.once
@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards(path: Path) -> None:
    """A module imports nothing that stands above it, not even late."""
    me = _part(path)
    assert me in HEIGHT, f"{me} has no place in the design's table"
    imports = _Imports(path)
    imports.visit(ast.parse(path.read_text()))
    above = {name for name in imports.found - {me} if HEIGHT.get(name, 0) > HEIGHT[me]}
    assert not above, f"{path.name} imports {above}, which stand above it"


@pytest.mark.once
def test_nothing_in_the_package_imports_the_collector() -> None:
    """Only the command line and the collector itself know that there is a collector."""
    for path in _modules():
        imports = _Imports(path)
        imports.visit(ast.parse(path.read_text()))
        if _part(path) not in {"cli", "__main__", "check_command", "collector", "testing"}:
            assert "collector" not in imports.found, path


@pytest.mark.once
def test_modules_are_small() -> None:
    """No module outgrows the 400 lines that fit into a head."""
    long = {
        path.name: lines
        for path in PACKAGE.rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 400
    }
    assert not long


def test_import_starts_and_opens_nothing() -> None:
    """`import nucleus_logging` starts no thread, opens no socket and reads only its own code."""
    program = """
import json, sys
seen = []
def watch(event, arguments):
    if event == "open":
        if not str(arguments[0]).endswith((".py", ".pyc", ".so", ".zip")):
            seen.append(f"open {arguments[0]}")
    elif event.startswith("socket.") or event in {
        "_thread.start_new_thread", "os.fork", "os.posix_spawn", "os.mkdir", "subprocess.Popen"
    }:
        seen.append(event)
sys.addaudithook(watch)
import nucleus_logging
done = list(seen)
import threading
print(json.dumps([done, threading.active_count()]))
"""
    done = run_python(program)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[], 1]


def test_import_leaves_the_heavy_modules_alone() -> None:
    """Importing the package imports none of its dependencies, nor the standard library's big ones.

    The public names are there all the same: a logging configuration finds them by name. This is
    about a plain installation: orjson, if it is there, brings dataclasses with it.
    """
    program = """
import sys
import logging
sys.modules["orjson"] = None
before = set(sys.modules)
import nucleus_logging
nucleus_logging.NucleusHandler, nucleus_logging.attach, nucleus_logging.Client
print(*sorted(set(sys.modules) - before))
"""
    # Coverage, where it measures this child, has imported some of them before us.
    done = run_python(program, COVERAGE_PROCESS_START="", COVERAGE_PROCESS_CONFIG="")
    assert done.returncode == 0, done.stderr
    imported = set(done.stdout.split())
    assert imported.isdisjoint(LATE), imported.intersection(LATE)
