"""Lines of plain text: dates, levels and loggers in their usual places; what continues an entry.

Idea: an entry begins with a line that has a date or a level in front; what follows without one, a
traceback above all, belongs to it. Pure.
Called by: ``formats``.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from nucleus_logging.collector.shipping.moments import leading

__all__ = ["Beginning", "begins", "continues", "exception_of", "shape"]

LEVELS = {
    "trace": "debug",
    "debug": "debug",
    "info": "info",
    "information": "info",
    "notice": "info",
    "warn": "warning",
    "warning": "warning",
    "error": "error",
    "err": "error",
    "severe": "error",
    "critical": "critical",
    "crit": "critical",
    "fatal": "critical",
    "alert": "critical",
    "emerg": "critical",
    "panic": "critical",
}
SEVERITIES = ("critical", "critical", "critical", "error", "warning", "info", "info", "debug")
_LEVEL = re.compile(
    r"(?<![\w./-])(TRACE|DEBUG|INFO|INFORMATION|NOTICE|WARN|WARNING|ERROR|ERR|SEVERE|CRITICAL|CRIT"
    r"|FATAL|ALERT|EMERG|PANIC|trace|debug|info|notice|warn|warning|error|crit|critical|fatal|alert"
    r"|emerg)(?![\w.=-]|/(?!MainProcess|ForkPoolWorker))"
)
_SEPARATORS = " \t-|:[]()>"
_LEVEL_WITHIN = 80  # characters after the date: further on the word belongs to the message
_LOGGER = re.compile(r"([A-Za-z_][\w.]*(?:\[\d+\])?)(?::| -| \||\]) ?")
_SYSLOG_TAG = re.compile(r"\S+ ([\w./-]+)(?:\[\d+\])?: ")
_PRIORITY = re.compile(r"<(\d{1,3})>(?:1 )?")
_LOGURU = re.compile(r"([\w.<>]+):([\w.<>]+):\d+ - ")
_SPRING = re.compile(r"\d+ --- \[[^\]]*\] ([\w.$\[\]/]+) *: ")
_WEB = re.compile(
    r'\S+ \S+ \S+ \[([^\]]{20,30})\] "([A-Z]+) (\S+)[^"]*" (\d{3}) (\d+|-)(?: "[^"]*" "[^"]*")?'
)
_INDENTED = re.compile(
    r"[ \t]+\S|Traceback |Caused by: |\.\.\. \d+ more|The above exception|During "
)
_EXCEPTION = re.compile(r"((?:[A-Za-z_]\w*\.)*[A-Z]\w*)(?:: | \(\d+ sub-exceptions?\)|$)")
_OF_A_GROUP = re.compile(r" {2,}[|+] ?(?=\S)")
_VARIABLE = re.compile(
    r"0x[0-9a-fA-F]+|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    r"|\b[0-9a-fA-F]{16,}\b|'[^']{0,200}'|\"[^\"]{0,200}\"|\d+(?:[.:]\d+)*"
)


class Beginning(NamedTuple):
    """What the first line of an entry says; ``fields`` for what a form names itself."""

    date: float | None
    level: str | None
    logger: str | None
    message: str
    fields: dict[str, object]


def begins(line: str) -> Beginning | None:
    """Read a line that begins an entry, or None when it has neither date nor level in front."""
    web = _WEB.match(line)
    if web:
        return _web(web)
    priority = _PRIORITY.match(line)
    text = line[priority.end() if priority else 0 :].lstrip("[(")
    found = leading(text)
    date, rest = (found[0], text[found[1] :]) if found else (None, line)
    rest = rest.lstrip(_SEPARATORS)
    level = _LEVEL.search(rest, 0, _LEVEL_WITHIN)
    if found is None and (level is None or level.start() > 1):
        return None
    # "host program[pid]: message", as syslog writes: the host is nobody's business.
    tag = _SYSLOG_TAG.match(rest) if text[:1].isalpha() or _is_rfc3339(text, found) else None
    if tag:
        known = SEVERITIES[int(priority[1]) % 8] if priority else None
        return Beginning(date, known, tag[1], rest[tag.end() :], {})
    if level is None or not _is_preamble(rest[: level.start()], level[1]):
        return Beginning(date, None, None, rest, {})
    before = rest[: level.start()].rstrip(" \t-|:[(")
    after = rest[level.end() :]
    # Celery names the process behind the level.
    after = after.partition("]")[2] if after[:1] == "/" else after
    logger, after = _logger(before, after.lstrip(_SEPARATORS))
    return Beginning(date, LEVELS[level[1].lower()], logger, after.lstrip(_SEPARATORS), {})


def continues(line: str) -> bool:
    """Whether a line goes on with what came before wherever it stands: indented, or a traceback."""
    return bool(_INDENTED.match(line))


def exception_of(stack: str) -> str | None:
    """The last line of a traceback that names an exception; of a group's, the group."""
    lines = stack.splitlines()
    for line in reversed(lines):
        if line[:1] not in ("", " ", "\t") and _EXCEPTION.match(line):
            return line
    bare = (_OF_A_GROUP.sub("", line, count=1) for line in lines if _OF_A_GROUP.match(line))
    return next((line for line in bare if _EXCEPTION.match(line)), None)


def shape(message: str) -> str:
    """A message without what varies, so that messages of one kind have one name."""
    return _VARIABLE.sub("*", message[:1000]).strip()[:200]


def _logger(before: str, after: str) -> tuple[str | None, str]:
    """The logger, which stands before the level or after it, and what goes on behind it."""
    named = _SPRING.match(after) or _LOGURU.match(after)
    if named:
        return named[1], after[named.end() :]
    logger = before.rpartition(" ")[2].strip(_SEPARATORS) or None
    if logger is not None and logger.isdecimal():
        logger = None
    named = _LOGGER.match(after.removeprefix("in "))
    # What stands in brackets may be the thread; then a name with dots goes before it.
    other = logger is None or (before.endswith("]") and named is not None and "." in named[1])
    if named and other and not named[1].isdecimal():
        return named[1], after.removeprefix("in ")[named.end() :]
    return logger, after


def _is_rfc3339(text: str, found: tuple[float, int] | None) -> bool:
    """Whether a text begins with the date that rsyslog writes: with its T, and a zone."""
    return found is not None and text[10:11] == "T" and text[found[1] - 6 : found[1] - 5] in "+-"


def _is_preamble(text: str, level: str) -> bool:
    """Whether what stands before a level can be logger, process and thread, and is no sentence.

    In small letters the word is a level only where a sentence cannot have it.
    """
    if level.islower() and text and text[-1] not in "[|(":
        return False
    return len(text.split()) <= 4 and '"' not in text


def _web(found: re.Match[str]) -> Beginning:
    """A line of a web server's access log; whose address it was stays here."""
    moment = leading(found[1])
    status = int(found[4])
    fields: dict[str, object] = {"method": found[2], "path": found[3], "status": status}
    if found[5] != "-":
        fields["bytes"] = int(found[5])
    level = "error" if status >= 500 else "warning" if status >= 400 else "info"
    message = f"{found[2]} {found[3].partition('?')[0]} {status}"
    return Beginning(moment[0] if moment else None, level, "access", message, fields)
