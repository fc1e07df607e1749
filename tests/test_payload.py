"""Any values become a flat payload, within limits, and nothing raises."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleus_logging.payload import PLAIN, Limits, Scalar, clean, flatten
from nucleus_logging.scrub import Scrubber

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMITS = Limits()

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters())
KEYS = st.none() | st.booleans() | st.integers() | st.text(st.characters()) | st.binary()
VALUES = st.recursive(
    SCALARS | st.binary() | st.datetimes() | st.decimals() | st.uuids(),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner) | st.tuples(inner, inner),
    max_leaves=30,
)


def flat(value: object, limits: Limits = LIMITS) -> dict[str, Scalar]:
    """Flatten one value under the name ``v``."""
    into: dict[str, Scalar] = {}
    flatten([("v", value)], into, limits)
    return into


class TestFlatten:
    def test_nested_values_get_dotted_names(self) -> None:
        """Mappings and objects with fields are flattened, None is left out."""

        @dataclasses.dataclass
        class Order:
            number: int
            note: None = None

        assert flat({"a": {"b": 1}, "order": Order(7)}) == {"v.a.b": 1, "v.order.number": 7}

    def test_sequences_of_scalars_are_joined(self) -> None:
        """Up to 20 elements are joined by commas, and how many there are is told."""
        assert flat([1, "a", None, True]) == {"v": "1,a,None,True", "v.count": 4}
        assert flat({"b", "a"}) == {"v": "a,b", "v.count": 2}
        assert flat([]) == {"v.count": 0}
        long = flat(range(50))
        assert long["v"] == ",".join(map(str, range(20))) + ",…"
        assert long["v.count"] == 50
        assert long["truncated"] is True

    def test_other_sequences_are_json(self) -> None:
        """A list of mappings is JSON text, whatever is in it."""
        made = flat([{"a": [1, None], "b": math.nan}, object])
        assert json.loads(str(made["v"])) == [{"a": [1, None], "b": "NaN"}, repr(object)]
        assert made["v.count"] == 2

    def test_cycles_end(self) -> None:
        """A container that holds itself is cut there."""
        ring: dict[str, object] = {"a": 1}
        ring["self"] = ring
        row: list[object] = [1]
        row.append(row)
        assert flat(ring) == {"v.a": 1, "v.self": "…", "truncated": True}
        assert flat(row) == {"v": '[1,"…"]', "v.count": 2, "truncated": True}

    def test_the_same_object_twice_is_no_cycle(self) -> None:
        """Only a container inside itself is cut."""
        shared = {"x": 1}
        assert flat({"a": shared, "b": shared}) == {"v.a.x": 1, "v.b.x": 1}

    def test_depth_is_limited(self) -> None:
        """What lies deeper than the limit is cut, however deep it is."""
        deep: object = 1
        for _ in range(5000):
            deep = {"d": deep}
        assert flat(deep) == {"v.d.d.d.d.d": "…", "truncated": True}
        wrapped: object = 1
        for _ in range(5000):
            wrapped = [wrapped]
        assert str(flat(wrapped)["v"]).startswith('[[[[["…"')

    def test_ten_thousand_keys_are_cut(self) -> None:
        """Only so many fields are taken, and the payload says so."""
        into: dict[str, Scalar] = {}
        assert flatten(((f"k{n}", n) for n in range(10_000)), into, LIMITS)
        assert len(into) <= LIMITS.max_keys + 1
        assert into["k0"] == 0
        assert into["truncated"] is True

    @pytest.mark.parametrize("kind", [RuntimeError, KeyError, MemoryError, RecursionError])
    def test_pairs_that_end_in_an_error(self, kind: type[Exception]) -> None:
        """Whatever their source raises, those before it stay, and the payload says so."""

        def pairs() -> Iterator[tuple[str, int]]:
            yield "a", 1
            raise kind("no more")

        into: dict[str, Scalar] = {}
        assert flatten(pairs(), into, LIMITS)
        assert into == {"a": 1, "truncated": True}

    def test_nones_cost_no_field(self) -> None:
        """Values that are left out do not push others out."""
        into: dict[str, Scalar] = {}
        pairs = [(f"n{n}", None) for n in range(200)]
        assert not flatten([*pairs, ("x", 1)], into, LIMITS)
        assert into == {"x": 1}

    def test_text_is_bounded_as_a_whole(self) -> None:
        """A string of 5 MB is cut, and many long ones share what an event has."""
        made = flat({f"k{n}": "x" * 5_000_000 for n in range(60)})
        assert len(str(made["v.k0"]).encode()) == LIMITS.max_string
        assert sum(len(str(value)) for value in made.values()) < LIMITS.max_event + 1024

    def test_names_that_clash_are_told_apart(self) -> None:
        """1 and "1", or a dotted name and a nested one, both stay."""
        assert flat({1: "a", "1": "b"}) == {"v.1": "a", "v.1_2": "b"}
        into: dict[str, Scalar] = {"level": "info"}
        flatten([("level", 9), ("level", 8)], into, LIMITS)
        assert into == {"level": "info", "level_2": 9, "level_3": 8}

    def test_a_prefix_is_put_in_front(self) -> None:
        """Fields can be put below a name."""
        into: dict[str, Scalar] = {}
        flatten([("a", 1)], into, LIMITS, prefix="extra.")
        assert into == {"extra.a": 1}

    def test_what_a_repr_does_is_guarded(self) -> None:
        """A __repr__ that raises, recurses or returns no string costs its field only."""

        class Recursive:
            def __repr__(self) -> str:
                return repr(self)

        class Raising:
            def __repr__(self) -> str:
                raise MemoryError

        made = flat({"a": Recursive(), "b": Raising(), "c": 3})
        assert "RecursionError" in str(made["v.a"])
        assert "MemoryError" in str(made["v.b"])
        assert made["v.c"] == 3

    def test_a_stack_that_is_nearly_full_is_survived(self) -> None:
        """At any depth of the caller's stack, flatten returns."""

        def descend() -> None:
            try:
                descend()
            finally:
                flatten([("v", {"a": [{"b": object()}]})], {}, LIMITS)

        with pytest.raises(RecursionError):
            descend()

    def test_an_interrupt_passes(self) -> None:
        """SystemExit raised in a __repr__ is for the application."""

        class Exiting:
            def __repr__(self) -> str:
                raise SystemExit(3)

        with pytest.raises(SystemExit):
            flat(Exiting())

    def test_a_mapping_that_changes_meanwhile(self) -> None:
        """Another thread that fills the mapping does not make flatten raise."""
        shared: dict[str, object] = {"a": 1}
        stop = threading.Event()

        def fill() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                shared[f"k{number % 97}"] = number
                shared.pop(f"k{(number * 7) % 97}", None)

        thread = threading.Thread(target=fill)
        thread.start()
        try:
            for _ in range(300):
                flatten(shared.items(), {}, LIMITS)
                assert "v.a" in flat(shared)
        finally:
            stop.set()
            thread.join()

    def test_nothing_mutable_is_shared(self) -> None:
        """What the application changes afterwards changes no payload."""
        tags = ["a"]
        made = flat({"tags": tags})
        tags.append("b")
        assert made == {"v.tags": "a", "v.tags.count": 1}

    @given(st.dictionaries(KEYS, VALUES, max_size=8))
    def test_anything_becomes_valid_json(self, values: dict[object, object]) -> None:
        """Flattened and cleaned, any values are strict JSON of scalars, within the limits."""
        into: dict[str, Scalar] = {}
        flatten(values.items(), into, LIMITS)
        assert {type(value) for value in into.values()} <= PLAIN
        made = clean(into, LIMITS, Scrubber())
        json.dumps(made, allow_nan=False).encode()
        json.dumps(made, ensure_ascii=False).encode()
        assert len(made) <= LIMITS.max_keys
        assert all(key.isprintable() and 0 < len(key) <= 210 for key in made)


class TestClean:
    def test_more_texts_than_fields(self) -> None:
        """Of a payload that holds too many texts the first ones are kept, and scrubbed."""
        given = {f"key{number}": f"token=abc{number}" for number in range(100)}
        cleaned = clean(given, LIMITS, Scrubber())
        assert len(cleaned) == LIMITS.max_keys
        assert cleaned.pop("truncated") is True
        assert list(cleaned) == list(given)[: len(cleaned)]
        assert set(cleaned.values()) == {"token=[scrubbed]"}

    def test_ordinary_fields_pass_as_they_are(self) -> None:
        """Scalars come back equal, in order, None left out."""
        given_ = {"a": "x", "b": 1, "c": 2.5, "d": True, "e": None, "f": "é😀"}
        made = clean(given_, LIMITS, Scrubber())
        assert list(made.items()) == [
            ("a", "x"), ("b", 1), ("c", 2.5), ("d", True), ("f", "é😀")
        ]  # fmt: skip

    def test_numbers_that_readers_lose_become_text(self) -> None:
        """NaN, infinities and integers beyond 2**53 are text."""
        made = clean(
            {"n": math.nan, "i": -math.inf, "b": 2**60, "s": 2**53, "h": 10**5000}, LIMITS, None
        )
        assert made["n"] == "NaN"
        assert made["i"] == "-Infinity"
        assert made["b"] == "1152921504606846976"
        assert made["s"] == 2**53
        assert str(made["h"]).startswith("0x")

    @pytest.mark.skipif(not hasattr(sys, "set_int_max_str_digits"), reason="no such limit here")
    def test_a_lower_limit_of_digits_is_heeded(self) -> None:
        """An application that lowers the interpreter's limit makes nothing raise."""
        before = sys.get_int_max_str_digits()
        sys.set_int_max_str_digits(640)
        try:
            assert str(clean({"n": 10**1000}, LIMITS, None)["n"]).startswith("0x")
        finally:
            sys.set_int_max_str_digits(before)

    def test_lone_surrogates_are_replaced(self) -> None:
        """Names and values can be encoded as UTF-8 afterwards."""
        made = clean({"\ud800k": "a\udfffb"}, LIMITS, None)
        assert made == {"\ufffdk": "a\ufffdb"}

    def test_long_strings_are_cut_and_say_so(self) -> None:
        """A string over the limit ends with an ellipsis, the payload with truncated."""
        made = clean({"a": "é" * 10_000}, LIMITS, None)
        assert len(str(made["a"]).encode()) <= LIMITS.max_string
        assert str(made["a"]).endswith("é…")
        assert made["truncated"] is True

    def test_a_stack_is_cut_in_its_middle(self) -> None:
        """The field named stack has a limit of its own, and both its ends stay."""
        made = clean({"stack": "first\n" + "x" * 99 + "\n" * 90_000 + "last"}, LIMITS, None)
        stack = str(made["stack"])
        assert stack.startswith("first")
        assert stack.endswith("last")
        assert LIMITS.max_string < len(stack.encode()) <= LIMITS.max_stack

    @pytest.mark.parametrize("value", [False, 5, "text"])
    def test_repaired_names_make_way_for_none(self, value: object) -> None:
        """A name that another one was repaired to is there twice, not overwritten."""
        for scrubber in (None, Scrubber()):
            for _ in range(2):  # also when the name is known by then
                assert clean({"": "", "_": value}, LIMITS, scrubber) == {"_": "", "__2": value}

    def test_names_are_repaired(self) -> None:
        """Control characters, empty and over-long names are made usable, and stay apart."""
        made = clean({"a\nb": 1, "a\tb": 2, "": 3, "k" * 500: 4, 5: 5}, LIMITS, None)
        assert made == {
            "a_b": 1, "a_b_2": 2, "_": 3, "k" * 199 + "…": 4, "5": 5, "truncated": True
        }  # fmt: skip

    def test_only_so_many_fields(self) -> None:
        """At most 64 fields, the one that says so among them."""
        made = clean({f"k{n}": n for n in range(10_000)}, LIMITS, None)
        assert len(made) == LIMITS.max_keys
        assert made["truncated"] is True
        assert len(clean({f"k{n}": n for n in range(64)}, LIMITS, None)) == 64

    def test_secrets_go_by_name_and_by_look(self) -> None:
        """A secret name takes its value of any type; a secret in a text or number goes alone."""
        made = clean(
            {
                "user.password": 12345, "X-Api-Key": "k", "card": 4111111111111111,
                "url": "https://u:p@host/?token=t&x=1", "ok": 4111111111111112,
            },
            LIMITS,
            Scrubber(),
        )  # fmt: skip
        assert made == {
            "user.password": "[scrubbed]", "X-Api-Key": "[scrubbed]", "card": "[scrubbed]",
            "url": "https://[scrubbed]@host/?token=[scrubbed]&x=1", "ok": 4111111111111112,
        }  # fmt: skip

    def test_secrets_in_names_and_numbers_go(self) -> None:
        """A name may be a secret too, as in a mapping by token; and a number a card."""
        made = clean(
            {"by 4111111111111111": 1, "b": 4111111111111111, "c": 4111111111111111.0, "d": 1e300},
            LIMITS,
            Scrubber(),
        )
        assert made == {"by [scrubbed]": 1, "b": "[scrubbed]", "c": "[scrubbed]", "d": 1e300}

    def test_a_value_beside_a_secret_name_goes(self) -> None:
        """In ``{"name": "DB_PASSWORD", "value": "x"}`` the name is a value itself."""
        for secret in (False, True, False):
            flat = {"env.name": "DB_PASSWORD" if secret else "HOME", "env.value": "x", "value": "y"}
            made = clean(flat, LIMITS, Scrubber())
            assert made["env.value"] == ("[scrubbed]" if secret else "x")
            assert made["value"] == "y"
        scrubber = Scrubber(keys=["iban"])
        assert scrubber.text("value=5, x.value: 5") == "value=5, x.value: 5"
        assert clean({"value": "x"}, LIMITS, scrubber) == {"value": "x"}
        made = clean({"key": "api_key", "value": "x"}, LIMITS, scrubber)
        assert made == {"key": "api_key", "value": "[scrubbed]"}

    def test_fields_are_scrubbed_together_as_each_alone(self) -> None:
        """One secret among many texts is found, and no other field suffers from it."""
        given_ = {"a": "b: c", "d": "token=x", "e": "Bearer abcdef1", "f": "password:", "g": "ok"}
        expected = {**given_, "d": "token=[scrubbed]", "e": "Bearer [scrubbed]"}
        assert clean(given_, LIMITS, Scrubber()) == expected
        assert clean({"f": "token=", "g": "x"}, LIMITS, Scrubber()) == {"f": "token=", "g": "x"}

    def test_without_a_scrubber_all_is_kept(self) -> None:
        """scrub=False means what it says."""
        assert clean({"password": "x"}, LIMITS, None) == {"password": "x"}

    def test_a_name_seen_without_scrubber_is_still_secret_with_one(self) -> None:
        """What is remembered about names does not leak between the two."""
        for scrubber, expected in ((None, "x"), (Scrubber(), "[scrubbed]"), (None, "x")):
            assert clean({"api_key": "x"}, LIMITS, scrubber) == {"api_key": expected}

    def test_a_foreign_value_becomes_text(self) -> None:
        """A value that flatten should have seen makes nothing raise."""
        made = clean({"a": ["password=x"]}, LIMITS, Scrubber())
        assert made["a"] == "['password=[scrubbed]']"

    def test_the_given_mapping_is_left_alone(self) -> None:
        """clean returns a new dict; what it was given is as it was."""
        given_ = {"password": "x", "n": None, "f": math.inf}
        clean(given_, LIMITS, Scrubber())
        assert given_ == {"password": "x", "n": None, "f": math.inf}
