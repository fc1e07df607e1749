"""`attach` and `detach`: on loggers that exist already, and off again without a trace."""

from __future__ import annotations

import gc
import logging
import threading
from typing import TYPE_CHECKING

import pytest

from nucleus_logging import ConfigurationError, NucleusHandler, attach, detach
from tests.shipped import WAIT, names

if TYPE_CHECKING:
    from nucleus_logging.collector import Collector


def ready(name: str) -> logging.Logger:
    """A logger that takes everything and hands nothing to the root."""
    logger = logging.getLogger(name)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    return logger


class TestAttach:
    def test_by_name(self, collector: Collector) -> None:
        """A logger that a library will use, or uses already."""
        handler = attach("uvicorn.error", "app", endpoint=collector.url)
        ready("uvicorn.error").info("started")
        assert isinstance(handler, NucleusHandler)
        assert names(collector, handler.client) == ["started"]

    def test_by_object(self, collector: Collector) -> None:
        """A logger at hand, also one that the logging system does not know."""
        private = logging.Logger("private")
        handler = attach(private, "app", endpoint=collector.url)
        private.info("hello")
        assert names(collector, handler.client) == ["hello"]
        detach(handler)
        assert private.handlers == []

    def test_root(self, collector: Collector) -> None:
        """Without a name it is the root logger."""
        handler = attach(app_id="app", level=logging.CRITICAL, endpoint=collector.url)
        assert handler in logging.root.handlers
        assert attach(logging.root) is attach("root") is attach() is handler
        logging.getLogger("anything").critical("hello")
        assert names(collector, handler.client) == ["hello"]
        detach()
        assert handler not in logging.root.handlers

    def test_with_level_and_options(self, collector: Collector) -> None:
        """Level and options are those of the handler that it makes."""
        handler = attach("shop", "app", level="WARNING", endpoint=collector.url, batch_size=9)
        assert handler.level == logging.WARNING
        assert handler.client.options.batch_size == 9
        log = ready("shop")
        log.info("below")
        log.warning("hello")
        assert names(collector, handler.client) == ["hello"]

    def test_twice_is_once(self, collector: Collector) -> None:
        """A second call returns the first one's handler, also without its options."""
        first = attach("shop", "app", level=20, endpoint=collector.url)
        assert attach("shop") is first
        assert attach(logging.getLogger("shop"), "app", endpoint=collector.url) is first
        assert attach("shop", level="INFO") is first
        ready("shop").info("once")
        assert names(collector, first.client) == ["once"]

    @pytest.mark.parametrize(
        "options", [{"batch_size": 7}, {"app_id": "other"}, {"level": "ERROR"}]
    )
    def test_twice_with_other_options(
        self, collector: Collector, options: dict[str, object]
    ) -> None:
        """A second call that wants something else is refused, and says what differs."""
        first = attach("shop", "app", endpoint=collector.url)
        with pytest.raises(ConfigurationError, match=next(iter(options))):
            attach("shop", **options)  # type: ignore[arg-type]
        assert [h for h in logging.getLogger("shop").handlers] == [first]  # noqa: C416

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ((7, "app"), "7"),
            (("shop",), "app_id"),
            (("shop", ""), "app_id"),
            (("shop", "app", "INFO"), "positional"),
        ],
    )
    def test_refused(self, arguments: tuple[object, ...], said: str) -> None:
        """What cannot be is refused before anything is attached."""
        with pytest.raises((ConfigurationError, TypeError), match=said):
            attach(*arguments)  # type: ignore[arg-type]
        assert logging.getLogger("shop").handlers == []

    def test_a_misspelt_option(self) -> None:
        """The nearest name is in the answer."""
        with pytest.raises(ConfigurationError, match="did you mean 'batch_size'"):
            attach("shop", "app", batchsize=7)

    def test_handlers_that_somebody_else_put_there(self, collector: Collector) -> None:
        """A handler that a configuration put on the logger is not ours to return or remove."""
        other = NucleusHandler("app", endpoint=collector.url)
        log = ready("shop")
        log.addHandler(other)
        handler = attach("shop", "app", endpoint=collector.url)
        assert handler is not other
        log.info("both")
        detach("shop")
        assert log.handlers == [other]
        detach("shop")
        detach(other)
        assert log.handlers == [other]
        assert names(collector, other.client) == ["both"]

    def test_from_many_threads(self, collector: Collector) -> None:
        """Whoever is first attaches; all get the same handler."""
        log = ready("shop")
        start = threading.Barrier(16)
        found: list[NucleusHandler] = []

        def work() -> None:
            start.wait(WAIT)
            found.append(attach("shop", "app", endpoint=collector.url))

        threads = [threading.Thread(target=work) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 16
        assert set(found) == set(log.handlers)
        assert len(log.handlers) == 1


class TestDetach:
    @pytest.mark.parametrize("how", ["name", "logger", "handler"])
    def test_undoes_attach(self, collector: Collector, how: str) -> None:
        """Level, filters, propagation and other handlers are as before; what was logged arrives."""
        log = ready("shop")
        other = logging.NullHandler()
        log.addHandler(other)
        before = dict(log.__dict__, handlers=list(log.handlers), _cache=None)
        handler = attach("shop", "app", endpoint=collector.url)
        log.info("hello")
        target = {"name": "shop", "logger": log, "handler": handler}[how]
        detach(target)  # type: ignore[arg-type]
        assert dict(log.__dict__, handlers=list(log.handlers), _cache=None) == before
        # It has been flushed: there is nothing to wait for.
        assert [e.name for e in collector.store.events(type="event")] == ["hello"]
        log.info("not ours any more")
        assert names(collector, handler.client) == ["hello"]

    def test_nothing_to_undo(self) -> None:
        """A logger without a handler of ours, or a foreign handler: nothing happens."""
        detach("shop")
        detach("never.heard.of")
        detach()
        detach(logging.NullHandler())

    def test_attach_again(self, collector: Collector) -> None:
        """After `detach` a logger may be attached with other options."""
        first = attach("shop", "app", endpoint=collector.url, batch_size=5)
        log = ready("shop")
        log.info("first")
        detach(first)
        detach(first)
        second = attach("shop", "app", endpoint=collector.url, batch_size=6)
        assert second.client is first.client
        assert second.client.options.batch_size == 6
        log.info("second")
        assert names(collector, second.client) == ["first", "second"]

    def test_a_detached_handler_is_gone(self, collector: Collector) -> None:
        """Nothing holds a handler that was detached."""
        import weakref

        handler = attach("shop", "app", endpoint=collector.url)
        gone = weakref.ref(handler)
        detach(handler)
        del handler
        gc.collect()
        assert gone() is None
