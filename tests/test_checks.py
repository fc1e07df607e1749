"""What each kind of option value may be, and the errors people read when it is not."""

from __future__ import annotations

import enum
import fractions
import logging
import os
import re
import ssl
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleus_logging import checks
from nucleus_logging.checks import Check, Option
from nucleus_logging.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

ALL = [
    checks.APP_ID,
    checks.CALLBACK,
    checks.CA_FILE,
    checks.ENDPOINT,
    checks.EVENT_NAME,
    checks.FLAG,
    checks.LEVEL,
    checks.PROXY,
    checks.SCRUB,
    checks.SPOOL,
    checks.SSL_CONTEXT,
    checks.choice("one", "two"),
    checks.number(0.5, 10, "things"),
    checks.seconds(0),
    checks.text(10),
    checks.whole(1, 10, "things"),
]


class Word(str, enum.Enum):
    """A text whose str() is another."""

    ONE = "one"


class BadRepr:
    """A value that cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


def _refused(check: Check, value: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        Option("thing", None, check, "").read(value)
    return str(caught.value)


class TestNumbers:
    @pytest.mark.parametrize("value", [0, 11, True, 1.0, "5", None, 10**400, [1]])
    def test_whole_refuses(self, value: object) -> None:
        """A size is a whole number within its bounds; neither a bool nor a text is one."""
        assert "must be a whole number of things from 1 to 10" in _refused(
            checks.whole(1, 10, "things"), value
        )

    @pytest.mark.parametrize(
        "value",
        [-0.1, float("nan"), float("inf"), -float("inf"), True, "1", 1j, fractions.Fraction(1, 2)],
    )
    def test_number_refuses(self, value: object) -> None:
        """A time is a finite number within its bounds, and not a bool."""
        assert "must be a number of seconds from 0 to 31536000" in _refused(
            checks.seconds(0), value
        )

    def test_number_is_float(self) -> None:
        """A whole number of seconds is a float from then on."""
        found = checks.seconds(0).convert(2)
        assert type(found) is float
        assert found == 2.0

    def test_plain_types(self) -> None:
        """Subclasses of numbers become plain ones."""
        assert type(checks.whole(0, 100, "x").convert(enum.IntEnum("E", "A").A)) is int  # type: ignore[attr-defined]


class TestText:
    @pytest.mark.parametrize("value", ["", "   ", "x" * 11, "a\nb", "\ud800", b"bytes", 5])
    def test_refuses(self, value: object) -> None:
        """A text is printable, not empty and not too long."""
        assert "must be a text of 1 to 10 printable characters" in _refused(checks.text(10), value)

    def test_enum_member(self) -> None:
        """A member of an enum of texts counts as the text that it is."""
        assert checks.text(10).convert(Word.ONE) == "one"
        assert type(checks.choice("one", "two").convert(Word.ONE)) is str

    @pytest.mark.parametrize("value", ["", "three", 1, ["one"]])
    def test_choice_refuses(self, value: object) -> None:
        """A choice is one of its words, and the error lists them."""
        assert "must be one of 'one', 'two'" in _refused(checks.choice("one", "two"), value)

    @pytest.mark.parametrize("value", ["", " app", "app ", ".", "..", "a\0", "x" * 201, 5])
    def test_app_id_refuses(self, value: object) -> None:
        """An app id can stand in a URL's path, and has no blanks around it."""
        assert "must be a text of 1 to 200 printable characters" in _refused(checks.APP_ID, value)


class TestLevel:
    @pytest.mark.parametrize(
        ("value", "number"), [(0, 0), (35, 35), ("ERROR", 40), ("warning", 30), ("NOTSET", 0)]
    )
    def test_accepted(self, value: object, number: int) -> None:
        """A level is a number, or the name of one in either case."""
        assert checks.LEVEL.convert(value) == number

    def test_own_levels(self) -> None:
        """Names registered with addLevelName are names, capitals or not."""
        logging.addLevelName(37, "Notice")
        try:
            assert checks.LEVEL.convert("Notice") == 37
        finally:
            logging._levelToName.pop(37)
            logging._nameToLevel.pop("Notice")

    @pytest.mark.parametrize("value", [True, -1, 10**7, 30.0, "", "LOUD", "Level 30", None])
    def test_refused(self, value: object) -> None:
        """Anything else is none."""
        assert "must be a number from 0, or a level's name" in _refused(checks.LEVEL, value)


class TestFiles:
    def test_ca_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file of certificates is found wherever the process goes later."""
        monkeypatch.chdir(tmp_path)
        (tmp_path / "ca.pem").write_text("# ours\n-----BEGIN CERTIFICATE-----\n")
        assert checks.CA_FILE.convert("ca.pem") == str(tmp_path / "ca.pem")
        assert checks.CA_FILE.convert(tmp_path / "ca.pem") == str(tmp_path / "ca.pem")

    def test_ca_file_refuses(self, tmp_path: Path) -> None:
        """What is missing, a directory, a pipe, or not PEM is refused with the reason."""
        (tmp_path / "ca.der").write_bytes(b"\x30\x82")
        os.mkfifo(tmp_path / "pipe")
        assert "there is no such file" in _refused(checks.CA_FILE, tmp_path / "none")
        assert "there is no such file" in _refused(checks.CA_FILE, tmp_path)
        assert "there is no such file" in _refused(checks.CA_FILE, tmp_path / "pipe")
        assert "no certificate in PEM form" in _refused(checks.CA_FILE, tmp_path / "ca.der")
        for value in ("", "a\0b", 5, b"bytes"):
            assert "must be the path of a readable file" in _refused(checks.CA_FILE, value)

    @pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs Linux' /proc")
    def test_ca_file_unreadable(self) -> None:
        """A file that cannot be read is refused with the system's reason."""
        assert "it cannot be read (Input/output error)" in _refused(
            checks.CA_FILE, "/proc/self/mem"
        )

    def test_spool(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A spool is a flag, or a directory that may be yet to be made."""
        monkeypatch.setenv("HOME", str(tmp_path))
        assert checks.SPOOL.convert(True) is True
        assert checks.SPOOL.convert(False) is False
        assert checks.SPOOL.convert("~/spool") == str(tmp_path / "spool")
        assert checks.SPOOL.convert(tmp_path) == str(tmp_path)
        (tmp_path / "file").touch()
        assert "it is not a directory" in _refused(checks.SPOOL, tmp_path / "file")
        assert "must be True, False or the path of a directory" in _refused(checks.SPOOL, 1)


class TestSSLContext:
    def test_verifying(self) -> None:
        """A context that verifies is taken as it is."""
        context = ssl.create_default_context()
        assert checks.SSL_CONTEXT.convert(context) is context

    def test_not_verifying(self) -> None:
        """Certificates are always verified: a context that does not is refused."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        assert "does not verify certificates" in _refused(checks.SSL_CONTEXT, context)

    def test_without_ssl(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """To refuse something else, ssl is not imported."""
        monkeypatch.delitem(sys.modules, "ssl")
        assert "must be an ssl.SSLContext" in _refused(checks.SSL_CONTEXT, "tls")
        assert "ssl" not in sys.modules


class TestOthers:
    def test_callables(self) -> None:
        """Callbacks are callables; an event's name may also come from a word."""
        assert checks.CALLBACK.convert(len) is len
        assert checks.EVENT_NAME.convert(len) is len
        assert checks.EVENT_NAME.convert("logger") == "logger"
        assert "must be a callable" in _refused(checks.CALLBACK, "len")
        assert "must be 'template', 'logger' or a callable" in _refused(checks.EVENT_NAME, "name")

    def test_scrub_by_other_means(self) -> None:
        """Patterns and callables go with the names, or a callable alone."""
        pattern = re.compile("X-[0-9]+")
        option = Option("scrub", True, checks.SCRUB, "")
        assert option.read([str.lower, "pin", pattern]) == ("pin", str.lower, pattern)
        assert option.read(str.lower) == (str.lower,)

    def test_scrub(self) -> None:
        """Scrubbing is a flag, or names to scrub besides: each once, in a fixed order."""
        assert checks.SCRUB.convert(False) is False
        assert checks.SCRUB.convert(["pin", "iban", "pin "]) == ("iban", "pin")
        assert checks.SCRUB.convert({"pin"}) == ("pin",)
        for value in ("pin", ["pin", 5], [""], {"pin": 1}, 1):
            assert "must be True, False, or a list of names" in _refused(checks.SCRUB, value)

    def test_proxy(self) -> None:
        """False is no proxy at all, which is something else than no option."""
        assert checks.PROXY.convert(False) == ""
        assert checks.PROXY.convert("socks5://h") == "socks5://h"
        assert "must be an http, socks5 or socks5h URL" in _refused(checks.PROXY, True)

    @pytest.mark.parametrize("check", ALL)
    @given(
        value=st.one_of(
            st.none(),
            st.booleans(),
            st.integers(),
            st.floats(),
            st.text(max_size=20),
            st.binary(max_size=5),
            st.complex_numbers(),
            st.lists(st.integers() | st.text(max_size=3), max_size=3),
            st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
        )
    )
    def test_any_value(self, check: Check, value: object) -> None:
        """Any value is either used or refused with a ConfigurationError, never anything else."""
        option = Option("thing", None, check, "", private=True)
        for read in (option.read, option.read_text):
            if read == option.read_text and not isinstance(value, str):
                continue
            refusal = ""
            try:
                read(value)  # type: ignore[arg-type]
            except ConfigurationError as error:
                refusal = str(error)
            assert not refusal or f"must be {check.allowed}" in refusal


class TestEnvironmentText:
    @pytest.mark.parametrize(
        ("check", "text", "value"),
        [
            (checks.FLAG, "1", True),
            (checks.FLAG, "Yes", True),
            (checks.FLAG, "on", True),
            (checks.FLAG, "FALSE", False),
            (checks.FLAG, "no", False),
            (checks.FLAG, "off", False),
            (checks.FLAG, "0", False),
            (checks.whole(1, 10_000, "x"), "10_000", 10_000),
            (checks.seconds(0), "0.25", 0.25),
            (checks.LEVEL, "30", 30),
            (checks.LEVEL, "error", 40),
            (checks.choice("one", "two"), "TWO", "two"),
            (checks.SPOOL, "off", False),
            (checks.SPOOL, "true", True),
            (checks.SPOOL, "/var/spool", "/var/spool"),
            (checks.SCRUB, "no", False),
            (checks.SCRUB, "pin, iban", ("iban", "pin")),
            (checks.SAMPLE_RATE, "0.25", 0.25),
            (checks.SAMPLE_RATE, "DEBUG=0, info = 0.5", {"debug": 0.0, "info": 0.5}),
            (checks.names("a", "b"), "b, a", ("b", "a")),
            (checks.PROXY, "false", ""),
            (checks.PROXY, "http://h", "http://h"),
            (checks.EVENT_NAME, "logger", "logger"),
        ],
    )
    def test_parsed(self, check: Check, text: str, value: object) -> None:
        """A variable's text is read by the option's type."""
        found = Option("thing", None, check, "").read_text(text)
        assert found == value
        assert type(found) is type(value)

    @pytest.mark.parametrize(
        ("check", "text"),
        [
            (checks.FLAG, "perhaps"),
            (checks.whole(1, 10, "x"), "1.5"),
            (checks.whole(1, 10, "x"), "11"),
            (checks.seconds(0), "nan"),
            (checks.seconds(0), "soon"),
            (checks.SCRUB, "pin,,"),
            (checks.SAMPLE_RATE, "1.5"),
            (checks.SAMPLE_RATE, "info=often"),
            (checks.SAMPLE_RATE, "info=0.5=1"),
            (checks.names("a", "b"), "a,c"),
            (checks.PROXY, "true"),
            (checks.CALLBACK, "len"),
            (checks.SSL_CONTEXT, "x"),
        ],
    )
    def test_refused(self, check: Check, text: str) -> None:
        """What cannot be read is refused, and the error names the variable."""
        with pytest.raises(ConfigurationError) as caught:
            Option("thing", None, check, "").read_text(text)
        assert str(caught.value).startswith(f"NUCLEUS_THING={text!r}: ")
        assert f"must be {check.allowed}" in str(caught.value)


class TestShow:
    def test_short(self) -> None:
        """A long value is cut."""
        shown = Option("thing", None, checks.text(10), "").show("x" * 1000)
        assert len(shown) == 80
        assert shown.endswith("…")

    def test_unshowable(self) -> None:
        """A value whose repr fails is named by its type, a huge number too."""
        option = Option("thing", None, checks.text(10), "")
        assert option.show(BadRepr()) == "<BadRepr>"
        # Python 3.10 has no limit to the digits that it shows; 3.10.7 and later do.
        assert option.show(10**5000) == "<int>" or not hasattr(sys, "set_int_max_str_digits")

    def test_private(self) -> None:
        """A private option's value never shows its secrets, whatever its type."""
        option = Option("proxy", None, checks.PROXY, "", private=True)
        assert option.show("http://user:secret@host:1") == "'http://***@host:1'"
        assert option.show({"https": "http://user:secret@host"}) == "<dict>"
        assert option.show(None) == "None"
        assert option.show(False) == "False"
        for value in ("ftp://user:secret@h", {"x": "http://u:secret@h"}, ["user:secret@h"]):
            assert "secret" not in _refused_by(option, value)

    def test_no_cause(self) -> None:
        """The refusal's own cause, which may quote the value, is not shown with it."""
        with pytest.raises(ConfigurationError) as caught:
            Option("proxy", None, checks.PROXY, "", private=True).read("http://u:secret@h:x")
        assert caught.value.__suppress_context__


def _refused_by(option: Option, value: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        option.read(value)
    return str(caught.value)
