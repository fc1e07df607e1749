"""What stands behind a secret name in a text goes, in all the ways in which it may stand there."""

from __future__ import annotations

import pytest

from nucleus_logging.assignments import STEMS, Assignments
from nucleus_logging.words import PAIRS, WHOLE, WORDS, SecretNames

GONE = "[scrubbed]"


@pytest.fixture(scope="module")
def assignments() -> Assignments:
    return Assignments(SecretNames())


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
        ('Authorization: Digest username="u", response="r"', "Authorization: [scrubbed]"),
        ("-H 'Authorization: Bearer abc' -v", "-H 'Authorization: [scrubbed]' -v"),
        ('Cookie: prefs="{a b}"; other=abc', "Cookie: [scrubbed]"),
        (r"b'GET /\r\nCookie: a=b\r\nHost: x'", r"b'GET /\r\nCookie: [scrubbed]\r\nHost: x'"),
        ("Authorization=Bearer abc x", "Authorization=[scrubbed] x"),
        ("token: Basic dXNlcg==, x", "token: [scrubbed], x"),
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
        # Separators and blanks of other languages and layouts.
        ("password := hunter2", "password := [scrubbed]"),
        ("'password' => 'hunter2'", "'password' => '[scrubbed]'"),
        ("password:          hunter2", "password:          [scrubbed]"),
        ("password:\n  hunter2\nuser: bob", "password:\n  [scrubbed]\nuser: bob"),
        ("api key: abc, API Key = abc", "api key: [scrubbed], API Key = [scrubbed]"),
        ("session.id=abc app.token=abc", "session.id=[scrubbed] app.token=[scrubbed]"),
        (r"a\npassword=x\napi_key=y", r"a\npassword=[scrubbed]\napi_key=[scrubbed]"),
        # Source lines, as in tracebacks.
        ("if password == 'hunter2':", "if password == '[scrubbed]':"),
        ("if password != 'hunter2':", "if password != '[scrubbed]':"),
        ("PASSWORD: str = 'x y'", "PASSWORD: [scrubbed]"),
        ("SECRET: Final[str] = 'x y'", "SECRET: [scrubbed]"),
        ("token = given or 'x y'", "token = [scrubbed]"),
        ("token=SecretStr('x y'), a=1", "token=[scrubbed], a=1"),
        ("password=(u'x y')", "password=[scrubbed]"),
        ("api_key=f'x {y}'", "api_key=f'[scrubbed]'"),
        ('token = \"\"\"x\ny\"\"\"', 'token = \"\"\"[scrubbed]\"\"\"'),
        ("user.set_password('hunter2')", "user.set_password('[scrubbed]')"),
        ("wrong password 'hunter2'", "wrong password '[scrubbed]'"),
        # Markup, encoded texts, texts in texts.
        ("<Password>a b</Password>", "<Password>[scrubbed]</Password>"),
        ("<w:Token Type='x'>abc</w:Token>", "<w:Token Type='x'>[scrubbed]</w:Token>"),
        ('<input name="password" value="a">', '<input name="password" value="[scrubbed]">'),
        ('{"name": "DB_PASSWORD", "value": "a"}', '{"name": "DB_PASSWORD", "value": "[scrubbed]"}'),
        ('{"key":"api_key","value":"a"}', '{"key":"api_key","value":"[scrubbed]"}'),
        ("next=%2Fx%3Ftoken%3Dabc%26a%3D1", "next=%2Fx%3Ftoken%3D[scrubbed]%26a%3D1"),
        ("user%5Bpassword%5D=abc&x=1", "user%5Bpassword%5D=[scrubbed]&x=1"),
        ("%22token%22%3A%20%22abc%22%2C", "%22token%22%3A%20%22[scrubbed]%22%2C"),
        ("&quot;token&quot;: &quot;abc&quot;,", "&quot;token&quot;: &quot;[scrubbed]&quot;,"),
        (r'"{\\\"token\\\": \\\"abc\\\"}"', r'"{\\\"token\\\": \\\"[scrubbed]\\\"}"'),
        # Command lines.
        ("run --db-password hunter2 -v", "run --db-password [scrubbed] -v"),
        ("['run', '--password', 'hunter2']", "['run', '--password', '[scrubbed]']"),
        ("run,--token,hunter2,-v", "run,--token,[scrubbed],-v"),
        ("password=", "password="),
        ("password", "password"),
    ],
)  # fmt: skip
def test_what_stands_behind_a_secret_name_goes(
    assignments: Assignments, text: str, expected: str
) -> None:
    """In assignments, queries, headers, JSON and reprs the value goes, the name stays."""
    assert assignments.scrubbed(text) == expected


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
        "{'type': 'password', 'id': '5'}",
        "token=None, password: null",
        "password: required, auth: failed, token: expired.",
        "assert token == expected",
        "Session::Store and session::id",
        "primary key: 5, cache key=7",
        "<td>a</td><author>Bob</author>",
        "--author Bob --verbose --token",
        "https://[::1]:8080/",
        "a=b=c=d",
        ":=:==::=",
    ],
)
def test_harmless_texts_come_back_themselves(assignments: Assignments, text: str) -> None:
    """A text without a secret is returned as the very object."""
    assert assignments.scrubbed(text) is text


def test_further_names_in_texts() -> None:
    """Names given by the user count in texts too."""
    own = Assignments(SecretNames(["tax_id", "Steuer-Nr", "пароль"]))
    assert own.scrubbed("taxId=5; x=1") == "taxId=[scrubbed]; x=1"
    assert own.scrubbed("tax id: 5, steuerNr=7") == "tax id: [scrubbed], steuerNr=[scrubbed]"
    assert own.scrubbed("пароль=5 ('пароль', 'x')") == "пароль=[scrubbed] ('пароль', '[scrubbed]')"


def test_what_was_harmless_before_may_be_secret_elsewhere() -> None:
    """Names are kept in mind, but for those that what stands before them makes secret."""
    fresh = Assignments(SecretNames())
    for text in ("key=5", "number: 5", "value=5", "id=5", "card=5", "napi_key=5", "code: 5"):
        assert fresh.scrubbed(text) is text
        assert not fresh.any(text)
    for text in (
        "api key=a", "card number: 5", 'name="token" value="5"', "session.id=5",
        r"x\napi_key=5", "security code: 5",
    ):  # fmt: skip
        for _ in range(2):
            assert fresh.any(text)
            assert GONE in fresh.scrubbed(text)


def test_every_secret_word_has_a_stem() -> None:
    """The quick look at a name misses none."""
    for word in (*WORDS, *PAIRS, *WHOLE):
        assert any(stem in word for stem in STEMS), word
        assert Assignments(SecretNames()).scrubbed(f"{word}=x") == f"{word}={GONE}"


def test_asking_whether_there_is_one(assignments: Assignments) -> None:
    """What is asked of many texts at once says yes wherever there is something to do."""
    assert assignments.any("a\nb: 1\ntoken=x\n")
    assert assignments.any("('token', 'x')")
    assert assignments.any("--token x")
    assert assignments.any("set_password('hunter2')")
    assert assignments.any("<token>x</token>")
    assert not assignments.any("GET /orders/42?page=2 took 12.5 ms: ok, -- 'a', \"b\"")
