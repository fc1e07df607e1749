"""Dates of log lines."""

from __future__ import annotations

import time
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleus_logging.collector.shipping.moments import leading, moment

SECOND = 1_772_590_360  # 2026-03-04T02:12:40Z
LOCAL = datetime(2026, 3, 4, 2, 12, 40).timestamp()  # noqa: DTZ001


@pytest.mark.parametrize(
    ("text", "date", "rest"),
    [
        ("2026-03-04T02:12:40Z x", SECOND, " x"),
        ("2026-03-04T02:12:40.250Z", SECOND + 0.25, ""),
        ("2026-03-04T03:12:40.25+01:00 x", SECOND + 0.25, " x"),
        ("2026-03-04T00:42:40-0130", SECOND, ""),
        ("2026-03-04 02:12:40,123 - x", LOCAL + 0.123, " - x"),
        ("2026/03/04 02:12:40 [error] x", LOCAL, " [error] x"),
        ("04/Mar/2026:02:12:40 +0000] x", SECOND, "] x"),
        ("1772590360.5 x", SECOND + 0.5, " x"),
        ("2026-03-04 02:12:60 x", LOCAL + 19, " x"),
    ],
)
def test_leading(text: str, date: float, rest: str) -> None:
    """Each usual form is read, and where the text goes on."""
    found = leading(text)
    assert found is not None
    assert found[0] == pytest.approx(date, abs=1e-4)
    assert text[found[1] :] == rest


def test_syslog_names_no_year() -> None:
    """A date without a year is the last one that fits."""
    now = datetime.now().astimezone()
    found = leading(f"{now:%b} {now.day:2} {now:%H:%M:%S} host app: x")
    assert found is not None
    assert abs(found[0] - now.timestamp()) < 2
    future = time.localtime(time.time() + 10 * 86_400)
    found = leading(time.strftime("%b %d %H:%M:%S", future))
    assert found is not None
    assert found[0] < time.time()


@pytest.mark.parametrize(
    "text", ["", "x", "2026", "12:40:01 x", "2026-13-04T02:12:40Z", "Foo  4 02:12:40", "999"]
)
def test_no_date(text: str) -> None:
    """What is no date is not taken for one."""
    assert leading(text) is None


@pytest.mark.parametrize(
    "value",
    [
        SECOND,
        float(SECOND),
        SECOND * 1000,
        SECOND * 1_000_000,
        SECOND * 10**9,
        str(SECOND * 1000),
        "2026-03-04T02:12:40Z",
    ],
)
def test_moment(value: object) -> None:
    """A number is seconds, milli-, micro- or nanoseconds, whichever makes sense."""
    assert moment(value) == SECOND


HUGE = [pytest.param(sign * 10**400, id=f"{sign}e400") for sign in (1, -1)]
NO_DATES = [float("nan"), float("inf"), -float("inf"), *HUGE]


@pytest.mark.parametrize("value", [None, True, "", "soon", 0, -5, 12, [], {}, *NO_DATES])
def test_no_moment(value: object) -> None:
    """What is no date is none."""
    assert moment(value) is None


@settings(deadline=None)
@given(st.text(max_size=60) | st.integers() | st.floats())
def test_never_raises(value: object) -> None:
    """Whatever stands where a date should, it is a date or none."""
    assert isinstance(moment(value), (float, type(None)))
    text = str(value)
    found = leading(text)
    assert found is None or 0 < found[1] <= len(text)
