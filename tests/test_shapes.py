"""What looks like a secret goes, whatever it is called; what only resembles one stays."""

from __future__ import annotations

import pytest

from nucleus_logging.shapes import luhn, scrub_shapes

GONE = "[scrubbed]"
# Put together here, so that no tool that looks for secrets takes this file for one.
GITHUB = "ghp_" + "a1B2" * 9
FINE_GRAINED = "github_pat_" + "a1B2_" * 9
AWS = "AKIA" + "IOSFODNN7EXAMPLE"
JWT = "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0In0" + ".c2lnbmF0dXJl-_"
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-ab--cd\n" + "-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Bearer abc.def-ghi", f"Bearer {GONE}"),
        ("sent bearer a1b2c3d4==, then", f"sent bearer {GONE}, then"),
        ("Basic dXNlcjpwYXNz", f"Basic {GONE}"),
        ("got Basic dXNlcjpwYXNzd29yZA== here", f"got Basic {GONE} here"),
        (f"jwt {JWT} ok", f"jwt {GONE} ok"),
        (f"<{KEY}> end", f"<{GONE}> end"),
        (KEY[:45], GONE),
        ("TUlJ\\nRUFB\nQUFB\n" + KEY[-29:] + " end", f"{GONE} end"),
        (f"id {AWS}.", f"id {GONE}."),
        (f"push with {GITHUB}", f"push with {GONE}"),
        (f"push with {FINE_GRAINED}", f"push with {GONE}"),
        ("paid with 4111111111111111.", f"paid with {GONE}."),
        ("paid with 4111 1111 1111 1111", f"paid with {GONE}"),
        ("paid with 5500-0000-0000-0004", f"paid with {GONE}"),
        ("paid with 5500.0000.0000.0004", f"paid with {GONE}"),
        ("paid with 5500\xa00000\xa00000\xa00004", f"paid with {GONE}"),
        ("card=4222222222222;", f"card={GONE};"),
        ("maestro 6304000000000000", f"maestro {GONE}"),
        ("mastercard 2223003122003222", f"mastercard {GONE}"),
        ("jcb 3530-1113-3330-0000", f"jcb {GONE}"),
        ("amex 3782 8224 6310 005", f"amex {GONE}"),
        ("amex 378282246310005", f"amex {GONE}"),
        ("amex 3782 822463 10005", f"amex {GONE}"),
        ("diners 30569309025904", f"diners {GONE}"),
        ("postgres://bob:hunter2@db:5432/x", f"postgres://{GONE}@db:5432/x"),
        ("https://abcdef@sentry.example/1", f"https://{GONE}@sentry.example/1"),
        ("redis://:p@ss@host", f"redis://{GONE}@host"),
        ("db://u:p/w#x?y@host/z", f"db://{GONE}@host/z"),
        ("https://bob:hunter2…", f"https://{GONE}…"),
        ("paid with 4111 1111 1…", f"paid with {GONE}…"),
        (f"id {AWS[:12]}…", f"id {GONE}…"),
        (f"push with {GITHUB[:9]}…", f"push with {GONE}…"),
        (f"jwt {JWT[:12]}…", f"jwt {GONE}…"),
        ("Bearer\tabc.def-ghi", f"Bearer\t{GONE}"),
        ("?auth2=Bearer%20abc.def-ghi", f"?auth2=Bearer%20{GONE}"),
        ("a http://u:p@x b http://v:q@y", f"a http://{GONE}@x b http://{GONE}@y"),
    ],
)
def test_secrets_go(text: str, expected: str) -> None:
    """Each kind of secret is taken out, the text around it stays."""
    assert scrub_shapes(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "bearer token is missing",
        "Bearer authentication failed",
        "basic authentication failed",
        "Basic training",
        "basic \u017f\u212aaaaaaaa",
        "4111111111111112",
        "1700000000000 1700000000000000000",
        "20240102030405060",
        "+4222222222222",
        "10.4111.1111.1111.1111",
        "http://host:8080/@bob",
        "http://host:8080…",
        "see http://host:80 or bob@example.org",
        "order 12345…",
        "and so on…",
        "ASIA-PACIFIC and AKIA",
        "41111111111111111111111111",
        "3.4111111111111111",
        "uuid 4111aaaa-1111-1111-1111-111111111111",
        "https://example.org/@bob",
        "see https://example.org and mail bob@example.org",
        "eyJ",
        "the PRIVATE KEY is elsewhere",
        "github_path",
        "AKIA",
        "AKIAiosfodnn7example",
    ],
)
def test_resemblances_stay(text: str) -> None:
    """Prose, identifiers and numbers that only resemble a secret are left as they are."""
    assert scrub_shapes(text) == text


def test_luhn() -> None:
    """The check digit is that of ISO/IEC 7812."""
    assert luhn("79927398713")
    assert not any(luhn(f"7992739871{digit}") for digit in "012456789")
