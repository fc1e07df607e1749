"""What the README shows is run, and what it says about the package is compared with the package.

`python -m tests.test_readme` writes the README's tables of names and of options anew.
"""

from __future__ import annotations

import inspect
import json
import logging
import re
import shlex
import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, NamedTuple

import pytest

import nucleus_logging
from nucleus_logging import checks, device, records, testing
from nucleus_logging.collector import Collector
from nucleus_logging.events import Encoder, Facts
from nucleus_logging.options import OPTIONS
from nucleus_logging.payload import Limits
from nucleus_logging.session import Session
from tests.tools import ROOT, run_python

if TYPE_CHECKING:
    from pathlib import Path

    from nucleus_logging.checks import Option

pytestmark = pytest.mark.once

README = ROOT / "README.rst"
_BLOCK = re.compile(r"^\.\. code-block:: (\w+)\n\n((?:    .*\n|\n)+)", re.MULTILINE)
_OPTIONS = re.compile(r"(?<=\.\. options begin\n).*(?=\.\. options end\n)", re.DOTALL)
_NAMES = re.compile(r"(?<=\.\. names begin\n).*(?=\.\. names end\n)", re.DOTALL)
#: What the package's hooks on fork and exit call; no part of what users call.
_INTERNAL = {"before_fork", "after_fork_in_parent", "after_fork_in_child", "leave", "release"}


class Example(NamedTuple):
    """A block of code, and the events that the README says will arrive."""

    language: str
    code: str
    arriving: list[dict[str, object]]


def _examples() -> list[Example]:
    found: list[Example] = []
    for language, indented in _BLOCK.findall(README.read_text()):
        code = textwrap.dedent(indented)
        if language == "json":
            found[-1].arriving.append(json.loads(code))
        else:
            found.append(Example(language, code, []))
    return found


def _of(language: str) -> list[Example]:
    return [one for one in _examples() if one.language == language]


def _holds(whole: object, part: object) -> bool:
    """Whether all that the part says is in the whole."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            key in whole and _holds(whole[key], value) for key, value in part.items()
        )
    return whole == part


def _options_table() -> str:
    """The README's table, after the package's own."""
    lines = ["", ".. list-table::", "   :header-rows: 1", ""]
    lines += ["   * - option", "     - default", "     - meaning"]
    for option in OPTIONS.values():
        meaning = re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", option.doc)
        lines += [
            f"   * - ``{option.name}``",
            f"     - {_default(option)}".rstrip(),
            f"     - {meaning}",
        ]
    return "\n".join([*lines, "", ""])


def _names_table() -> str:
    """The README's table of public names: each as it is called, and the first line about it."""
    named: dict[str, object] = {}
    for name in sorted(nucleus_logging.__all__, key=str.lower):
        one = named[name] = getattr(nucleus_logging, name)
        if name == "Client":
            methods = [method for method in dir(one) if not method.startswith("_")]
            for method in sorted(set(methods) - _INTERNAL - {"options"}):
                named[f"Client.{method}"] = getattr(one, method)
    named["testing.capture_events"] = testing.capture_events
    named["collector.Collector"] = Collector
    lines = ["", ".. list-table::", "   :header-rows: 1", "", "   * - name", "     - what it does"]
    for name, one in named.items():
        line = (one.__doc__ or "").split("\n\n")[0].replace("\n", " ")
        lines.append(f"   * - ``{name}{_called_with(one)}``")
        lines.append(
            "     - " + re.sub(r"\s+", " ", re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", line))
        )
    return "\n".join([*lines, "", ""])


def _called_with(one: object) -> str:
    """What stands between the brackets of a call, without types."""
    if isinstance(one, type) and (issubclass(one, Exception) or one is nucleus_logging.Stats):
        return ""
    if not callable(one):
        return ""
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for name, parameter in inspect.signature(one).parameters.items()
        if name != "self"
    ]
    return str(inspect.Signature(parameters))


def _default(option: Option) -> str:
    """An option's default as a user would write it."""
    value = option.default
    if value is None:
        return ""
    if option.check is checks.LEVEL:
        return f"``{logging.getLevelName(value)}``"
    if isinstance(value, int) and value >= 1024 and value % 1024 == 0:
        return f"{value // 2**20} MiB" if value % 2**20 == 0 else f"{value // 1024} KiB"
    return f"``{value}``"


@pytest.mark.parametrize("example", _of("python"), ids=lambda one: one.code.split("\n")[-2][:40])
def test_python_examples_run_and_arrive(example: Example, collector: Collector) -> None:
    """Each program of the README runs without a warning, and what it shows arrives."""
    done = run_python(example.code, NUCLEUS_APP_ID="readme", NUCLEUS_ENDPOINT=collector.url)
    assert done.returncode == 0, done.stderr
    stored = [event.as_json() for event in collector.store.events(app="readme")]
    for expected in example.arriving:
        assert any(_holds(event, expected) for event in stored), (expected, stored)


def test_file_configuration_works(collector: Collector, tmp_path: Path) -> None:
    """The README's `fileConfig` sends what is logged below it."""
    (example,) = _of("ini")
    file = tmp_path / "logging.ini"
    file.write_text(example.code)
    program = """
import logging, logging.config, sys
logging.config.fileConfig(sys.argv[1])
logging.getLogger("shop").info("opened")
"""
    done = run_python(program, str(file), NUCLEUS_APP_ID="readme", NUCLEUS_ENDPOINT=collector.url)
    assert done.returncode == 0, done.stderr
    assert collector.store.count(name="opened") == 1


def _commands() -> list[list[str]]:
    lines = [line for one in _of("console") for line in one.code.splitlines()]
    return [shlex.split(line.removeprefix("$ ")) for line in lines if line.startswith("$ ")]


def test_environment_variables_are_options() -> None:
    """Each variable that the README exports is one that the package reads."""
    exported = [words[1].partition("=")[0] for words in _commands() if words[0] == "export"]
    assert exported
    assert set(exported) <= {f"NUCLEUS_{name.upper()}" for name in OPTIONS}


def test_commands_run() -> None:
    """Each `nucleus-logging serve` of the README says where it is and ends on SIGTERM."""
    served = [words for words in _commands() if words[:2] == ["nucleus-logging", "serve"]]
    assert served
    for words in served:
        # The port of the README may be in use here.
        arguments = ["0" if word.isdigit() else word for word in words[1:]]
        with subprocess.Popen(
            [sys.executable, "-m", "nucleus_logging", *arguments], stdout=subprocess.PIPE, text=True
        ) as server:
            assert server.stdout is not None
            said = server.stdout.readline()
            server.send_signal(signal.SIGTERM)
        assert "ws://127.0.0.1:" in said
        assert server.returncode == 0


def test_options_are_all_in_the_table() -> None:
    """The README's table of options is the package's own."""
    found = _OPTIONS.search(README.read_text())
    assert found is not None
    assert found[0] == _options_table(), "run: python -m tests.test_readme"


def test_public_names_are_all_in_the_table() -> None:
    """The README's table of names is the package's own, with what each takes."""
    found = _NAMES.search(README.read_text())
    assert found is not None
    assert found[0] == _names_table(), "run: python -m tests.test_readme"


def test_event_fields_are_all_in_the_table() -> None:
    """The README's table of an event's fields names those that are sent, and nothing else."""
    found = re.search(r"\.\. event begin\n(.*)\.\. event end", README.read_text(), re.DOTALL)
    assert found is not None
    rows = re.findall(r"   \* - (.*)\n     - (.*)\n", found[1])
    named = {field: on for fields, on in rows for field in re.findall(r"``([^`]+)``", fields)}
    sent = _sent()
    assert set(named) == set().union(*sent.values())
    ids = {"id", "date"}
    everywhere = set.intersection(*sent.values()) - {"userId"}
    assert {field for field, on in named.items() if on == "all"} == everywhere
    assert {field for field, on in named.items() if on == "all but heartbeats"} == ids
    assert ids <= set.intersection(*(keys for kind, keys in sent.items() if kind != "heartbeat"))
    facts = sent["init"] & sent["error"] - sent["event"]
    assert {field for field, on in named.items() if on.startswith("init, errors")} == facts


def _sent() -> dict[str, set[str]]:
    """The fields of events of each type, as they are sent."""
    facts = Facts()
    gathered = {*device._FACTS, "client", "locale", "version"}
    facts.fill("device", "anonymous", dict.fromkeys(gathered, "x"))
    encoder = Encoder("prefix", facts, Limits(), None)
    session = Session(1, 1.0, 0.0, "ada", {"plan": "pro"})
    sent = {}
    for kind in ("event", "error", "nucleus:view", "userid", "props"):
        capture = (2, session, 2.0, kind, "n", None, None, None, {"a": 1}, "ada", None)
        made = encoder.encode(capture)
        assert made is not None
        sent[kind] = set(json.loads(facts.wire(made)))
    sent["init"] = set(json.loads(facts.wire(encoder.init(session))))
    sent["heartbeat"] = set(json.loads(facts.heartbeat(session, "ada"))["data"][0])
    return sent


def test_payload_fields_are_all_in_the_table() -> None:
    """The README's table of fields names what the package adds to payloads, and nothing else."""
    found = re.search(r"\.\. payload begin\n(.*)\.\. payload end", README.read_text(), re.DOTALL)
    assert found is not None
    fields = [re.findall(r"``([^`]+)``", row) for row in re.findall(r"   \* - (.*)", found[1])]
    named = {field for row in fields for field in row}
    assert named == records.RESERVED | {"handled", "mechanism", "truncated"}


def test_every_public_name_is_mentioned() -> None:
    """A reader of the README meets every public name."""
    text = README.read_text() + (ROOT / "CHANGELOG.rst").read_text()
    unmentioned = [
        name
        for name in nucleus_logging.__all__
        if not name.startswith("_") and f"``{name}" not in text
    ]
    assert not unmentioned


def test_the_first_commands_are_the_ones_ci_runs() -> None:
    """The README's two commands name environments that tox has, and CI runs the same."""
    commands = re.findall(r"^    (python -m pip .*)$", README.read_text(), re.MULTILINE)
    assert commands[:2] == [
        "python -m pip install tox && python -m tox -e demo",
        "python -m pip install tox && python -m tox",
    ]
    assert "[testenv:demo]" in (ROOT / "tox.ini").read_text()
    run = (ROOT / ".ci" / "run").read_text()
    assert "python -m pip install --quiet tox && python -m tox" in run


if __name__ == "__main__":
    written = _OPTIONS.sub(lambda _: _options_table(), README.read_text())
    written = _NAMES.sub(lambda _: _names_table(), written)
    README.write_text(written)
