"""Lines of real files."""

from __future__ import annotations

import gzip
import io
import os
from typing import TYPE_CHECKING

import pytest

from nucleus_logging.collector.shipping.bookmark import Bookmark
from nucleus_logging.collector.shipping.source import IDLE, Line, Source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def texts(source: Source) -> list[str]:
    """All lines of a file that is not followed."""
    try:
        return [line.text for line in source.lines(follow=False)]
    finally:
        source.close()


def until_idle(lines: Iterator[Line]) -> list[str]:
    """What a followed file has to give now."""
    found = []
    for line in lines:
        if line is IDLE:
            break
        found.append(line.text)
    return found


class TestLines:
    """Reading once."""

    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            (b"", []),
            (b"a\nb\n", ["a", "b"]),
            (b"a\r\nb", ["a", "b"]),
            (b"\n\nx", ["", "", "x"]),
            (b"\xff\xfe\n\xc3", ["\ufffd\ufffd", "\ufffd"]),
        ],
    )
    @pytest.mark.parametrize("packed", [False, True])
    def test_lines(self, tmp_path: Path, data: bytes, expected: list[str], packed: bool) -> None:
        """Lines come without their ends, from plain and packed files, whatever their bytes."""
        path = tmp_path / "log"
        path.write_bytes(gzip.compress(data) if packed else data)
        assert texts(Source(path)) == expected

    def test_places(self, tmp_path: Path) -> None:
        """Reading can begin again behind any line."""
        path = tmp_path / "log"
        path.write_bytes("one\ntwö\r\nthree".encode())
        source = Source(path)
        lines = list(source.lines(follow=False))
        source.close()
        assert [line.number for line in lines] == [1, 2, 3]
        for index, line in enumerate(lines):
            rest = Source(path, place=line.end, number=line.number)
            assert texts(rest) == [one.text for one in lines[index + 1 :]]

    def test_a_line_without_end(self, tmp_path: Path) -> None:
        """A line that is too long is cut, and the one behind it is whole."""
        path = tmp_path / "log"
        path.write_bytes(b"a\n" + b"x" * 5_000_000 + b"\nb\n")
        source = Source(path)
        lines = list(source.lines(follow=False))
        source.close()
        assert [(line.text[:1], line.cut, line.number) for line in lines] == [
            ("a", False, 1),
            ("x", True, 2),
            ("b", False, 3),
        ]
        assert len(lines[1].text) <= 1 << 20
        assert lines[2].end == 5_000_005

    def test_a_byte_order_mark(self, tmp_path: Path) -> None:
        """What some editors write in front of a file is no part of its first line."""
        path = tmp_path / "log"
        path.write_bytes(b"\xef\xbb\xbf{}\n\xef\xbb\xbfx\n")
        assert texts(Source(path)) == ["{}", "\ufeffx"]

    def test_a_stream(self) -> None:
        """A stream has lines as well."""
        stream = io.BufferedReader(io.BytesIO(b"a\nb"))  # type: ignore[arg-type]
        assert texts(Source(None, stream=stream)) == ["a", "b"]

    def test_a_torn_gzip_file(self, tmp_path: Path) -> None:
        """A packed file that ends too early gives what it has, then says so."""
        path = tmp_path / "log.gz"
        path.write_bytes(gzip.compress(os.urandom(9000).hex().encode() + b"\n")[:-2000])
        with pytest.raises(EOFError):
            texts(Source(path))


class TestFollow:
    """Reading along."""

    def test_it_grows(self, tmp_path: Path) -> None:
        """New lines come when they are whole."""
        path = tmp_path / "log"
        path.write_text("a\n")
        source = Source(path)
        lines = source.lines(follow=True)
        assert until_idle(lines) == ["a"]
        with path.open("a") as log:
            log.write("b\nhal")
        assert until_idle(lines) == ["b"]
        with path.open("a") as log:
            log.write("f\n")
        assert until_idle(lines) == ["half"]
        source.close()

    def test_it_is_rotated(self, tmp_path: Path) -> None:
        """What was written before and after the rotation is read, none twice."""
        path = tmp_path / "log"
        path.write_text("a\n")
        source = Source(path)
        lines = source.lines(follow=True)
        assert until_idle(lines) == ["a"]
        with path.open("a") as log:
            path.rename(tmp_path / "log.1")
            log.write("late\n")
        assert until_idle(lines) == ["late"]
        path.write_text("b\n")
        assert until_idle(lines) == ["b"]
        source.close()

    def test_it_is_emptied(self, tmp_path: Path) -> None:
        """A file that was truncated is read from its beginning."""
        path = tmp_path / "log"
        path.write_text("a long line\n")
        source = Source(path)
        lines = source.lines(follow=True)
        assert until_idle(lines) == ["a long line"]
        path.write_text("b\n")
        assert until_idle(lines) == ["b"]
        assert source.restarts == 1
        source.close()

    def test_it_is_emptied_and_grows_again(self, tmp_path: Path) -> None:
        """Also when it is longer by then than it was: it no longer begins as it did."""
        path = tmp_path / "log"
        path.write_text("a\n")
        source = Source(path)
        lines = source.lines(follow=True)
        assert until_idle(lines) == ["a"]
        path.write_text("first\nsecond\n")
        found = until_idle(lines) + until_idle(lines)
        assert found[-2:] == ["first", "second"]
        assert source.restarts == 1
        source.close()


class TestBookmark:
    """Where one stopped."""

    def test_it_is_kept(self, tmp_path: Path) -> None:
        """A place is kept for a file and a target, privately."""
        log = tmp_path / "log"
        log.write_text("some lines\n")
        mark = Bookmark(tmp_path / "marks", log, "app")
        assert mark.read()[1:] == (0, 0)
        mark.write(5, 1)
        assert Bookmark(tmp_path / "marks", log, "app").read()[1:] == (5, 1)
        assert Bookmark(tmp_path / "marks", log, "other").read()[1:] == (0, 0)
        assert (tmp_path / "marks").stat().st_mode & 0o777 == 0o700

    def test_it_grows_with_its_file(self, tmp_path: Path) -> None:
        """A file that grew is the same; one that begins otherwise is another."""
        log = tmp_path / "log"
        log.write_text("begin\n")
        mark = Bookmark(tmp_path / "marks", log, "app")
        mark.write(6, 1)
        log.write_text("begin\nmore\n")
        assert mark.read()[1:] == (6, 1)
        log.write_text("other\nmore\n")
        assert mark.read()[1:] == (0, 0)

    def test_nowhere_to_keep_it(self, tmp_path: Path) -> None:
        """Without a state directory, or with garbage in it, one begins at the beginning."""
        log = tmp_path / "log"
        log.write_text("x")
        nowhere = Bookmark(None, log, "app")
        nowhere.write(1, 1)
        assert nowhere.read()[1:] == (0, 0)
        (tmp_path / "file").write_text("")
        Bookmark(tmp_path / "file", log, "app").write(1, 1)
        mark = Bookmark(tmp_path, log, "app")
        mark.write(1, 1)
        (kept,) = tmp_path.glob("*.json")
        kept.write_text("garbage")
        assert mark.read()[1:] == (0, 0)

    @pytest.mark.parametrize("how", ["moved", "copied"])
    def test_it_was_rotated(self, tmp_path: Path, how: str) -> None:
        """One goes on in what the file is now called; other files beside it are not asked."""
        log, old = tmp_path / "app[1].log", tmp_path / "app[1].log.2"
        text = "".join(f"{number} some line\n" for number in range(100))
        log.write_text(text)
        (tmp_path / "app[1].log.1").write_text("other\n" * 200)
        (tmp_path / "app[1].txt").write_text(text)
        Bookmark(tmp_path / "marks", log, "app").write(12, 1)
        if how == "moved":
            log.rename(old)
        else:
            old.write_text(log.read_text())
        log.write_text("new\n")
        mark = Bookmark(tmp_path / "marks", log, "app")
        assert mark.read() == (old, 12, 1)
        mark.write(24, 2, old)
        assert mark.read() == (old, 24, 2)
        mark.write(4, 1)
        assert mark.read() == (log, 4, 1)

    def test_a_copy_of_a_short_file(self, tmp_path: Path) -> None:
        """Two files that begin with the same few bytes may have nothing to do with each other."""
        log = tmp_path / "log"
        log.write_text("begin\n")
        mark = Bookmark(tmp_path / "marks", log, "app")
        mark.write(6, 1)
        (tmp_path / "log.1").write_text("begin\n")
        log.write_text("")
        assert mark.read() == (log, 0, 0)


def test_identity_of_what_was_rotated_away(tmp_path: Path) -> None:
    """It stays what it is when the next file is begun, until it is moved once more."""
    log, old = tmp_path / "log", tmp_path / "log.1"
    old.write_text("a\n")
    log.write_text("b\n")
    source = Source(log, old=old)
    of_old, of_log = source.identity(old), source.identity()
    assert texts(source) == ["a", IDLE.text, "b"]
    assert (source.identity(old), source.identity() == of_log) == (of_old, False)
    old.rename(tmp_path / "log.2")
    assert source.identity(old) != of_old
    log.rename(old)
    assert source.identity(old) != of_old
