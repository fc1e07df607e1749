"""Lines of a file with their places in it: plain or gzip, once or followed through rotation.

Idea: bytes are read in blocks and cut at newlines; a place is the number of bytes before a line,
after which reading can begin again. A line that is not ended yet waits while the file is followed.
Owns: the open file.
Called by: ``ship``.
"""

from __future__ import annotations

import gzip
import os
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol, cast

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["IDLE", "LONGEST", "Line", "Source"]

_BLOCK = 1 << 18
_HEAD = 1 << 10  # bytes by which a file is known
LONGEST = 1 << 20  # bytes of a line that are looked at
_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"  # which some editors write in front of UTF-8


class _Blocks(Protocol):
    """What gives some bytes as soon as there are any; a file and standard input are such."""

    def read1(self, size: int, /) -> bytes: ...

    def seek(self, place: int, /) -> int: ...

    def close(self) -> None: ...


class Line(NamedTuple):
    """A line without its end, its number from 1, and the place behind it; ``cut`` if too long."""

    text: str
    number: int
    end: int
    cut: bool


IDLE = Line("", 0, 0, False)
"""What a followed file gives while nothing comes, so that the reader can do other things."""


class Source:
    """A file to read lines from.

    Args:
        path: the file; None with ``stream``.
        stream: what to read instead, such as standard input: it has no place to go back to.
        place: where to begin, bytes of what is read (of a gzip file: unpacked).
        number: how many lines stand before that.
        old: where the place is, when the file has been rotated since: its rest comes first.

    Raises:
        OSError: the file cannot be read.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        stream: BinaryIO | None = None,
        place: int = 0,
        number: int = 0,
        old: Path | None = None,
    ) -> None:
        self.path = path
        self.old = old
        self.restarts = 0  # a rotated or truncated file began again at its beginning
        self._place, self._number = place, number
        self._raw: io.BufferedReader | None = None
        self._head = b""
        self._stream: _Blocks = self._open(place) if stream is None else cast("_Blocks", stream)

    @property
    def size(self) -> int | None:
        """How many bytes the file has on disk, or None when nobody knows."""
        return None if self._raw is None else os.fstat(self._raw.fileno()).st_size

    def position(self) -> int:
        """How many of those have been read."""
        return self._place if self._raw is None else self._raw.tell()

    def identity(self, old: Path | None = None) -> tuple[int, ...]:
        """What changes when a file is rotated, also unnoticed as yet, or was begun again.

        Args:
            old: what the file was rotated to, when it is that; it does not begin again.
        """
        path = old or self.path
        restarts = 0 if old else self.restarts
        try:
            there = None if path is None else path.stat()
        except OSError:
            there = None
        return (restarts,) if there is None else (restarts, there.st_dev, there.st_ino)

    def close(self) -> None:
        """Close the file."""
        if self._raw is not None:
            self._stream.close()
            self._raw.close()

    def lines(self, follow: bool) -> Iterator[Line]:
        """All lines; followed, it never ends by itself, and gives ``IDLE`` when nothing comes.

        Raises:
            OSError, EOFError, zlib.error: the file cannot be read further.
        """
        rest, skipping, replaced = b"", False, False
        idle_at = 0
        while True:
            block = self._stream.read1(_BLOCK)
            if block:
                *whole, rest = (rest + block).split(b"\n")
                for text in whole:
                    self._place += len(text) + 1
                    if not skipping:
                        yield self._line(text, cut=False)
                    skipping = False
                if len(rest) > LONGEST:
                    # A line without end must not fill the memory; its beginning says enough.
                    self._place += len(rest)
                    if not skipping:
                        yield self._line(rest, cut=True)
                    rest, skipping = b"", True
                continue
            if follow and not (replaced or self._gone()):
                idle_at = self._number
                yield IDLE
                continue
            if follow and not replaced:
                replaced = True  # once more: its writer may have added to it before it went
                continue
            if rest and not skipping:
                self._place += len(rest)
                yield self._line(rest, cut=False)
            if not (follow or self.old):
                return
            if self._number != idle_at:
                yield IDLE  # so that no entry reaches from one file into the next
            rest, skipping, replaced, idle_at = b"", False, False, 0
            self._begin_again()

    def _line(self, text: bytes, cut: bool) -> Line:
        self._number += 1
        if self._number == 1:
            text = text.removeprefix(_BOM)
        decoded = text[:LONGEST].rstrip(b"\r").decode("utf-8", "replace")
        return Line(decoded, self._number, self._place, cut)

    def _open(self, place: int) -> _Blocks:
        assert self.path is not None
        raw = self._raw = (self.old or self.path).open("rb")
        self._head = os.pread(raw.fileno(), _HEAD, 0)
        try:
            packed = raw.read(2) == _GZIP
            raw.seek(0)
            stream: _Blocks = gzip.GzipFile(fileobj=raw) if packed else raw
            stream.seek(place)
        except BaseException:
            raw.close()
            raise
        return stream

    def _gone(self) -> bool:
        """At the end of the file: whether another stands in its place, or it was emptied."""
        if self.path is None or self._raw is None:
            return False
        mine = os.fstat(self._raw.fileno())
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return False  # being rotated: its successor will come
        moved = (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino)
        return moved or mine.st_size < self._raw.tell() or not self._same_head()

    def _same_head(self) -> bool:
        """Whether it still begins as it did: it may have been emptied, and have grown again."""
        assert self._raw is not None
        head = os.pread(self._raw.fileno(), _HEAD, 0)
        same = head.startswith(self._head)
        self._head = head
        return same

    def _begin_again(self) -> None:
        self.close()
        self.old = None
        self._stream = self._open(0)
        self._place = self._number = 0
        self.restarts += 1
