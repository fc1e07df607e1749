"""Crashes of the interpreter itself: a dump left behind, and sent by whoever starts next.

`faulthandler` writes where every thread was into a file in the journal's folder when the process
dies of SIGSEGV, SIGABRT and their like. The process holds a lock on the file as long as it
lives. A later one that finds a dump without a lock sends it as one error, and deletes it.

Used by `nucleus_logging.client`, for the option ``capture_crashes``.
"""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING

from nucleus_logging.stack import fingerprint_of

try:
    import fcntl
except ImportError:  # a platform without flock: nobody could tell the dead from the living
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable

    from nucleus_logging.intake import Intake
    from nucleus_logging.payload import Scalar

_LOCKS: bool = fcntl is not None

_PREFIX = "crash-"
_MOST = 1024 * 1024
_HEAD = re.compile(r"(?:Fatal Python error|Windows fatal exception): (.+)")
_PLACE = re.compile(r'  File "(.+)", line (\d+) in (.+)')


def capture_crashes(directory: str) -> Callable[[], None]:
    """Have `faulthandler` write into a file of this process in a directory.

    There is one `faulthandler` in a process: if it was to write elsewhere, it does so again when
    this is undone, but not until then.

    Returns:
        undoes it.

    Raises:
        OSError: the file cannot be made.
    """
    import faulthandler

    if not _LOCKS:
        raise OSError("no flock")
    os.makedirs(directory, 0o700, exist_ok=True)
    name = f"{_PREFIX}{os.getpid()}-{os.urandom(4).hex()}.txt"
    path = os.path.join(directory, name)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
    fd = os.open(path, flags, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    before = faulthandler.is_enabled()
    faulthandler.enable(file=fd, all_threads=True)
    owner = os.getpid()

    def undo() -> None:
        faulthandler.disable()
        if before:
            faulthandler.enable()
        os.close(fd)
        if os.getpid() == owner:
            _remove(path)

    return undo


def send_crashes(directory: str, intake: Intake) -> None:
    """Send what crashed processes have left in a directory, each as one error; never raises."""
    try:
        names = os.listdir(directory) if _LOCKS else []
    except OSError:
        return
    for name in names:
        if name.startswith(_PREFIX):
            try:
                _send(os.path.join(directory, name), intake)
            except OSError:
                continue  # its process lives, or another one is sending it


def _send(path: str, intake: Intake) -> None:
    fd = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status = os.fstat(fd)
        if status.st_nlink == 0:
            return
        said = os.read(fd, _MOST).decode("utf-8", "replace").strip()
        if said:
            name, payload = told(said)
            # The session is this process's; only the event is older.
            intake.session_at(intake.clock(), time.time())
            intake.put_whole("error", name, payload, status.st_mtime, durable=True)
        _remove(path)
    finally:
        os.close(fd)


def told(dump: str) -> tuple[str, dict[str, Scalar]]:
    """Return name and payload of the error that a dump tells of."""
    head = _HEAD.search(dump)
    name = head[1].strip() if head is not None else "Crash"
    payload: dict[str, Scalar] = {"level": "critical", "message": dump.split("\n", 1)[0]}
    payload["stack"] = dump
    # The thread that crashed comes first or is called the current one; its newest frame is first.
    current = dump.find("Current thread")
    places = _PLACE.findall(dump[max(current, 0) :].split("\n\n", 1)[0])
    if places:
        file, line, function = places[0]
        payload.update({"file": file, "line": int(line), "function": function})
    where = [f"{os.path.basename(file)}:{function}" for file, _, function in places]
    payload["fingerprint"] = fingerprint_of([name, *where])
    payload["handled"] = False
    payload["mechanism"] = "faulthandler"
    return name, payload


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return
