"""What a caller has in his hands, on the way to the disk, belongs to what waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nucleus_logging.buffer import Buffer
from nucleus_logging.events import Encoder
from nucleus_logging.waiters import Waiters
from tests.test_spool import queue

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from nucleus_logging.buffer import Item


def test_a_flush_waits_for_what_is_being_carried(tmp_path: Path) -> None:
    """Taken out of memory and not yet written, an event is neither gone nor acknowledged."""
    with queue(tmp_path, queue_size=4) as one:
        one.maker.session.safe = True
        buffer = Buffer(one.spool.options, lambda: None)
        one.spool.bounds = buffer.carrying
        waiters = Waiters()
        seen = []

        def slow(items: list[Item]) -> bool:
            waiter = waiters.ask(items[-1][0])
            waiters.notice()
            buffer.captures.clear()  # the worker has taken the rest, and all of it is acknowledged
            waiters.tell(one.delivery.admitted, one.delivery.oldest_order(), one.spool.low())
            seen.append((one.spool.holds_own(), waiter.done.is_set()))
            return one.spool.carry(items)

        buffer.carry = slow
        for _ in range(5):
            buffer.captures.append(one.maker.capture())
        buffer.crossed()
        assert seen == [(True, False)]
        assert not one.spool.bounds


def test_one_that_cannot_be_encoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody foresaw costs the event that it is about, not its neighbours or its caller."""
    encode = Encoder.encode
    with queue(tmp_path) as one:
        captures = [one.maker.capture() for _ in range(3)]
        bad = captures[1]

        def failing(encoder: Encoder, capture: Any) -> Any:
            if capture is bad:
                raise TypeError("not foreseen")
            return encode(encoder, capture)

        monkeypatch.setattr(Encoder, "encode", failing)
        assert one.spool.carry(captures)
        one.deliver()
        assert one.delivery.dropped == {"invalid": 1}
        assert len(one.sent) == 3  # init, and the other two


def test_an_error_asks_to_be_durable(tmp_path: Path) -> None:
    """What is written before its call returns is synced soon; what memory had no room for not."""
    with queue(tmp_path) as one:
        error = one.maker.event("failed", kind="error")
        assert one.spool.carry([one.maker.event()])
        segment = one.journal.active
        assert segment is not None
        assert not segment.dirty
        one.spool.write_now(error, one.maker.session, lambda _: None)
        assert segment.dirty
