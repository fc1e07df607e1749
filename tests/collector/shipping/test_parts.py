"""Lines that Docker has written in parts."""

from __future__ import annotations

import json
from itertools import accumulate

import pytest

from nucleus_logging.collector.shipping.entries import entries
from nucleus_logging.collector.shipping.source import IDLE, LONGEST, Line

pytestmark = pytest.mark.once


def written(*parts: tuple[str, str]) -> list[Line]:
    """Lines of a json-file: stream and text of each."""
    texts = [
        json.dumps({"log": text, "stream": stream, "time": f"2026-11-25T10:00:0{number % 10}Z"})
        for number, (stream, text) in enumerate(parts)
    ]
    ends = accumulate(len(text) + 1 for text in texts)
    return [
        Line(text, number, end, False)
        for number, (text, end) in enumerate(zip(texts, ends, strict=True), 1)
    ]


def read(lines: list[Line]) -> list[tuple[str, int]]:
    """Messages and the places behind them."""
    placed = entries(iter(lines), "docker", lambda line: pytest.fail(f"unreadable: {line}"))
    return [(one.entry.message, one.end) for one in placed if one.entry is not None]


def test_parts_are_one_line() -> None:
    """What Docker has cut is one entry, also in JSON, dated by its first part."""
    inner = json.dumps({"event": "x" * 20_000, "level": "error", "a": 1}) + "\n"
    lines = written(("stdout", inner[:16_384]), ("stdout", inner[16_384:]))
    (placed,) = entries(iter(lines), None, lambda line: pytest.fail(f"unreadable: {line}"))
    assert placed.entry is not None
    assert (placed.entry.level, placed.entry.fields["a"]) == ("error", 1)
    assert placed.entry.message == "x" * 20_000
    assert (placed.entry.date or 0) % 10 == 0
    assert placed.end == lines[-1].end


def test_streams_take_turns() -> None:
    """Each stream has parts of its own; nothing that waits is behind the place to go on from."""
    lines = written(
        ("stdout", "INFO: before\n"),
        ("stdout", "INFO: one "),
        ("stderr", "ERROR: other\n"),
        ("stdout", "and more\n"),
        ("stdout", "INFO: after\n"),
    )
    assert read(lines) == [
        ("before", lines[0].end),
        ("other", lines[0].end),
        ("one and more", lines[3].end),
        ("after", lines[4].end),
    ]


def test_no_end() -> None:
    """The last part of a file, and a line that never ends, are entries as they are."""
    lines = written(("stdout", "INFO: cut off"))
    assert read([*lines, IDLE]) == [("cut off", lines[0].end)]
    many = written(*[("stdout", "INFO: " + "x" * 16_000)] * 70)
    assert sum(len(message) > LONGEST - 20_000 for message, _ in read(many)) == 1
