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

from nucleus_logging.scrub import PAIRS, STEMS, WORDS, Scrubber

GONE = "[scrubbed]"


@pytest.fixture(scope="module")
def scrubber() -> Scrubber:
    return Scrubber()


class TestKey:
    @pytest.mark.parametrize(
        "name",
        [
            "password", "PASSWORD", "user.password", "userPassword", "db_passwd", "password_hash",
            "secret", "client_secret", "token", "accessToken", "access-token", "csrftoken",
            "api_key", "apiKey", "APIKey", "X-API-Key", "x_api_key", "apikey", "Authorization",
            "HTTP_AUTHORIZATION", "proxy-authorization", "cookie", "Set-Cookie", "cookies",
            "session", "session_id", "sessionid", "PHPSESSID", "request.session.id", "csrf",
            "X-CSRFToken", "XSRF-TOKEN", "creditCard", "credit_card_number", "card_number", "ssn",
            "private_key", "ssh-key", "dsn", "SENTRY_DSN", "credentials", "aws_secret_access_key",
            "PGPASSWORD", "password2", "mytoken", "newpasswordagain",
            "jwt", "cvv", "refresh_tokens", "password.0", "passphrase",
        ],
    )  # fmt: skip
    def test_secret_names(self, scrubber: Scrubber, name: str) -> None:
        """Names that mean a secret, in any spelling and at any depth."""
        assert scrubber.key(name)

    @pytest.mark.parametrize(
        "name",
        [
            "user", "key", "keys", "keyboard", "author", "authority", "token_count", "tokens",
            "max_tokens", "prompt_tokens", "session_count", "sessionDuration", "password_changed",
            "cookie_name", "secretary", "passenger", "compass", "card", "monkey", "primary_key",
            "token_type", "inside", "auth_method", "level", "logger", "message", "stack", "", ".",
            "assn", "foreign_key", "obsession", "passed", "bypass", "session_timeout",
        ],
    )  # fmt: skip
    def test_harmless_names(self, scrubber: Scrubber, name: str) -> None:
        """Names that only resemble one, or tell something about a secret."""
        assert not scrubber.key(name)

    @pytest.mark.parametrize(
        "name",
        [
            "iban", "customer.IBAN", "ibanOld", "old-iban", "iban_count", "tax_id", "taxId",
            "customer.tax-id", "taxid",
        ],
    )  # fmt: skip
    def test_further_names(self, name: str) -> None:
        """Names given by the user count in any spelling, whatever stands around them."""
        assert Scrubber(keys=["iban", "tax_id"]).key(name)
        assert not Scrubber().key(name)

    def test_what_is_remembered_is_bounded(self) -> None:
        """A million different names do not fill the memory, and verdicts stay right."""
        scrubber = Scrubber()
        for number in range(10_000):
            assert not scrubber.key(f"k{number}")
            assert scrubber.text(f"text {number}") == f"text {number}"
        assert scrubber.key("password")
        assert len(scrubber.known) < 5000
        assert len(scrubber._clean) < 5000

    def test_every_secret_word_has_a_stem(self) -> None:
        """The quick look at a text misses none of the names."""
        for word in (*WORDS, *PAIRS):
            assert any(stem in word for stem in STEMS), word
            assert Scrubber().text(f"{word}=x") == f"{word}={GONE}"


class TestNamedInText:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("password=hunter2", "password=[scrubbed]"),
            ("password: hunter2, user: bob", "password: [scrubbed], user: bob"),
            ("/login?user=bob&token=abc&x=1", "/login?user=bob&token=[scrubbed]&x=1"),
            ("?access_token=abc#frag", "?access_token=[scrubbed]"),
            ('{"password":"hun\\"ter2","a":1}', '{"password":"[scrubbed]","a":1}'),
            ('{"password": 12345, "a": 1}', '{"password": [scrubbed], "a": 1}'),
            ("{'api_key': 'k', 'a': 1}", "{'api_key': '[scrubbed]', 'a': 1}"),
            ('"{\\"token\\": \\"abc\\", \\"a\\": 1}"',
             '"{\\"token\\": \\"[scrubbed]\\", \\"a\\": 1}"'),
            ('{"session":{"id":"a","u":[1,{"x":2}]},"a":1}', '{"session":[scrubbed],"a":1}'),
            ("Authorization: Basic dXNlcjpwYXNz\r\nHost: x",
             "Authorization: [scrubbed]\r\nHost: x"),
            ('Authorization: Digest username="u", response="r"',
             'Authorization: [scrubbed]"u", response="r"'),
            ("Cookie: a=b; c=d\nHost: x", "Cookie: [scrubbed]\nHost: x"),
            ("{'Set-Cookie': 'sid=abc; Path=/'}", "{'Set-Cookie': '[scrubbed]'}"),
            ("[('Cookie', 'sid=abc'), ('Host', 'x')]",
             "[('Cookie', '[scrubbed]'), ('Host', 'x')]"),
            ("[(b'cookie', b'sid=abc')]", "[(b'cookie', b'[scrubbed]')]"),
            ("user[password]=x&user[name]=bob", "user[password]=[scrubbed]&user[name]=bob"),
            ("--api-key=abc --verbose", "--api-key=[scrubbed] --verbose"),
            ("db.password = 'x y'", "db.password = '[scrubbed]'"),
            ("PGPASSWORD=x", "PGPASSWORD=[scrubbed]"),
            ("token=a token=b", "token=[scrubbed] token=[scrubbed]"),
            ("password='never closed", "password='[scrubbed]"),
            ("İstanbul password=x", "İstanbul password=[scrubbed]"),
            ("password=", "password="),
            ("password", "password"),
        ],
    )  # fmt: skip
    def test_what_stands_behind_a_secret_name_goes(
        self, scrubber: Scrubber, text: str, expected: str
    ) -> None:
        """In assignments, queries, headers, JSON and reprs the value goes, the name stays."""
        assert scrubber.text(text) == expected

    @pytest.mark.parametrize(
        "text",
        [
            "user bob did buy 3 things",
            'File "/srv/app/session.py", line 10, in token',
            "/usr/lib/python3/secrets.py:12: DeprecationWarning: x",
            "GET /orders/42?page=2 took 12.5 ms: ok",
            "token_count=5, session_count: 3",
            "passenger: bob",
            "the password was changed",
            "2024-01-02T03:04:05+02:00",
            "['a', 'b']",
        ],
    )
    def test_harmless_texts_come_back_themselves(self, scrubber: Scrubber, text: str) -> None:
        """A text without a secret is returned as the very object."""
        assert scrubber.text(text) is text

    def test_further_names_in_texts(self) -> None:
        """Names given by the user count in texts too."""
        assert Scrubber(keys=["tax_id"]).text("taxId=5; x=1") == "taxId=[scrubbed]; x=1"


class TestOptions:
    def test_further_patterns(self) -> None:
        """Patterns, as text or compiled, are taken out wherever they match."""
        scrubber = Scrubber(patterns=[r"\bU\d{4}\b", re.compile("(?i)agent")])
        assert scrubber.text("U1234 met Agent Smith") == f"{GONE} met {GONE} Smith"

    def test_a_callable_has_the_last_word(self) -> None:
        """It sees what is left, and what it returns is sent."""
        scrubber = Scrubber(callable=lambda text: text.replace("bob", "someone"))
        assert scrubber.text("bob: password=x") == "someone: password=[scrubbed]"

    @pytest.mark.parametrize("answer", [lambda text: text[99], lambda text: None])
    def test_a_callable_that_fails_costs_the_text(self, answer: object) -> None:
        """Nothing unscrubbed leaves because the user's function raised or returned no string."""
        assert Scrubber(callable=answer).text("bob") == GONE

    def test_a_wrong_pattern_fails_at_construction(self) -> None:
        """A pattern that is none is told where it is written."""
        with pytest.raises(re.error):
            Scrubber(patterns=["("])


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
    "-----BEGIN RSA PRIVATE KEY-----", "PRIVATE KEY-----BEGIN ", "AKIA", "gh_", "ghp_a", "token=[",
    'token:"', 'token:\\"a', "key ", "a.key", "'password', ", "İpassword=x ", "authorization: ",
    'token="\\', "token=[]", "=", ":", " ", "-", "\\", "x",
]  # fmt: skip


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
def test_scrubbing_twice_changes_nothing_more(text: str) -> None:
    """What was scrubbed before the journal may be scrubbed again behind it."""
    scrubber = Scrubber()
    once = scrubber.text(text)
    assert scrubber.text(once) == once
