"""Installs each distribution of a folder in a clean environment and uses it there.

Run by `tox -e package` as `python tests/install_artifacts.py FOLDER`; the folder holds one wheel
and one sdist. A wheel and an sdist that hold different modules fail as well.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

USE = """
import importlib.metadata, importlib.resources, pathlib, sys
import nucleus_logging
place = pathlib.Path(nucleus_logging.__file__)
assert sys.prefix in str(place), place
assert (place.parent / "py.typed").is_file()
assert nucleus_logging.__all__ and all(getattr(nucleus_logging, name) for name in nucleus_logging.__all__)
client = nucleus_logging.Client("app", endpoint="ws://127.0.0.1:1", spool=False)
client.track("installed")
client.close(timeout=0)
if sys.argv[1] == "collector":
    from nucleus_logging.collector import Collector
    with Collector() as collector:
        client = nucleus_logging.Client("app", endpoint=collector.url, spool=False)
        client.track("installed")
        assert client.flush(timeout=30)
        assert collector.store.count(name="installed") == 1
        client.close()
print("version", importlib.metadata.version("nucleus-logging"))
"""  # noqa: E501


def main(folder: Path) -> None:
    """Check every distribution in the folder."""
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    with tarfile.open(sdist) as archive:
        shipped = {member.name.partition("/")[2] for member in archive if member.isfile()}
    assert inside <= shipped, f"in the wheel but not in the sdist: {inside - shipped}"
    strangers = {name for name in inside if not name.startswith("nucleus_logging/")}
    assert not strangers, f"the wheel installs {strangers}"
    for artifact in (wheel, sdist):
        for extra in ("", "collector"):
            with tempfile.TemporaryDirectory() as place:
                install_and_use(artifact, extra, Path(place))


def install_and_use(artifact: Path, extra: str, place: Path) -> None:
    """Install one distribution with one extra, import it, run its command."""
    print(f"--- {artifact.name}[{extra}]", flush=True)
    venv.create(place / "env", with_pip=True)
    programs = place / "env" / "bin"
    wanted = f"nucleus-logging[{extra}] @ {artifact.resolve().as_uri()}"
    run(programs / "python", "-m", "pip", "install", "--quiet", wanted, cwd=place)
    run(programs / "python", "-W", "error", "-c", USE, extra, cwd=place)
    run(programs / "nucleus-logging", "--help", cwd=place)


def run(*command: Path | str, cwd: Path) -> None:
    """Run a program outside of the checkout, so that only what is installed can be imported."""
    subprocess.run([str(part) for part in command], cwd=cwd, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
