"""Which store an address means: a file is SQLite's, ``postgresql://...`` is PostgreSQL's.

Idea: whoever takes a ``--db`` passes it on as it came; here alone the kinds are told apart, and a
driver is imported only when it is asked for.
Owns: the form of a database's address, how it is shown without its secrets.
Called by: ``server``, ``export``, ``tail`` and whoever else opens a database.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nucleus_logging.collector.store import StoreUnusableError
from nucleus_logging.collector.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from nucleus_logging.collector.store import Store

__all__ = ["database", "open_store", "shown"]

_SCHEMES = ("postgresql", "postgres")


def open_store(db: Path | str, *, read_only: bool = False) -> Store:
    """Open the store at an address.

    Args:
        db: a file, or a URL of PostgreSQL.
        read_only: do not make or change anything.

    Raises:
        StoreUnusableError: it cannot be opened; the message is for the user.
    """
    if isinstance(db, Path):
        return SqliteStore(db, read_only=read_only)
    try:
        from nucleus_logging.collector.store.postgres import PostgresStore
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise StoreUnusableError(
            "PostgreSQL needs its extra: pip install 'nucleus-logging[cluster]'", status=2
        ) from None
    return PostgresStore(db, read_only=read_only)


def database(text: str) -> Path | str:
    """Read ``--db``: the type of that argument.

    Raises:
        argparse.ArgumentTypeError: a URL of something else.
    """
    if "://" not in text:
        return Path(text)
    scheme = text.partition("://")[0]
    if scheme not in _SCHEMES:
        raise argparse.ArgumentTypeError(
            f"a file or postgresql://USER@HOST/NAME, not a URL of {scheme!r}"
        )
    return text


def shown(db: Path | str) -> str:
    """The address without its secrets, for messages."""
    if isinstance(db, Path):
        return str(db)
    # Passwords stand before the @ and may stand in the query.
    try:
        parts = urlsplit(db)
    except ValueError:
        return "postgresql://..."
    if "@" in parts.path:  # a password that should have been quoted
        return "postgresql://..."
    user = parts.username
    return f"postgresql://{f'{user}@' if user else ''}{parts.netloc.rpartition('@')[2]}{parts.path}"
