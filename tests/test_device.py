"""Facts about the machine, and the ids that are kept for it."""

from __future__ import annotations

import _locale
import base64
import os
import re
import socket
import stat
import subprocess
import sys
from pathlib import Path

import machineid
import platformdirs
import psutil
import pytest

from nucleus_logging import device

NANOID = re.compile(r"[A-Za-z0-9_-]{12}")
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_unkept", {})


def _python(code: str, **environ: str) -> str:
    """Run code in an interpreter of its own with only these variables besides the path."""
    wanted = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), **environ}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=wanted,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


class TestDeviceFacts:
    def test_forms(self) -> None:
        """Each fact has the protocol's type: totalRam is a whole number, the others are text."""
        facts = device.device_facts()
        assert facts["client"] == "python"
        assert {"platform", "osVersion", "totalRam", "arch"} <= facts.keys()
        assert isinstance(facts.pop("totalRam"), int)
        assert all(isinstance(fact, str) and fact for fact in facts.values())

    def test_nobody_is_named(self) -> None:
        """Neither the host's name nor the account's is among the facts."""
        facts = "\n".join(map(str, device.device_facts().values()))
        host = socket.gethostname()
        assert len(host) < 4 or host not in facts
        assert str(Path.home()) not in facts

    def test_a_failing_fact_is_left_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A fact that cannot be had costs that fact and no other."""

        def fail(*_: object) -> int:
            raise OSError("no /proc here")

        monkeypatch.setattr(os, "sysconf", fail)
        monkeypatch.setattr(psutil, "virtual_memory", fail)
        facts = device.device_facts()
        assert "totalRam" not in facts
        assert "platform" in facts

    def test_memory_that_the_system_does_not_tell(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the system has no such question psutil is asked, with the same answer."""
        told = device.device_facts()["totalRam"]
        monkeypatch.delattr(os, "sysconf")
        assert device.device_facts()["totalRam"] == told

    def test_missing_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A library that is not there costs its facts and no others."""
        monkeypatch.setattr(os, "sysconf", lambda name: int("not told"))
        monkeypatch.setitem(sys.modules, "psutil", None)
        monkeypatch.setitem(sys.modules, "platform", None)
        facts = device.device_facts()
        assert not {"totalRam", "platform", "arch"} & facts.keys()
        assert facts["client"] == "python"

    @pytest.mark.parametrize(
        ("variables", "language"),
        [
            ({"LANG": "C"}, "None"),
            ({"LANG": "C.UTF-8"}, "None"),
            ({"LC_ALL": "POSIX"}, "None"),
            ({}, "None"),
            ({"LANG": "xx_YY.UTF-8"}, "xx-YY"),
            ({"LANG": "de.UTF-8@euro"}, "de"),
            ({"LC_ALL": "C", "LANG": "xx_YY.UTF-8"}, "None"),
        ],
    )
    def test_language(self, variables: dict[str, str], language: str) -> None:
        """The language is what the user's variables say, and absent under C and POSIX."""
        code = (
            "from nucleus_logging.device import device_facts as f; facts = f();"
            "assert facts.get('language') == facts.get('locale'); print(facts.get('language'))"
        )
        assert _python(code, **variables) == language

    @pytest.mark.parametrize(
        ("raw", "language"),
        [("en_US.UTF-8", "en-US"), ("es_419", "es-419"), ("fr", "fr"), ("UTF-8", None)],
    )
    def test_language_of_the_locale(
        self, raw: str, language: str | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The process' locale comes first, in the form that the protocol has for it."""
        monkeypatch.setattr(_locale, "setlocale", lambda category: raw)
        for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
            monkeypatch.delenv(name, raising=False)
        assert device.device_facts().get("language") == language

    def test_imports_nothing_early(self) -> None:
        """Importing the module imports none of the libraries behind the facts."""
        code = (
            "import sys, nucleus_logging.device;"
            "print({'psutil', 'machineid', 'platformdirs'} & set(sys.modules))"
        )
        assert _python(code) == "set()"

    @pytest.mark.skipif(sys.platform != "linux", reason="elsewhere libraries have to find out")
    def test_imports_nothing_large(self, tmp_path: Path) -> None:
        """On Linux facts and ids come without what takes memory for other systems' sake."""
        (tmp_path / "id").write_text("0123456789abcdef" * 2)
        code = (
            # platform is small, but takes subprocess along up to 3.10.
            "import platform, sys; before = set(sys.modules); from nucleus_logging import device;"
            f"device._MACHINE_ID_FILES = ({str(tmp_path / 'id')!r},);"
            "device.device_facts(); device.device_id('app'); device.state_directory();"
            "print({'psutil', 'machineid', 'platformdirs', 'locale', 'subprocess', 'pathlib',"
            "'tempfile', 'random'} & set(sys.modules) - before)"
        )
        assert _python(code) == "set()"


class TestDeviceId:
    def test_form(self) -> None:
        """It is 22 characters that decode to 128 bits."""
        value = device.device_id("app")
        assert len(value) == 22
        assert len(base64.urlsafe_b64decode(value + "==")) == 16

    def test_stable_and_per_application(self, tmp_path: Path) -> None:
        """It is the same at every call, and another one for another application."""
        first = device.device_id("one", tmp_path)
        assert device.device_id("one", tmp_path) == first
        assert device.device_id("two", tmp_path) != first

    def test_machine_id_does_not_show(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Neither the machine's id nor a kept one is in it, nor its plain hash."""
        _machine_id_is("0123456789abcdef" * 2, monkeypatch, tmp_path / "id")
        value = device.device_id("app", tmp_path)
        assert "0123456789abcdef" not in value
        assert list(tmp_path.iterdir()) == [tmp_path / "id"]
        assert value != device.device_id("other", tmp_path)

    def test_machine_id_is_what_the_library_says(self) -> None:
        """The files that are read here are those that the library would have read."""
        try:
            known = machineid.id()
        except machineid.MachineIdNotFound:
            pytest.skip("this machine has no id")
        assert device._machine_id() == known

    @pytest.mark.parametrize("first", ["", None, b"\xff\xfe"])
    def test_second_file(
        self, first: str | bytes | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """A file that is empty, missing or damaged is as good as none; the next one counts."""
        if first is not None:
            (tmp_path / "1").write_bytes(first if isinstance(first, bytes) else first.encode())
        (tmp_path / "2").write_text("0123456789abcdef\n")
        monkeypatch.setattr(device, "_MACHINE_ID_FILES", (str(tmp_path / "1"), str(tmp_path / "2")))
        monkeypatch.setattr(machineid, "id", lambda: "asked the library")
        assert device._machine_id() == "0123456789abcdef"

    @pytest.mark.parametrize("answer", ["", "uninitialized", "short"])
    def test_without_machine_id(
        self, answer: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """A machine without an id of its own gets a random one, which is kept."""
        monkeypatch.setattr(device, "_MACHINE_ID_FILES", ())
        monkeypatch.setattr(machineid, "id", lambda: answer)
        first = device.device_id("app", tmp_path)
        assert device.device_id("app", tmp_path) == first
        assert device.device_id("app", tmp_path / "other") != first
        assert len(first) == 22

    def test_machine_id_fails(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A library that raises is as good as no id; the user's state directory keeps one."""

        def fail() -> str:
            raise machineid.MachineIdNotFound("none")

        monkeypatch.setattr(device, "_MACHINE_ID_FILES", ())
        monkeypatch.setattr(machineid, "id", fail)
        value = device.device_id("app")
        directory = device.state_directory()
        assert directory is not None
        assert Path(directory, "machine-id").exists()
        assert device.device_id("app") == value

    def test_odd_app_id(self) -> None:
        """An app id of any characters gives an id."""
        assert len(device.device_id("\ud800ü\0")) == 22


class TestAnonId:
    def test_kept(self, tmp_path: Path) -> None:
        """It is 12 nanoid characters, the same for ever, in a file for its owner alone."""
        place = tmp_path / "a" / "state"
        value = device.anon_id(place)
        assert NANOID.fullmatch(value)
        assert device.anon_id(place) == value
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
        assert [path.name for path in place.iterdir()] == ["anon-id"]
        assert stat.S_IMODE((place / "anon-id").stat().st_mode) == 0o600

    def test_installations_differ(self, tmp_path: Path) -> None:
        """Two installations have two ids."""
        assert device.anon_id(tmp_path / "a") != device.anon_id(tmp_path / "b")

    def test_processes_agree(self, tmp_path: Path) -> None:
        """Processes that make it at the same moment all have the same one."""
        assert len(_race(tmp_path / "state")) == 1

    def test_processes_agree_on_a_damaged_one(self, tmp_path: Path) -> None:
        """So do processes that find it damaged at the same moment."""
        (tmp_path / "anon-id").write_bytes(b"\0\0\0")
        found = _race(tmp_path)
        assert len(found) == 1
        assert NANOID.fullmatch(found.pop())

    @pytest.mark.parametrize(
        "content",
        [b"", b"\0" * 12, b"torn-by-a-cr", b"with blank \n", b"\xff\xfe\n", b"x" * 5000],
    )
    def test_damaged(self, content: bytes, tmp_path: Path) -> None:
        """What does not hold an id, a whole line, is replaced by one."""
        path = tmp_path / "anon-id"
        path.write_bytes(content)
        value = device.anon_id(tmp_path)
        assert NANOID.fullmatch(value)
        assert device.anon_id(tmp_path) == value
        assert path.read_bytes() == value.encode() + b"\n"

    def test_readable_by_others(self, tmp_path: Path) -> None:
        """A file that others could read no longer is."""
        path = tmp_path / "anon-id"
        path.write_bytes(b"abcdefghijkl\n")
        path.chmod(0o644)
        assert device.anon_id(tmp_path) == "abcdefghijkl"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    @pytest.mark.skipif(IS_ROOT, reason="root may read everything")
    def test_unreadable(self, tmp_path: Path) -> None:
        """A file that cannot be read is replaced."""
        path = tmp_path / "anon-id"
        path.write_bytes(b"abcdefghijkl\n")
        path.chmod(0)
        value = device.anon_id(tmp_path)
        assert value != "abcdefghijkl"
        assert device.anon_id(tmp_path) == value

    def test_named_pipe(self, tmp_path: Path) -> None:
        """A pipe in its place blocks nobody, and is replaced."""
        os.mkfifo(tmp_path / "anon-id")
        value = device.anon_id(tmp_path)
        assert device.anon_id(tmp_path) == value
        assert (tmp_path / "anon-id").is_file()

    def test_directory_in_its_place(self, tmp_path: Path) -> None:
        """What cannot be replaced leaves the process with an id of its own, and no litter."""
        (tmp_path / "anon-id").mkdir()
        value = device.anon_id(tmp_path)
        assert NANOID.fullmatch(value)
        assert device.anon_id(tmp_path) == value
        assert [path.name for path in tmp_path.iterdir()] == ["anon-id"]

    def test_no_hard_links(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """On a file system without hard links it is kept all the same."""

        def refuse(source: object, target: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
        value = device.anon_id(tmp_path)
        assert device.anon_id(tmp_path) == value
        assert [path.name for path in tmp_path.iterdir()] == ["anon-id"]

    def test_a_file_that_does_not_keep(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A directory that loses what is written to it does not hold up the process."""
        monkeypatch.setattr(os, "link", lambda source, target: None)
        assert NANOID.fullmatch(device.anon_id(tmp_path))

    @pytest.mark.parametrize("place", [None, Path("/dev/null/state"), Path("a\0b")])
    def test_nowhere_to_keep_it(self, place: Path | None) -> None:
        """Without a writable directory it lives as long as the process."""
        value = device.anon_id(place)
        assert NANOID.fullmatch(value)
        assert device.anon_id(place) == value


class TestKeepAnonId:
    def test_replaces(self, tmp_path: Path) -> None:
        """What the server assigned is the installation's id from then on."""
        device.anon_id(tmp_path)
        assert device.keep_anon_id(tmp_path, "assigned-by-server")
        assert device.anon_id(tmp_path) == "assigned-by-server"
        assert stat.S_IMODE((tmp_path / "anon-id").stat().st_mode) == 0o600
        assert len(list(tmp_path.iterdir())) == 1

    def test_first(self, tmp_path: Path) -> None:
        """It may come before there is a directory."""
        assert device.keep_anon_id(tmp_path / "new", "x")
        assert device.anon_id(tmp_path / "new") == "x"

    @pytest.mark.parametrize("value", ["", "two words", "line\nbreak", "é", "\ud800", "x" * 65])
    def test_unusable(self, value: str, tmp_path: Path) -> None:
        """What could not be read back is not taken."""
        mine = device.anon_id(tmp_path)
        assert not device.keep_anon_id(tmp_path, value)
        assert device.anon_id(tmp_path) == mine

    @pytest.mark.parametrize("place", [None, Path("/dev/null/state"), Path("a\0b")])
    def test_nowhere_to_keep_it(self, place: Path | None) -> None:
        """Without a writable directory it holds for this process."""
        assert not device.keep_anon_id(place, "assigned")
        assert device.anon_id(place) == "assigned"

    def test_no_longer_writable(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What cannot replace the kept one holds for this process, and the kept one afterwards."""
        mine = device.anon_id(tmp_path)

        def refuse(source: object, target: object) -> None:
            raise OSError(30, "Read-only file system")

        monkeypatch.setattr(os, "replace", refuse)
        assert not device.keep_anon_id(tmp_path, "assigned")
        assert device.anon_id(tmp_path) == "assigned"
        monkeypatch.setattr(device, "_unkept", {})
        assert device.anon_id(tmp_path) == mine


class TestStateDirectory:
    def test_follows_the_environment(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """It is where the platform keeps such things, and is not made by asking."""
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        monkeypatch.setenv("HOME", str(tmp_path))
        found = device.state_directory()
        assert found is not None
        assert Path(found).name == "nucleus-logging"
        assert tmp_path in Path(found).parents
        assert not Path(found).exists()

    @pytest.mark.parametrize("state", [None, "", "/somewhere/state"])
    def test_is_what_the_library_says(
        self, state: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """It is where `platformdirs` would have it, with the variable and without it."""
        monkeypatch.setenv("HOME", str(tmp_path))
        if state is None:
            monkeypatch.delenv("XDG_STATE_HOME", raising=False)
        else:
            monkeypatch.setenv("XDG_STATE_HOME", state)
        expected = platformdirs.user_state_dir("nucleus-logging", appauthor=False)
        assert device.state_directory() == expected

    def test_relative(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """A relative path in the variable is ignored, as its specification demands."""
        monkeypatch.setattr(sys, "platform", "linux")
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("XDG_STATE_HOME", "state")
        assert device.state_directory() == str(tmp_path / ".local/state/nucleus-logging")

    @pytest.mark.parametrize("answer", ["~/.local/state", RuntimeError("no home")])
    @pytest.mark.parametrize("system", ["linux", "darwin"])
    def test_no_home(
        self, system: str, answer: str | Exception, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A user without a home has none; nothing is written relative to where we are."""

        def ask(*names: object, **options: object) -> str:
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.delenv("XDG_STATE_HOME", raising=False)
        monkeypatch.setattr(os.path, "expanduser", ask)
        monkeypatch.setattr(platformdirs, "user_state_dir", ask)
        monkeypatch.setattr(sys, "platform", system)
        assert device.state_directory() is None


def _machine_id_is(value: str, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    path.write_text(value)
    monkeypatch.setattr(device, "_MACHINE_ID_FILES", (str(path),))


def _race(place: Path) -> set[str]:
    """Ask for the anonymous id in several processes at once; return the answers."""
    code = (
        "import sys, pathlib; from nucleus_logging.device import anon_id;"
        "print(flush=True); sys.stdin.readline(); print(anon_id(pathlib.Path(sys.argv[1])))"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(place)],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    try:
        for racer in racers:
            assert racer.stdout is not None
            racer.stdout.readline()  # it is ready
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("\n")
            racer.stdin.flush()
        return {racer.communicate(timeout=60)[0].strip() for racer in racers}
    finally:
        for racer in racers:
            racer.kill()
            racer.wait()
