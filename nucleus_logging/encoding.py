"""From a flat event to JSON, valid and of bounded size whatever its texts are.

orjson writes it where it is installed, else the standard library; both give the same bytes. Used
by `nucleus_logging.events`, in whatever thread that runs.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nucleus_logging.texts import shorten, shorten_middle, whole_characters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import TypeAlias

    from nucleus_logging.payload import Scalar

    _Chunks: TypeAlias = "Callable[[object, int], Iterable[str]]"

#: What is kept free for the fields beside the payload, in bytes.
_ENVELOPE = 2048
_ROUNDS = 6


def dumps(value: Mapping[str, object]) -> bytes:
    """Return a flat object as compact JSON, lone surrogates in its texts replaced."""
    try:
        return _encode(value)
    except (ValueError, TypeError):
        # Payloads have been cleaned: it is the name, the user, or an id that a server gave us.
        return _encode({whole_characters(key): _whole(one) for key, one in value.items()})


def bounded(wire: dict[str, object], most: int) -> bytes:
    """Return an event as JSON, its payload cut when it takes more than ``most`` bytes."""
    core = dumps(wire)
    payload = wire.get("payload")
    if len(core) > most and isinstance(payload, dict):
        core = dumps({**wire, "payload": fit(payload, max(most - _ENVELOPE, most // 2))})
    return core


def fit(payload: Mapping[str, Scalar], size: int) -> dict[str, Scalar]:
    """Return a payload that takes at most ``size`` bytes as JSON, and says that it was cut.

    Its longest texts are cut first, down to what all of them may have; when names and short
    values alone are too much, the last fields go.
    """
    fitted: dict[str, Scalar] = {**payload, "truncated": True}
    for _ in range(_ROUNDS):
        if len(_encode(fitted)) <= size:
            return fitted
        taken = {key: len(_encode(value)) for key, value in fitted.items()}
        names = sum(len(_encode(key)) + 2 for key in fitted)
        most = _share(sorted(taken.values()), size - names - 2)
        for key, value in fitted.items():
            if type(value) is str and taken[key] > most:
                # Of a text whose characters are escaped as much less remains.
                length = len(value.encode()) * most // taken[key]
                cut = shorten_middle if key == "stack" else shorten
                fitted[key] = cut(value, max(16, length - 4))
    while len(_encode(fitted)) > size and len(fitted) > 1:
        for key in [key for key in fitted if key != "truncated"][-4:]:
            del fitted[key]
    return fitted


def _share(sizes: list[int], room: int) -> int:
    """Return the most that each may take for all of them, sorted, to fit into ``room``."""
    for position, size in enumerate(sizes):
        share = room // (len(sizes) - position)
        if size > share:
            return max(0, share)
        room -= size
    return sizes[-1]


def _whole(value: object) -> object:
    return whole_characters(value) if isinstance(value, str) else value


def _standard() -> Callable[[object], bytes]:
    encoder = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"))
    make: Callable[..., _Chunks] | None = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return lambda value: encoder.encode(value).encode()
    # `encode` makes one of these for each value: half of what a small object costs.
    chunks = make(
        *(None, encoder.default, json.encoder.encode_basestring, None),
        *(":", ",", False, False, True),
    )

    def dumps(value: object) -> bytes:
        return "".join(chunks(value, 0)).encode()

    return dumps


def _copying(encode: Callable[[object], bytes]) -> Callable[[object], bytes]:
    """Return `encode` with results that take no more memory than they are long."""

    def dumps(value: object) -> bytes:
        # orjson writes into 4 KiB, and its result keeps them: 40 MB for a queue of 10 000.
        return bytes(memoryview(encode(value)))

    return dumps


#: As `dumps`, for texts without lone surrogates, and for results that are not kept.
quick = _encode = _standard()
try:
    import orjson

    quick = orjson.dumps
    _encode = _copying(quick)
except ImportError:
    pass
