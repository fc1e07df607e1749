"""What a process leaves behind is adopted whole, by one other, and read as far as it can be."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from nucleus_logging.diagnostics import Diagnostics
from nucleus_logging.lines import json_line
from nucleus_logging.orphans import Orphans, set_aside
from nucleus_logging.segment import adopt
from tests.journals import Maker, journal
from tests.tools import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from nucleus_logging.events import Event


def leave(folder: Path, *segments: list[Event], finished: list[Event] | None = None) -> None:
    """Leave segments with these events behind, as a process does that is gone."""
    gone = journal(folder)
    for events in segments:
        gone.store(events)
        if finished:
            gone.done([event for event in events if event in finished])
        gone.seal()
    gone.abandon()


class Heir:
    """A process that adopts, and what it found."""

    def __init__(self, folder: Path) -> None:
        self.orphans = Orphans(str(folder), Diagnostics(debug=True))
        self.events = 0
        self.bad = 0

    def adopt(self) -> Heir:
        self.orphans.look(set())
        while self.orphans.found:
            self.orphans.read_next(self._count)
        return self

    def _count(self, events: int, bad: int) -> None:
        self.events += events
        self.bad += bad

    def end(self) -> None:
        for segment in self.orphans.all():
            segment.close()


def test_all_of_a_process_is_adopted(tmp_path: Path) -> None:
    """Every segment is taken, oldest first; what was acknowledged does not count."""
    events = Maker().events(6)
    leave(tmp_path, events[:3], events[3:5], events[5:], finished=events[1:3])
    heir = Heir(tmp_path).adopt()
    assert (heir.events, heir.bad) == (4, 0)
    assert [segment.unread for segment in heir.orphans.segments] == [1, 2, 1]
    heir.end()


def test_one_turn_reads_one_segment(tmp_path: Path) -> None:
    """All are locked at once, and each turn reads one of them."""
    events = Maker().events(3)
    leave(tmp_path, *([event] for event in events))
    heir = Heir(tmp_path)
    heir.orphans.look(set())
    assert len(heir.orphans.all()) == 3
    counted: list[int] = []
    more = [heir.orphans.read_next(lambda found, _: counted.append(found)) for _ in range(4)]
    assert more == [True, True, True, False]
    assert counted == [1, 1, 1]
    heir.end()


def test_what_needs_nothing_is_deleted(tmp_path: Path) -> None:
    """A segment all of whose events were acknowledged, or that has none, is deleted."""
    events = Maker().events(2)
    leave(tmp_path, events, finished=events)
    (tmp_path / "0-1-x-000000.jsonl").touch()
    heir = Heir(tmp_path).adopt()
    assert (heir.events, heir.bad) == (0, 0)
    assert os.listdir(tmp_path) == []


def test_a_living_process_keeps_all_of_its_own(tmp_path: Path) -> None:
    """Nothing of a process is taken while it holds its first segment."""
    alive = journal(tmp_path)
    alive.store(Maker().events(1))
    alive.seal()
    alive.store(Maker().events(1))
    heir = Heir(tmp_path).adopt()
    assert heir.orphans.all() == []
    alive.abandon()
    assert len(heir.adopt().orphans.all()) == 2
    heir.end()


def test_an_heir_that_is_just_locking_gets_the_rest(tmp_path: Path) -> None:
    """Whoever finds the first segment locked leaves the others, those that are free as well."""
    leave(tmp_path, *([event] for event in Maker().events(3)))
    first = adopt(str(min(tmp_path.iterdir())))
    assert first is not None
    heir = Heir(tmp_path).adopt()
    assert heir.orphans.all() == []
    first.close()


def test_a_process_goes_to_one_heir(tmp_path: Path) -> None:
    """Of heirs that look at the same time one gets all segments of a process, none gets a part."""
    for _ in range(5):
        leave(tmp_path, *([event] for event in Maker().events(10)))
    heirs = [Heir(tmp_path) for _ in range(4)]
    start = threading.Barrier(len(heirs))

    def look(heir: Heir) -> None:
        start.wait()
        heir.adopt()

    threads = [threading.Thread(target=look, args=(heir,)) for heir in heirs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    owners: dict[str, set[int]] = {}
    for number, heir in enumerate(heirs):
        for segment in heir.orphans.segments:
            owners.setdefault(segment.path.rpartition("-")[0], set()).add(number)
        heir.end()
    assert sum(heir.events for heir in heirs) == 50
    assert [len(numbers) for numbers in owners.values()] == [1] * 5


def test_damage_is_counted_and_set_aside(tmp_path: Path) -> None:
    """Whole lines are adopted; torn and flipped ones are counted and kept where a person looks."""
    events = Maker().events(4)
    leave(tmp_path, events)
    (path,) = tmp_path.glob("*.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b"done", b"gone", 1)
    lines[-1] = lines[-1][:-9]
    path.write_bytes(b"".join(lines))
    heir = Heir(tmp_path).adopt()
    heir.end()
    assert (heir.events, heir.bad) == (4, 2)
    aside = (tmp_path / "lines.bad").read_bytes().splitlines()
    assert len(aside) == 2
    assert b"gone" in aside[0]
    assert (tmp_path / "lines.bad").stat().st_mode & 0o777 == 0o600


def test_what_is_set_aside_is_bounded(tmp_path: Path) -> None:
    """At most 1 MiB of damaged lines is kept; a link in the file's place is not followed."""
    for _ in range(5):
        set_aside(str(tmp_path), [b"x" * 600_000, b"y" * 300_000])
    assert (tmp_path / "lines.bad").stat().st_size == 900_002
    (tmp_path / "lines.bad").unlink()
    (tmp_path / "lines.bad").symlink_to(tmp_path / "elsewhere")
    set_aside(str(tmp_path), [b"x"])
    assert not (tmp_path / "elsewhere").exists()


def test_a_newer_format_is_set_aside(tmp_path: Path) -> None:
    """Files of a later version are counted and kept as they are, up to a limit, and not read."""
    header = json_line({"segment": 2, "app_id": "shop"})
    line = json_line({"type": "x", "x": "x" * 2_000_000})
    for number in range(5):
        (tmp_path / f"1-{number}-x-000000.jsonl").write_bytes(header + 2 * line)
    heir = Heir(tmp_path).adopt()
    assert (heir.events, heir.bad) == (10, 10)
    kept = sorted(os.listdir(tmp_path))
    assert kept == [f"1-{number}-x-000000.bad" for number in range(4)]
    assert (tmp_path / kept[0]).read_bytes() == header + 2 * line


def test_nothing_else_is_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Other files, folders with a segment's name, and fresh unborn segments stay as they are."""
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "2-1-x-000000.jsonl.new").touch()
    (tmp_path / "3-1-x-000000.jsonl").mkdir()
    before = sorted(os.listdir(tmp_path))
    heir = Heir(tmp_path)
    heir.orphans.look(set())
    assert sorted(os.listdir(tmp_path)) == before
    assert "directory" in capsys.readouterr().err.lower()
    heir.end()


def test_the_unborn_are_forgotten(tmp_path: Path) -> None:
    """A file whose process died while it created it is deleted after a minute."""
    unborn = tmp_path / "2-1-x-000000.new"
    unborn.touch()
    Heir(tmp_path).adopt()
    assert unborn.exists()
    os.utime(unborn, (0, 0))
    Heir(tmp_path).adopt()
    assert not unborn.exists()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """Without a directory, or without the right to look into it, there is nothing to adopt."""
    Heir(tmp_path / "none").adopt()


def test_two_processes_at_once(tmp_path: Path) -> None:
    """Processes that adopt at the same moment never have the same segment."""
    leave(tmp_path, *([event] for event in Maker().events(20)))
    program = """
import sys
from pathlib import Path
from tests.test_orphans import Heir
sys.stdin.readline()
heir = Heir(Path(sys.argv[1])).adopt()
print(heir.events, flush=True)
sys.stdin.readline()
"""
    heirs = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for heir in heirs:
        assert heir.stdin is not None
        heir.stdin.write("\n")
        heir.stdin.flush()
    found = [int(heir.stdout.readline()) for heir in heirs if heir.stdout is not None]
    for heir in heirs:
        heir.communicate("\n")
    assert sorted(found) == [0, 0, 20]
