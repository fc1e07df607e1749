"""Configured by `dictConfig` and `fileConfig`, again and again, while everything else goes on."""

from __future__ import annotations

import gc
import logging
import logging.config
import logging.handlers
import os
import queue
import threading
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from nucleus_logging import Client, ConfigurationError, NucleusHandler
from tests.shipped import WAIT, assert_balanced, names, one, stored
from tests.tools import run_python, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from nucleus_logging.collector import Collector

CLIENT: Client | None = None
"""What `ext://` finds here."""


@pytest.fixture(autouse=True)
def _shut_down_what_logging_holds() -> Any:
    """`dictConfig` and `shutdown` close other handlers too: leave pytest's own as they were."""
    kept = logging.root.handlers[:]
    yield
    _client().flush(WAIT) if _handlers() else None
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
    logging.root.handlers[:] = kept


def config(collector: Collector, **options: Any) -> dict[str, Any]:
    """A configuration that puts one handler on the logger `shop`."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {
            "nucleus": {
                "class": "nucleus_logging.NucleusHandler",
                "app_id": "app",
                "endpoint": collector.url,
                **options,
            }
        },
        "loggers": {"shop": {"handlers": ["nucleus"], "level": "DEBUG", "propagate": False}},
    }


LOG = logging.getLogger("shop")


def _handlers() -> list[NucleusHandler]:
    return [one for one in LOG.handlers if isinstance(one, NucleusHandler)]


def _client() -> Client:
    return _handlers()[0].client


class TestConfigured:
    def test_by_class_name(self, collector: Collector) -> None:
        """`dictConfig` makes it of literals, with level, filters and formatter as for any other."""
        given = config(collector, level="INFO", batch_size=50, filters=["shop"])
        given["filters"] = {"shop": {"name": "shop"}}
        logging.config.dictConfig(given)
        LOG.debug("below")
        LOG.info("hello")
        (handler,) = _handlers()
        assert (handler.level, handler.name) == (logging.INFO, "nucleus")
        assert handler.client.options.batch_size == 50
        assert names(collector, handler.client) == ["hello"]

    def test_with_a_client_from_elsewhere(self, collector: Collector) -> None:
        """`client: ext://…` takes a `Client` that the application has made."""
        global CLIENT
        CLIENT = Client("app", endpoint=collector.url)
        given = config(collector)
        given["handlers"]["nucleus"] = {
            "class": "nucleus_logging.NucleusHandler",
            "client": "ext://tests.test_dictconfig.CLIENT",
        }
        logging.config.dictConfig(given)
        assert _client() is CLIENT
        LOG.info("hello")
        assert names(collector, CLIENT) == ["hello"]

    def test_by_a_factory(self, collector: Collector) -> None:
        """`()` in place of `class` works as well."""
        given = config(collector)
        given["handlers"]["nucleus"]["()"] = given["handlers"]["nucleus"].pop("class")
        logging.config.dictConfig(given)
        LOG.info("hello")
        assert names(collector, _client()) == ["hello"]

    def test_file_config(self, collector: Collector, tmp_path: Path) -> None:
        """`fileConfig` makes it of a class name, positional and keyword arguments."""
        file = tmp_path / "logging.ini"
        file.write_text(
            f"""
[loggers]
keys=root,shop
[handlers]
keys=nucleus
[formatters]
keys=
[logger_root]
handlers=
[logger_shop]
qualname=shop
level=DEBUG
propagate=0
handlers=nucleus
[handler_nucleus]
class=nucleus_logging.NucleusHandler
level=INFO
args=("app",)
kwargs={{"endpoint": "{collector.url}", "batch_size": 50}}
"""
        )
        logging.config.fileConfig(file, disable_existing_loggers=False)
        LOG.debug("below")
        LOG.info("hello")
        assert _client().options.batch_size == 50
        assert names(collector, _client()) == ["hello"]

    def test_behind_a_queue(self, collector: Collector) -> None:
        """A QueueHandler in front of it, as asyncio applications have it."""
        logging.config.dictConfig(config(collector))
        (handler,) = _handlers()
        line: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
        listener = logging.handlers.QueueListener(line, handler)
        listener.start()
        other = logging.getLogger("other")
        other.propagate = False
        other.setLevel(logging.INFO)
        other.addHandler(logging.handlers.QueueHandler(line))
        other.info("hello %s", "you", extra={"cart": 7})
        listener.stop()
        event = one(collector, handler.client)
        assert event.name == "hello you"
        assert (event.payload["logger"], event.payload["cart"]) == ("other", 7)

    def test_behind_a_memory_handler(self, collector: Collector) -> None:
        """A MemoryHandler hands it its records when it likes."""
        logging.config.dictConfig(config(collector))
        (handler,) = _handlers()
        memory = logging.handlers.MemoryHandler(10, logging.ERROR, handler)
        LOG.removeHandler(handler)
        LOG.addHandler(memory)
        LOG.info("kept")
        LOG.error("flushes")
        LOG.removeHandler(memory)
        memory.close()
        assert names(collector, handler.client) == ["kept", "flushes"]
        LOG.addHandler(handler)


class TestRefused:
    def test_the_cause_stays_readable(self, collector: Collector) -> None:
        """`dictConfig` says which handler, and its cause says which option, and what is near."""
        with pytest.raises(ValueError, match="nucleus") as caught:
            logging.config.dictConfig(config(collector, flush_intervall=3))
        assert isinstance(caught.value.__cause__, ConfigurationError)
        shown = "".join(traceback.format_exception(caught.value))
        assert "flush_intervall" in shown
        assert "flush_interval'" in shown

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"queue_size": -5}, "-5"),
            ({"endpoint": "gopher://x"}, "gopher"),
            ({"app_id": None}, "app_id"),
            ({"ca_file": "/no/such/file.pem"}, "/no/such/file.pem"),
            ({"batch_size": "many"}, "many"),
        ],
    )
    def test_what_is_wrong_is_named(
        self, collector: Collector, options: dict[str, Any], said: str
    ) -> None:
        """The option and the value that it had are in the error; nothing was started."""
        threads = threading.active_count()
        with pytest.raises(ValueError, match="nucleus") as caught:
            logging.config.dictConfig(config(collector, **options))
        assert isinstance(caught.value.__cause__, ConfigurationError)
        assert next(iter(options)) in str(caught.value.__cause__)
        assert said in str(caught.value.__cause__)
        assert threading.active_count() == threads

    def test_options_of_one_in_use_cannot_differ(self, collector: Collector) -> None:
        """Two handlers in one configuration for the same application, with other options."""
        given = config(collector, batch_size=50)
        given["handlers"]["second"] = {**given["handlers"]["nucleus"], "batch_size": 60}
        with pytest.raises(ValueError, match="second") as caught:
            logging.config.dictConfig(given)
        assert "batch_size: 60 here, 50 there" in str(caught.value.__cause__)

    def test_logging_goes_on_after_a_refusal(self, collector: Collector) -> None:
        """After a configuration that fails, the next one works as if nothing had been."""
        with pytest.raises(ValueError, match="nucleus"):
            logging.config.dictConfig(config(collector, queue_size=0))
        logging.config.dictConfig(config(collector, queue_size=100))
        LOG.info("hello")
        assert names(collector, _client()) == ["hello"]


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


class TestAgain:
    @pytest.mark.parametrize("changing", [False, True])
    def test_nothing_grows_and_nothing_is_lost(self, collector: Collector, changing: bool) -> None:
        """Fifty configurations, with the same options or other ones: one client, one thread."""
        logging.config.dictConfig(config(collector))
        LOG.info("%d", -1)
        assert _client().flush(WAIT)
        clients = {_client()}
        threads, descriptors = threading.active_count(), _descriptors()
        for number in range(50):
            changes = {"batch_size": 100 + number} if changing else {}
            logging.config.dictConfig(config(collector, **changes))
            LOG.info("%d", number)
            clients.add(_client())
        assert len(clients) == 1
        if changing:
            assert _client().options.batch_size == 149
        found = stored(collector, _client())
        assert [event.payload["message"] for event in found] == [str(n) for n in range(-1, 50)]
        gc.collect()
        wait_until(lambda: threading.active_count() <= threads)
        wait_until(lambda: _descriptors() <= descriptors + 2)
        assert_balanced(_client())

    def test_while_threads_log(self, collector: Collector) -> None:
        """Records logged while configurations come and go arrive, each once."""
        logging.config.dictConfig(config(collector))
        ended = threading.Event()
        counts = [0] * 4

        def log(owner: int) -> None:
            while not ended.is_set():
                LOG.info("m", extra={"owner": owner, "index": counts[owner]})
                counts[owner] += 1
                ended.wait(0.001)

        threads = [threading.Thread(target=log, args=(owner,)) for owner in range(4)]
        for thread in threads:
            thread.start()
        # The logger is without handlers for a moment each time, as logging has it: so the handler
        # stays on another logger, closed by each configuration and attached all the same.
        stays = logging.getLogger("stays")
        stays.propagate = False
        stays.setLevel(logging.INFO)
        stays.addHandler(_handlers()[0])
        for number in range(30):
            logging.config.dictConfig(config(collector, batch_size=100 + number))
            stays.info("stays %d", number)
        ended.set()
        for thread in threads:
            thread.join()
        found = stored(collector, _client())
        assert [e.payload["message"] for e in found if e.payload["logger"] == "stays"] == [
            f"stays {number}" for number in range(30)
        ]
        for owner, count in enumerate(counts):
            indexes = [e.payload["index"] for e in found if e.payload.get("owner") == owner]
            assert len(indexes) == len(set(indexes)) <= count
        assert_balanced(_client())

    def test_an_option_that_is_gone_has_its_default_again(self, collector: Collector) -> None:
        """A configuration says everything: what it does not mention is as documented."""
        logging.config.dictConfig(config(collector, batch_size=5))
        LOG.info("first")
        logging.config.dictConfig(config(collector))
        assert _client().options.batch_size == 200
        LOG.info("second")
        assert names(collector, _client()) == ["first", "second"]

    def test_closed_and_attached(self, collector: Collector) -> None:
        """A handler that another configuration has closed goes on working where it is attached."""
        handler = NucleusHandler("app", endpoint=collector.url)
        LOG.addHandler(handler)
        LOG.setLevel(logging.INFO)
        LOG.propagate = False
        LOG.info("before")
        logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
        LOG.info("after")
        handler.close()
        LOG.info("after its own end")
        logging.config.dictConfig(
            {"version": 1, "incremental": True, "loggers": {"shop": {"level": "INFO"}}}
        )
        LOG.info("and more")
        assert names(collector, handler.client) == [
            "before",
            "after",
            "after its own end",
            "and more",
        ]

    def test_shutdown_twice(self, collector: Collector) -> None:
        """`logging.shutdown` may come as often as it likes, and logging goes on."""
        logging.config.dictConfig(config(collector))
        for number in range(2):
            LOG.info("%d", number)
            logging.shutdown([ref for ref in logging._handlerList if ref() in _handlers()])  # type: ignore[attr-defined]
        LOG.info("after all")
        assert len(stored(collector, _client())) == 3


_BUSY = """
import faulthandler, logging, logging.config, logging.handlers, sys, threading
faulthandler.dump_traceback_later(40, exit=True)
import nucleus_logging

url, way = sys.argv[1:]
config = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {
        "nucleus": {
            "class": "nucleus_logging.NucleusHandler", "app_id": "app", "endpoint": url,
            "flush_interval": 0, "shutdown_timeout": 20,
        }
    },
    "root": {"handlers": ["nucleus"], "level": "DEBUG"},
}
logging.config.dictConfig(config)
client = logging.root.handlers[0].client
ended = threading.Event()
done = [0, 0]

def log(owner):
    while not ended.is_set():
        # Loggers come and go, so that logging's own lock is asked for all the time.
        logging.getLogger(f"a.{done[owner] % 97}.b").info("m %d", done[owner])
        done[owner] += 1
        ended.wait(0.0005)

threads = [threading.Thread(target=log, args=(owner,)) for owner in (0, 1)]
for thread in threads:
    thread.start()
for number in range(60):
    if way == "dictConfig":
        config["handlers"]["nucleus"]["batch_size"] = 1 + number % 7
        logging.config.dictConfig(config)
    elif way == "shutdown":
        logging.shutdown()
    else:
        client.close(timeout=0)
        logging.getLogger("x").setLevel(10 + number % 2)
    ended.wait(0.01)
ended.set()
for thread in threads:
    thread.join()
logging.getLogger("last").info("last")
assert client.flush(20), client.stats()
stats = client.stats()
parts = stats.acknowledged + stats.queued + stats.in_flight + sum(stats.dropped.values())
assert stats.accepted == parts and not stats.dropped, stats
print(sum(done))
"""


@pytest.mark.parametrize("way", ["dictConfig", "shutdown", "close"])
def test_no_deadlock_with_a_busy_worker(collector: Collector, way: str) -> None:
    """Locks of logging, of handlers and ours, taken in every order while the worker ships."""
    done = run_python(_BUSY, collector.url, way)
    assert done.returncode == 0, done.stderr
    last = [e for e in collector.store.events(type="event") if e.name == "last"]
    assert len(last) == 1


_HELD = """
import faulthandler, logging, logging.config, sys, threading, time
faulthandler.dump_traceback_later(40, exit=True)
import nucleus_logging

# Everything that our threads' libraries may ask of logging has to wait for its lock, as long as
# a configuration holds it; with the caches cold, they do ask.
handler = nucleus_logging.NucleusHandler("app", endpoint=sys.argv[1], shutdown_timeout=30)
logging.root.addHandler(handler)
logging.root.setLevel(logging.DEBUG)
log = logging.getLogger("shop")
log.info("before")
started = time.monotonic()
lock = logging._lock
with lock:
    handler.acquire()
    handler.flush()
    handler.close()
    handler.release()
    other = nucleus_logging.NucleusHandler("app", endpoint=sys.argv[1], batch_size=7)
    assert other.client is handler.client and other.client.options.batch_size == 7
assert time.monotonic() - started < 20
log.info("after")
assert handler.client.flush(20)
"""


def test_a_configuration_waits_for_nobody(collector: Collector) -> None:
    """Under logging's own lock, `flush`, `close` and a change of options come to an end."""
    done = run_python(_HELD, collector.url)
    assert done.returncode == 0, done.stderr
    assert [e.name for e in collector.store.events(type="event")] == ["before", "after"]
