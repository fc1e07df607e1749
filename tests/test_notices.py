"""When the server is told how many events were dropped."""

from __future__ import annotations

from nucleus_logging.events import NOTICE, Event, Facts
from nucleus_logging.notices import Notices


def _ask(
    notices: Notices, now: float, at_once: bool = False, at_end: bool = False, **dropped: int
) -> dict[str, int]:
    return notices.due(dropped, now, at_once, at_end)


def test_news_only() -> None:
    """Each drop is told once."""
    notices = Notices()
    assert _ask(notices, 1.0) == {}
    assert _ask(notices, 1.0, queue_full=3) == {"queue_full": 3}
    assert _ask(notices, 10.0, queue_full=3) == {}
    assert _ask(notices, 20.0, queue_full=5, expired=1) == {"queue_full": 2, "expired": 1}


def test_every_few_seconds() -> None:
    """A second notice comes seconds after the first, or when somebody waits."""
    notices = Notices()
    _ask(notices, 1.0, queue_full=1)
    assert _ask(notices, 5.9, queue_full=2) == {}
    assert _ask(notices, 6.0, queue_full=2) == {"queue_full": 1}
    assert _ask(notices, 6.1, at_once=True, queue_full=3) == {"queue_full": 1}


def test_one_at_a_time() -> None:
    """While one is on its way, there is no other."""
    notices = Notices()
    _ask(notices, 1.0, queue_full=1)
    notices.last = Event("id", 1, NOTICE, 0, b"{}", Facts())
    assert _ask(notices, 100.0, queue_full=2) == {}
    notices.last.gone = True
    assert _ask(notices, 100.0, queue_full=2) == {"queue_full": 1}


def test_held_back_once_a_minute() -> None:
    """What options hold back is told a minute after it began, and every minute from then on."""
    notices = Notices()
    assert _ask(notices, 1.0, at_once=True, rate_limited=1) == {}
    assert _ask(notices, 30.0, rate_limited=5, queue_full=1) == {"queue_full": 1}
    assert _ask(notices, 61.0, rate_limited=9, queue_full=1) == {"rate_limited": 9}
    assert _ask(notices, 70.0, at_once=True, rate_limited=10, queue_full=1) == {}
    assert _ask(notices, 131.0, rate_limited=12, sampled=1, queue_full=1) == {
        "rate_limited": 3,
        "sampled": 1,
    }


def test_held_back_at_the_end() -> None:
    """At the end all of it is told."""
    notices = Notices()
    assert _ask(notices, 1.0, rate_limited=1) == {}
    assert _ask(notices, 2.0, at_end=True, rate_limited=2) == {"rate_limited": 2}


def test_folded_is_never_told() -> None:
    """Repeats have been told by the event that stands for them."""
    assert _ask(Notices(), 1.0, at_end=True, folded=7) == {}
