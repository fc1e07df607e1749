"""The values of all options, as one client resolved them.

An option is the same everywhere: a keyword argument of every entry point, and
an environment variable `NUCLEUS_<NAME>`; the argument holds before the
environment, and the environment before the default. `OPTIONS` (in `table`) says for
each what it is and what it may be; `Options.resolve` applies it at construction, so
that a wrong value fails where it was written. Entry points call it; everything
below reads attributes.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from nucleus_logging import checks, endpoint
from nucleus_logging.checks import Option
from nucleus_logging.errors import ConfigurationError
from nucleus_logging.table import OPTIONS

if TYPE_CHECKING:
    import re
    import ssl
    from collections.abc import Callable, Mapping

__all__ = ["OPTIONS", "Options", "default_app_version", "level_number"]

_LEVEL = Option("level", logging.NOTSET, checks.LEVEL, "records below it are not taken")


class Options:
    """The value of every option, for one client; immutable.

    `resolve` makes it. Besides an attribute for each row of `OPTIONS` it has
    `given`, the names of those that came as arguments. Two values differ in
    form from what was given: `proxy` is "" for False, and `spool` and `ca_file`
    hold absolute paths.
    """

    __slots__ = (*OPTIONS, "given")

    app_id: str
    endpoint: str
    transport: str
    http_interval: float
    app_version: str | None
    user_id: str | None
    auto_user_id: bool
    anon_id: str | None
    device_id: str | None
    error_level: int
    event_name: str | Callable[[logging.LogRecord], object]
    record_fields: tuple[str, ...]
    trail: int
    include_locals: bool
    max_string: int
    max_stack: int
    max_depth: int
    max_keys: int
    max_event: int
    capture_uncaught: bool
    capture_crashes: bool
    queue_size: int
    queue_bytes: int
    overflow: str
    block_timeout: float
    batch_size: int
    batch_bytes: int
    flush_interval: float
    max_in_flight: int
    ack_timeout: float
    drain_rate: float
    heartbeat_interval: float
    session_timeout: float
    max_age: float
    spool: bool | str
    spool_limit: int
    spool_sync_level: int
    shutdown_timeout: float
    scrub: bool | tuple[str | re.Pattern[str] | Callable[[str], str], ...]
    before_send: Callable[[dict[str, object]], dict[str, object] | None] | None
    sample_rate: float | dict[str, float]
    rate_limit: float | None
    proxy: str | None
    ca_file: str | None
    ssl_context: ssl.SSLContext | None
    on_latest_version: Callable[[str], object] | None
    on_custom_data: Callable[[object], object] | None
    disabled: bool
    debug: bool
    given: frozenset[str]

    @classmethod
    def resolve(
        cls,
        app_id: str | None,
        given: Mapping[str, object],
        environ: Mapping[str, str] | None = None,
    ) -> Options:
        """Check what was given and fill in the rest.

        Args:
            app_id: The application's id; None to take it from the environment.
            given: Options by name; a value of None is as if it was not there.
            environ: The environment; None for the process' own. An empty
                variable is as if it was not there.

        Raises:
            ConfigurationError: There is no such option, or its value cannot be
                used, or the app id is missing.
        """
        arguments = _arguments(app_id, given)
        environ = os.environ if environ is None else environ
        values: dict[str, object] = {}
        for name, option in OPTIONS.items():
            if name in arguments:
                values[name] = option.read(arguments[name])
            else:
                text = environ.get(option.variable, "").strip()
                values[name] = option.read_text(text) if text else option.default
        if values["app_id"] is None:
            raise ConfigurationError(
                "app_id is missing: it must be given as an argument, or as NUCLEUS_APP_ID "
                "in the environment"
            )
        if {"ca_file", "ssl_context"} <= arguments.keys():
            raise ConfigurationError(
                "ca_file and ssl_context are given both: must be one of them; a context "
                "has certificates of its own"
            )
        if values["capture_crashes"] and values["spool"] is False:
            raise ConfigurationError(
                "capture_crashes=True with spool=False: must have a folder to leave a dump in"
            )
        return _restore(values, frozenset(arguments))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"options cannot be changed after construction: {name}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"options cannot be changed after construction: {name}")

    def __repr__(self) -> str:
        changed = [
            f"{name}={option.show(getattr(self, name))}"
            for name, option in OPTIONS.items()
            if getattr(self, name) != option.default
        ]
        return f"Options({', '.join(changed)})"

    def __reduce__(self) -> tuple[object, ...]:
        if self.ssl_context is not None:
            raise TypeError(
                "options with an ssl_context cannot be pickled: give ca_file instead, or "
                "construct the handler in the child process"
            )
        return _restore, ({name: getattr(self, name) for name in OPTIONS}, self.given)

    @property
    def key(self) -> tuple[str, str]:
        """App id and endpoint: what has the same ones is sent by the same client."""
        return self.app_id, self.endpoint

    def websocket_urls(self) -> tuple[str, ...]:
        """Return the WebSocket URLs to try, in the order of PROTOCOL, "Where we send it"."""
        return endpoint.websocket_urls(self.endpoint, self.app_id)

    def http_url(self) -> str:
        """Return the URL to POST to."""
        return endpoint.http_url(self.endpoint, self.app_id)

    def differences(self, given: Mapping[str, object]) -> list[str]:
        """Return in what the options given elsewhere differ from these, one text for each.

        Args:
            given: Options by name, as given to another handler for the same
                client. What it does not give explicitly does not differ.

        Raises:
            ConfigurationError: As `resolve`.
        """
        found = []
        for name, value in _arguments(None, given).items():
            option = OPTIONS[name]
            here, there = option.read(value), getattr(self, name)
            if here != there:
                found.append(f"{name}: {option.show(here)} here, {option.show(there)} there")
        return found


def level_number(value: object) -> int:
    """Return the number of a handler's `level`, given as a number or a level's name.

    Raises:
        ConfigurationError: It is neither.
    """
    number = _LEVEL.read(value)
    assert isinstance(number, int)
    return number


def portable(given: Mapping[str, object]) -> dict[str, object]:
    """Return options as they were given, to be pickled.

    Raises:
        TypeError: One of them cannot go to another process; the text says which, and what to do.
    """
    import pickle

    for name, value in given.items():
        try:
            pickle.dumps(value)
        except Exception as error:
            raise TypeError(
                f"{name} cannot be pickled ({error}): give a function of a module instead, "
                "ca_file instead of an ssl_context, or construct the handler in the child process"
            ) from error
    return dict(given)


def default_app_version() -> str:
    """Return the version of the distribution that holds `__main__`, or `0.0.0`.

    It reads metadata from disk for some milliseconds: the worker calls it, no
    caller of a logger does. Never raises.
    """
    try:
        from nucleus_logging.distribution import version_of_main

        return version_of_main() or "0.0.0"
    except Exception:  # broken metadata of somebody's package
        return "0.0.0"


def _arguments(app_id: str | None, given: Mapping[str, object]) -> dict[str, object]:
    """Return the options that are really given, known ones all of them."""
    for name in given:
        if name not in OPTIONS:
            raise ConfigurationError(_unknown(name))
    arguments = {"app_id": app_id, **given}
    return {name: value for name, value in arguments.items() if value is not None}


def _unknown(name: str) -> str:
    from difflib import get_close_matches

    # Handlers and processors have two more, which are none of a client's.
    near = get_close_matches(str(name), [*OPTIONS, *{"level", "client"} - {name}], n=1)
    if near:
        return f"unknown option {name!r}: did you mean {near[0]!r}?"
    return f"unknown option {name!r}: must be one of {', '.join(OPTIONS)}"


def _restore(values: Mapping[str, object], given: frozenset[str]) -> Options:
    options = Options.__new__(Options)
    for name, value in values.items():
        object.__setattr__(options, name, value)
    object.__setattr__(options, "given", given)
    return options
