"""What a client watches for that no logging call tells of, as far as its options ask for it.

One `Watch` for each client: it installs the hooks of `hooks` and `crashes`, and undoes them when
the options change or the client is forgotten. Used by `nucleus_logging.client`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from nucleus_logging.client import Client


class Watch:
    """The hooks of one client.

    Args:
        client: gets what is found.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._undo_uncaught: Callable[[], None] | None = None
        self._undo_crashes: Callable[[], None] | None = None

    def begin(self) -> None:
        """Install what the options ask for, instead of what earlier ones asked for."""
        self.end()
        if self._client.options.capture_uncaught:
            from nucleus_logging.hooks import capture_uncaught

            self._undo_uncaught = capture_uncaught(self._client)
        self.begin_crashes()

    def begin_crashes(self) -> None:
        """Watch for a crash of this process, and send what others have left.

        Also in a forked child, whose dump must not go into its parent's file.
        """
        undo, self._undo_crashes = self._undo_crashes, None
        if undo is not None:
            undo()
        client = self._client
        machine = client._machine
        if client.options.capture_crashes and machine.spool is not None and client._intake.taking:
            from nucleus_logging.crashes import capture_crashes, send_crashes

            directory = machine.spool.journal.directory
            try:
                self._undo_crashes = capture_crashes(directory)
            except OSError as error:
                machine.diagnostics.say(f"cannot watch for crashes: {error}")
            send_crashes(directory, client._intake)

    def end(self) -> None:
        """Undo all of it."""
        for undo in (self._undo_uncaught, self._undo_crashes):
            if undo is not None:
                undo()
        self._undo_uncaught = self._undo_crashes = None
