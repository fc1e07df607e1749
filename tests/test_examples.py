"""The examples that are no servers: a script, a desktop application, a notebook, a test suite."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from tests.running import arrived, environment, named, needs, running
from tests.tools import MS, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nucleus_logging.collector import Collector

pytestmark = pytest.mark.once


def _script(collector: Collector, *paths: str, **environ: str) -> int:
    with running(collector, "examples.script", *paths, **environ) as program:
        return program.process.wait(30_000 * MS)


def test_a_script_sends_everything_at_its_end(collector: Collector, tmp_path: Path) -> None:
    """A script that ends at once, and with an error, has delivered all that it logged."""
    text = tmp_path / "three.txt"
    text.write_text("one two three")
    assert _script(collector, str(text), str(tmp_path / "missing.txt")) == 1
    counted, error = arrived(collector, lambda found: len(found) == 2)
    assert (counted.name, counted.payload["words"]) == ("counted", 3)
    assert (error.type, error.name) == ("error", "FileNotFoundError")


def test_a_script_that_ran_while_the_server_was_down_is_heard_of_later(
    collector: Collector, tmp_path: Path
) -> None:
    """The next run sends what an earlier one could not, under the earlier one's session."""
    text = tmp_path / "two.txt"
    text.write_text("one two")
    collector.stop()
    assert _script(collector, str(text), NUCLEUS_SHUTDOWN_TIMEOUT="1") == 0
    collector.start()
    assert _script(collector, str(text)) == 0
    events = arrived(collector, lambda found: len(named(found, "counted")) == 2)
    assert len({event.session for event in events}) == 2
    assert len({event.anon for event in events}) == 1, "the same installation"


@pytest.fixture
def display() -> Iterator[str]:
    """A display for windows: the one there is, or Xvfb's."""
    if "DISPLAY" in os.environ:
        yield os.environ["DISPLAY"]
        return
    if shutil.which("Xvfb") is None:
        pytest.skip("neither a display nor Xvfb here")
    reading, writing = os.pipe()
    with subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-nolisten", "tcp"],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    ) as server:
        os.close(writing)
        with open(reading, encoding="ascii") as number:
            yield f":{number.readline().strip()}"
        server.terminate()


def _desktop(collector: Collector, display: str, actions: str) -> None:
    """Start the application, do something with its widgets, and end it."""
    program = "from examples.desktop import Notes\nnotes = Notes()\nnotes.update()\n"
    done = subprocess.run(
        [sys.executable, "-c", program + textwrap.dedent(actions) + "notes.destroy()\n"],
        cwd=ROOT,
        env={**environment(collector), "DISPLAY": display},
        capture_output=True,
        text=True,
        timeout=30_000 * MS,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@needs("tkinter", "_tkinter")
def test_a_desktop_application_sends_only_what_its_user_agreed_to(
    collector: Collector, display: str
) -> None:
    """Nothing before the consent, all after it, nothing after its withdrawal; it is kept."""
    _desktop(collector, display, "notes.text.insert('1.0', 'a secret'); notes.save.invoke()\n")
    agreeing = """
    notes.agree.invoke()
    notes.text.insert("1.0", "hello")
    notes.save.invoke()
    assert notes.nucleus.flush(30)
    """
    _desktop(collector, display, agreeing)
    withdrawing = """
    assert notes.nucleus.flush(30)
    notes.agree.invoke()
    notes.save.invoke()
    """
    _desktop(collector, display, withdrawing)
    _desktop(collector, display, "notes.save.invoke()\n")
    events = [event for event in collector.store.events() if event.type != "init"]
    assert [(event.type, event.name) for event in events] == [
        ("event", "saved"),
        ("nucleus:view", "editor"),
    ]
    assert events[0].payload["characters"] == 5


@needs("tkinter", "_tkinter")
def test_a_desktop_application_reports_failing_callbacks(
    collector: Collector, display: str
) -> None:
    """What a button's command raises arrives as an error, and the application goes on."""
    failing = """
    notes.agree.invoke()
    notes.save.invoke()
    notes.text.insert("1.0", "hello")
    notes.save.invoke()
    assert notes.nucleus.flush(30)
    """
    _desktop(collector, display, failing)
    error, saved = arrived(collector, lambda found: len(found) == 2)
    assert (error.type, error.name, error.payload["function"]) == (
        "error",
        "ValueError",
        "save_note",
    )
    assert saved.name == "saved"


_KERNEL = """
import json, sys
from jupyter_client.manager import start_new_kernel
cells = [
    "".join(cell["source"])
    for cell in json.loads(open(sys.argv[1], encoding="utf-8").read())["cells"]
    if cell["cell_type"] == "code"
]
setup, work, failure = cells
manager, client = start_new_kernel(startup_timeout=30)
statuses = []
for cell in (setup, work, setup, work, failure, work):
    reply = client.execute_interactive(cell, timeout=30, output_hook=lambda message: None)
    statuses.append(reply["content"]["status"])
client.stop_channels()
manager.shutdown_kernel()
print(json.dumps(statuses))
"""


@needs("ipykernel", "jupyter_client")
def test_a_notebook_sends_what_its_cells_log(collector: Collector, tmp_path: Path) -> None:
    """Cells run in a kernel, the first one twice: each record once, a failing cell as an error."""
    done = subprocess.run(
        [sys.executable, "-c", _KERNEL, str(ROOT / "examples" / "notebook.ipynb")],
        env={**environment(collector), "JUPYTER_PLATFORM_DIRS": "1", "IPYTHONDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60_000 * MS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    events = arrived(collector, lambda found: len(found) == 4)
    assert json.loads(done.stdout) == ["ok"] * 4 + ["error", "ok"]
    computed = named(events, "computed")
    assert len(computed) == 3
    assert computed[0].payload["numbers"] == "0,1,4,9,16,25,36,49,64,81"
    (error,) = named(events, "IndexError")
    assert (error.type, error.payload["message"]) == ("error", "cell failed")


def test_the_tests_of_an_application_see_its_events() -> None:
    """The example's own tests pass, with warnings as errors."""
    options = ["-q", "-W", "error", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "examples/pytest_shop"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60_000 * MS,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def _shown() -> list[tuple[str, str]]:
    """Each file that the README quotes, and the quotation."""
    quotation = r"^\.\. code-block:: python\n    :name: (\S+)\n\n((?:    .*\n|\n)+)"
    return re.findall(quotation, (ROOT / "README.rst").read_text(), re.MULTILINE)


def _lines(text: str) -> str:
    """A text without indentation and blank lines at its ends, as it is compared."""
    return "\n".join(line.strip() for line in text.strip().split("\n"))


@pytest.mark.parametrize(("name", "quotation"), _shown(), ids=lambda text: text.split("\n")[0])
def test_the_readme_quotes_the_examples(name: str, quotation: str) -> None:
    """Every paragraph of code that the README shows of an example stands in it."""
    text = (ROOT / name).read_text(encoding="utf-8")
    if name.endswith(".ipynb"):
        text = "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
    for paragraph in re.split(r"\n{2,}", quotation.strip("\n")):
        assert _lines(paragraph) in _lines(text)


def test_the_readme_shows_every_example() -> None:
    """No application is left out."""
    readme = (ROOT / "README.rst").read_text()
    shown = {path.name for path in (ROOT / "examples").iterdir() if path.name[0] not in "._"}
    assert not [name for name in shown - {"demo"} if f"``examples/{name}``" not in readme]
