"""What the package offers to users' own tests."""

from __future__ import annotations

import configparser
import importlib
import logging
import logging.config
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
import structlog

from nucleus_logging import Client, NucleusHandler, NucleusProcessor, attach
from nucleus_logging.testing import capture_events
from tests.shipped import assert_balanced, names
from tests.tools import ROOT, run_python

if TYPE_CHECKING:
    from pathlib import Path

    from nucleus_logging.collector import Collector

LOGGER = logging.getLogger("tested")


@pytest.fixture(autouse=True)
def _logger() -> None:
    LOGGER.setLevel(logging.DEBUG)
    LOGGER.propagate = False


class TestCapture:
    def test_at_once(self) -> None:
        """Events are there when the logging call returns, in order, errors among them."""
        attach(LOGGER, "app")
        with capture_events() as events:
            LOGGER.info("first %s", "one", extra={"a": 1})
            assert events[-1]["name"] == "first %s"
            assert events[-1]["payload"] == {
                "level": "info",
                "logger": "tested",
                "message": "first one",
                "a": 1,
            }
            try:
                raise ValueError("x")
            except ValueError:
                LOGGER.exception("second")
            assert events[-1]["type"] == "error"
            assert events[-1]["name"] == "ValueError"
        assert len(events) == 2

    def test_no_thread_file_or_network(self) -> None:
        """Nothing is started, opened or written for it."""
        program = """
import sys, os, logging, threading
seen = []
def watch(event, arguments):
    if event.startswith("socket.") or event in ("_thread.start_new_thread", "os.mkdir"):
        seen.append(event)
    if event == "open" and str(arguments[0]).startswith(os.environ["XDG_STATE_HOME"]):
        seen.append(event)
import json
from nucleus_logging import attach
from nucleus_logging.testing import capture_events
sys.addaudithook(watch)
with capture_events() as events:
    client = attach("x", "app").client
    logging.getLogger("x").warning("plain")
    logging.getLogger("x").error("bad" * 1000)
    client.track("tracked", {"a": {"b": 1}})
    assert client.flush() and client.close()
print(len(events), seen, threading.active_count())
"""
        done = run_python(program)
        assert done.stdout == "3 [] 1\n", done.stderr

    def test_all_ways_in(self) -> None:
        """Handlers, processors, clients, made before or inside, all end in the list."""
        client = Client("app")
        with capture_events() as events:
            handler = NucleusHandler("app")
            LOGGER.addHandler(handler)
            processor = NucleusProcessor("other-app")
            structlog.configure(processors=[processor, structlog.processors.KeyValueRenderer()])
            LOGGER.info("handled")
            structlog.get_logger().info("processed", a=1)
            structlog.get_logger().error("bad")
            client.track("tracked", {"a": {"b": 1}})
            client.identify("u1", {"plan": "pro"})
            client.page("home")
        assert [(event["type"], event.get("name")) for event in events] == [
            ("event", "handled"),
            ("event", "processed"),
            ("error", "bad"),
            ("event", "tracked"),
            ("userid", None),
            ("props", None),
            ("nucleus:view", "home"),
        ]
        assert events[-1]["userId"] == "u1"

    def test_whole_way(self) -> None:
        """Limits, scrubbing, trail and `before_send` are as they will be."""

        def before_send(event: dict[str, object]) -> dict[str, object] | None:
            return None if event["name"] == "private" else event

        attach(LOGGER, "app", before_send=before_send)
        with capture_events() as events:
            LOGGER.info("step", extra={"password": "x", "long": "y" * 100_000})
            LOGGER.info("private")
            LOGGER.error("bad")
        step, bad = (event["payload"] for event in events)
        assert isinstance(step, dict)
        assert isinstance(bad, dict)
        assert step["password"] == "[scrubbed]"
        assert step["truncated"] is True
        assert "step" in bad["trail"]

    def test_leaves_no_trace(self, collector: Collector) -> None:
        """Before and after, events are shipped; those inside are not, and count for nothing."""
        client = attach(LOGGER, "app", endpoint=collector.url, user_id="me").client
        LOGGER.info("before")
        with capture_events() as events:
            for _ in range(10):
                LOGGER.info("inside")
            LOGGER.error("inside, too")
            client.set_user_id("somebody")
        LOGGER.info("after")
        assert len(events) == 12
        assert names(collector, client) == ["before", "after"]
        assert {event.user for event in collector.store.events()} == {"me"}
        assert collector.store.count(type="init") == 1
        assert_balanced(client)
        assert client.stats().accepted == 3

    def test_nested(self) -> None:
        """The innermost list gets the events."""
        attach(LOGGER, "app")
        with capture_events() as outer:
            LOGGER.info("one")
            with capture_events() as inner:
                LOGGER.info("two")
            LOGGER.info("three")
        assert [event["name"] for event in outer] == ["one", "three"]
        assert [event["name"] for event in inner] == ["two"]

    def test_raises_through(self) -> None:
        """A test that fails inside leaves nothing behind either."""
        client = attach(LOGGER, "app").client
        with pytest.raises(ValueError, match="fails"), capture_events():
            raise ValueError("fails")
        LOGGER.info("refused under pytest, as before")
        assert client.stats().rejected == 1

    def test_opt_out_is_respected(self) -> None:
        """Whoever tests the opt-out sees that nothing is taken."""
        client = attach(LOGGER, "app").client
        with capture_events() as events:
            client.disable_tracking()
            LOGGER.info("no")
            client.enable_tracking()
            LOGGER.info("yes")
        assert [event["name"] for event in events] == ["yes"]

    def test_threads(self) -> None:
        """Threads may log at the same time; nothing is lost."""
        attach(LOGGER, "app")
        with capture_events() as events:
            threads = [
                threading.Thread(target=lambda: [LOGGER.info("x") for _ in range(200)])
                for _ in range(8)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len(events) == 1600

    def test_configured_inside(self) -> None:
        """A configuration that the tested code loads works inside."""
        config = {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"n": {"class": "nucleus_logging.NucleusHandler", "app_id": "app"}},
            "loggers": {"tested": {"handlers": ["n"], "level": "INFO"}},
        }
        with capture_events() as events:
            for trail in (5, 6):
                config["handlers"]["n"]["trail"] = trail  # type: ignore[index]
                logging.config.dictConfig(config)
                LOGGER.info("configured")
        assert len(events) == 2


class TestFixture:
    def _pytest(self, folder: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        (folder / "test_it.py").write_text(code)
        # It does not know that it is itself under pytest.
        outer = {name: one for name, one in os.environ.items() if not name.startswith("PYTEST_")}
        environ = {**outer, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "nucleus_logging.pytest_plugin",
             "-p", "no:cacheprovider", *arguments, "test_it.py"],
            cwd=folder,
            env=environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )  # fmt: skip

    def test_fixture(self, tmp_path: Path) -> None:
        """The fixture is a list of what was logged during the test."""
        code = """
import logging
from nucleus_logging import attach
attach("shop", "app")

def test_buys(nucleus_events):
    logging.getLogger("shop").warning("bought", extra={"price": 3})
    assert any(e["name"] == "bought" and e["payload"]["price"] == 3 for e in nucleus_events)

def test_starts_empty(nucleus_events):
    assert nucleus_events == []

def test_without():
    logging.getLogger("shop").warning("not sent to the real server")
    from nucleus_logging import Client
    assert Client("app").stats().rejected == 1
"""
        done = self._pytest(tmp_path, code)
        assert "3 passed" in done.stdout, done.stdout + done.stderr

    @pytest.mark.parametrize(
        "endpoint", ["wss://app.nucleus.sh", "https://app.nucleus.sh/app/{app_id}/track"]
    )
    def test_default_endpoint(self, tmp_path: Path, endpoint: str) -> None:
        """An application that is set up while tests are collected sends nothing to it either."""
        code = f"""
import logging
from nucleus_logging import attach
client = attach("shop", "app", endpoint={endpoint!r}).client
logging.getLogger("shop").warning("while collected")

def test_without():
    logging.getLogger("shop").error("in a test")
    assert client.stats().rejected == 2
    assert client.stats().accepted == 0
"""
        done = self._pytest(tmp_path, code)
        assert "1 passed" in done.stdout, done.stdout + done.stderr

    def test_inert(self, tmp_path: Path) -> None:
        """Where nobody uses it, none of the machinery is imported."""
        code = """
import sys

def test_modules():
    assert "nucleus_logging.machine" not in sys.modules
    assert "nucleus_logging.testing" not in sys.modules
"""
        done = self._pytest(tmp_path, code)
        assert "1 passed" in done.stdout, done.stdout + done.stderr

    @pytest.mark.once
    def test_entry_point(self) -> None:
        """An installation tells pytest where the fixture is."""
        config = configparser.ConfigParser()
        config.read(ROOT / "setup.cfg")
        name, _, module = config["options.entry_points"]["pytest11"].strip().partition(" = ")
        assert name == "nucleus_logging.pytest_plugin"
        assert importlib.import_module(module).nucleus_events


class TestDoNotTrack:
    @pytest.mark.parametrize(("value", "taken"), [("1", 0), ("true", 0), ("0", 1), ("", 1)])
    def test_environment(
        self, monkeypatch: pytest.MonkeyPatch, collector: Collector, value: str, taken: int
    ) -> None:
        """``DO_NOT_TRACK`` is the opt-out of a machine's user; no program overrules it."""
        monkeypatch.setenv("DO_NOT_TRACK", value)
        client = attach(LOGGER, "app", endpoint=collector.url).client
        LOGGER.info("plain")
        client.disable_tracking()
        client.enable_tracking()
        LOGGER.error("bad")
        assert client.flush(30)
        assert client.stats().rejected == 2 * (1 - taken)
        assert collector.store.count(type="error") == taken
