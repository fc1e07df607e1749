"""Where events come from: facts about the machine, and ids for it that tell nobody whose it is.

The worker gathers the facts once; they go out with `init` and errors (PROTOCOL,
"What we send"). Ids are hashes or random: no host name, user name, serial or
MAC address leaves. What is random is kept in the user's state directory, a
file of one line for each, readable by its owner alone; without a writable
directory it lives as long as the process. Nothing here raises or logs, and
every library is imported where it is used: none of this may cost a caller.
"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Directory = str | os.PathLike[str]

__all__ = ["VERSION", "anon_id", "device_facts", "device_id", "keep_anon_id", "state_directory"]

#: As in setup.cfg: asking the distribution for it takes 1.5 MB of memory.
VERSION = "0.1.0"

_ANON_FILE = "anon-id"
_MACHINE_FILE = "machine-id"
# Where machineid looks first as well; but it takes 0.3 MB of memory, to be able to run commands.
_MACHINE_ID_FILES = ("/var/lib/dbus/machine-id", "/etc/machine-id")
# 64 characters, so that six bits of a random byte choose one without a bias.
_NANOID = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_ANON_LENGTH = 12
_MACHINE_LENGTH = 22
_SHORTEST_MACHINE_ID = 8
_FACT_LIMIT = 200
_KEPT = re.compile(rb"([!-~]{1,64})\n\Z")
_LOCALE = re.compile(r"([a-z]{2,3})(?:_([A-Z]{2}|[0-9]{3}))?(?:[.@].*)?\Z")

# What could not be kept, by directory and file; the process goes on with the same.
_unkept: dict[tuple[Directory | None, str], str] = {}


def device_facts() -> dict[str, str | int]:
    """Return what this machine is: the fields of PROTOCOL's table for `init` and errors.

    Returns:
        `platform`, `osVersion`, `totalRam` (GB), `language` and `locale` (as
        `en-US`), `arch`, `client` (always `python`) and `moduleVersion`. A
        fact that cannot be had is left out.
    """
    facts: dict[str, str | int] = {"client": "python"}
    for name, gather in _FACTS.items():
        try:
            fact = gather()
        except Exception:  # no /proc, a library that is not there, a strange locale
            continue
        if fact:
            facts[name] = fact[:_FACT_LIMIT] if isinstance(fact, str) else fact
    if "language" in facts:
        facts["locale"] = facts["language"]
    return facts


def device_id(app_id: str, state_dir: Directory | None = None) -> str:
    """Return an id of this machine that only this application has: 22 characters, base64url.

    It is a 128-bit hash of the machine's id and the app id, so that neither the
    machine's id can be had from it nor two applications' events be joined by it.

    Args:
        app_id: The application's id at Nucleus.
        state_dir: Where a random machine id is kept if the machine has none.
            Default: the user's state directory.
    """
    machine = _machine_id()
    if not machine:
        directory = state_directory() if state_dir is None else state_dir
        machine = _claim(directory, _MACHINE_FILE, _MACHINE_LENGTH)
    return _digest(f"{machine}\0{app_id}".encode("utf-8", "surrogatepass"))


def anon_id(state_dir: Directory | None) -> str:
    """Return the anonymous id of this installation: 12 characters of the nanoid alphabet.

    Made at the first call and kept; processes that make it at the same moment
    agree on one. A file that cannot be read, or does not hold an id, is replaced.

    Args:
        state_dir: Where it is kept; made if it is not there. None to keep it
            for this process only.
    """
    return _claim(state_dir, _ANON_FILE, _ANON_LENGTH)


def keep_anon_id(state_dir: Directory | None, value: str) -> bool:
    """Keep an anonymous id that the server has assigned, instead of our own.

    Args:
        state_dir: As for `anon_id`.
        value: 1 to 64 printable ASCII characters, none of them blank.

    Returns:
        Whether it will be there after this process; False too when it is no such
        value, which is then not used at all.
    """
    line = value.encode("utf-8", "surrogatepass") + b"\n"
    if not _KEPT.match(line):
        return False
    try:
        if state_dir is not None:
            _make_directory(state_dir)
            _write(os.path.join(state_dir, _ANON_FILE), line, replace=True)
            _unkept.pop((state_dir, _ANON_FILE), None)
            return True
    except (OSError, ValueError):
        pass
    _unkept[state_dir, _ANON_FILE] = value
    return False


def state_directory() -> str | None:
    """Return the user's state directory for this package, which need not exist yet.

    Returns:
        An absolute path; None for a user without a home.
    """
    try:
        if sys.platform == "linux":  # platformdirs takes 0.8 MB of memory
            state = os.environ.get("XDG_STATE_HOME", "")
            if not os.path.isabs(state):
                state = os.path.expanduser("~/.local/state")
            path = os.path.join(state, "nucleus-logging")
        else:
            from platformdirs import user_state_dir

            path = user_state_dir("nucleus-logging", appauthor=False)
        return path if os.path.isabs(path) else None
    except Exception:  # no such user, no library
        return None


def _platform() -> str:
    import platform

    return platform.system()


def _os_version() -> str:
    import platform

    return platform.release()


def _arch() -> str:
    import platform

    return platform.machine()


def _total_ram() -> int:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows; psutil takes 2 MB of memory
        import psutil

        total = psutil.virtual_memory().total
    return max(1, round(total / 2**30))


def _language() -> str:
    """Return the language as `en-US`, empty when there is none.

    The locale is asked in its raw form: `getlocale` makes ('en_US', 'UTF-8') of
    "C.UTF-8" up to 3.11, and ('C', 'UTF-8') of it from 3.12. A user whose
    language is not installed here still says in the environment which it is.
    """
    # What is behind `locale`, which takes 0.5 MB of memory: for a table of all there are.
    from _locale import LC_CTYPE, setlocale

    for name in (setlocale(LC_CTYPE), *_locale_variables()):
        found = _LOCALE.match(name)
        if found:
            return "-".join(part for part in found.groups() if part)
    return ""


def _locale_variables() -> list[str]:
    # POSIX: the first of these that is set decides, be it "C".
    values = [os.environ.get(name, "") for name in ("LC_ALL", "LC_MESSAGES", "LANG")]
    return [value for value in values if value][:1]


def _module_version() -> str:
    return VERSION


_FACTS: dict[str, Callable[[], str | int]] = {
    "platform": _platform,
    "osVersion": _os_version,
    "totalRam": _total_ram,
    "language": _language,
    "arch": _arch,
    "moduleVersion": _module_version,
}


def _machine_id() -> str:
    """Return the machine's own id, empty when it has none."""
    found = ""
    for path in _MACHINE_ID_FILES:
        try:
            with open(path, encoding="utf-8") as file:
                found = found or file.read(_FACT_LIMIT).strip()
        except (OSError, ValueError):
            continue
    if not found:
        try:
            import machineid

            found = str(machineid.id())
        except Exception:  # not found, not allowed, or an encoding nobody expected
            return ""
    # Images that are yet to be started for the first time say "uninitialized".
    if len(found) < _SHORTEST_MACHINE_ID or found == "uninitialized":
        return ""
    return found


def _claim(directory: Directory | None, name: str, length: int) -> str:
    """Return the id that a file keeps, or make it; every process gets the same one."""
    try:
        if directory is not None and (directory, name) not in _unkept:
            _make_directory(directory)
            return _read_or_make(os.path.join(directory, name), length)
    except (OSError, ValueError):  # ValueError: a path with a null character
        pass
    return _unkept.setdefault((directory, name), _random(os.urandom(length)))


def _read_or_make(path: str, length: int) -> str:
    # A few rounds: each either ends, or has found that another process changed the file.
    for _ in range(10):
        try:
            seen, found = _read(path)
        except FileNotFoundError:
            try:
                _write(path, _random(os.urandom(length)).encode() + b"\n", replace=False)
            except FileExistsError:
                pass  # another process was first: its id is everybody's
            continue
        if found:
            return found
        # Damaged. Two processes may see it at once and each replace it: they
        # make the new id of what they saw, and so make the same one.
        made = _random(_hash(seen, length))
        _write(path, made.encode() + b"\n", replace=True)
    raise OSError(f"{path} does not keep what is written to it")


def _read(path: str) -> tuple[bytes, str]:
    """Return what identifies a file's present state, and the id in it, empty if it holds none."""
    info = os.stat(path)
    data = b""
    try:
        # Not blocking: a named pipe would have us wait for somebody to write to it.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        try:
            info = os.fstat(descriptor)
            data = os.read(descriptor, 128)
            if info.st_mode & 0o077 and os.name == "posix":
                os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
    except OSError:
        pass  # not readable: as good as damaged
    found = _KEPT.match(data)
    state = f"{info.st_dev} {info.st_ino} {info.st_mtime_ns} {info.st_uid} ".encode()
    return state + data, found[1].decode("ascii") if found else ""


def _write(path: str, line: bytes, replace: bool) -> None:
    """Put a file in its place as a whole, so that nobody ever reads half of it.

    Raises:
        FileExistsError: It is there already, and is not to be replaced.
        OSError: It cannot be written.
    """
    draft = f"{path}.{_random(os.urandom(_ANON_LENGTH))}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        try:
            os.write(descriptor, line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if replace:
            os.replace(draft, path)
        else:
            _link(draft, path)
    finally:
        try:
            os.unlink(draft)
        except FileNotFoundError:
            pass  # replaced: the draft is the file now


def _link(draft: str, path: str) -> None:
    try:
        os.link(draft, path)
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links: the last of two processes wins, and the
        # first agrees with it as soon as it reads what it wrote.
        os.replace(draft, path)


def _make_directory(path: Directory) -> None:
    # One that is there already keeps its mode: it may be somebody's choice of a spool.
    os.makedirs(path, mode=0o700, exist_ok=True)


def _random(source: bytes) -> str:
    """Return one character of the nanoid alphabet for each byte."""
    return "".join(_NANOID[byte & 63] for byte in source)


def _hash(data: bytes, size: int) -> bytes:
    from hashlib import blake2b

    return blake2b(data, digest_size=size).digest()


def _digest(data: bytes) -> str:
    from base64 import urlsafe_b64encode

    return urlsafe_b64encode(_hash(data, 16)).rstrip(b"=").decode("ascii")
