"""Secrets go, by name and by look; nothing else does; hostile text costs linear time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleus_logging.scrub import Scrubber

GONE = "[scrubbed]"


@pytest.fixture(scope="module")
def scrubber() -> Scrubber:
    return Scrubber()


def test_what_is_remembered_is_bounded(scrubber: Scrubber) -> None:
    """A million different texts do not fill the memory."""
    for number in range(10_000):
        assert scrubber.text(f"text {number}") == f"text {number}"
    assert len(scrubber.harmless) < 5000


def test_a_stack_that_came_before_is_looked_at_in_its_last_line(scrubber: Scrubber) -> None:
    """What is kept in mind of texts hides no secret, in whichever line it stands."""
    frames = "Traceback (most recent call last):\n" + '  File "/srv/a.py", line 1, in f\n' * 9
    for last in ("ValueError: 1", "ValueError: token=x", "ValueError: 2", "Bearer abcdef12"):
        fields: dict[str, str | int | float | bool] = {"stack": frames + last, "level": "error"}
        changed = scrubber.fields(fields, ["stack", "level"])
        assert changed == (["stack"] if "=" in last or "Bearer" in last else [])
        assert GONE in str(fields["stack"]) or not changed
    fields = {"stack": frames + "    token=\n" + "ValueError"}
    assert scrubber.fields(fields, ["stack"]) == ["stack"]
    for last in ("none", "hunter2"):
        fields = {"stack": frames + "    token:\n" + last}
        assert scrubber.fields(fields, ["stack"]) == (["stack"] if last == "hunter2" else [])
    fields = {"stack": frames.replace("/srv", "token=x /srv") + "ValueError: 1"}
    assert scrubber.fields(fields, ["stack"]) == ["stack"]


@pytest.mark.parametrize("before", ["password:", "Bearer"])
def test_a_secret_in_the_last_line_alone(before: str) -> None:
    """What stands before it may have been harmless with another last line."""
    scrubber = Scrubber()
    head = "x" * 200 + "\n" + before
    scrubber.fields({"stack": head + "\nauth scheme"}, ["stack"])
    fields: dict[str, str | int | float | bool] = {"stack": head + "\nabcdef123456tokenvalue"}
    scrubber.fields(fields, ["stack"])
    assert "tokenvalue" not in str(fields["stack"])


class TestOptions:
    def test_further_patterns(self) -> None:
        """Patterns, as text or compiled, are taken out wherever they match."""
        scrubber = Scrubber(patterns=[r"\bU\d{4}\b", re.compile("(?i)agent")])
        assert scrubber.text("U1234 met Agent Smith") == f"{GONE} met {GONE} Smith"
        fields: dict[str, str | int | float | bool] = {"a": "U1234 came", "b": "and went", "c": 1}
        assert scrubber.fields(fields, ["a", "b"]) == ["a"]
        assert fields == {"a": f"{GONE} came", "b": "and went", "c": 1}

    def test_a_callable_has_the_last_word(self) -> None:
        """It sees what is left, and what it returns is sent."""
        scrubber = Scrubber(callable=lambda text: text.replace("bob", "someone"))
        assert scrubber.text("bob: password=x") == "someone: password=[scrubbed]"
        fields: dict[str, str | int | float | bool] = {"a": "bob came"}
        assert scrubber.fields(fields, ["a"]) == ["a"]
        assert fields == {"a": "someone came"}

    @pytest.mark.parametrize("answer", [lambda text: text[99], lambda text: None])
    def test_a_callable_that_fails_costs_the_text(self, answer: object) -> None:
        """Nothing unscrubbed leaves because the user's function raised or returned no string."""
        assert Scrubber(callable=answer).text("bob") == GONE

    def test_a_wrong_pattern_fails_at_construction(self) -> None:
        """A pattern that is none is told where it is written."""
        with pytest.raises(re.error):
            Scrubber(patterns=["("])


@pytest.mark.parametrize(
    "before", ["password:", "token =  ", "use this bearer", 'pwd: "', "password%3D", "--password "]
)
@pytest.mark.parametrize("seen", ["text", "fields", "passes"])
def test_a_secret_behind_a_short_text_that_came_before(before: str, seen: str) -> None:
    """A text that is harmless by itself is not when a long value follows in the next line."""
    scrubber = Scrubber()
    if seen == "fields":
        scrubber.fields({"message": before}, ["message"])
    else:
        getattr(scrubber, seen)(before)
    fields: dict[str, str | int | float | bool] = {"message": before + "\n" + "hunter2" * 20}
    scrubber.fields(fields, ["message"])
    assert "hunter2" not in str(fields["message"])


def test_short_texts_pass() -> None:
    """A text that passes is short, holds no secret, and is known from then on."""
    scrubber = Scrubber()
    home = os.path.expanduser("~/x.py")
    for text in ("token=hunter2", f"in {home}", "x" * 200, "to https://a:b@c/"):
        assert not scrubber.passes(text)
        assert hash(text) not in scrubber.harmless
    for number in range(10_000):
        assert scrubber.passes(f"text {number}")
    assert hash("text 9999") in scrubber.harmless
    assert len(scrubber.harmless) < 5000
    assert not Scrubber(patterns=["x"]).passes("text")
    assert not Scrubber(callable=str.upper).passes("text")


def test_the_users_directory_is_not_told(tmp_path: Path) -> None:
    """A path below the home directory, as in every traceback, does not show its owner."""
    home = tmp_path / "alice"
    code = (
        "import sys; from nucleus_logging.scrub import Scrubber;"
        "print(Scrubber().text(f'  File \"{sys.argv[1]}/app/x.py\", line 3'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(home)],
        env={**os.environ, "HOME": str(home), "USERPROFILE": str(home)},
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == f'File "~{os.sep}app/x.py", line 3'


@pytest.mark.parametrize(
    ("home", "text", "expected"),
    [
        ("/home/alice", "in /home/alice", "in ~"),
        ("/home/alice", "'/home/alice', '/home/alice.'", "'~', '~.'"),
        ("/home/alice", "line\\n/home/alice/x", "line\\n~/x"),
        ("/home/alice", "/home/alice2 /home/alice-b /home/alice.bak", None),
        ("/root", "cd /root; ls /root/x", "cd ~; ls ~/x"),
        ("/root", "GET https://host/root", None),
    ],
)
def test_the_users_directory_itself(
    monkeypatch: pytest.MonkeyPatch, home: str, text: str, expected: str | None
) -> None:
    """The home directory is scrubbed however a text goes on, and its neighbours are not."""
    monkeypatch.setenv("HOME", home)
    assert Scrubber().text(text) == (text if expected is None else expected)


HOSTILE = [
    "password", "password=x ", "password=", "://", "://a@", "@://", "4", "4111 ",
    "4111 1111 1111 111", "bearer ", "bearer a", "basic YWFhYWE6YmJi", "eyJ", "eyJaaaaaa.",
    "-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----A", "AAAA PRIVATE KEY",
    "',", "','", "'password', \"", "('password','x", "<", "<a", "<password>", "<password>x</", "--",
    "--token ", "--token x", "%3D", "%3", "%22%3D", "password%3D", "password 'x", "password 'xxxx'",
    "token=a(", "token=a(b", "password: ", "cookie: =\"", "name='key' value=", "a.b.c.", "://a:b",
    "://a:b/", "4111.", "= ", "==", "token ==", "::", "api key: ", "key: ", "é=", "пароль=",
    "&quot;=", "]]]]]]]]]]]]]]]]]]=", "token=x or 'y", "token: a = 'b", "\\n", "…",
 "PRIVATE KEY-----BEGIN ", "AKIA", "gh_", "ghp_a", "token=[",
    'token:"', 'token:\\"a', "key ", "a.key", "'password', ", "İpassword=x ", "authorization: ",
    'token="\\', "token=[]", "=", ":", " ", "-", "\\", "x",
]  # fmt: skip


@pytest.mark.once
@pytest.mark.unmeasured
@pytest.mark.parametrize("unit", HOSTILE)
def test_hostile_text_costs_linear_time(scrubber: Scrubber, unit: str) -> None:
    """A megabyte of anything takes far less than a second; quadratic would take minutes."""
    text = (unit * (1_000_000 // len(unit) + 1))[:1_000_000] + " PRIVATE KEY token="
    start = time.process_time()
    scrubber.text(text)
    assert time.process_time() - start < 5


@given(
    st.lists(
        st.sampled_from([*HOSTILE, GONE, "a", "1", '"', "'", ",", "&", "\n", "}", "]"]) | st.text(),
        max_size=12,
    ).map("".join)
)
def test_no_text_is_too_odd(text: str) -> None:
    """Scrubbing never fails, brings nothing back, and does the same alone and among others."""
    scrubber = Scrubber()
    once = scrubber.text(text)
    assert all(piece in once for piece in scrubber.text(once).split(GONE))
    fields: dict[str, str | int | float | bool] = {"a": text, "b": "x"}
    Scrubber().fields(fields, ["a", "b"])
    assert fields == {"a": once, "b": "x"}
