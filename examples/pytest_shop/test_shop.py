"""Tests of what an application sends, run by ``python -m pytest examples/pytest_shop``.

The collector that the events go to lives in the test.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest

import nucleus_logging
from examples.pytest_shop.shop import sell
from nucleus_logging.collector import Collector
from nucleus_logging.collector.store import Stored

Events = Callable[[], list[Stored]]


@pytest.fixture
def arrived(caplog: pytest.LogCaptureFixture) -> Iterator[Events]:
    """What has arrived by the time it is called."""
    caplog.set_level(logging.INFO, "shop")
    with Collector() as collector:
        client = nucleus_logging.attach("shop", "tests", endpoint=collector.url, spool=False).client

        def events() -> list[Stored]:
            assert client.flush(timeout=10)
            return [event for event in collector.store.events() if event.type != "init"]

        yield events
        nucleus_logging.detach("shop")
        client.close()


def test_a_sale_is_one_event(arrived: Events) -> None:
    """All sales have one name, and say what was sold for how much."""
    assert sell("tea", 5) == 1
    (event,) = arrived()
    assert (event.name, event.payload["message"]) == ("sold %s", "sold tea")
    assert event.payload["price"] == 4


def test_too_little_money_is_an_error(arrived: Events) -> None:
    """A customer who cannot pay is reported, and keeps the money."""
    assert sell("book", 10) == 10
    (event,) = arrived()
    assert (event.type, event.payload["missing"]) == ("error", 2)


def test_nothing_leaves_without_a_collector() -> None:
    """A test that forgets about all this sends nothing: the real server is not for tests."""
    client = nucleus_logging.attach("shop", "forgotten").client
    sell("tea", 4)
    nucleus_logging.detach("shop")
    assert client.stats().accepted == 0
