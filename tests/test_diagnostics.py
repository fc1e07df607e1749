"""The package's own voice: stderr, only on request, harmless."""

from __future__ import annotations

import io
import logging
import sys

import pytest

from nucleus_logging.diagnostics import Diagnostics


class TestSay:
    def test_silent_by_default(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Without debug nothing is written."""
        Diagnostics(False).say("hello")
        assert capsys.readouterr() == ("", "")

    def test_one_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        """With debug a text is one line on stderr, with our name in front."""
        Diagnostics(True).say("connected to ünïcode")
        assert capsys.readouterr() == ("", "nucleus_logging: connected to ünïcode\n")

    def test_once(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A key is said once; other keys, and texts without one, are said each time."""
        diagnostics = Diagnostics(True)
        for _ in range(2):
            diagnostics.say("disk full", once="disk")
            diagnostics.say("tick")
        diagnostics.say("other", once="other")
        lines = capsys.readouterr().err.splitlines()
        assert lines == [
            "nucleus_logging: disk full",
            "nucleus_logging: tick",
            "nucleus_logging: tick",
            "nucleus_logging: other",
        ]

    def test_keys_are_bounded(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Keys made from server input cannot fill the memory."""
        diagnostics = Diagnostics(True)
        for number in range(1000):
            diagnostics.say("x", once=str(number))
        assert len(capsys.readouterr().err.splitlines()) == 256

    def test_hostile_text(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Line breaks, escapes and lone surrogates are shown, not obeyed."""
        Diagnostics(True).say("a\nb\x1b[2J\u2028\ud800é")
        assert capsys.readouterr().err == "nucleus_logging: a\\nb\\x1b[2J\\u2028\\ud800é\n"

    def test_long_text(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A huge text is cut and says so."""
        Diagnostics(True).say("y" * 1_000_000)
        line = capsys.readouterr().err
        assert len(line) < 2100
        assert line.endswith("…\n")


class _Closed(io.StringIO):
    def write(self, text: str, /) -> int:
        raise OSError(32, "Broken pipe")


class TestNeverRaises:
    @pytest.mark.parametrize("stream", [None, _Closed()])
    def test_stderr_gone(self, stream: object, monkeypatch: pytest.MonkeyPatch) -> None:
        """A missing or broken stderr is nobody's problem."""
        monkeypatch.setattr(sys, "stderr", stream)
        Diagnostics(True).say("hello")

    def test_stderr_closed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nor is a closed one."""
        stream = io.StringIO()
        stream.close()
        monkeypatch.setattr(sys, "stderr", stream)
        Diagnostics(True).say("hello")

    def test_stderr_that_logs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A stderr that is sent through logging, back to us, does not go round in circles."""
        diagnostics = Diagnostics(True)
        seen: list[str] = []

        class Loud(logging.Handler):
            def handle(self, record: logging.LogRecord) -> bool:
                seen.append(record.getMessage())
                diagnostics.say("saw a record")
                return True

        logger = logging.getLogger("test_diagnostics.stderr")
        logger.propagate = False
        monkeypatch.setattr(logger, "handlers", [Loud()])

        class Redirect(io.StringIO):
            def write(self, text: str, /) -> int:
                logger.warning(text)
                return len(text)

        monkeypatch.setattr(sys, "stderr", Redirect())
        diagnostics.say("hello")
        assert seen == ["nucleus_logging: hello\n"]

    def test_not_through_logging(self, caplog: pytest.LogCaptureFixture) -> None:
        """Nothing of ours goes through the logging system."""
        with caplog.at_level(logging.DEBUG):
            Diagnostics(True).say("hello")
        assert caplog.records == []
