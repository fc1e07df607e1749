"""`Client`: what an application calls itself, and how clients are shared, closed and counted."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import pickle
import threading
import time
from typing import TYPE_CHECKING

import pytest

import nucleus_logging
from nucleus_logging import Client, ConfigurationError, NucleusHandler, NucleusProcessor, user
from tests.servers.faulty import FaultyServer
from tests.servers.steps import Accept, Assign, Never
from tests.shipped import WAIT, assert_balanced, names, one, stored
from tests.tools import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nucleus_logging.collector import Collector


@pytest.fixture
def client(collector: Collector) -> Iterator[Client]:
    """A client of the collector."""
    made = Client("app", endpoint=collector.url)
    yield made
    made.flush(WAIT)


class TestEvents:
    def test_track(self, client: Client, collector: Collector) -> None:
        """An event of the application's own; nested values are flattened."""
        client.track("PLAYED_TRACK", {"trackName": "My Awesome Song", "by": {"artist": "A"}})
        client.track("BARE")
        played, bare = stored(collector, client)
        assert (played.type, played.name) == ("event", "PLAYED_TRACK")
        assert played.payload == {"trackName": "My Awesome Song", "by.artist": "A"}
        assert (bare.name, bare.payload) == ("BARE", {})

    def test_reserved_names(self, client: Client, collector: Collector) -> None:
        """Names that mean something to the server are sent beside it."""
        for name in ("init", "error:x", "nucleus:y"):
            client.track(name)
        assert names(collector, client) == ["log:init", "log:error:x", "log:nucleus:y"]

    def test_long_names(self, client: Client, collector: Collector) -> None:
        """A name that was cut says so, since no message tells the rest of it."""
        client.track("x" * 201, {"a": 1})
        client.page("x" * 200)
        event, view = stored(collector, client)
        assert (event.name, event.payload) == ("x" * 200, {"a": 1, "truncated": True})
        assert view.payload == {}

    def test_track_error(self, client: Client, collector: Collector) -> None:
        """An error with its stack, named by its class or as one likes, with device facts."""
        try:
            raise ValueError("x")
        except ValueError as error:
            client.track_error(error, payload={"order": 7, "stack": "mine"})
        client.track_error(LookupError("y"), name="Refused")
        first, second = stored(collector, client)
        assert (first.type, first.name, first.payload["message"]) == ("error", "ValueError", "x")
        assert first.payload["order"] == 7
        assert "ValueError: x" in str(first.payload["stack"])
        assert first.payload["file"]
        assert first.facts["platform"]
        assert second.name == "Refused"

    def test_an_error_that_was_never_raised(self, client: Client, collector: Collector) -> None:
        """An exception without a traceback is an error all the same."""
        client.track_error(KeyError("k"))
        event = one(collector, client)
        assert (event.name, event.payload["message"]) == ("KeyError", "'k'")

    def test_page(self, client: Client, collector: Collector) -> None:
        """A view of a page, with its parameters."""
        client.page("/cart", {"items": 3})
        event = one(collector, client)
        assert (event.type, event.name, event.payload) == ("nucleus:view", "/cart", {"items": 3})

    def test_users(self, client: Client, collector: Collector) -> None:
        """`set_user_id` tells the server, and all later events carry it, until it is taken back."""
        client.track("before")
        client.set_user_id("ann")
        client.track("after")
        for nobody in (None, ""):
            client.set_user_id(nobody)
            client.track("nobody")
        found = [(event.type, event.name, event.user) for event in stored(collector, client)]
        assert found == [
            ("event", "before", None),
            ("userid", None, "ann"),
            ("event", "after", "ann"),
            ("event", "nobody", None),
            ("event", "nobody", None),
        ]

    def test_an_error_is_on_disk_at_once(self, tmp_path: Path) -> None:
        """What `track_error` is given is in the journal when it returns."""
        client = Client("shop", endpoint="ws://127.0.0.1:9", spool=str(tmp_path))
        client.track_error(ValueError("broken"), "Broken")
        (path,) = tmp_path.glob("*/*.jsonl")
        assert '"name":"Broken"' in path.read_text()

    def test_props_are_merged_or_overwritten(self, client: Client, collector: Collector) -> None:
        """The server gets all properties each time; `overwrite` forgets the earlier ones."""
        client.set_props({"plan": "free", "seats": 1})
        client.set_props({"plan": "pro", "team": {"name": "x"}})
        client.set_props({"plan": "none"}, overwrite=True)
        found = stored(collector, client)
        assert [event.type for event in found] == ["props"] * 3
        assert [event.payload for event in found] == [
            {"plan": "free", "seats": 1},
            {"plan": "pro", "seats": 1, "team.name": "x"},
            {"plan": "none"},
        ]

    def test_identify(self, client: Client, collector: Collector) -> None:
        """`identify` is both: the user, then the properties, if any."""
        client.identify("ann", {"plan": "free"})
        client.identify("bob")
        found = [(event.type, event.user) for event in stored(collector, client)]
        assert found == [("userid", "ann"), ("props", "ann"), ("userid", "bob")]

    def test_props_open_the_next_session(self, collector: Collector) -> None:
        """`init` carries user and properties as they were when its session began."""
        own = Client("app", endpoint=collector.url, session_timeout=0.001, user_id="ann")
        own.set_props({"plan": "free"})
        time.sleep(0.005)
        own.track("later")
        assert own.flush(WAIT)
        inits = list(collector.store.events(type="init"))
        assert len({init.session for init in inits}) == len(inits) == 2
        assert [init.user for init in inits] == ["ann", "ann"]
        assert inits[-1].payload == {"plan": "free"}

    def test_user_of_a_context(self, client: Client, collector: Collector) -> None:
        """`user` holds inside, nests, and goes back; outside the client's own user holds."""
        client.set_user_id("own")
        client.track("1")
        with user("ann"):
            client.track("2")
            with user("bob"):
                client.track("3")
                with user(None):
                    client.track("4")
                client.track("5")
            client.track("6")
        client.track("7")
        found = [event.user for event in stored(collector, client) if event.type == "event"]
        assert found == ["own", "ann", "bob", "own", "bob", "ann", "own"]

    def test_user_in_threads_and_tasks(self, client: Client, collector: Collector) -> None:
        """Threads and tasks have a user each, also by way of the same object."""
        admin = user("admin")

        async def serve(name: str) -> None:
            with user(name):
                await asyncio.sleep(0)
                with admin:
                    await asyncio.sleep(0)
                    client.track("as admin", {"of": name})
                    await asyncio.sleep(0)
                client.track("as self", {"of": name})

        async def main() -> None:
            await asyncio.gather(*(serve(f"u{number}") for number in range(5)))

        with user("outer"):
            asyncio.run(main())
            thread = threading.Thread(target=lambda: client.track("thread"))
            thread.start()
            thread.join()
        for event in stored(collector, client):
            if event.name == "thread":
                assert event.user is None
            else:
                expected = "admin" if event.name == "as admin" else event.payload["of"]
                assert event.user == expected

    def test_anything_may_be_given(self, client: Client, collector: Collector) -> None:
        """Names, payloads and ids of any kind raise nothing."""

        class Broken:
            def __str__(self) -> str:
                raise RuntimeError("no text")

            def items(self) -> object:
                raise RuntimeError("no items")

        anything = [None, 7, b"\xff", "\ud800", "x" * 100_000, Broken(), float("nan"), 2**70]
        for value in anything:
            client.track(value, {"value": value})  # type: ignore[arg-type]
            client.track("payload", value)  # type: ignore[arg-type]
            client.page(value, {value: value} if not isinstance(value, Broken) else None)  # type: ignore[arg-type]
            client.track_error(ValueError(value), value, {"value": value})  # type: ignore[arg-type]
            client.set_user_id(value)  # type: ignore[arg-type]
            client.set_props({"value": value})
            with user(value):  # type: ignore[arg-type]
                client.track("inside")
        assert client.flush(WAIT), client.stats()
        assert not client.stats().dropped.keys() - {"folded"}
        assert_balanced(client)


class TestTracking:
    def test_disabled_and_enabled(self, client: Client, collector: Collector) -> None:
        """Nothing is taken nor sent while tracking is off, and the connection is closed."""
        client.track("before")
        assert client.flush(WAIT)
        assert client.stats().connected
        client.disable_tracking()
        wait_until(lambda: not client.stats().connected)
        client.track("meanwhile")
        client.set_user_id("ann")
        handler = NucleusHandler(client=client)
        processor = NucleusProcessor(client=client)
        handler.handle(_record("meanwhile"))
        processor(None, "info", {"event": "meanwhile"})
        assert client.stats().rejected == 4
        client.enable_tracking()
        client.track("after")
        assert names(collector, client) == ["before", "after"]
        assert_balanced(client)

    def test_what_waits_is_kept(self) -> None:
        """What was taken before tracking was switched off is sent when it is on again."""
        with FaultyServer([Accept(ack=Never())]) as server:
            own = Client("app", endpoint=server.url, ack_timeout=60)
            own.track("kept")
            server.wait_for(lambda s: len(s.events) == 2)
            own.disable_tracking()
            wait_until(lambda: not own.stats().connected)
            server.use(Accept())
            assert own.stats().queued == 2
            own.enable_tracking()
            assert own.flush(WAIT)
            assert own.stats().acknowledged == 2

    def test_nobody_waits_for_what_may_not_be_sent(self, collector: Collector) -> None:
        """While tracking is off, a flush is over at once, and so is the exit of the process."""
        own = Client("app", endpoint=collector.url, flush_interval=600, shutdown_timeout=600)
        own.track("kept")
        own.disable_tracking()
        assert not own.flush()
        assert not own.close()
        assert own.stats().queued == 2

    def test_the_option(self, collector: Collector) -> None:
        """`disabled` takes nothing and starts nothing, whatever is enabled later."""
        threads = threading.active_count()
        own = Client("app", endpoint=collector.url, disabled=True)
        own.track("x")
        own.enable_tracking()
        own.track("y")
        assert own.flush(0)
        assert own.stats().rejected == 2
        assert own.stats().accepted == 0
        assert threading.active_count() == threads

    def test_nobodys_tests_send_to_the_real_server(self) -> None:
        """Under pytest, with the default endpoint, nothing is taken."""
        own = Client("app")
        own.track("x")
        assert own.stats().rejected == 1
        assert own.stats().last_error is None


class TestSharing:
    def test_one_for_an_application_and_a_server(self, collector: Collector) -> None:
        """Clients, handlers and processors with the same app id and endpoint are one."""
        first = Client("app", endpoint=collector.url)
        assert Client("app", endpoint=collector.url) is first
        assert NucleusHandler("app", endpoint=collector.url).client is first
        assert NucleusProcessor("app", endpoint=collector.url + "/").client is first
        assert Client("other", endpoint=collector.url) is not first
        assert Client("app", endpoint="ws://127.0.0.1:9") is not first

    def test_the_same_options_are_no_difference(self, collector: Collector) -> None:
        """Options may be repeated, left out, or written in another way."""
        first = Client("app", endpoint=collector.url, batch_size=50, error_level="ERROR")
        assert Client("app", endpoint=collector.url) is first
        assert Client("app", endpoint=collector.url, batch_size=50, error_level=40) is first
        assert first.options.batch_size == 50

    def test_other_options_are_named(self, collector: Collector) -> None:
        """Differing options for a client in use: both values are told, for each."""
        Client("app", endpoint=collector.url, batch_size=50, max_age=60)
        with pytest.raises(ConfigurationError) as caught:
            NucleusHandler("app", endpoint=collector.url, batch_size=60, max_age=70)
        assert "batch_size: 60 here, 50 there" in str(caught.value)
        assert "max_age" in str(caught.value)

    def test_a_client_that_nobody_uses_takes_new_options(self, collector: Collector) -> None:
        """When all that used it were closed, the next options hold, and the queue stays."""
        first = NucleusHandler("app", endpoint=collector.url, flush_interval=60, batch_size=50)
        client = first.client
        first.handle(_record("kept"))
        first.acquire()
        first.close()
        first.release()
        second = NucleusProcessor("app", endpoint=collector.url, batch_size=60, user_id="ann")
        assert second.client is client
        assert client.options.batch_size == 60
        second(None, "info", {"event": "new"})
        found = stored(collector, client)
        assert [(event.name, event.user) for event in found] == [("kept", None), ("new", "ann")]
        assert_balanced(client)

    def test_a_new_spool_takes_the_queue_along(
        self, collector: Collector, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """Also when the journal moves, is given up or is begun."""
        own = Client("app", endpoint=collector.url, flush_interval=60, spool=False)
        own.track("first")
        own.close(0)
        for index, spool in enumerate((True, str(tmp_path_factory.mktemp("spool")), False)):
            own = Client("app", endpoint=collector.url, flush_interval=60, spool=spool)
            own.track(f"{index}")
            own.close(0)
        own = Client("app", endpoint=collector.url)
        own.track("last")
        assert sorted(map(str, names(collector, own))) == ["0", "1", "2", "first", "last"]
        assert_balanced(own)

    def test_pickled_as_its_configuration(self, client: Client) -> None:
        """A client goes to another process as its options."""
        assert pickle.loads(pickle.dumps(client)) is client

    @pytest.mark.parametrize(
        ("app_id", "options", "said"),
        [
            (None, {}, "NUCLEUS_APP_ID"),
            ("", {}, "app_id"),
            ("a", {"queue_bytes": -1}, "queue_bytes"),
            ("a", {"transport": "carrier pigeon"}, "websocket"),
            ("a", {"endpoint": 7}, "endpoint"),
            ("a", {"shutdown_timout": 1}, "did you mean 'shutdown_timeout'"),
        ],
    )
    def test_refused(self, app_id: str | None, options: dict[str, object], said: str) -> None:
        """Wrong options are told in one line, which is a ValueError too."""
        with pytest.raises(ValueError, match=said) as caught:
            Client(app_id, **options)
        assert isinstance(caught.value, ConfigurationError)
        assert "\n" not in str(caught.value)


class TestLife:
    def test_close_and_log_again(self, client: Client, collector: Collector) -> None:
        """After `close` there is no thread nor connection; the next event brings both back."""
        threads = threading.active_count()
        for number in range(3):
            client.track(str(number))
            assert client.close(WAIT)
            assert client.close()
            wait_until(lambda: threading.active_count() <= threads + 1)
            assert not client.stats().connected
        assert names(collector, client) == ["0", "1", "2"]
        assert_balanced(client)

    def test_nothing_to_wait_for(self, collector: Collector) -> None:
        """`flush` and `close` of a client without events return True and start nothing."""
        own = Client("app", endpoint=collector.url)
        threads = threading.active_count()
        assert own.flush()
        assert own.flush(0)
        assert own.close()
        assert threading.active_count() == threads
        stats = own.stats()
        assert (stats.accepted, stats.connected, stats.transport) == (0, False, None)

    def test_flush_gives_up_in_time(self) -> None:
        """Without acknowledgements `flush` says False when its time is over."""
        with FaultyServer([Accept(ack=Never())]) as server:
            own = Client("app", endpoint=server.url, shutdown_timeout=0.2)
            own.track("x")
            for timeout in (0, 0.1, None):
                started = time.monotonic()
                assert not own.flush(timeout)
                assert time.monotonic() - started < 30
            stats = own.stats()
            assert stats.accepted == 2
            assert_balanced(own)

    def test_flush_of_many_threads(self, client: Client, collector: Collector) -> None:
        """Whoever flushes waits for what had been logged before, all of it."""
        missing: list[str] = []

        def work(number: int) -> None:
            for index in range(5):
                name = f"{number}.{index}"
                client.track(name)
                if not client.flush(WAIT) or not collector.store.count(name=name):
                    missing.append(name)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not missing
        assert len(stored(collector, client)) == 40

    def test_flush_sees_what_the_worker_holds(self, client: Client) -> None:
        """Whenever it says True all has been acknowledged, also what the worker just took up."""
        for _ in range(10):
            for number in range(500):
                client.track("x", {"number": number, "text": "some words " * 40})
            accepted = client.stats().accepted
            # Asked again and again, in every moment of their way.
            while not client.flush(0):
                time.sleep(0)
            assert client.stats().acknowledged == accepted

    def test_flush_while_others_close(self, client: Client) -> None:
        """Whoever waits is not forgotten when the thread ends under him."""
        ended = threading.Event()

        def close() -> None:
            while not ended.wait(0.02):
                client.close(0)

        closer = threading.Thread(target=close)
        closer.start()
        try:
            for _ in range(30):
                client.track("x")
                assert client.flush(WAIT)
        finally:
            ended.set()
            closer.join()

    def test_flush_in_a_callback(self) -> None:
        """A callback on our own thread may log, flush, close, raise; nobody waits for himself."""
        answers: list[object] = []

        def told(version: str) -> None:
            own.track("inside")
            answers.append((version, own.flush(60), own.close(0) is not None))
            raise RuntimeError("callback")

        with FaultyServer([Accept(ack=Assign(latestVersion="2.0", customData={"a": 1}))]) as server:
            own = Client(
                "app", endpoint=server.url, on_latest_version=told, on_custom_data=answers.append
            )
            own.track("x")
            wait_until(lambda: len(answers) >= 2)
            assert own.flush(WAIT)
            assert own.latest_version == "2.0"
            assert own.custom_data == {"a": 1}
            assert ("2.0", False, True) in answers
            assert {"a": 1} in answers

    def test_stats_is_frozen(self, client: Client) -> None:
        """`stats()` is a snapshot of a public type."""
        stats = client.stats()
        assert isinstance(stats, nucleus_logging.Stats)
        with pytest.raises(dataclasses.FrozenInstanceError):
            stats.accepted = 1  # type: ignore[misc]
        client.track("x")
        assert client.flush(WAIT)
        later = client.stats()
        assert (stats.accepted, later.accepted, later.acknowledged) == (0, 2, 2)
        assert (later.queued, later.in_flight, later.transport) == (0, 0, "websocket")

    def test_stats_while_everything_moves(self, client: Client) -> None:
        """Looking at the numbers changes none of them, and whoever looks disturbs nobody."""
        ended = threading.Event()

        def look() -> None:
            while not ended.is_set():
                client.stats()

        watcher = threading.Thread(target=look)
        watcher.start()
        for number in range(2000):
            client.track("x", {"number": number})
        ended.set()
        watcher.join()
        assert client.flush(WAIT)
        assert client.stats().accepted == 2001
        assert_balanced(client)

    def test_repr_hides_nothing_secret(self) -> None:
        """`repr` names app and server, without what a URL may hold of passwords."""
        shown = repr(Client("app", endpoint="ws://127.0.0.1:9"))
        assert "'app'" in shown
        assert "127.0.0.1:9" in shown


def _record(message: str) -> logging.LogRecord:
    return logging.makeLogRecord({"name": "shop", "levelno": 20, "msg": message})
