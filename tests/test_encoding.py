"""JSON that every parser takes, of bounded size, with either encoder."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleus_logging import encoding
from nucleus_logging.encoding import bounded, dumps, fit
from tests.tools import run_python

TEXTS = st.text(max_size=3000)
PAYLOADS = st.dictionaries(
    st.text(min_size=1, max_size=200),
    TEXTS
    | st.integers(-(2**53), 2**53)
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False),
    max_size=40,
)


@pytest.fixture(params=["orjson", "json"], autouse=True)
def _each_encoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test with orjson and with the standard library."""
    encode = encoding._copying(orjson.dumps) if request.param == "orjson" else encoding._standard()
    monkeypatch.setattr(encoding, "_encode", encode)


def test_compact_utf_8() -> None:
    """No blanks, no escapes that are not needed."""
    value = {"a": 'ä€😀\u2028"\\\n', "b": [1, 2.5, True, None]}
    assert dumps(value) == '{"a":"ä€😀\u2028\\"\\\\\\n","b":[1,2.5,true,null]}'.encode()


def test_a_python_without_the_c_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard library's encoder is the same everywhere, but not as quick."""
    value = {"a": 'ä€😀\u2028"\\\n', "b": [1, 2.5, True, None]}
    quick = encoding._standard()(value)
    monkeypatch.setattr(json.encoder, "c_make_encoder", None)
    assert encoding._standard()(value) == quick


def test_lone_surrogates_are_replaced() -> None:
    """Half of a character becomes the replacement character, a pair its character."""
    assert (
        dumps({"a": "x\ud800y", "b": "\ud83d\ude00", "c": 1})
        == '{"a":"x�y","b":"😀","c":1}'.encode()
    )


def test_what_fits_is_left_alone() -> None:
    """An event within its limit is encoded as it is."""
    wire = {"name": "x", "payload": {"a": "y" * 60_000}}
    assert json.loads(bounded(wire, 65536)) == wire


def test_the_longest_text_is_cut_first() -> None:
    """Short values stay whole; of a stack both ends stay."""
    payload = {"message": "m" * 8000, "stack": "first\n" + "x\n" * 40_000 + "last", "user": "bob"}
    fitted = fit(payload, 50_000)
    assert fitted["message"] == payload["message"]
    assert fitted["user"] == "bob"
    assert fitted["truncated"] is True
    stack = str(fitted["stack"])
    assert stack.startswith("first\n")
    assert stack.endswith("\nlast")
    assert "…" in stack
    assert 40_000 < len(dumps(fitted)) <= 50_000


def test_many_long_texts_share() -> None:
    """Texts of the same length are cut to the same length, and most of the room is used."""
    fitted = fit({f"t{n}": "y" * 8000 for n in range(64)}, 60_000)
    lengths = {len(str(value)) for key, value in fitted.items() if key != "truncated"}
    assert len(lengths) == 1
    assert 50_000 < len(dumps(fitted)) <= 60_000


def test_names_that_are_too_much_themselves() -> None:
    """When names alone do not fit the last fields go."""
    fitted = fit({f"{n}" + "€" * 195: n for n in range(64)}, 10_000)
    assert len(dumps(fitted)) <= 10_000
    assert next(iter(fitted.values())) == 0
    assert fitted["truncated"] is True


@given(payload=PAYLOADS, size=st.integers(200, 20_000))
def test_always_fits(payload: dict[str, object], size: int) -> None:
    """Whatever is in it, escapes and wide characters included, a payload gets small enough."""
    fitted = fit(payload, size)  # type: ignore[arg-type]
    assert len(dumps(fitted)) <= size
    assert json.loads(dumps(fitted)) == orjson.loads(dumps(fitted)) == fitted
    for key, value in fitted.items():
        if type(value) is not str and key != "truncated":
            assert value == payload[key]


def test_without_orjson() -> None:
    """The package works where orjson is not installed, and writes the same."""
    program = """
import sys
sys.modules["orjson"] = None
from nucleus_logging.encoding import dumps
sys.stdout.buffer.write(dumps({"a": "ä\\ud800", "b": 1.5}))
"""
    assert run_python(program, PYTHONIOENCODING="utf-8").stdout == '{"a":"ä�","b":1.5}'
