"""`nucleus-logging export`, as a program."""

from __future__ import annotations

import csv
import io
import json
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from nucleus_logging.cli import main
from nucleus_logging.collector.protocol import row
from nucleus_logging.collector.store.sqlite import SqliteStore
from tests.collector.wire import event

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_800_000_000_000


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A database of some thousand events, one of them odd."""
    odd = event(9999, type="error", name='a "b",\nc', payload={"x": "é\u2028"}, platform="Linux")
    with closing(SqliteStore(tmp_path / "c.db")) as store:
        store.append([row("shop", event(number), NOW) for number in range(2500)])
        store.append([row("shop", odd, NOW), row("shop", event(1, type="heartbeat"), NOW)])
    return tmp_path / "c.db"


def test_json_lines(db: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One object a line, in the order of storing, without heartbeats."""
    assert main(["export", "--db", str(db)]) == 0
    lines = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert [one["id"] for one in lines] == [f"id{number}" for number in [*range(2500), 9999]]
    assert lines[-1]["payload"] == {"x": "é\u2028"}
    assert lines[-1]["platform"] == "Linux"


def test_csv(db: Path, tmp_path: Path) -> None:
    """A table that a CSV reader reads back, whatever the events hold."""
    target = tmp_path / "out.csv"
    assert (
        main(["export", "--db", str(db), "--format", "csv", "-o", str(target), "level:error"]) == 0
    )
    (found,) = csv.DictReader(io.StringIO(target.read_text(encoding="utf-8"), newline=""))
    assert found["name"] == 'a "b",\nc'
    assert json.loads(found["payload"]) == {"x": "é\u2028"}
    assert json.loads(found["facts"]) == {"platform": "Linux"}


@pytest.mark.parametrize("wanted", ["app:nobody", "level:critical"])
def test_nothing_fits(db: Path, capsys: pytest.CaptureFixture[str], wanted: str) -> None:
    """A filter that finds nothing writes nothing, and that is no failure."""
    assert main(["export", "--db", str(db), wanted]) == 0
    assert capsys.readouterr().out == ""


def test_what_cannot_work(db: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No database, or nowhere to write: one clear line, status 1."""
    for arguments, named in (
        (["--db", str(tmp_path / "none.db")], "none.db"),
        (["--db", str(db), "-o", str(tmp_path / "no" / "where")], "where"),
    ):
        assert main(["export", *arguments]) == 1
        err = capsys.readouterr().err
        assert named in err
        assert len(err.splitlines()) == 1
    assert not (tmp_path / "none.db").exists()


def test_no_formulas(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What anybody may have logged is text in a spreadsheet, and as it was in JSON."""
    path = tmp_path / "formulas.db"
    name = '=HYPERLINK("http://evil.example","x")'
    with closing(SqliteStore(path)) as store:
        store.append([row("shop", {"name": name, "userId": "@SUM(1)", "date": 5}, 5)])
    assert main(["export", "--db", str(path), "--format", "csv"]) == 0
    (found,) = csv.DictReader(io.StringIO(capsys.readouterr().out, newline=""))
    assert (found["name"], found["user"], found["date"]) == (f"'{name}", "'@SUM(1)", "5")
    assert main(["export", "--db", str(path)]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == name
