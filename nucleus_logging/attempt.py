"""One attempt to open a connection, over either transport, on a thread of its own.

Opening one blocks (names, proxies, TLS, a handshake), and the worker owes the journal a write
every moment. What also takes long and is needed only then, the imports of the libraries and the
facts of the device, happens here too. The result waits in a mailbox; from then on the connection
is the worker's.

A failure that the worker expected, and need not act on before the time at which it will look
anyway, wakes nobody: a server that cannot be reached costs one wake-up for each attempt.

Made by `nucleus_logging.link`.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from nucleus_logging.deadline import Deadline
from nucleus_logging.errors import Aborted, HandshakeError, TransportError
from nucleus_logging.transports.errand import Errand, as_failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from nucleus_logging.link import Connection
    from nucleus_logging.transports.net import Abort, Network

CONNECT_TIMEOUT = 10.0
_IMPORT_TIMEOUT = 10.0


class Attempt:
    """See the module.

    Args:
        transport: ``websocket`` or ``http``.
        url: where to.
        network: makes the way out, importing what it needs.
        prepare: gathers what must be known before anything is sent.
        alert: wakes the worker.
        tell: called with a failure at once, on the attempt's thread.
        strangers: idents of threads whose log records are our own.
        answer_timeout: seconds that a POST may take.
        quiet_until: before this time (monotonic seconds) an outage wakes nobody.
        limit: seconds that the attempt may take at most.

    Attributes:
        quiet_until: as above; may be set at any time.
        late: it ended after that time.
    """

    def __init__(
        self,
        transport: str,
        url: str,
        network: Callable[[], Network],
        prepare: Callable[[], None],
        alert: Callable[[], None],
        tell: Callable[[Exception, str], None],
        strangers: set[int],
        answer_timeout: float,
        quiet_until: float,
        limit: float = CONNECT_TIMEOUT,
    ) -> None:
        self.transport = transport
        self.url = url
        self._network = network
        self._prepare = prepare
        self._alert = alert
        self._tell = tell
        self._strangers = strangers
        self._answer_timeout = answer_timeout
        self.quiet_until = quiet_until
        self._limit = limit
        self.late = False
        self._cancelled = False
        self._importing = True
        self._abort: Abort | None = None
        self._results: deque[Connection | Exception] = deque()
        self._errand = Errand(self._run, strangers)

    def result(self) -> Connection | Exception | None:
        """Return what has come of it, once; None while it is under way."""
        try:
            return self._results.popleft()
        except IndexError:
            return None

    def cancel(self, timeout: float) -> None:
        """End it: its result is thrown away, and nobody is woken.

        Args:
            timeout: seconds to wait for its thread to end. If there are any, an import is waited
                for, however long it takes on a busy machine: a module's lock that is held at a
                fork stays held in the child for ever.
        """
        self._cancelled = True
        imported = Deadline(_IMPORT_TIMEOUT)
        while timeout and self._importing and not imported.expired():
            self._errand.wait(0.005)
        abort = self._abort
        if abort is not None:
            abort.set()
        self._errand.wait(timeout)
        self._discard()

    def abandon(self) -> None:
        """In a forked child: let the connection that the parent has just opened be."""
        for result in self._results:
            if not isinstance(result, Exception):
                result.abandon()

    def _run(self) -> None:
        result: Connection | Exception
        try:
            self._prepare()
            result = self._open()
        except BaseException as error:
            result = failure = as_failure(error)
            if not self._cancelled:
                self._tell(failure, self.url)
        finally:
            self._importing = False
        self.late = time.monotonic() >= self.quiet_until
        self._results.append(result)
        # After the result is there: whoever cancels from now on finds it, and whoever goes to
        # sleep until the quiet time is over takes it then.
        if self._cancelled:
            self._discard()
        elif not _outage(result) or time.monotonic() >= self.quiet_until:
            self._alert()

    def _open(self) -> Connection:
        # All imports before anything else: see `cancel`.
        from nucleus_logging.transports.stream import Abort

        if self.transport == "http":
            from nucleus_logging.transports.http import HttpConnection
            from nucleus_logging.transports.posting import PostingConnection
        else:
            from nucleus_logging.transports.websocket import connect
        network = self._network()
        network.prepare(self.url)
        self._importing = False
        abort = Abort()
        self._abort = abort
        try:
            if self._cancelled:
                raise Aborted("given up on request")
            deadline = Deadline(self._limit)
            if self.transport != "http":
                return connect(self.url, network, deadline, abort)
            http = HttpConnection(self.url, network)
            http.open(deadline, abort)
            return PostingConnection(http, self._answer_timeout, self._alert, self._strangers)
        finally:
            self._abort = None
            abort.close()

    def _discard(self) -> None:
        result = self.result()
        if result is not None and not isinstance(result, Exception):
            result.close()


def _outage(result: object) -> bool:
    """Tell whether it failed in a way that calls for nothing but patience."""
    return isinstance(result, TransportError) and not isinstance(result, HandshakeError)
