"""What a secret looks like, whatever its name: credentials in URLs, tokens, keys, card numbers.

Idea: each shape holds a few characters that hardly any other text holds; only a text that has
them meets the regular expression, which is compiled when that first happens. No expression can
look further ahead than a bound, or it consumes what it looked at: linear time on any text.

Called by ``scrub``.
"""

from __future__ import annotations

import re
from binascii import a2b_base64
from functools import cache

SCRUBBED = "[scrubbed]"

# What is between "://" and the last "@" before a path begins; a password may hold what ends one,
# but a number behind the colon is a port. A text may have been cut before the "@".
_CREDENTIALS = (
    r"(?<=://)(?:[^\s/?#\"'<>]{1,256}(?=@)|[^\s/?#@:\"'<>]{0,64}:(?!\d{1,5}(?:[/?#…]|$))"
    r"(?:[^\s@\"'<>]{1,128}(?=@)|[^\s/?#@\"'<>…]{1,128}(?=…$)))"
)
_GAP = r"(?:\s{1,4}|%20|\+|\\t)"
_BEARER = (
    rf"(?i)\b(bearer{_GAP})(?!(?:tokens?|auth\w*|scheme|credentials?|format|realm|header)\b)"
    r"[\w.~+/\-]{6,}=*"
)
_BASIC = rf"(?i)\b(basic{_GAP})([A-Za-z0-9+/]{{8,}})={{0,2}}"
_JWT = r"\beyJ[\w\-]{6,}\.[\w\-]{8,}(?:\.[\w\-]*)?"
# A stack may have been cut in the middle of one: then it goes on to the end.
_PRIVATE_KEY = (
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:[^\-]|-(?!----END ))*(?:-----END [A-Z0-9 ]{0,60}-{0,5})?"
)
_AWS = r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"
_GITHUB = r"\b(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{20,})"
# Grouped as on the card, or not at all: 4-4-4-4 and its longer and shorter kin, 4-6-5, 4-6-4.
_CARD = (
    r"(?<![\d.+])(?:3[47]\d{2}([ .\-\xa0]?)(?:\d{6}\1\d{5}|\d{4}\1\d{4}\1\d{3})"
    r"|3[068]\d{2}([ .\-\xa0]?)\d{6}\2\d{4}"
    r"|(?:2[2-7]|3[05]|[4-6]\d)\d{2}([ .\-\xa0]?)\d{4}\3\d{4}\3\d{4}(?:\3\d{1,3})?"
    r"|4\d{12})(?!\d)"
)
# What a cut has left of one of these, at the end of a text.
_CUT = (
    r"(?:(?<![\d.+])\d(?:[ .\-\xa0]?\d){6,17}[ .\-\xa0]?"
    r"|\b(?:AKIA|ASIA|gh[pousr]_|github_pat_|eyJ)[\w.\-]*)…$"
)
_LAST = 256
#: Digits alike, what groups them gone: a text without 13 of them in a row holds no card.
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_GROUPING = b" .-\xa0"
_MANY_DIGITS = b"0" * 13
_NO_DIGIT = re.compile(r"\D")
_KEY_ENDS = r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-{0,5}"
_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\\\r\n "
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def any_shape(value: str) -> bool:
    """Tell whether a text may hold what looks like a secret."""
    # Of what is searched for, single characters are much cheaper: they go first.
    return (
        "earer" in value
        or "asic" in value
        or ("J" in value and "eyJ" in value)
        or ("I" in value and ("AKIA" in value or "ASIA" in value or "BASIC" in value))
        or "…" in value
        or (":" in value and "://" in value and "@" in value)
        or ("_" in value and "gh" in value and _compiled(_GITHUB).search(value) is not None)
        or ("_" in value and "github_pat" in value)
        or "PRIVATE KEY" in value
        or _MANY_DIGITS in value.encode("latin-1", "replace").translate(_DIGITS, _GROUPING)
        or ("R" in value and "EARER" in value)
    )


def scrub_shapes(value: str) -> str:
    """Return the text with ``[scrubbed]`` for what looks like a secret, whatever its name."""
    if "PRIVATE KEY" in value:
        value = _without_key(value)
    if "://" in value and ("@" in value or value[-1:] == "…"):
        value = _compiled(_CREDENTIALS).sub(SCRUBBED, value)
    if "earer" in value or "EARER" in value:
        value = _compiled(_BEARER).sub(r"\1" + SCRUBBED, value)
    if "asic" in value or "BASIC" in value:
        value = _compiled(_BASIC).sub(_without_password, value)
    if "eyJ" in value:
        value = _compiled(_JWT).sub(SCRUBBED, value)
    if "KIA" in value or "SIA" in value:
        value = _compiled(_AWS).sub(SCRUBBED, value)
    if "_" in value and ("gh" in value or "git" in value):
        value = _compiled(_GITHUB).sub(SCRUBBED, value)
    if _MANY_DIGITS in value.encode("latin-1", "replace").translate(_DIGITS, _GROUPING):
        value = _compiled(_CARD).sub(_without_card, value)
    if value[-1:] == "…":
        value = value[:-_LAST] + _compiled(_CUT).sub(SCRUBBED + "…", value[-_LAST:])
    return value


def luhn(digits: str) -> bool:
    """Return whether the digits pass the check that card numbers pass."""
    odd = sum(map(int, digits[-1::-2]))
    return (odd + sum(_DOUBLED[int(digit)] for digit in digits[-2::-2])) % 10 == 0


def _without_key(value: str) -> str:
    """Take out private keys, also those of which a cut has left only the end."""
    value = _compiled(_PRIVATE_KEY).sub(SCRUBBED, value)
    pieces: list[str] = []
    done = 0
    for ends in _compiled(_KEY_ENDS).finditer(value):
        pieces += (value[done : ends.start()].rstrip(_BASE64), SCRUBBED)
        done = ends.end()
    return "".join([*pieces, value[done:]]) if pieces else value


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _without_password(match: re.Match[str]) -> str:
    # "basic authentication" is prose; credentials are base64 of "user:password".
    encoded = match[2]
    try:
        decoded = a2b_base64(encoded[: len(encoded) // 4 * 4])
    except ValueError:  # no base64, or with letters that only look like it
        return match[0]
    return match[1] + SCRUBBED if b":" in decoded else match[0]


def _without_card(match: re.Match[str]) -> str:
    return SCRUBBED if luhn(_NO_DIGIT.sub("", match[0])) else match[0]
