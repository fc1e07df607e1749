"""The collector's databases: each test that takes one runs with every kind that there is."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from nucleus_logging.collector.store.opening import database, open_store
from tests.collector.browser import tell_of_page
from tests.running import missing_modules
from tests.servers import nats, postgres

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from nucleus_logging.collector.store import Store


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the page of a test of it that failed."""
    report = yield
    tell_of_page(item, report)
    return report


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Postgres]:
    """A running PostgreSQL."""
    reason = missing_modules("asyncpg") or postgres.missing()
    if reason:
        pytest.skip(reason)
    server = postgres.Postgres()
    yield server
    server.close()


@pytest.fixture(scope="session")
def nats_cluster() -> Iterator[nats.Cluster]:
    """Three nodes of NATS that form a cluster."""
    reason = missing_modules("nats") or nats.missing()
    if reason:
        pytest.skip(reason)
    cluster = nats.Cluster(3)
    cluster.start()
    yield cluster
    cluster.close()


@pytest.fixture
def stream(nats_cluster: nats.Cluster) -> nats.Cluster:
    """The cluster without any stream."""
    nats_cluster.clear()
    return nats_cluster


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.once)])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """What `--db` is given: a new database of each kind."""
    if request.param == "sqlite":
        return str(tmp_path / "events.db")
    server: postgres.Postgres = request.getfixturevalue("postgres_server")
    return server.new_database()


@pytest.fixture
def empty(db: str) -> Iterator[Store]:
    """A new store of each kind."""
    with closing(open_store(database(db))) as opened:
        yield opened
