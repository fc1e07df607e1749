"""HTTP in the form of a connection: a message handed over becomes a POST, its answer a message.

A POST blocks, so each runs on a short-lived thread of its own and leaves its
result in a mailbox. To the worker it looks like a WebSocket that has no
descriptor: `unsent` until the answer has been taken, and `has_more` once it
is there. What is no success is raised, as the end of a WebSocket is.

The worker owns a `PostingConnection`; `nucleus_logging.attempt` makes it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from nucleus_logging.deadline import Deadline
from nucleus_logging.errors import PostError
from nucleus_logging.transports.errand import Errand, as_failure
from nucleus_logging.transports.stream import Abort

if TYPE_CHECKING:
    from collections.abc import Callable

    from nucleus_logging.transports.http import HttpConnection, Reply

__all__ = ["PostingConnection"]


class PostingConnection:
    """See the module. All but the POST itself is for the one thread that owns it.

    Args:
        http: Open, and the posting connection's from now on.
        timeout: The seconds that a POST may take, its answer included.
        alert: Called on the POST's thread when its result is there.
        strangers: Idents of threads whose log records are our own.
    """

    __slots__ = (
        "_abort",
        "_alert",
        "_closed",
        "_errand",
        "_http",
        "_results",
        "_running",
        "_strangers",
        "_timeout",
        "bytes_received",
        "unsent",
    )

    def __init__(
        self,
        http: HttpConnection,
        timeout: float,
        alert: Callable[[], None],
        strangers: set[int],
    ) -> None:
        self._http = http
        self._timeout = timeout
        self._alert = alert
        self._strangers = strangers
        self._abort = Abort()
        self._errand: Errand | None = None
        self._results: deque[Reply | Exception] = deque()
        self._running = False
        self._closed = False
        self.unsent = 0
        self.bytes_received = 0

    @property
    def wants_write(self) -> bool:
        """Never: a thread of its own writes."""
        return False

    @property
    def has_more(self) -> bool:
        """Whether a POST has its result."""
        return bool(self._results)

    def fileno(self) -> int:
        """Return -1: there is nothing to select on."""
        return -1

    def send(self, *texts: bytes) -> None:
        """POST one message; only when nothing is unsent.

        Args:
            texts: The body, in JSON, and no other.
        """
        (text,) = texts
        self.unsent = len(text)
        self._running = True
        self._errand = Errand(lambda: self._post(text), self._strangers)

    def limit(self, seconds: float) -> None:
        """Let no later POST take longer than so many seconds."""
        self._timeout = min(self._timeout, max(0.0, seconds))

    def ping(self) -> None:
        """Do nothing: every POST is answered, or late."""

    def on_writable(self) -> None:
        """Do nothing: nothing is ever waited for with the selector."""

    def receive(self) -> list[bytes]:
        """Return the answer to the POST, if there is one.

        Raises:
            PostError: It has a status that is no success.
            TransportError: Its other kinds: there was no answer.
        """
        if not self._results:
            return []
        result = self._results.popleft()
        self.unsent = 0
        if isinstance(result, Exception):
            raise result
        self.bytes_received += 1 + len(result.body)
        if 200 <= result.status < 300:
            return [result.body] if result.body else []
        raise PostError(
            f"the server answered the POST with {result.status}", result.status, result.retry_after
        )

    def pause(self, timeout: float) -> None:
        """End the thread of a POST, with its answer or without, within twice `timeout` seconds."""
        errand = self._errand
        if errand is not None and not errand.wait(timeout):
            self._abort.set()
            errand.wait(timeout)

    def close(self) -> None:
        """Give up a POST that is under way, and close the descriptors."""
        self._closed = True
        self._abort.set()
        if not self._running:
            self._release()

    def abandon(self) -> None:
        """Close the descriptors without a word, in a forked child."""
        self._http.abandon()
        self._abort.close()

    def _post(self, body: bytes) -> None:
        result: Reply | Exception
        try:
            result = self._http.post(body, Deadline(self._timeout), self._abort)
        except BaseException as error:
            result = as_failure(error)
        self._results.append(result)
        self._running = False
        # Whoever of the two, this thread and `close`, comes second sees what the first one set.
        if self._closed:
            self._release()
        else:
            self._alert()

    def _release(self) -> None:
        self._http.close()
        self._abort.close()
