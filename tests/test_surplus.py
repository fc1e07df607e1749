"""When the journal is full: a session keeps its `init`, and an error stays one event."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from nucleus_logging.buffer import Buffer
from nucleus_logging.diagnostics import Diagnostics
from nucleus_logging.session import Session
from nucleus_logging.uptake import Uptake
from tests.test_spool import carry, queue

if TYPE_CHECKING:
    from pathlib import Path

    from nucleus_logging.events import Event


@pytest.mark.parametrize("carried", [False, True])
def test_an_error_storm_in_an_outage(tmp_path: Path, carried: bool) -> None:
    """However many errors there are behind it, `init` goes first in the end."""
    with queue(tmp_path, queue_size=20, spool_limit=256 * 1024) as one:
        init = one.maker.init()
        one.spool.open_init(init, one.maker.session)
        one.turn([init])
        one.turn(seconds=1.0)
        for _ in range(40):
            errors = [one.maker.event(kind="error", text="x" * 300) for _ in range(50)]
            if carried:
                carry(one, errors[25:])
                del errors[25:]
            one.turn(errors)
            one.turn(seconds=1.0)
        assert one.delivery.dropped["spool_full"] > 1000
        one.deliver()
        assert one.sent[0] == init.id
        assert len(one.sent) > 100


def test_a_session_that_begins_when_nothing_new_may_come(tmp_path: Path) -> None:
    """With `drop_newest` its `init` is kept, so that its later events are worth something."""
    with queue(tmp_path, queue_size=4, overflow="drop_newest", spool_limit=4096) as one:
        one.maker.session.safe = True
        one.turn(one.maker.events(30, size=300))
        one.turn()
        assert one.delivery.dropped["spool_full"]
        number = one.maker.event().number
        one.maker.session = session = Session(number, time.time(), float("inf"), None, {})
        session.opened = True
        init = one.maker.init()
        one.spool.open_init(init, session)
        one.turn([init, one.maker.event()])
        one.deliver()
        later = one.maker.event()
        one.turn([later])
        one.deliver()
        assert one.sent[-2:] == [init.id, later.id]


def test_what_two_dead_processes_have_left(tmp_path: Path) -> None:
    """Each one's `init` is its own, though both have the same number, and ours has it too."""
    inits = []
    for _ in range(2):
        with queue(tmp_path) as gone:
            inits.append(gone.maker.init())
            carry(gone, [inits[-1], *gone.maker.events(200, size=300)])
    with queue(tmp_path, spool_limit=96 * 1024, queue_size=20, drain_rate=1e6) as one:
        one.maker.session.safe = True
        init = one.maker.init()
        one.spool.open_init(init, one.maker.session)
        one.turn([init])
        for _ in range(6):
            one.turn(one.maker.events(50, size=300), seconds=1.0)
        one.deliver()
        assert {event.id for event in [init, *inits]} <= set(one.sent)
        assert one.counted() == 2 * 201 + 301


def test_an_error_that_comes_back_while_its_repeats_are_counted(tmp_path: Path) -> None:
    """What the journal has given back is sent once, and not told as a repeat as well."""
    with queue(tmp_path, queue_size=50) as one:
        one.maker.session.safe = True
        buffer = Buffer(one.spool.options, lambda: None)
        diagnostics = Diagnostics(False)
        uptake = Uptake(
            buffer, one.maker.encoder, one.delivery, one.volume, diagnostics, lambda items: None
        )
        errors: list[Event] = []
        for _ in range(3):
            error = one.maker.event("boom", "error", fingerprint="f")
            one.spool.write_now(error, one.maker.session, errors.append)
        buffer.captures.append(errors[0])
        uptake.take(one.now, one.spool, everything=False)
        buffer.captures.extend(errors[1:])
        uptake.take(one.now + 0.01, one.spool, everything=False)
        assert uptake.held == 2
        # Somebody finds memory full, and the very segment is read back for what he has carried.
        carry(one, [one.maker.event()])
        one.turn(seconds=0.02)
        one.deliver()
        uptake.take(one.now + 2.0, one.spool, everything=True)
        one.deliver()
        assert len(one.sent) == len(set(one.sent)) == 4
        assert one.delivery.acknowledged == 4
        assert not one.delivery.dropped
