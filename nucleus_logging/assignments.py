r"""What stands behind secret names in a text: in queries, headers, JSON, XML, code, command lines.

Idea: not the names are searched for, of which there are many, but what parts a name from its
value, of which most texts hold little: ``=``, ``:``, a comma between quotes. What stands before it
is looked up among the names. So an ordinary text costs a few plain searches, and a hostile one a
bounded look-around for each character: whatever was taken for a value is never looked at again.

Owns: how far a secret value reaches. Called by ``scrub``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nucleus_logging.shapes import SCRUBBED
from nucleus_logging.words import PAIRS, SecretNames

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeAlias

    #: Start and end of a value; None for none.
    Extent: TypeAlias = "tuple[int, int] | None"

#: Each of the words and pairs that make a name secret holds one of these.
STEMS = ("pass", "pw", "psw", "secret", "token", "key", "auth", "cookie", "sess", "csrf", "xsrf",
         "card", "ssn", "dsn", "cred", "cvv", "cvc", "bearer", "jwt", "otp", "sid", "secur", "cc",
         "pin", "code", "string", "signature")  # fmt: skip

_AROUND = 100  # characters before a separator that are looked at
_SHORT = 32  # of a name whose verdict is kept: one from a text may never come again
_NAME_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."
_SEPARATOR, _OTHER, _PART = 1, 0, 2
#: A text's characters by what they do to a name, a byte for each.
_MARKS = bytes(
    _SEPARATOR if one in b"=:" else _PART if chr(one) in _NAME_CHARACTERS else _OTHER
    for one in range(256)
)
#: The same text as words, with equals signs for separators.
_WORDS = bytes(
    ord("=") if mark == _SEPARATOR else one if mark == _PART else ord(" ")
    for one, mark in enumerate(_MARKS)
)
_KEPT = 4096
#: What a quoted text may begin with; "" at the end of the text, which is none.
_OPENING = tuple("'\"bBuUrRfF\\&%")
#: What may stand between a name and its separator.
_CLOSING = " \t\\\"']+!?|~*"
_ESCAPED_CLOSING = (
    "&quot;",
    "&#34;",
    "&#39;",
    "&#x22;",
    "&#x27;",
    "%22",
    "%27",
    "%5D",
    "%5d",
    "%20",
)
_LETTER = re.compile(r"[^\W\d_]")
_STEM = re.compile("|".join(STEMS))
_SECOND = frozenset(pair.partition("_")[2] for pair in PAIRS)
#: Last parts of a dotted name that say nothing by themselves, and names beside a ``name``.
_COLOURLESS = frozenset({"value", "val", "id", "raw"})
_LABEL = re.compile(
    r"(?i)\b(?:name|key|field|header)\\{0,7}[\"']?\s{0,2}[=:]\s{0,2}\\{0,7}[\"']([\w.\-]{1,60})"
    r"\\{0,7}[\"'],?\s{1,3}(?:type=\S{1,20}\s)?\\{0,7}[\"']?$"
    r"|(?i:\b(?:name|key|field|header))\\{0,7}[\"']:\\{0,7}[\"']([\w.\-]{1,60})\\{0,7}[\"'],"
    r"\\{0,7}[\"']$"
)
# A value may stand in the next line.
_BLANK = re.compile(r"(?:[ \t]|%20){0,32}(?:\r?\n[ \t]{0,16})?")
_QUOTE = re.compile(
    r"(?:[bBuUrRfF]{1,2})?(\\{0,7}(?:\"\"\"|'''|[\"'])|&quot;|&#(?:3[49]|x2[27]);|%2[27])"
)
_BARE = re.compile(r"[^\s,;&\"'<>)}\]\\|]+")
_BARE_ENCODED = re.compile(r"(?:[^\s,;&\"'<>)}\]\\|%]|%(?!2[267Cc]|3[Bb]|7[Dd]))+")
# A header's: "Authorization: Digest a="b", c=d", "Cookie: a=b; c=d".
_LINE = re.compile(r"(?:[^\r\n\"'=\\]+|=(?:\\{0,3}\"[^\"\r\n]*\")?|\\(?![rn]))+")
_WHOLE_LINES = ("authorization", "cookie", "phrase")
_SCHEMES = frozenset({"bearer", "basic", "token", "digest", "apikey", "negotiate", "ntlm"})
# Of these nobody makes a secret, and they say what is wrong.
_NO_SECRET = frozenset(
    {"none", "null", "nil", "true", "false", "undefined", "required", "missing", "invalid"}
    | {"failed", "expired", "unset", "empty", "ok"}
)
# "password: str = 'x'", "token = given or 'x'", "key=SecretStr('x')".
_FURTHER = re.compile(r"\]{0,3}\s{1,2}(?:or|=|\|\||\?\?)\s{1,2}(?=[bBuUrRfF]{0,2}[\"'])")
_CALL = re.compile(r"[\w.]{1,60}\(")
_BRACKET = re.compile(r"[\[\]{}()]")
_CALLED = 300  # characters between the brackets of a call
_TAG = re.compile(r"<(?:[\w\-]{1,40}:)?([\w.\-]{1,60})(?:\s[^<>]{0,200})?>([^<]+)")
_FLAG = re.compile(r"(?<![\w\-])--([A-Za-z][\w.\-]{0,60})[ ,]\s{0,2}(?!-)([^\s,\"']+)")
# "wrong password 'x'", "set_password('x')".
_SAID = re.compile(r"(?i)((?:password|passwd|passphrase)[ (])([\"'])([^\"'\s]{4,})\2")


class Assignments:
    """Finds secret values in texts, by the names before them.

    Args:
        names: which names are secret.
    """

    __slots__ = ("_alone", "_harmless", "_letters", "_names", "_own", "_second")

    def __init__(self, names: SecretNames) -> None:
        self._names = names
        self._harmless: set[bytes] = set()
        self._alone: set[bytes] = set()
        self._own = bool(names.keys)
        self._letters = any(not word.isascii() for key in names.keys for word in key)
        self._second = _SECOND | {key[1] for key in names.keys if len(key) > 1}

    def any(self, value: str) -> bool:
        """Tell whether there may be one."""
        # Of what is searched for, single characters are much cheaper: they go first.
        if (
            ("=" in value or ":" in value or ("%" in value and "%3" in value))
            and not self._all_harmless(value)
            and next(self._assigned(value), None) is not None
        ):
            return True
        if "," in value and next(self._paired(value), None) is not None:
            return True
        return (
            ("<" in value and "</" in value)
            or ("-" in value and "--" in value and _FLAG.search(value) is not None)
            or ("ass" in value and _SAID.search(value) is not None)
        )

    def scrubbed(self, value: str) -> str:
        """Return the text without them; the very object when there are none."""
        value = _without(value, self._assigned(value))
        value = _without(value, self._paired(value))
        made = value
        if "</" in value:
            made = _TAG.sub(self._behind, made)
        if "--" in value:
            made = _FLAG.sub(self._behind, made)
        if "ass" in value:
            made = _SAID.sub(rf"\1\2{SCRUBBED}\2", made)
        return value if made == value else made

    def _all_harmless(self, value: str) -> bool:
        """Tell whether all names before separators are known not to be secret."""
        if "%" in value and "%3" in value:
            return False
        words = value.encode("latin-1", "replace").translate(_WORDS).split(b"=")
        return self._harmless.issuperset([word.rpartition(b" ")[2] for word in words[:-1]])

    def _assigned(self, value: str) -> Iterator[tuple[int, int]]:
        """Find what stands behind ``name=``, ``name: ``, ``"name": ``, and the like."""
        # A byte for each character. No name that is looked for by default has other letters.
        raw = (_LETTER.sub("x", value) if self._letters else value).encode("latin-1", "replace")
        signed = 0
        if "%" in value and "%3" in value:
            signed = 2
            for sign in (b"%3D", b"%3d", b"%3A", b"%3a"):
                raw = raw.replace(sign, b"%3=")
        marks = raw.translate(_MARKS)
        harmless, alone = self._harmless, self._alone
        find, rfind = marks.find, marks.rfind
        low = 0
        at = find(_SEPARATOR)
        while at >= 0:
            begins = rfind(_OTHER, low, at) + 1 or low
            name = raw[begins:at]
            if name in harmless or (name in alone and value[begins - 1 : begins] != " "):
                pass
            elif low < at and (signed or not name.isdigit()):
                ends = at - signed if value[at] in "ADad" else at
                if self._secret(value, marks, max(low, ends - _AROUND), ends):
                    extent = _extent(value, ends, at + 1)
                    if extent is not None:
                        yield extent
                        at = extent[1] - 1
            low = at + 1
            at = find(_SEPARATOR, low)

    def _secret(self, value: str, marks: bytes, low: int, ends: int) -> bool:
        """Tell whether what stands before a separator is a secret name.

        Args:
            value, marks: the text.
            low: what stands before it belongs to something else.
            ends: where the separator begins.
        """
        begins = marks.rfind(_OTHER, low, ends) + 1 or low
        if begins == ends or value[begins - 1 : begins] == "%":
            ends = low + len(_closed(value[low:ends]))
            begins = marks.rfind(_OTHER, low, ends) + 1 or low
            if begins >= ends:
                return False
        name = value[begins:ends]
        before = value[begins - 1 : begins]
        if before == "%":
            name = name[2:]  # %5Bpassword
        elif before == "\\" and name[0] in "nrt" and self._verdict(name[1:]):
            return True  # an escaped end of line stands before it
        # Of a dotted name only the last part: session.py and app.token are modules.
        others, _, part = name.rpartition(".")
        if self._verdict(part):
            return True
        word = part.lower()
        colourless = word in _COLOURLESS
        if colourless and others and self._verdict(others.rpartition(".")[2]):
            return True
        context = word in self._second or (colourless and not others)
        if before != "%":
            self._remember(name, self._alone if context else self._harmless)
        return context and self._in_context(value, low, begins, word)

    def _in_context(self, value: str, low: int, begins: int, word: str) -> bool:
        """Tell whether what stands before makes a name secret: ``api key``, ``name=… value=``."""
        if value[begins - 1 : begins] == " " and word in self._second:
            first = value[low : begins - 1]
            return self._names.together(first[len(first.rstrip(_NAME_CHARACTERS)) :], word)
        label = _LABEL.search(value[max(0, begins - _AROUND) : begins])
        return label is not None and self._verdict(label[1] or label[2])

    def _remember(self, name: str, known: set[bytes]) -> None:
        """Keep in mind that a name is harmless, whatever stands before it, or but for a word."""
        if len(name) > _SHORT or name[-1].isdigit() or not name.isascii():
            return  # it may never come again
        if name[0] in "nrt" and self._verdict(name[1:]):
            return
        if len(known) >= _KEPT:
            known.clear()
        known.add(name.encode())

    def _verdict(self, name: str) -> bool:
        verdict = self._names.known.get(name)
        if verdict is not None:
            return verdict
        if not self._own and _STEM.search(name.lower()) is None:
            return False
        return self._names.secret(name) if len(name) <= _SHORT else self._names.judge(name)

    def _paired(self, value: str) -> Iterator[tuple[int, int]]:
        """Find what stands behind a name in a row of texts: ``('name', 'value')``."""
        low = 0
        double, single = value.find('",'), value.find("',")
        while double >= 0 or single >= 0:
            at = double if single < 0 or 0 <= double < single else single
            after = at + 2
            begins = after + (value[after : after + 1] == " ")
            if value[begins : begins + 1] in _OPENING:
                extent = self._pair(value, low, at, begins)
                if extent is not None:
                    yield extent
                    low = after = extent[1]
            if 0 <= double < after:
                double = value.find('",', after)
            if 0 <= single < after:
                single = value.find("',", after)

    def _pair(self, value: str, low: int, at: int, begins: int) -> Extent:
        before = value[max(low, at - _AROUND) : at].rstrip("\\")
        name = before[before.rfind(value[at]) + 1 :]
        if len(name) < 3 or len(name) == len(before):
            return None
        if not self._own and _STEM.search(name.lower()) is None:
            return None
        if not self._names.judge(name):
            return None
        opening = _QUOTE.match(value, begins)
        if opening is None:
            return None
        start, end = opening.end(), _closing(value, opening.end(), opening[1])
        # {"type": "password", "id": 5}: what follows is a name as well.
        follows = value[end + len(opening[1]) : end + len(opening[1]) + 2].lstrip(" ")
        return None if end <= start or follows.startswith(":") else (start, end)

    def _behind(self, match: re.Match[str]) -> str:
        if not match[2].strip() or match[2] == SCRUBBED or not self._verdict(match[1]):
            return match[0]
        return match[0][: match.start(2) - match.start()] + SCRUBBED


def _without(value: str, extents: Iterator[tuple[int, int]]) -> str:
    pieces: list[str] = []
    done = 0
    for start, end in extents:
        pieces += (value[done:start], SCRUBBED)
        done = end
    return "".join([*pieces, value[done:]]) if pieces else value


def _closed(before: str) -> str:
    """Return what stands before a separator, without the quotes that close the name."""
    rest = before.rstrip(_CLOSING)
    while rest.endswith(_ESCAPED_CLOSING):
        rest = rest[: rest.rfind("&" if rest[-1] == ";" else "%")].rstrip(_CLOSING)
    return rest


def _extent(value: str, at: int, after: int) -> Extent:
    """Return start and end of the secret behind a secret name and its separator."""
    sign = value[at]  # of %3D the first
    following = value[after : after + 1]
    if sign == ":" and (following == ":" or value[at - 1 : at] == ":"):
        return None  # Session::id
    compared = sign == "=" and (following in ("=", "~") or value[at - 1] in "!<>")
    if following in ("=", "~", ">"):
        after += 1
    blank = _BLANK.match(value, after)
    start = after if blank is None else blank.end()
    quoted = _QUOTE.match(value, start)
    if quoted is not None:
        end = _closing(value, quoted.end(), quoted[1])
        return (quoted.end(), end) if end > quoted.end() else None
    if compared or start >= len(value):
        return None
    if value.startswith(SCRUBBED, start):
        return start, start + len(SCRUBBED)
    if value[start] in "[{(":
        return start, _balanced(value, start, len(value))
    if sign == ":" and value[max(0, at - 20) : at].lower().endswith(_WHOLE_LINES):
        line = _LINE.match(value, start)
        return None if line is None else (start, line.end())
    return _bare(value, start, encoded=sign == "%")


def _bare(value: str, start: int, encoded: bool) -> Extent:
    """Return the extent of a value without quotes."""
    bare = (_BARE_ENCODED if encoded else _BARE).match(value, start)
    if bare is None or bare[0].rstrip(".").lower() in _NO_SECRET:
        return None
    end = bare.end()
    if bare[0].lower() in _SCHEMES and value[end : end + 1] == " ":
        credentials = _BARE.match(value, end + 1)
        return start, end if credentials is None else credentials.end()
    call = _CALL.match(value, start) if "(" in bare[0] else None
    if call is not None:
        closed = _balanced(value, call.end() - 1, call.end() + _CALLED)
        end = max(end, closed)
    further = _FURTHER.match(value, end)
    opening = None if further is None else _QUOTE.match(value, further.end())
    if opening is not None:
        end = _closing(value, opening.end(), opening[1])
        end = min(end + len(opening[1]), len(value))
    return start, end


def _balanced(value: str, start: int, most: int) -> int:
    """Return where the bracket that opens at ``start`` is closed; ``most`` if it is not before."""
    depth = 0
    for bracket in _BRACKET.finditer(value, start, most):
        depth += 1 if bracket[0] in "[{(" else -1
        if depth == 0:
            return bracket.end()
    return min(most, len(value))


def _closing(value: str, start: int, quote: str) -> int:
    """Return where a quoted text ends: at its quote, escaped just as it was where it began."""
    end = value.find(quote, start)
    if quote in ('"', "'"):
        while end > start and value[end - 1] == "\\":
            end = value.find(quote, end + 1)
    return len(value) if end < 0 else end
