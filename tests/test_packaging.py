"""What is written in setup.cfg, tox.ini and the package about the package agrees."""

from __future__ import annotations

import ast
import configparser
import importlib.metadata
import re
import sys
from pathlib import Path

import pytest

import nucleus_logging
from nucleus_logging.device import VERSION
from tests.tools import ROOT

pytestmark = pytest.mark.once

PACKAGE = Path(nucleus_logging.__file__).parent

# Distribution, where it is not called like the module that it installs.
DISTRIBUTION = {
    "machineid": "py-machineid",
    "websocket": "websocket-client",
    "prometheus_client": "prometheus-client",
    "nats": "nats-py",
}


def _read(name: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    assert parser.read(ROOT / name)
    return parser


def _lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if line and not line.startswith("#")]


def _required(*extras: str) -> dict[str, str]:
    """Name and lower bound of each requirement of the package and of some extras."""
    setup = _read("setup.cfg")
    lines = _lines(setup["options"]["install_requires"])
    for extra in extras:
        lines += _lines(setup["options.extras_require"][extra])
    return {name: bound for name, _, bound in (line.partition(">=") for line in lines)}


def _imported(path: Path) -> set[str]:
    """The third-party modules that a module imports, whether early or late."""
    tree = ast.parse(path.read_text())
    checked_only = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if node in checked_only:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - {"nucleus_logging"}


def test_the_lowest_versions_are_the_tested_ones() -> None:
    """`tox -e lowest` pins exactly the lower bounds that setup.cfg promises."""
    pins = dict(line.split("==") for line in _lines(_read("tox.ini")["testenv:lowest"]["deps"]))
    assert pins == _required("fast", "collector", "cluster")


def test_the_extras_of_the_readme_are_those_for_users() -> None:
    """README.rst names all but those of who works on the package; ``socks`` needs nothing."""
    extras = _read("setup.cfg")["options.extras_require"]
    named = re.findall(r"^``(\w+)``  ", (ROOT / "README.rst").read_text(), re.MULTILINE)
    assert set(named) == set(extras) - {"test", "browser", "dev"}
    assert _lines(extras["socks"]) == []


def test_every_python_that_is_promised_is_tested() -> None:
    """Classifiers, `python_requires` and tox name the same versions of Python."""
    setup = _read("setup.cfg")
    classified = re.findall(r":: 3\.(\d+)", setup["metadata"]["classifiers"])
    tox = _read("tox.ini")
    suite = tox["testenv:suite"]["base_python"].partition(",")[0]
    tested = sorted(re.findall(r"py(?:thon)?3\.?(\d+)", tox["tox"]["env_list"] + suite))
    assert classified == tested
    assert setup["options"]["python_requires"] == f">=3.{tested[0]}"


def test_every_import_is_a_declared_requirement() -> None:
    """The package imports only what it requires; the collector also what its extras require."""
    required = {"": set(_required("fast")), "collector": set(_required("collector", "cluster"))}
    for path in PACKAGE.rglob("*.py"):
        allowed = set(required[""])
        if path.is_relative_to(PACKAGE / "collector"):
            allowed |= required["collector"]
        if path.name == "pytest_plugin.py":
            allowed.add("pytest")  # which imports it
        needed = {DISTRIBUTION.get(name, name) for name in _imported(path)}
        assert needed <= allowed, f"{path.name} imports {needed - allowed}"


def test_every_requirement_is_used() -> None:
    """Nothing is installed that neither package nor demo imports, or, as structlog, plug into."""
    files = [*PACKAGE.rglob("*.py"), *(ROOT / "examples").rglob("*.py")]
    imported = {name for path in files for name in _imported(path)}
    used = {DISTRIBUTION.get(name, name) for name in imported} | {"structlog"}
    assert set(_required("fast", "collector", "cluster")) <= used


def test_versions_agree() -> None:
    """The version that is installed and sent is setup.cfg's, and the changelog begins with it."""
    version = _read("setup.cfg")["metadata"]["version"]
    assert version == VERSION
    assert importlib.metadata.version("nucleus-logging") == version
    changes = (ROOT / "CHANGELOG.rst").read_text()
    latest = re.search(r"^(\d\S*)", changes, re.MULTILINE)
    assert latest is not None
    assert latest[1] == version


def test_there_is_a_typed_marker_and_a_license() -> None:
    """Type checkers use our annotations; the license travels with the package."""
    assert (PACKAGE / "py.typed").is_file()
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")


def test_every_public_name_exists() -> None:
    """`__all__` holds what is there, sorted, each once."""
    names = nucleus_logging.__all__
    assert all(hasattr(nucleus_logging, name) for name in names)
    assert sorted(set(names)) == list(names)
