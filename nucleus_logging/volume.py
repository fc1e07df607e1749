"""How much is sent of what was logged: sampling, a rate for each name, and ``before_send``.

All of it happens when a capture is encoded, so that no logging call pays for it: on the worker,
or in the thread of a caller that stores an error before its logging call returns. What is held
back is counted here, by reason, and taken up by the worker.

`Encoder.encode` asks; `Shipper` takes the counts.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from nucleus_logging.counting import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nucleus_logging.diagnostics import Diagnostics
    from nucleus_logging.events import Capture
    from nucleus_logging.options import Options

#: Reasons for which something is held back on purpose.
SAMPLED, RATE_LIMITED, BEFORE_SEND = REASONS = ("sampled", "rate_limited", "before_send")

_NAMES = 1024
#: What is not an application's event, but says who the user is, is never held back by chance.
_COUNTED = frozenset({"event", "error", "nucleus:view"})


class Volume:
    """The decisions for one client. Any thread may ask, without a lock.

    Args:
        options: ``sample_rate``, ``rate_limit``, ``before_send``.
        diagnostics: where a ``before_send`` that fails is told of.
        clock: monotonic seconds.
        chance: gives a number from 0 to below 1, to draw the samples by.

    Attributes:
        active: whether there is anything to ask at all.
    """

    def __init__(
        self,
        options: Options,
        diagnostics: Diagnostics,
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self._diagnostics = diagnostics
        self._clock = clock
        self._chance = chance
        self._tallies = {reason: Tally() for reason in REASONS}
        self._asking = _Asking()
        self.retune(options)

    def retune(self, options: Options) -> None:
        """Go by these options from now on."""
        self._rate = options.sample_rate
        self._limit = options.rate_limit
        self.before_send = options.before_send
        self._buckets: dict[str, tuple[float, float]] = {}
        self.active = bool(
            self._rate != 1.0 or self._limit is not None or self.before_send is not None
        )

    @property
    def asking(self) -> bool:
        """Whether this thread is inside of ``before_send``."""
        return self._asking.now

    def taken(self) -> list[tuple[str, int]]:
        """Return how many have been held back since the last call, by reason."""
        return [(reason, tally.take()) for reason, tally in self._tallies.items()]

    def passes(self, capture: Capture) -> bool:
        """Tell whether a capture is to be sent, as far as chance and rate go; count it if not."""
        if capture[3] not in _COUNTED:
            return True
        rate = self._rate
        if rate != 1.0:
            if isinstance(rate, dict):
                rate = rate.get(_level(capture), 1.0)
            if rate < 1.0 and self._chance() >= rate:
                self._tallies[SAMPLED].add()
                return False
        if self._limit is not None and not self._within(capture[4], self._limit):
            self._tallies[RATE_LIMITED].add()
            return False
        return True

    def asked(self, wire: Mapping[str, object]) -> dict[str, object] | None:
        """Return what ``before_send`` makes of an event; the event itself if it fails.

        Returns:
            None when the event is not to be sent; it is counted then.
        """
        if self.before_send is None:
            return dict(wire)
        if self._asking.now:
            # Logged by ``before_send`` itself, with no room for it but here: it would never end.
            self._tallies[BEFORE_SEND].add()
            return None
        given = dict(wire)
        payload = wire.get("payload")
        given["payload"] = dict(payload) if isinstance(payload, dict) else {}
        self._asking.now = True
        try:
            answer: object = self.before_send(given)
        except (Exception, SystemExit) as error:
            self._diagnostics.say(f"before_send raised {error!r}", once="before_send")
            return dict(wire)
        finally:
            self._asking.now = False
        if answer is None:
            self._tallies[BEFORE_SEND].add()
            return None
        if not isinstance(answer, dict):
            self._diagnostics.say(f"before_send returned {type(answer)}", once="before_send")
            return dict(wire)
        return answer

    def _within(self, name: str, limit: float) -> bool:
        """Take a token from the name's bucket, if it has one.

        Two threads at the same moment may take the same token: one event more than agreed.
        """
        now = self._clock()
        most = max(1.0, limit)
        buckets = self._buckets
        tokens, at = buckets.get(name, (most, now))
        tokens = min(most, tokens + (now - at) * limit)
        if len(buckets) >= _NAMES and name not in buckets:
            # The ones that nobody has asked for the longest are full again, or nearly.
            for old in list(buckets)[: _NAMES // 2]:
                buckets.pop(old, None)
        allowed = tokens >= 1.0
        buckets.pop(name, None)
        buckets[name] = (tokens - 1.0 if allowed else tokens, now)
        return allowed


class _Asking(threading.local):
    now = False


def _level(capture: Capture) -> str:
    level: object = capture[6]
    if level is None:
        level = (capture[8] or {}).get("level")
    return level.lower() if type(level) is str else ""
