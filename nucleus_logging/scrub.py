"""Secrets -> ``[scrubbed]``, by the name of a field and by what a text looks like.

Idea: a name is taken apart into words (``X-Api-Key``, ``userPassword``, ``db.dsn``) and each
verdict is kept, so that it costs one look-up from then on. A text is first asked, by plain
searches, whether it can hold a secret at all; nearly none can. Everything that looks on from
there has a bound on how far, so that a hostile text costs time linear in its length.

Owns: what counts as a secret. Called by ``payload.clean`` and, for the names of events, by
``events``. The secrets' looks are in ``shapes``.
"""

from __future__ import annotations

import os
import re
from itertools import pairwise
from typing import TYPE_CHECKING

from nucleus_logging.shapes import SCRUBBED, scrub_shapes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["SCRUBBED", "Scrubber"]

_REMEMBERED = 4096  # verdicts on names, and short texts without secrets
_SHORT = 64
_AROUND = 100  # characters of a name in a text that are looked at, to either side


def _listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


#: Words that make the value of a name that holds them secret. ``tokens`` is none: it is a count.
WORDS = _listed(
    """
    password passwords passwd passwort pwd passphrase passcode passkey secret secrets token
    authtoken accesstoken refreshtoken idtoken apitoken csrftoken csrfmiddlewaretoken apikey apikeys
    appkey authkey auth authorization authorisation cookie cookies csrf xsrf session sessions
    sessionid sessid phpsessid jsessionid sid ssn dsn credential credentials creditcard cardnumber
    cvv cvc cvv2 privatekey secretkey accesskey signingkey encryptionkey bearer jwt otp totp
    """
)
#: Two words that do so together.
PAIRS = _listed(
    """
    api_key api_keys app_key auth_key access_key account_key client_key private_key secret_key
    signing_key encryption_key ssh_key master_key shared_key service_key license_key credit_card
    card_number card_code security_code social_security access_tokens refresh_tokens auth_tokens
    api_tokens pass_word pass_phrase
    """
)
#: A name that ends so tells something about the secret, not the secret: ``session_count``.
ABOUT = _listed(
    """
    count counts total length len size type types kind name names limit limits age ttl expiry
    expires expired expiration index used usage max min rate valid invalid present missing changed
    required enabled disabled ok status state duration seconds ms time timeout at url uri endpoint
    path file field version start started end ended created updated method provider scheme backend
    engine
    """
)

# Each of those words and pairs holds one of these, so a text without them names no secret.
STEMS = ("pass", "pwd", "secret", "token", "key", "auth", "cookie", "sess", "csrf", "xsrf", "card",
         "ssn", "dsn", "cred", "cvv", "cvc", "bearer", "jwt", "otp", "sid", "secur")  # fmt: skip

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
# Run together with others: PGPASSWORD, password2, mytoken; but not secretary.
_INSIDE = re.compile(r"password|passwd|passphrase|(?:secret|token|apikey)\d*$")
_NO_WORD = re.compile(r"[^a-z0-9]+")
_NAME_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."

# The end of a name and what parts it from its value: NAME=value, NAME: value, NAME]=value,
# "NAME": "value", \"NAME\": \"value\", and as in pairs, 'NAME', b'value'.
_PARTED = re.compile(
    r"([A-Za-z0-9_.\-]{0,100})"
    r"(?:[\\\]\"']{0,4}\s{0,4}[=:]>?\s{0,4}|['\"],\s{0,2}(?=b?['\"]))?"
)
_QUOTED = re.compile(r"b?(\\{0,3})([\"'])")
_BARE = re.compile(r"[^\s,;&\"'<>)}\]\\|]+")
_LINE = re.compile(r"[^\r\n\"']+")
_BRACKET = re.compile(r"[\[\]{}()]")


class Scrubber:
    """Knows secrets by name and by look.

    Args:
        keys: further names; ``tax_id`` also means ``taxId``, ``customer.tax-id``, ``OLD_TAX_ID``.
        patterns: further regular expressions, as text or compiled; what they match goes. Their
            running time on hostile text is their author's concern.
        callable: asked last, with each text; it returns the text to be sent. If it raises or
            returns no string, the whole text goes.

    Raises:
        re.error: if a pattern is none.
    """

    __slots__ = (
        "_ask",
        "_at_home",
        "_clean",
        "_home",
        "_keys",
        "_patterns",
        "_stems",
        "_with_stem",
        "known",
    )

    def __init__(
        self,
        keys: Iterable[str] = (),
        patterns: Iterable[str | re.Pattern[str]] = (),
        callable: Callable[[str], str] | None = None,
    ) -> None:
        self._keys = tuple(filter(None, (tuple(_words(key)) for key in keys)))
        self._stems = tuple(words[0] for words in self._keys)
        self._with_stem = re.compile("|".join(map(re.escape, STEMS + self._stems)))
        self._patterns = tuple(re.compile(pattern) for pattern in patterns)
        self._ask = callable
        self._home = _home()
        # The directory itself and what is below it, but not alice2 beside alice, and for a short
        # one like /root not the end of some URL.
        before = r"(?<![\w.-])" if self._home.count(os.sep) < 2 else ""
        self._at_home = re.compile(before + re.escape(self._home) + r"(?![\w-]|\.\w)")
        # Levels, names of loggers and of events come again and again.
        self._clean: set[str] = set()
        #: Verdicts on names that need no repair; False: the value may be sent under it.
        #: ``payload.clean`` reads it.
        self.known: dict[str, bool] = {}

    def key(self, name: str) -> bool:
        """Return whether the values under this name are secret."""
        secret = self.known.get(name)
        if secret is None:
            secret = any(self._secret(_words(part)) for part in name.split("."))
            if len(self.known) >= _REMEMBERED:
                self.known.clear()
            if 0 < len(name) <= 200 and name.isprintable():
                self.known[name] = secret
        return secret

    def text(self, value: str) -> str:
        """Return the text without its secrets; mostly the very object when there are none."""
        if value in self._clean:
            return value
        scrubbed = self._scrubbed(value)
        if self._ask is not None:
            return self._asked(scrubbed)
        if scrubbed is value and len(value) <= _SHORT:
            if len(self._clean) >= _REMEMBERED:
                self._clean.clear()
            self._clean.add(value)
        return scrubbed

    def _scrubbed(self, value: str) -> str:
        if "=" in value or ":" in value or "'" in value or '"' in value:
            low = value.lower()
            if (
                "pass" in low or "token" in low or "key" in low or "auth" in low or "sess" in low
                or "secret" in low or "cookie" in low or "sid" in low or "pwd" in low
                or "csrf" in low or "xsrf" in low or "card" in low or "ssn" in low or "dsn" in low
                or "cred" in low or "cvv" in low or "cvc" in low or "bearer" in low or "jwt" in low
                or "otp" in low or "secur" in low
                or (self._stems and any(stem in low for stem in self._stems))
            ):  # fmt: skip
                value = self._named(value, low)
        if len(value) >= 12:
            value = scrub_shapes(value)
            if self._home and self._home in value:
                value = self._at_home.sub("~", value)
        if self._patterns:
            for pattern in self._patterns:
                value = pattern.sub(SCRUBBED, value)
        return value

    def _secret(self, words: list[str]) -> bool:
        for key in self._keys:
            width = len(key)
            if any(tuple(words[i : i + width]) == key for i in range(len(words) - width + 1)):
                return True
            if "".join(key) == "".join(words):
                return True
        if not words or words[-1] in ABOUT:
            return False
        if any(word in WORDS or _INSIDE.search(word) for word in words):
            return True
        return any(f"{one}_{other}" in PAIRS for one, other in pairwise(words))

    def _named(self, value: str, low: str) -> str:
        """Take out what stands behind secret names: in queries, headers, JSON and ``repr``s."""
        if len(low) != len(value):  # a few letters are longer in lower case
            low = value.translate(_LOWER)
        done = at = 0
        pieces: list[str] = []
        while True:
            hit = self._with_stem.search(low, at)
            if hit is None:
                break
            before = value[max(done, hit.start() - _AROUND) : hit.start()]
            parted = _PARTED.match(value, hit.end())
            # Never back: however the stems lie in a long word, it is looked at once.
            at = parted.end() if parted else hit.end()
            if parted is None or parted.end() == parted.end(1) or at >= len(value):
                continue
            start = hit.start() - len(before) + len(before.rstrip(_NAME_CHARACTERS))
            name = value[start : parted.end(1)]
            # Of a dotted name only the last part: session.py and app.token are modules.
            if not self.key(name.rpartition(".")[2]):
                continue
            start, end = _extent(value, at, name)
            if end > start:
                pieces += (value[done:start], SCRUBBED)
                done = at = end
        if not pieces:
            return value
        pieces.append(value[done:])
        return "".join(pieces)

    def _asked(self, value: str) -> str:
        try:
            answer = self._ask(value)  # type: ignore[misc]
        except Exception:
            return SCRUBBED
        return answer if type(answer) is str else SCRUBBED


_LOWER = {ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


def _words(name: str) -> list[str]:
    return [word for word in _NO_WORD.split(_CAMEL.sub("_", name[:200]).lower()) if word]


def _extent(value: str, start: int, name: str) -> tuple[int, int]:
    """Return start and end of the secret that stands where a name and its separator end."""
    quoted = _QUOTED.match(value, start)
    if quoted is not None:
        return quoted.end(), _closing(value, quoted.end(), quoted[1], quoted[2])
    if value[start] in "[{(":
        depth = 0
        for bracket in _BRACKET.finditer(value, start):
            depth += 1 if bracket[0] in "[{(" else -1
            if depth == 0:
                return start, bracket.end()
        return start, len(value)
    # A header's value may hold blanks: "Authorization: Digest a=b, c=d", "Cookie: a=b; c=d".
    header = name.lower().endswith(("authorization", "cookie")) and value[start - 1] in " :"
    bare = (_LINE if header else _BARE).match(value, start)
    return start, start if bare is None else bare.end()


def _closing(value: str, start: int, escape: str, quote: str) -> int:
    """Return where a quoted text ends: at its quote, as it was escaped where it began."""
    end = value.find(escape + quote, start)
    while end > start and not escape and value[end - 1] == "\\":
        end = value.find(quote, end + 1)
    return len(value) if end < 0 else end


def _home() -> str:
    """Return the user's directory, "" if it says nothing about the user.

    The paths in tracebacks begin with it, and it mostly holds the user's name.
    """
    home = os.path.expanduser("~").rstrip(os.sep)
    return home if len(home) > 3 and os.path.isabs(home) else ""
