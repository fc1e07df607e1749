"""The table of options and the values resolved from it."""

from __future__ import annotations

import copy
import logging
import pickle
import ssl
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from nucleus_logging.errors import ConfigurationError
from nucleus_logging.options import OPTIONS, Options, level_number

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def _resolve(
    given: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None
) -> Options:
    return Options.resolve("app", given or {}, environ or {})


class TestTable:
    @pytest.mark.parametrize("name", sorted(OPTIONS))
    def test_default_is_allowed(self, name: str) -> None:
        """Giving an option its default explicitly changes nothing."""
        default = OPTIONS[name].default
        if default is not None:
            assert getattr(_resolve({name: default}), name) == default

    @pytest.mark.parametrize("name", sorted(OPTIONS))
    def test_documented(self, name: str) -> None:
        """Every option says what it means, in a line."""
        doc = OPTIONS[name].doc
        assert doc
        assert "\n" not in doc
        assert len(doc) < 120

    def test_attributes(self) -> None:
        """Every option is a typed attribute, and every typed attribute an option or `given`."""
        assert set(Options.__annotations__) == {*OPTIONS, "given"}
        assert len(OPTIONS) == len(set(OPTIONS))

    @pytest.mark.parametrize("name", sorted(OPTIONS))
    def test_any_wrong_type(self, name: str) -> None:
        """No option takes just anything; the error begins with its name."""
        with pytest.raises(ConfigurationError, match=f"^{name}=.* must be "):
            _resolve({name: 1j} if name != "app_id" else {"app_id": 1j})


class TestResolve:
    def test_defaults(self) -> None:
        """With an app id alone, everything is as the documentation says."""
        found = _resolve()
        assert found.app_id == "app"
        assert found.endpoint == "wss://app.nucleus.sh"
        assert found.transport == "auto"
        assert found.error_level == logging.ERROR
        assert (found.queue_size, found.queue_bytes) == (10_000, 16 * 1024 * 1024)
        assert (found.batch_size, found.batch_bytes) == (200, 256 * 1024)
        assert (found.flush_interval, found.ack_timeout) == (0.5, 15.0)
        assert (found.max_in_flight, found.drain_rate) == (2_000, 500.0)
        assert (found.heartbeat_interval, found.session_timeout) == (60.0, 1800.0)
        assert found.max_age == 48 * 3600
        assert found.spool is True
        assert found.shutdown_timeout == 2.0
        assert found.given == {"app_id"}

    def test_order(self) -> None:
        """An argument holds before the environment, and that before the default."""
        environ = {"NUCLEUS_BATCH_SIZE": "5", "NUCLEUS_QUEUE_SIZE": "6"}
        found = _resolve({"batch_size": 4}, environ)
        assert (found.batch_size, found.queue_size, found.max_in_flight) == (4, 6, 2_000)
        assert found.given == {"app_id", "batch_size"}

    def test_none_is_not_given(self) -> None:
        """None as an argument is as if it was not there."""
        found = _resolve({"batch_size": None}, {"NUCLEUS_BATCH_SIZE": "5"})
        assert found.batch_size == 5
        assert "batch_size" not in found.given

    def test_blank_variable(self) -> None:
        """An empty variable is as if it was not there."""
        assert _resolve(None, {"NUCLEUS_BATCH_SIZE": " "}).batch_size == 200

    def test_process_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The process' own environment is the default one."""
        monkeypatch.setenv("NUCLEUS_APP_ID", " from-env\n")
        monkeypatch.setenv("NUCLEUS_ERROR_LEVEL", "warning")
        found = Options.resolve(None, {})
        assert (found.app_id, found.error_level) == ("from-env", logging.WARNING)
        assert found.given == frozenset()

    def test_wrong_variable(self) -> None:
        """A variable that cannot be used is named with its value and what is allowed."""
        with pytest.raises(ConfigurationError) as caught:
            _resolve(None, {"NUCLEUS_SPOOL_LIMIT": "64 MiB"})
        assert str(caught.value).startswith("NUCLEUS_SPOOL_LIMIT='64 MiB': must be a whole number")

    def test_wrong_variable_overridden(self) -> None:
        """A variable that an argument overrides is not even looked at."""
        assert _resolve({"batch_size": 4}, {"NUCLEUS_BATCH_SIZE": "many"}).batch_size == 4

    def test_missing_app_id(self) -> None:
        """Without an app id the error says both ways to give one."""
        with pytest.raises(ConfigurationError, match=r"app_id is missing.*NUCLEUS_APP_ID"):
            Options.resolve(None, {}, {})

    @pytest.mark.parametrize(
        ("name", "near"),
        [
            ("flush_intervall", "flush_interval"),
            ("queuesize", "queue_size"),
            ("ca_files", "ca_file"),
            ("levl", "level"),
            ("clients", "client"),
        ],
    )
    def test_misspelt(self, name: str, near: str) -> None:
        """A misspelt option is answered with the nearest name, even when its value is None."""
        for value in (1, None):
            with pytest.raises(ConfigurationError, match=f"{name!r}: did you mean {near!r}"):
                _resolve({name: value})

    def test_unknown(self) -> None:
        """One that is like none is answered with all of them."""
        with pytest.raises(
            ConfigurationError, match=r"unknown option 'xyzzy': must be one of app_id"
        ):
            _resolve({"xyzzy": 1})

    def test_two_trust_stores(self, tmp_path: Path) -> None:
        """Certificates and a context of one's own contradict each other."""
        (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
        given = {"ca_file": tmp_path / "ca.pem", "ssl_context": ssl.create_default_context()}
        with pytest.raises(ConfigurationError, match="ca_file and ssl_context"):
            _resolve(given)

    def test_crashes_need_a_folder(self) -> None:
        """A dump of a crash must have somewhere to go."""
        with pytest.raises(ConfigurationError, match="capture_crashes=True with spool=False"):
            _resolve({"capture_crashes": True, "spool": False})

    def test_dict_config_shows_the_cause(self) -> None:
        """It is a ValueError, as which `logging.config` passes it on."""
        with pytest.raises(ValueError, match="queue_size=-1: must be a whole number of events"):
            _resolve({"queue_size": -1})


class TestOptions:
    def test_immutable(self) -> None:
        """What a client was made with cannot be changed under it."""
        found = _resolve()
        with pytest.raises(AttributeError, match="batch_size"):
            found.batch_size = 5
        with pytest.raises(AttributeError, match="batch_size"):
            del found.batch_size
        with pytest.raises(AttributeError, match="other"):
            found.other = 5
        assert found.batch_size == 200

    def test_key(self) -> None:
        """Spellings of the same server share a client; other applications do not."""
        one = _resolve({"endpoint": "https://Host:443/"})
        two = _resolve({"endpoint": "wss://host"})
        assert one.key == two.key == ("app", "wss://host")
        assert Options.resolve("other", {"endpoint": "wss://host"}, {}).key != one.key

    def test_urls(self) -> None:
        """The URLs hold the app id, quoted."""
        found = Options.resolve("a/b ?", {"endpoint": "ws://h"}, {})
        assert found.websocket_urls() == (
            "ws://h/a%2Fb%20%3F/",
            "ws://h/app/a%2Fb%20%3F/track",
        )
        assert found.http_url() == "http://h/app/a%2Fb%20%3F/track"

    def test_repr(self) -> None:
        """It shows what is not default, and no secret."""
        text = repr(_resolve({"batch_size": 5, "proxy": "http://user:secret@h:1"}))
        assert text == "Options(app_id='app', batch_size=5, proxy='http://***@h:1')"

    def test_pickle(self) -> None:
        """A spawned child gets the same options, unchangeable too."""
        found = _resolve({"batch_size": 5, "event_name": len, "scrub": ["pin"]})
        for other in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found)):
            assert repr(other) == repr(found)
            assert other.given == found.given
            with pytest.raises(AttributeError):
                other.batch_size = 6

    def test_pickle_with_context(self) -> None:
        """What cannot go to a child says what to do instead."""
        found = _resolve({"ssl_context": ssl.create_default_context()})
        with pytest.raises(TypeError, match="give ca_file instead"):
            pickle.dumps(found)


class TestDifferences:
    def test_same(self) -> None:
        """The same values, in whatever spelling, and what is not given do not differ."""
        mine = _resolve({"endpoint": "wss://h", "flush_interval": 1, "error_level": "WARNING"})
        assert mine.differences({}) == []
        assert mine.differences({"flush_interval": None}) == []
        given = {"endpoint": "https://h/", "flush_interval": 1.0, "error_level": 30}
        assert mine.differences(given) == []

    def test_different(self) -> None:
        """Each difference is a text with both values."""
        mine = _resolve({"batch_size": 7})
        assert mine.differences({"flush_interval": 1, "batch_size": 9}) == [
            "flush_interval: 1.0 here, 0.5 there",
            "batch_size: 9 here, 7 there",
        ]

    def test_no_secrets(self) -> None:
        """Credentials that differ do not show."""
        mine = _resolve({"proxy": "http://u:secret1@h"})
        (text,) = mine.differences({"proxy": "http://u:secret2@h"})
        assert text == "proxy: 'http://***@h' here, 'http://***@h' there"

    def test_wrong(self) -> None:
        """Wrong options are wrong here too."""
        with pytest.raises(ConfigurationError, match="batch_size=0"):
            _resolve().differences({"batch_size": 0})
        with pytest.raises(ConfigurationError, match="did you mean 'batch_size'"):
            _resolve().differences({"batchsize": 1})


class TestLevelNumber:
    def test_level(self) -> None:
        """A handler's level is a number or a name; the error calls it `level`."""
        assert level_number("DEBUG") == logging.DEBUG
        assert level_number(7) == 7
        with pytest.raises(ConfigurationError, match=r"^level='LOUD': "):
            level_number("LOUD")


class TestImports:
    def test_cheap(self) -> None:
        """Resolving the default options imports nothing that costs."""
        code = (
            "import sys; from nucleus_logging.options import Options;"
            "Options.resolve('app', {'queue_size': 5, 'event_name': 'logger'}, {});"
            "print({'ssl', 'difflib', 'importlib.metadata', 'urllib.parse', 'inspect',"
            "'ipaddress', 'dataclasses', 'encodings.idna'} & set(sys.modules))"
        )
        # Isolated: what a site customisation imports is not ours.
        path = [entry for entry in sys.path if entry]
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:] = {path!r}; {code}"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stdout.strip() == "set()"
