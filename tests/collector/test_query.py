"""The filter language."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleus_logging.collector.query import Condition, conditions, parse_filter
from tests.tools import MS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("level:error", [Condition("level", "error")]),
        ("-logger:django.*", [Condition("payload.logger", "django.*", negated=True)]),
        ("payload.plan:pro", [Condition("payload.plan", "pro")]),
        ("platform:Linux", [Condition("platform", "Linux")]),
        ('"free text"', [Condition("", "free text", literal=True)]),
        ('-"free text"', [Condition("", "free text", True, literal=True)]),
        ('name:"a b*"', [Condition("name", "a b*", literal=True)]),
        (r'"say \"hi\""', [Condition("", 'say "hi"', literal=True)]),
        ("http://x.example/a", [Condition("", "http://x.example/a")]),
        ("a b", [Condition("", "a"), Condition("", "b")]),
        ('"open', [Condition("", "open", literal=True)]),
        ("name:", []),
        ("payload.:x", [Condition("", "payload.:x")]),
        ("-", [Condition("", "-")]),
        ("12:30", [Condition("", "12:30")]),
    ],
)
def test_understood(text: str, expected: list[Condition]) -> None:
    """Each form means what the reader expects of it."""
    assert list(conditions(text)) == expected


def test_heartbeats_are_left_out() -> None:
    """Heartbeats are shown only to who speaks of types."""
    assert Condition("type", "heartbeat", negated=True) in parse_filter("level:error")
    assert parse_filter("type:heartbeat") == (Condition("type", "heartbeat"),)


@settings(deadline=None)
@given(st.text(max_size=500))
def test_no_filter_is_wrong(text: str) -> None:
    """Whatever is typed is understood somehow, and stays bounded."""
    assert len(parse_filter(text)) <= 51


@pytest.mark.unmeasured
def test_hostile_input_is_quick() -> None:
    """A megabyte of quotes and backslashes takes no time to speak of."""
    for text in ('"' * 1_000_000, '"\\' * 500_000, "-" * 1_000_000, "a:" * 500_000):
        began = time.monotonic()
        found = conditions(text)
        assert time.monotonic() < began + 10_000 * MS
        assert len(found) <= 51
        assert sum(len(one.value) for one in found) <= len(text)
