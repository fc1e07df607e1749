"""What is shown: two bars while the application runs, then tables read back from the database."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Group
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, RenderableType

    from examples.demo.ledger import Verdict
    from nucleus_logging.collector.store import Stored

FACTS = ("platform", "osVersion", "totalRam", "version", "language")
_NAMES_SHOWN = 15


class Bars:
    """The progress of the application and of its records; plain lines where it is no terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description:>20}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        )
        self._modules = self._progress.add_task("modules inspected", total=None)
        self._records = self._progress.add_task("acknowledged", total=None)
        self._tenth = -1

    def __enter__(self) -> Bars:
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, facts: dict[str, int]) -> None:
        """Show what the application said about itself."""
        accepted, acknowledged = facts["accepted"], facts["acknowledged"]
        self._progress.update(self._records, completed=acknowledged, total=accepted)
        if "modules" not in facts:
            return
        inspected, modules = facts["inspected"], facts["modules"]
        self._progress.update(self._modules, completed=inspected, total=modules)
        tenth = 10 * inspected // max(modules, 1)
        if not self._console.is_terminal and tenth != self._tenth:
            self._tenth = tenth
            self._console.print(
                f"{inspected} of {modules} modules inspected,"
                f" {acknowledged} of {accepted} records acknowledged"
            )


def tables(
    rows: Sequence[Stored], verdict: Verdict, facts: dict[str, int], seconds: float
) -> RenderableType:
    """Everything that is shown after the run.

    Args:
        rows: All of the database.
        verdict: How they compare with what was logged.
        facts: What the client said about itself at the end.
        seconds: How long the application ran.
    """
    return Group(
        _by_type(rows), _by_name(rows), _errors(rows), _account(rows, verdict, facts, seconds)
    )


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", expand=False)
    for column in columns:
        number = column in {"events", "records"}
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    return table


def _by_type(rows: Sequence[Stored]) -> Table:
    table = _table("Events by type", "type", "events")
    for kind, count in Counter(row.type for row in rows).most_common():
        table.add_row(kind, f"{count:,}")
    return table


def _by_name(rows: Sequence[Stored]) -> Table:
    table = _table("Events by name", "name", "logger", "events")
    names = Counter(
        (row.name or f"({row.type})", str(row.payload.get("logger", ""))) for row in rows
    )
    for (name, logger), count in names.most_common(_NAMES_SHOWN):
        table.add_row(name, logger, f"{count:,}")
    if len(names) > _NAMES_SHOWN:
        rest = names.total() - sum(count for _, count in names.most_common(_NAMES_SHOWN))
        table.add_row(f"… {len(names) - _NAMES_SHOWN} more names", "", f"{rest:,}")
    return table


def _errors(rows: Sequence[Stored]) -> Table:
    table = _table("Errors, with the facts of the device", "error", *FACTS, "events")
    found: Counter[tuple[str, ...]] = Counter()
    for row in rows:
        if row.type == "error":
            event = row.as_json()
            shown = (row.name or "", *(str(event.get(fact, "")) for fact in FACTS))
            found[shown] += 1
    for error, count in found.most_common():
        table.add_row(*error, f"{count:,}")
    return table


def _account(
    rows: Sequence[Stored], verdict: Verdict, facts: dict[str, int], seconds: float
) -> Table:
    table = _table("The account", "", "records")
    sessions = len({(row.device, row.session) for row in rows})
    for name, value in (
        ("logged by the application", verdict.logged),
        ("accepted by the client, its own included", facts["accepted"]),
        ("told by another event, as repeats of one error", facts["repeats"]),
        ("acknowledged by the server", facts["acknowledged"]),
        ("in the database", len(rows)),
        ("  of the application, repeats included", verdict.stored),
        ("missing", verdict.missing.total()),
        ("doubled", verdict.doubled.total()),
        ("sessions", sessions),
    ):
        table.add_row(name, f"{value:,}")
    table.add_row("seconds", f"{seconds:.1f}")
    table.add_row("records per second", f"{verdict.logged / seconds:,.0f}")
    return table
