"""Where one stopped: a place in a file, remembered per file, app and server.

Idea: written only after all before it was acknowledged, so that a second run sends the rest; a file
that is another one by now, known by its first bytes, is begun anew, after the rest of the one that
was rotated away, when that stands beside it.
Owns: the files in the state directory.
Called by: ``ship``.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Bookmark", "Mark"]

_HEAD = 1024


class Mark(NamedTuple):
    """Where to go on: a file, a place in it, the number of lines before that."""

    file: Path
    place: int
    number: int


class Bookmark:
    """The place in one log file.

    Args:
        folder: where bookmarks are kept; None keeps none.
        log: the log file.
        target: app and server that it is sent to.
    """

    def __init__(self, folder: Path | None, log: Path, target: str) -> None:
        self._log = log
        name = hashlib.sha256(f"{log.resolve()}\0{target}".encode()).hexdigest()[:32]
        self._file = None if folder is None else folder / f"{name}.json"

    def read(self) -> Mark:
        """Where to go on: in the log, or in what it was rotated to while nobody looked."""
        begin = Mark(self._log, 0, 0)
        if self._file is None:
            return begin
        try:
            kept = json.loads(self._file.read_text())
            head, length, inode = kept["head"], int(kept["length"]), kept.get("inode")
            place, number = int(kept["place"]), int(kept["number"])
            if length <= 0:
                return begin
            if head == self._head(self._log, length):
                return Mark(self._log, place, number)
            old = self._rotated(head, length, inode)
        except (OSError, ValueError, KeyError, TypeError):
            return begin
        return begin if old is None else Mark(old, place, number)

    def write(self, place: int, number: int, file: Path | None = None) -> None:
        """Keep a place; a state directory that cannot be written keeps none.

        Args:
            place, number: as `Mark` has them.
            file: where it is; None for the log itself.
        """
        if self._file is None:
            return
        file = file or self._log
        with suppress(OSError):
            there = file.stat()
            length = min(_HEAD, there.st_size)
            kept = {
                "log": str(self._log),
                "head": self._head(file, length),
                "length": length,
                "inode": there.st_ino,
                "place": place,
                "number": number,
            }
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            new = self._file.with_suffix(".new")
            new.write_text(json.dumps(kept))
            os.replace(new, self._file)

    def _rotated(self, head: str, length: int, inode: object) -> Path | None:
        """The file that the log was, moved or copied: `app.log.1`, `app.log-20261125`."""
        for path in sorted(self._log.parent.glob(f"{glob.escape(self._log.name)}?*")):
            with suppress(OSError):
                # A copy is another file; a short beginning is no proof that it is one of this.
                known = length == _HEAD or path.stat().st_ino == inode
                if known and head == self._head(path, length):
                    return path
        return None

    def _head(self, file: Path, length: int) -> str:
        with file.open("rb") as log:
            return hashlib.sha256(log.read(min(_HEAD, length))).hexdigest()
