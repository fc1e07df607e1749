"""What an option is, and what a value given for one may be.

A `Check` is one kind of value: what is allowed, in words for the error, and two
functions. `parse` reads it from an environment variable's text; `convert`
takes what a caller or `parse` gave, and returns the value to use or raises
ValueError, whose text, if any, says what is wrong. Types are strict (a bool is
no size, a text no number): a configuration that means something else than it
says is found when it is loaded. An `Option` has a name, a default and a check,
and turns a refusal into the error that people read. `options` builds its table
from these.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

from nucleus_logging import endpoint
from nucleus_logging.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "APP_ID",
    "CALLBACK",
    "CA_FILE",
    "ENDPOINT",
    "EVENT_NAME",
    "FLAG",
    "LEVEL",
    "PROXY",
    "SAMPLE_RATE",
    "SCRUB",
    "SPOOL",
    "SSL_CONTEXT",
    "Check",
    "Option",
    "choice",
    "names",
    "number",
    "seconds",
    "text",
    "whole",
]

YEAR = 365 * 24 * 3600.0  # seconds; more than any wait, less than what a platform's timers take
_HIGHEST_LEVEL = 1_000_000
_YES = frozenset({"1", "true", "yes", "on"})
_NO = frozenset({"0", "false", "no", "off"})
_CA_BYTES = 16 * 1024 * 1024
_SHOWN = 80


class Option:
    """One option: a row of the table in `options`.

    Args:
        name: The keyword argument's name.
        default: The value when neither argument nor environment give one.
        check: What a given value may be.
        doc: What it means, with its unit, in a few words.
        private: Whether a value is shown masked.
    """

    __slots__ = ("check", "default", "doc", "name", "private")

    def __init__(
        self, name: str, default: object, check: Check, doc: str, private: bool = False
    ) -> None:
        self.name = name
        self.default = default
        self.check = check
        self.doc = doc
        self.private = private

    def __repr__(self) -> str:
        return f"<Option {self.name}>"

    @property
    def variable(self) -> str:
        """The name of its environment variable."""
        return f"NUCLEUS_{self.name.upper()}"

    def read(self, value: object) -> object:
        """Return the value to use for one given as an argument.

        Raises:
            ConfigurationError: It cannot be used. The text names the option,
                the value and what is allowed; so does that of `read_text`.
        """
        return self._converted(value, f"{self.name}={self.show(value)}")

    def read_text(self, text: str) -> object:
        """Return the value to use for one given as text in the environment."""
        label = f"{self.variable}={self.show(text)}"
        try:
            value = self.check.parse(text)
        except ValueError:  # its text would quote the value, private or not
            raise ConfigurationError(f"{label}: must be {self.check.allowed}") from None
        return self._converted(value, label)

    def show(self, value: object) -> str:
        """Return a value as an error may show it: short, and without secrets."""
        if self.private and isinstance(value, str):
            value = endpoint.mask(value)
        elif self.private and not (value is None or isinstance(value, (bool, int, float))):
            return f"<{type(value).__name__}>"
        try:
            shown = repr(value)
        except Exception:  # a repr that fails, or a number of too many digits
            return f"<{type(value).__name__}>"
        return shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 1]}…"

    def _converted(self, value: object, label: str) -> object:
        try:
            return self.check.convert(value)
        except ValueError as error:
            why = f"{error}; " if error.args else ""
            raise ConfigurationError(f"{label}: {why}must be {self.check.allowed}") from None


class Check:
    """One kind of value.

    Args:
        allowed: What is allowed, to follow "must be".
        convert: Checks a value and returns the one to use; raises ValueError.
        parse: Reads a value from text, for `convert`; raises ValueError.
            Default: the text itself.
    """

    __slots__ = ("allowed", "convert", "parse")

    def __init__(
        self,
        allowed: str,
        convert: Callable[[object], object],
        parse: Callable[[str], object] = str,
    ) -> None:
        self.allowed = allowed
        self.convert = convert
        self.parse = parse


def whole(low: int, high: int, unit: str) -> Check:
    """Return the check for a whole number of `unit`, both bounds included."""

    def convert(value: object) -> object:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError
        return int(value)

    return Check(f"a whole number of {unit} from {low} to {high}", convert, int)


def number(low: float, high: float, unit: str) -> Check:
    """Return the check for a number of `unit`, whole or not, both bounds included."""

    def convert(value: object) -> object:
        # Not a number is not between any two.
        if (
            not isinstance(value, (int, float))
            or isinstance(value, bool)
            or not low <= value <= high
        ):
            raise ValueError
        return float(value)

    return Check(f"a number of {unit} from {low:g} to {high:.10g}", convert, float)


def seconds(low: float) -> Check:
    """Return the check for a time in seconds, from `low` to a year."""
    return number(low, YEAR, "seconds")


def text(limit: int) -> Check:
    """Return the check for a text of printable characters, not only blanks."""

    def convert(value: object) -> object:
        value = _str(value)
        if not value.strip() or len(value) > limit or not value.isprintable():
            raise ValueError
        return value

    return Check(f"a text of 1 to {limit} printable characters", convert)


def choice(*names: str) -> Check:
    """Return the check for one of some words."""

    def convert(value: object) -> object:
        word = _str(value)
        if word not in names:
            raise ValueError
        return word

    return Check(f"one of {', '.join(map(repr, names))}", convert, str.lower)


def names(*known: str) -> Check:
    """Return the check for any of some words, in the order given; in text with commas between."""

    def convert(value: object) -> object:
        if not isinstance(value, (list, tuple)):
            raise ValueError
        found = tuple(_str(name) for name in value)
        if not set(found) <= set(known):
            raise ValueError
        return found

    def parse(value: str) -> object:
        return [name.strip() for name in value.split(",")]

    return Check(f"a list of {', '.join(map(repr, known))}", convert, parse)


def _str(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    # What it holds: an enum member that is also a text has another idea of str().
    return str.__str__(value)


def _flag(value: object) -> object:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _parse_flag(value: str) -> object:
    word = value.lower()
    return True if word in _YES else False if word in _NO else value


def _level(value: object) -> object:
    if isinstance(value, str):
        # Both spellings: names registered with addLevelName need not be in capitals.
        for name in (value, value.upper()):
            found: object = logging.getLevelName(name)
            if isinstance(found, int):
                return found
        raise ValueError("there is no level of that name")
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _HIGHEST_LEVEL:
        raise ValueError
    return int(value)


def _parse_level(value: str) -> object:
    return int(value) if value.isdecimal() else value


def _app_id(value: object) -> object:
    value = text(200).convert(value)
    # Dots alone would be a relative path.
    if not isinstance(value, str) or value != value.strip() or not value.strip("."):
        raise ValueError
    return value


def _callback(value: object) -> object:
    if not callable(value):
        raise ValueError
    return value


def _event_name(value: object) -> object:
    if callable(value) or (isinstance(value, str) and value in ("template", "logger")):
        return value
    raise ValueError


def _endpoint(value: object) -> object:
    return endpoint.normalise(_str(value))


def _proxy(value: object) -> object:
    if value is False or value == "":
        return ""
    return endpoint.proxy_url(_str(value))


def _ca_file(value: object) -> object:
    path = _path(value)
    if not os.path.isfile(path):  # before opening: a named pipe would block
        raise ValueError("there is no such file")
    try:
        with open(path, "rb") as file:
            found = b"-----BEGIN " in file.read(_CA_BYTES)
    except OSError as error:
        raise ValueError(f"it cannot be read ({error.strerror})") from None
    if not found:
        raise ValueError("it holds no certificate in PEM form")
    return path


def _ssl_context(value: object) -> object:
    ssl = sys.modules.get("ssl")  # not imported yet: then this cannot be one of its contexts
    if ssl is None or not isinstance(value, ssl.SSLContext):
        raise ValueError
    if value.verify_mode != ssl.CERT_REQUIRED:
        raise ValueError("it does not verify certificates")
    return value


def _spool(value: object) -> object:
    if isinstance(value, bool):
        return value
    path = _path(value)
    if os.path.exists(path) and not os.path.isdir(path):
        raise ValueError("it is not a directory")
    return path


def _path(value: object) -> str:
    try:
        path = os.fspath(value)  # type: ignore[call-overload]  # checked by trying
    except TypeError:
        raise ValueError from None
    if not isinstance(path, str) or not path.strip() or "\0" in path:
        raise ValueError
    # Absolute: the application may change its directory before the worker opens it.
    return os.path.abspath(os.path.expanduser(str.__str__(path)))


def _scrub(value: object) -> object:
    if isinstance(value, bool):
        return value
    if callable(value):
        return (value,)
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise ValueError
    # Not imported yet: then nothing can be one of its patterns.
    re = sys.modules.get("re")
    words, others = set(), []
    for one in value:
        if callable(one) or (re is not None and isinstance(one, re.Pattern)):
            others.append(one)
        else:
            words.add(_str(one).strip())
    if not all(words):
        raise ValueError
    return (*sorted(words), *others)


def _parse_scrub(value: str) -> object:
    flag = _parse_flag(value)
    return flag if isinstance(flag, bool) else [name.strip() for name in value.split(",")]


def _sample_rate(value: object) -> object:
    part = number(0, 1, "events").convert
    if isinstance(value, dict):
        return {_str(level).lower(): part(rate) for level, rate in value.items()}
    return part(value)


def _parse_sample_rate(value: str) -> object:
    if "=" not in value:
        return float(value)
    pairs = [one.split("=") for one in value.split(",")]
    return {level.strip(): float(rate) for level, rate in pairs}


APP_ID = Check("a text of 1 to 200 printable characters, without blanks around it", _app_id)
CALLBACK = Check("a callable, by argument alone", _callback)
CA_FILE = Check("the path of a readable file of certificates in PEM form", _ca_file)
ENDPOINT = Check(
    "a ws, wss, http or https URL, such as 'wss://host' or 'wss://host/path/{app_id}'", _endpoint
)
EVENT_NAME = Check("'template', 'logger' or a callable, this one by argument alone", _event_name)
FLAG = Check("True or False", _flag, _parse_flag)
LEVEL = Check("a number from 0, or a level's name such as 'ERROR'", _level, _parse_level)
PROXY = Check("an http, socks5 or socks5h URL, or False for none at all", _proxy, _parse_flag)
SAMPLE_RATE = Check(
    "a number from 0 to 1, or such numbers by level name", _sample_rate, _parse_sample_rate
)
SCRUB = Check(
    "True, False, or a list of names, compiled patterns and callables besides the usual",
    _scrub,
    _parse_scrub,
)
SPOOL = Check("True, False or the path of a directory", _spool, _parse_flag)
SSL_CONTEXT = Check("an ssl.SSLContext that verifies certificates, by argument alone", _ssl_context)
