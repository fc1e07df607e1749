"""Texts are bounded in bytes and cut between characters."""

from __future__ import annotations

import logging
from string import Template

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleus_logging.texts import message, name_of, shorten, shorten_middle, text, whole_characters

ANY_TEXT = st.text(st.characters(), max_size=80)


class Failing:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


class TestShorten:
    @given(ANY_TEXT, st.integers(8, 60))
    def test_the_limit_holds_in_bytes(self, value: str, limit: int) -> None:
        """Whatever the characters, the result fits, and begins as the text did."""
        short = shorten(value, limit)
        raw = value.encode("utf-8", "surrogatepass")
        assert len(short.encode("utf-8", "surrogatepass")) <= limit
        if len(raw) <= limit:
            assert short is value
        else:
            assert short.endswith("…")
            assert value.startswith(short[:-1])

    @given(st.text(st.sampled_from("ab é😀\n"), max_size=400), st.integers(60, 200))
    def test_both_ends_are_kept(self, value: str, limit: int) -> None:
        """A text cut in its middle fits, and begins and ends as it did."""
        short = shorten_middle(value, limit)
        assert len(short.encode()) <= limit
        if short != value:
            head, _, rest = short.partition("\n… ")
            tail = rest.partition(" …\n")[2]
            assert value.startswith(head)
            assert value.endswith(tail)

    def test_the_middle_goes_in_whole_lines(self) -> None:
        """A long stack loses lines, not parts of lines."""
        lines = [f"line {number:04}" for number in range(1000)]
        short = shorten_middle("\n".join(lines), 1000).split("\n")
        assert short[0] == lines[0]
        assert short[-1] == lines[-1]
        assert len([line for line in short if line not in lines]) == 1

    def test_no_word_is_left_by_half(self) -> None:
        """Where a line has to be cut, the part behind the cut begins with a whole word."""
        words = [f"w{number:05}" for number in range(1000)]
        tail = shorten_middle(" ".join(words), 1000).partition(" …\n")[2].split()
        assert tail == words[-len(tail) :]


class TestText:
    def test_str_subclasses_and_objects_give_exact_strings(self) -> None:
        """The result is a str and nothing else, whatever __str__ returns."""

        class Odd(str):
            __slots__ = ()

        assert type(text(Odd("x"))) is str
        assert text(5) == "5"
        assert "RuntimeError" in text(Failing())

    def test_it_is_cut(self) -> None:
        """A text of 5 MB is bounded."""
        assert len(text("x" * 5_000_000, 100).encode()) == 100


class TestMessage:
    @pytest.mark.parametrize(
        ("msg", "args"),
        [
            ("plain", ()),
            ("%s did %d", ("bob", 3)),
            ("%(a)s", ({"a": 1},)),
            ("%s", ({"a": 1},)),
            ("%s", ({},)),
            (ValueError("x"), ()),
            ({"event": "x"}, ()),
            ("100 %", ()),
        ],
        ids=repr,
    )
    def test_it_is_what_the_record_would_say(self, msg: object, args: tuple[object, ...]) -> None:
        """The text is getMessage's for all that getMessage can format."""
        record = logging.LogRecord("n", 20, "p", 1, msg, args, None)
        assert message(record.msg, record.args) == record.getMessage()

    def test_wrong_arguments_are_shown(self) -> None:
        """A message that cannot be merged is followed by its arguments."""
        assert message("%d items", ("many",)) == "%d items ('many',)"
        assert message("%s %s", ("one",)) == "%s %s ('one',)"

    def test_failing_arguments_are_told(self) -> None:
        """A __str__ that raises costs its place, not the record."""
        shown = message("user %s", (Failing(),))
        assert shown.startswith("user %s ")
        assert "RuntimeError" in message(Failing(), ())

    def test_templates_are_filled(self) -> None:
        """A string.Template takes a mapping; with anything else both are shown."""
        template = Template("$who buys $what")
        assert message(template, {"who": "ada"}) == "ada buys $what"
        assert message(template, ()) == "$who buys $what"
        assert message(template, (1,)) == "$who buys $what (1,)"

    def test_queries_are_not_run(self) -> None:
        """What would run a query to be shown is named in its place, however it is logged."""

        class QuerySet:
            def __str__(self) -> str:
                raise AssertionError("queried")

            __repr__ = __len__ = __iter__ = __str__  # type: ignore[assignment]

        name = f"<{__name__}.{QuerySet.__qualname__}>"
        some = QuerySet()
        assert message("%s, %r of %d", (some, some, 3)) == f"{name}, {name} of 3"
        assert message("%(a)s", {"a": some}) == message(some) == name
        assert name_of(some) == text(some) == name


class TestName:
    def test_it_is_the_same_for_all_of_a_kind(self) -> None:
        """Neither arguments nor addresses are in it."""
        assert name_of("user %s") == "user %s"
        assert name_of(Template("$who buys")) == "$who buys"
        assert name_of(object()) == name_of(object()) == "<object object>"
        assert name_of(ValueError("x")) == "x"


def test_surrogates_are_joined_or_replaced() -> None:
    """Two halves make their character; a lone one becomes the replacement character."""
    assert whole_characters("a\ud83d\ude00b") == "a😀b"
    assert whole_characters("a\ud800b") == "a\ufffdb"
    assert whole_characters("é😀") == "é😀"
