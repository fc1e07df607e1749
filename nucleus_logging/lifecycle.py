"""What happens to clients around them: forks, the end of the process, the end of a child.

One set of hooks for all clients: hooks cannot be taken back, and clients come and go. They are
registered with the first client, so that importing the package leaves the process as it was.

- *Fork.* Before it every worker ends (bounded), so that no lock, import or connection is in the
  middle of anything. The parent's starts again with its next event. The child makes everything
  anew: what was queued is the parent's to send, its connection is closed without a word, and
  its segments' locks stay the parent's.
- *Exit.* Our hook runs before logging's, which registered earlier, and without any of its locks.
  It drains within ``shutdown_timeout``; what is captured later is shipped by its own caller.
- *multiprocessing* ends its children without running exit hooks, but runs finalizers.
"""

from __future__ import annotations

import atexit
import importlib
import os
import sys
import threading
import time
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from nucleus_logging.client import Client

_clients: WeakSet[Client] = WeakSet()
_registered = False
_finalizing = 0
_FORK_TIMEOUT = 0.05
#: What a thread of the application may be about to import, by way of a client.
_LATER = ("nucleus_logging.machine", "nucleus_logging.stats", "nucleus_logging.distribution")


def watch(client: Client) -> None:
    """Take a client into the care of the hooks."""
    global _registered
    _clients.add(client)
    if not _registered:
        _registered = True
        atexit.register(drain)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=_before_fork, after_in_child=_in_child, after_in_parent=_in_parent
            )


def forget(client: Client) -> None:
    """Leave a client alone from now on."""
    _clients.discard(client)


def before_start(client: Client) -> None:
    """Do what must be done in a process before its first worker starts."""
    global _finalizing
    if _finalizing == os.getpid():
        return
    _finalizing = os.getpid()
    # Not at fork: multiprocessing forgets all finalizers when a child begins.
    for name in ("multiprocessing", "billiard"):
        process = sys.modules.get(name + ".process")
        util = sys.modules.get(name + ".util")
        if process is not None and util is not None and _is_child(process):
            util.Finalize(None, drain, exitpriority=100)


def _is_child(process: object) -> bool:
    parent = getattr(process, "parent_process", None)
    if parent is not None:
        return parent() is not None
    current = getattr(process, "current_process", None)
    return current is not None and getattr(current(), "_parent_pid", None) is not None


def drain() -> None:
    """Deliver what there is, all clients together within the longest ``shutdown_timeout``."""
    started = time.monotonic()
    for client in list(_clients):
        client.leave(started)


def _before_fork() -> None:
    # A module that another thread is just importing would stay locked in the child for ever;
    # importing it as well waits until that is over. It may not be among the modules yet.
    later = _LATER if threading.active_count() > 1 else ()
    for name in [*later, *sys.modules]:
        if name.startswith("nucleus_logging."):
            try:
                importlib.import_module(name)
            except Exception:
                continue  # it fails in the thread that wants it
    for client in list(_clients):
        client.before_fork(_FORK_TIMEOUT)


def _in_parent() -> None:
    for client in list(_clients):
        client.after_fork_in_parent()


def _in_child() -> None:
    global _finalizing
    _finalizing = 0  # an ancestor may have had the same pid
    for client in list(_clients):
        client.after_fork_in_child()
