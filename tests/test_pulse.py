"""Signs of life: when a heartbeat is due, what must come back, and when nobody needs the line."""

from __future__ import annotations

from nucleus_logging.options import Options
from nucleus_logging.pulse import Pulse


class Line:
    """What a pulse asks of a connection."""

    def __init__(self) -> None:
        self.bytes_received = 100
        self.pings = 0

    def ping(self) -> None:
        self.pings += 1


def pulse_of(line: Line, answers: bool = True, beats: bool = True, interval: float = 60.0) -> Pulse:
    """A pulse that was opened at time 0."""
    options = Options.resolve("shop", {"heartbeat_interval": interval, "ack_timeout": 10.0}, {})
    return Pulse(options, line, beats, answers, 0.0)  # type: ignore[arg-type]


def test_due_when_nothing_was_sent() -> None:
    """A heartbeat is due an interval after whatever was sent last; a little early when awake."""
    pulse = pulse_of(Line())
    assert not pulse.due(49.0)
    assert pulse.due(50.0)
    assert pulse.next(beating=True) == 60.0
    pulse.sent_at = 30.0
    assert not pulse.due(60.0)
    assert pulse.next(beating=True) == 90.0
    assert pulse.next(beating=False) is None


def test_answered() -> None:
    """A server that answers heartbeats is never pinged, and not waited for any longer."""
    line = Line()
    pulse = pulse_of(line)
    pulse.sent(60.0)
    assert pulse.next(beating=False) == 65.0
    line.bytes_received += 20
    assert not pulse.lost(60.1)
    assert pulse.next(beating=False) is None
    assert not pulse.lost(1_000.0)
    assert line.pings == 0


def test_not_answered() -> None:
    """A server that is silent is pinged, at once from then on, and lives if it answers that."""
    line = Line()
    pulse = pulse_of(line)
    pulse.sent(60.0)
    assert not pulse.lost(65.0)
    assert line.pings == 1
    line.bytes_received += 2
    assert not pulse.lost(65.1)
    assert pulse.answers is False
    pulse.sent(120.0)
    assert line.pings == 2


def test_lost() -> None:
    """A peer from which nothing comes within ``ack_timeout`` is gone, known or not."""
    pulse = pulse_of(Line())
    pulse.sent(60.0)
    assert [pulse.lost(at) for at in (64.9, 65.0, 69.9, 70.0)] == [False, False, False, True]
    pulse = pulse_of(Line(), answers=False)
    pulse.sent(60.0)
    assert [pulse.lost(at) for at in (69.9, 70.0)] == [False, True]


def test_many_heartbeats_while_waiting() -> None:
    """Further heartbeats do not put off the moment at which an answer is overdue."""
    pulse = pulse_of(Line(), answers=False, interval=1.0)
    for at in range(9):
        pulse.sent(float(at))
    assert pulse.lost(10.0)


def test_without_heartbeats() -> None:
    """Without an interval, or on HTTP, there is nothing to do but to close after a minute."""
    for pulse in (pulse_of(Line(), interval=0.0), pulse_of(Line(), beats=False)):
        assert not pulse.due(10_000.0)
        assert pulse.next(beating=True) is None
        assert pulse.idle_at() == 60.0
    assert pulse_of(Line()).idle_at() is None
