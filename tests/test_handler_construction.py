"""Constructing handlers: what is checked, what is shared, and what goes to another process."""

from __future__ import annotations

import copy
import logging
import pickle
import ssl
import threading
from typing import TYPE_CHECKING

import pytest

from nucleus_logging import ConfigurationError, NucleusHandler, NucleusProcessor
from tests.shipped import one
from tests.tools import run_python

if TYPE_CHECKING:
    from nucleus_logging.collector import Collector

LOG = logging.getLogger("shop")


class TestConstruction:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"app_id": "app", "queue_size": -1},
            {"app_id": "app", "level": "NO_SUCH_LEVEL"},
            {"app_id": "app", "endpoint": "gopher://x"},
            {"app_id": "app", "no_such_option": 1},
            {"app_id": "app", "client": object()},
        ],
    )
    def test_a_refused_handler_leaves_nothing(self, options: dict[str, object]) -> None:
        """After a ConfigurationError logging knows nothing of the handler, not even at exit."""
        before = [ref() for ref in logging._handlerList]  # type: ignore[attr-defined]
        with pytest.raises(ConfigurationError) as caught:
            NucleusHandler(**options)  # type: ignore[arg-type]
        # The traceback holds what was begun, as one that an application keeps would.
        after = [ref() for ref in logging._handlerList]  # type: ignore[attr-defined]
        assert after == before
        del caught

    def test_constructing_starts_nothing(self, collector: Collector) -> None:
        """No thread, no connection, before the first record; nor does flushing cause any."""
        before = threading.active_count()
        own = NucleusHandler("app", endpoint=collector.url)
        own.flush()
        own.close()
        assert threading.active_count() == before
        assert not own.client.stats().connected

    def test_a_level_is_a_number_or_a_name(self, collector: Collector) -> None:
        """`level` is what it is for any handler, and checked with the options."""
        assert NucleusHandler("app", level="WARNING", endpoint=collector.url).level == 30
        assert NucleusHandler("app", level=15, endpoint=collector.url).level == 15

    def test_environment(self, collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each option may come from the environment, and an argument goes before it."""
        monkeypatch.setenv("NUCLEUS_APP_ID", "from-env")
        monkeypatch.setenv("NUCLEUS_ENDPOINT", collector.url)
        monkeypatch.setenv("NUCLEUS_BATCH_SIZE", "7")
        monkeypatch.setenv("NUCLEUS_ERROR_LEVEL", "WARNING")
        own = NucleusHandler(flush_interval=0.25)
        options = own.client.options
        assert (options.app_id, options.batch_size) == ("from-env", 7)
        assert (options.error_level, options.flush_interval) == (30, 0.25)
        own.handle(LOG.makeRecord("shop", 30, "f", 1, "w", (), None))
        assert one(collector, own.client).type == "error"

    def test_a_client_and_options_exclude_each_other(self, collector: Collector) -> None:
        """A given client has its options already; the message says which were too many."""
        first = NucleusHandler("app", endpoint=collector.url)
        again = NucleusHandler(client=first.client)
        assert again.client is first.client
        with pytest.raises(ConfigurationError, match="batch_size"):
            NucleusHandler(client=first.client, batch_size=3)

    def test_repr_says_what_it_is(self, collector: Collector) -> None:
        """`repr` names level, app and server."""
        shown = repr(NucleusHandler("app", level=30, endpoint=collector.url))
        assert "WARNING" in shown
        assert "'app'" in shown
        assert collector.url in shown

    def test_works_for_a_spawned_process(self, collector: Collector) -> None:
        """A handler goes to another process as its configuration: options, level, filters."""
        done = run_python(_SPAWN, collector.url)
        assert done.returncode == 0, done.stderr
        events = sorted(str(event.name) for event in collector.store.events(type="event"))
        assert events == ["from the child", "from the parent"]

    def test_what_cannot_be_spawned(self, collector: Collector) -> None:
        """What cannot go to another process is named, with what to do instead."""
        options: dict[str, object]
        for name, options in [
            ("before_send", {"before_send": lambda event: event}),
            ("ssl_context", {"ssl_context": ssl.create_default_context()}),
        ]:
            handler = NucleusHandler(name, endpoint=collector.url, **options)
            processor = NucleusProcessor(client=handler.client)
            for thing in (handler, processor, handler.client):
                with pytest.raises(TypeError, match=f"^{name} cannot .* in the child process"):
                    pickle.dumps(thing)
            assert copy.deepcopy({"client": handler.client}) == {"client": handler.client}


_SPAWN = """
import logging, multiprocessing, pickle, sys
from nucleus_logging import NucleusHandler

class NoNoise(logging.Filter):
    def filter(self, record):
        return "noise" not in record.msg

def child(handler):
    assert handler.level == logging.INFO and handler.name == "ship", handler
    log = logging.getLogger("child")
    log.setLevel(logging.DEBUG)
    log.addHandler(handler)
    log.debug("not at this level")
    log.info("noise")
    log.info("from the child")

if __name__ == "__main__":
    handler = NucleusHandler("app", endpoint=sys.argv[1])
    handler.setLevel(logging.INFO)
    handler.set_name("ship")
    log = logging.getLogger("parent")
    log.setLevel(logging.DEBUG)
    log.addHandler(handler)
    log.info("from the parent")
    import types
    # spawn imports the main module by name; this one has no file
    module = types.ModuleType("spawned")
    sys.modules["spawned"] = module
    again = pickle.loads(pickle.dumps(handler))
    assert again.client is handler.client
    assert again.level == logging.INFO and again.name == "ship"
    handler.addFilter(logging.Filter("child"))
    again = pickle.loads(pickle.dumps(handler))
    assert [one.name for one in again.filters] == ["child"]
    import subprocess
    code = (
        "import sys, pickle, logging; handler = pickle.load(sys.stdin.buffer);"
        "assert handler.level == logging.INFO and handler.name == 'ship', handler;"
        "log = logging.getLogger('child'); log.setLevel(10); log.addHandler(handler);"
        "log.debug('not at this level'); log.info('from the child');"
        "logging.getLogger('other').addHandler(handler);"
        "logging.getLogger('other').warning('refused by the filter')"
    )
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(handler))
    sys.exit(done.returncode)
"""
