"""What a value is told apart as, by its type alone."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import ipaddress
import pathlib
import uuid
import weakref
from types import MappingProxyType
from typing import NamedTuple

import pytest

from nucleus_logging.values import (
    COMPOUND,
    ask,
    digits,
    elements,
    finite,
    key_text,
    parts,
    scalar,
    unknown,
)
from tests.tools import run_python

ZONE = datetime.timezone(datetime.timedelta(hours=2))


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError("asked")


class Number(int):
    def __str__(self) -> str:
        raise RuntimeError("asked")


class Colour(enum.Enum):
    RED = "red"
    PAIR = (1, 2)


class Level(enum.IntEnum):
    HIGH = 3


class Untouchable:
    """Fails, and says so, whatever but its repr is asked of it."""

    def _touched(self, *_: object) -> object:
        raise AssertionError("touched")

    __iter__ = __len__ = __bool__ = __eq__ = __contains__ = _touched
    __getitem__ = __str__ = __hash__ = _touched

    @property
    def __class__(self) -> type:
        raise AssertionError("resolved")

    def __repr__(self) -> str:
        return "<untouched>"


class TestScalar:
    @pytest.mark.parametrize("value", ["x", 1, 2.5, True, None])
    def test_plain_values_stand_for_themselves(self, value: object) -> None:
        """A str, int, float, bool or None is returned as the very object."""
        assert scalar(value, 100) is value

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=ZONE), "2024-01-02T03:04:05+02:00"),
            (datetime.datetime(2024, 1, 2, 3, 4, 5), "2024-01-02T03:04:05"),  # noqa: DTZ001
            (datetime.date(2024, 1, 2), "2024-01-02"),
            (datetime.time(3, 4), "03:04:00"),
            (datetime.timedelta(minutes=1, milliseconds=500), 60.5),
            (decimal.Decimal("1.10"), "1.10"),
            (fractions.Fraction(1, 3), "1/3"),
            (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
            (pathlib.PurePosixPath("/a/b"), "/a/b"),
            (ipaddress.ip_address("::1"), "::1"),
            (Colour.RED, "red"),
            (Level.HIGH, 3),
            (b"caf\xc3\xa9", "café"),
            (bytearray(b"ab"), "ab"),
            (memoryview(b"ab"), "ab"),
            (b"\xff\x00", "/wA="),
            (ValueError("no"), "ValueError: no"),
            (KeyError(), "KeyError"),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_known_types_have_a_scalar_of_their_own(self, value: object, expected: object) -> None:
        """Dates are ISO, durations seconds, enums their values, bytes UTF-8 or base64."""
        assert scalar(value, 100) == expected

    def test_subclasses_are_what_they_are_underneath(self) -> None:
        """A subclass's own __str__ is not asked, and the result is of the exact type."""
        assert scalar(Text("t"), 100) == "t"
        assert type(scalar(Text("t"), 100)) is str
        assert scalar(Number(7), 100) == 7
        assert type(scalar(Number(7), 100)) is int

    def test_long_bytes_are_cut_between_characters(self) -> None:
        """UTF-8 that we cut ourselves is still read as UTF-8."""
        for size in range(1, 9):
            found = scalar("é€😀".encode() * 50, size)
            assert isinstance(found, str)
            assert "é€😀é€😀é€😀".startswith(found)

    @pytest.mark.parametrize(
        "value", [[], {}, object(), int, Colour.PAIR], ids=lambda v: type(v).__name__
    )
    def test_anything_else_is_compound(self, value: object) -> None:
        """Containers and unknown objects are no scalars; an odd enum is its text."""
        found = scalar(value, 100)
        assert found == ("Colour.PAIR" if value is Colour.PAIR else COMPOUND)

    def test_a_conversion_that_fails_gives_the_repr(self) -> None:
        """A datetime whose isoformat raises is shown by its repr."""

        class Odd(datetime.datetime):
            def isoformat(self, *_: object, **__: object) -> str:
                raise RuntimeError

            def __repr__(self) -> str:
                return "odd"

        assert scalar(Odd(2024, 1, 1), 100) == "odd"


@dataclasses.dataclass
class Account:
    name: str
    password: str = dataclasses.field(repr=False, default="hunter2")


@dataclasses.dataclass
class Slotted:
    __slots__ = ("a", "b")
    a: int
    b: int


NUMBERED = {1: "a", 2: "b", 3: "c"}


class Point(NamedTuple):
    x: int
    y: int


class TestParts:
    def test_mappings_of_any_kind_have_items(self) -> None:
        """Dicts, their subclasses, proxies and other mappings are read alike."""
        for mapping in (
            {"a": 1},
            collections.OrderedDict(a=1),
            MappingProxyType({"a": 1}),
            collections.ChainMap({"a": 1}),
            collections.UserDict(a=1),
        ):
            assert parts(mapping, 9) == [("a", 1)]

    def test_a_dict_subclass_is_not_asked(self) -> None:
        """A dict that loads in its own items() is read as the dict it is."""

        class Lazy(dict):
            def items(self) -> object:
                raise AssertionError("loaded")

        assert parts(Lazy(a=1), 9) == [("a", 1)]

    def test_declared_fields_are_parts(self) -> None:
        """Dataclasses, with slots too, and named tuples have their fields."""
        assert parts(Point(1, 2), 9) == [("x", 1), ("y", 2)]
        assert parts(Slotted(1, 2), 9) == [("a", 1), ("b", 2)]

    def test_fields_kept_out_of_the_repr_stay_out(self) -> None:
        """A dataclass's field(repr=False) is not sent."""
        assert parts(Account("bob"), 9) == [("name", "bob")]

    def test_a_field_that_is_not_there_is_left_out(self) -> None:
        """Unset slots and deleted attributes are no parts, and nothing is fetched for them."""
        slotted = Slotted(1, 2)
        del slotted.a
        assert parts(slotted, 9) == [("b", 2)]
        account = Account("bob")
        del account.name
        assert parts(account, 9) == []

    def test_attrs_objects_have_their_fields(self) -> None:
        """An attrs class, with slots, is read; its repr=False is heeded."""
        attr = pytest.importorskip("attr")
        made = attr.make_class(
            "Made", {"a": attr.ib(), "b": attr.ib(repr=False)}, slots=True, frozen=True
        )
        assert parts(made(1, 2), 9) == [("a", 1)]

    def test_pydantic_objects_have_their_fields(self) -> None:
        """A pydantic model is read; its repr=False is heeded."""
        pydantic = pytest.importorskip("pydantic")
        model = pydantic.create_model("Model", a=(int, 1), b=(str, pydantic.Field("x", repr=False)))
        assert parts(model(), 9) == [("a", 1)]

    def test_pydantic_objects_have_what_they_took_beside(self) -> None:
        """A model that takes any field has those of the object as well, within the bound."""
        pydantic = pytest.importorskip("pydantic")
        model = pydantic.create_model("Open", __config__={"extra": "allow"}, a=(int, 1))
        assert parts(model(b=2, c=3), 9) == [("a", 1), ("b", 2), ("c", 3)]
        assert parts(model(b=2, c=3), 2) == [("a", 1), ("b", 2)]

    def test_a_broken_mapping_has_no_parts(self) -> None:
        """A mapping whose items() raises is treated as unknown."""

        class Broken(collections.UserDict):
            def items(self) -> object:
                raise RuntimeError

        assert parts(Broken(), 9) is None
        assert parts(object(), 9) is None

    def test_only_so_many_are_taken(self) -> None:
        """A mapping of a million costs no more than one of ten."""
        assert parts(dict.fromkeys(range(1_000_000)), 2) == [("0", None), ("1", None)]


class TestElements:
    @pytest.mark.parametrize(
        "value",
        [[1, 2, 3], (1, 2, 3), collections.deque([1, 2, 3]), range(1, 4), NUMBERED.keys()],
    )  # fmt: skip
    def test_sequences_give_length_and_first_elements(self, value: object) -> None:
        """Sequences in memory are measured and their first elements taken."""
        assert elements(value, 2) == (3, [1, 2])

    def test_a_list_subclass_is_not_asked(self) -> None:
        """A list that loads in its own __iter__ is read as the list it is."""

        class Lazy(list):
            def __iter__(self) -> object:
                raise AssertionError("loaded")

        assert elements(Lazy([1]), 2) == (1, [1])

    def test_a_generator_is_not_consumed(self) -> None:
        """Iterators are unknown objects; what they hold is still theirs afterwards."""
        generator = (number for number in range(3))
        assert elements(generator, 2) is None
        assert parts(generator, 2) is None
        assert unknown(generator).startswith("<generator")
        assert list(generator) == [0, 1, 2]


class TestUnknown:
    def test_it_is_only_asked_for_its_repr(self) -> None:
        """An unknown object is not iterated, measured, compared, hashed or resolved."""
        value = Untouchable()
        assert scalar(value, 100) is COMPOUND
        assert parts(value, 9) is None
        assert elements(value, 9) is None
        assert unknown(value) == "<untouched>"

    def test_a_query_set_is_not_even_asked_for_that(self) -> None:
        """A query set's repr would run the query, so its class is all that is told."""

        class QuerySet:
            def __repr__(self) -> str:
                raise AssertionError("queried")

        class UserQuerySet(QuerySet):
            pass

        assert unknown(UserQuerySet()).endswith("UserQuerySet>")

    def test_a_dead_weak_reference_is_named(self) -> None:
        """A proxy whose object is gone does not raise."""
        target = collections.UserDict()
        proxy = weakref.proxy(target)
        del target
        assert scalar(proxy, 9) is COMPOUND
        assert "weak" in unknown(proxy)

    def test_a_failing_answer_names_the_failure(self) -> None:
        """What raises, or returns no string, is described instead."""

        class Wrong:
            def __repr__(self) -> str:
                return 5

            def __str__(self) -> str:
                raise LookupError("no")

        assert ask(repr, Wrong()).endswith("Wrong: repr() failed, TypeError>")
        assert ask(str, Wrong()).endswith("Wrong: str() failed, LookupError>")

    def test_what_is_no_error_passes(self) -> None:
        """KeyboardInterrupt in a __repr__ is for the application."""

        class Interrupted:
            def __repr__(self) -> str:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            ask(repr, Interrupted())


class TestKeyText:
    @pytest.mark.parametrize(
        ("key", "expected"),
        [
            ("a", "a"), (1, "1"), (None, "None"), (True, "True"), (b"k", "k"), ((1, 2), "(1, 2)"),
            (Colour.RED, "red"), (Text("t"), "t"),
        ],
        ids=repr,
    )  # fmt: skip
    def test_any_key_becomes_text(self, key: object, expected: str) -> None:
        """Keys that JSON has not are named by their text."""
        assert key_text(key) == expected

    def test_a_long_key_is_cut(self) -> None:
        """A name has at most 200 characters."""
        assert key_text("k" * 300) == "k" * 199 + "…"


class TestNumbers:
    def test_numbers_that_json_has_not_become_text(self) -> None:
        """NaN, infinities and integers beyond 2**53 are text, others stay."""
        assert finite(float("nan")) == "NaN"
        assert finite(float("-inf")) == "-Infinity"
        assert finite(2**53) == 2**53
        assert finite(2**53 + 1) == "9007199254740993"
        assert finite(True) is True

    def test_a_number_too_long_for_digits_is_told_in_hexadecimal(self) -> None:
        """10**5000 is beyond Python's limit of digits and does not raise."""
        assert digits(-(10**5000)).startswith("-0x")
        assert digits(10**5000).endswith("… (16610 bits)")
        assert digits(10**2000) == "1" + "0" * 2000


_DJANGO = """
import django, logging
from django.conf import settings
settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
)
django.setup()
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from nucleus_logging import NucleusHandler
from nucleus_logging.testing import capture_events

call_command("migrate", verbosity=0)
user = User.objects.create(username="ada")
log = logging.getLogger("shop")
log.setLevel(1)
log.addHandler(
    NucleusHandler("a", endpoint="ws://127.0.0.1:9", spool=False, include_locals=True)
)

def fail(variable):
    raise ValueError

every = User.objects.all()
for one in (every, User.objects, every.values(), User.objects.raw("SELECT 1"), user.groups.all(),
            every.union(every), every.dates("date_joined", "year"), every.iterator()):
    with CaptureQueriesContext(connection) as queries, capture_events() as events:
        log.info("m", extra={"v": one})
        log.error("m", extra={"v": [one, {"x": one}]})
        log.info("m %s %r", one, one)
        log.info(one)
        try:
            fail(one)
        except ValueError:
            log.exception("m")
    assert len(events) == 5
    assert not len(queries), (one.__class__, queries.captured_queries)
"""


@pytest.mark.once
def test_djangos_queries_are_not_run() -> None:
    """A query set of Django, wherever it turns up in a record, does not hit the database."""
    pytest.importorskip("django")
    done = run_python(_DJANGO)
    assert done.returncode == 0, done.stderr
