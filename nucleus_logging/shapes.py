"""What a secret looks like, whatever its name: credentials in URLs, tokens, keys, card numbers.

Idea: each shape holds a few characters that hardly any other text holds; only a text that has
them meets the regular expression, which is compiled when that first happens. No expression can
look further ahead than a bound, or it consumes what it looked at: linear time on any text.

Called by ``scrub``.
"""

from __future__ import annotations

import re
from binascii import Error as NotBase64
from binascii import a2b_base64
from functools import cache

SCRUBBED = "[scrubbed]"

# What is between "://" and the last "@" before a path begins.
_CREDENTIALS = r"(?<=://)[^\s/?#\"'<>]{1,256}@"
_BEARER = (
    r"(?i)\b(bearer\s{1,4})(?!(?:tokens?|auth\w*|scheme|credentials?|format|realm|header)\b)"
    r"[\w.~+/\-]{6,}=*"
)
_BASIC = r"(?i)\b(basic\s{1,4})([A-Za-z0-9+/]{8,})={0,2}"
_JWT = r"\beyJ[\w\-]{6,}\.[\w\-]{8,}(?:\.[\w\-]*)?"
# A stack may have been cut in the middle of one: then it goes on to the end.
_PRIVATE_KEY = (
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:[^\-]|-(?!----END ))*(?:-----END [A-Z0-9 ]{0,60}-{0,5})?"
)
_AWS = r"(?<![A-Za-z0-9])(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}(?![A-Za-z0-9])"
_GITHUB = r"\b(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{20,})"
# Grouped as on the card, or not at all: 4-4-4-4 and its longer and shorter kin, 4-6-5, 4-6-4.
_CARD = (
    r"(?<![\d.])(?:3[47]\d{2}([ \-]?)\d{6}\1\d{5}|3[068]\d{2}([ \-]?)\d{6}\2\d{4}"
    r"|[2-6]\d{3}([ \-]?)\d{4}\3\d{4}\3\d{1,4}(?:\3\d{3})?)(?!\d)"
)
_FOUR_DIGITS = re.compile(r"[2-6]\d\d\d")
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def scrub_shapes(value: str) -> str:
    """Return the text with ``[scrubbed]`` for what looks like a secret, whatever its name."""
    if "@" in value and "://" in value:
        value = _compiled(_CREDENTIALS).sub(SCRUBBED + "@", value)
    if "earer " in value or "BEARER " in value:
        value = _compiled(_BEARER).sub(r"\1" + SCRUBBED, value)
    if "asic " in value or "BASIC " in value:
        value = _compiled(_BASIC).sub(_without_password, value)
    if len(value) >= 18:  # the shortest of the others
        value = _scrub_longer(value)
    if _FOUR_DIGITS.search(value) is not None:
        value = _compiled(_CARD).sub(_without_card, value)
    return value


def luhn(digits: str) -> bool:
    """Return whether the digits pass the check that card numbers pass."""
    odd = sum(map(int, digits[-1::-2]))
    return (odd + sum(_DOUBLED[int(digit)] for digit in digits[-2::-2])) % 10 == 0


def _scrub_longer(value: str) -> str:
    if "eyJ" in value:
        value = _compiled(_JWT).sub(SCRUBBED, value)
    if "PRIVATE KEY" in value:
        value = _compiled(_PRIVATE_KEY).sub(SCRUBBED, value)
    if "KIA" in value or "SIA" in value or "ROA" in value or "IDA" in value:
        value = _compiled(_AWS).sub(SCRUBBED, value)
    if "_" in value and ("gh" in value or "git" in value):
        value = _compiled(_GITHUB).sub(SCRUBBED, value)
    return value


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _without_password(match: re.Match[str]) -> str:
    # "basic authentication" is prose; credentials are base64 of "user:password".
    encoded = match[2]
    try:
        decoded = a2b_base64(encoded[: len(encoded) // 4 * 4])
    except NotBase64:
        return match[0]
    return match[1] + SCRUBBED if b":" in decoded else match[0]


def _without_card(match: re.Match[str]) -> str:
    return SCRUBBED if luhn(match[0].replace(" ", "").replace("-", "")) else match[0]
