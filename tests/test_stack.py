"""An exception is told as Python tells it, bounded, and grouped with its like."""

from __future__ import annotations

import gc
import json
import os
import re
import subprocess
import sys
import traceback
import weakref
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nucleus_logging.stack import _LINES, exception_fields, exception_name, resolve_exc_info

if TYPE_CHECKING:
    from collections.abc import Callable

GROUPS = pytest.mark.skipif(sys.version_info < (3, 11), reason="no exception groups here")


def caught(raising: Callable[[], object]) -> BaseException:
    """Run it and return what it raised."""
    try:
        raising()
    except BaseException as error:
        return error
    raise AssertionError("nothing raised")


def printed(exc: BaseException) -> str:
    """What Python prints of an exception, as our groups are: with ten members."""
    shown = traceback.TracebackException.from_exception(exc, compact=True)
    if sys.version_info >= (3, 11):
        shown = traceback.TracebackException.from_exception(exc, compact=True, max_group_width=10)
    return "".join(shown.format()).rstrip("\n")


def stack(exc: BaseException, limit: int = 10**7) -> str:
    return str(exception_fields(exc, limit)["stack"])


def chained() -> None:
    try:
        try:
            json.loads("{")
        except ValueError as error:
            raise LookupError("second") from error
    except LookupError:
        raise TypeError("third")  # noqa: B904 (the implicit chain is what is tested)


def suppressed() -> None:
    try:
        raise ValueError("hidden")
    except ValueError:
        raise TypeError("shown") from None


def recursive(depth: int = 0) -> None:
    recursive(depth + 1)


def noted() -> None:
    error = ValueError("noted")
    error.__notes__ = ["one\ntwo", 5]
    raise error


def odd_notes() -> None:
    error = ValueError("noted")
    error.__notes__ = 5
    raise error


class SpeechlessError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


def speechless() -> None:
    raise SpeechlessError


def looped() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__context__, second.__context__ = second, first
    raise first


def wrong_syntax() -> None:
    compile("a = (\nb = 1", "written.py", "exec")


def misspelt() -> None:
    lenght = 1
    print(length + lenght)  # type: ignore[name-defined]  # noqa: F821


def nested(depth: int) -> None:
    if depth:
        nested(depth - 1)
    else:
        raise ValueError(depth)


def group(*members: Exception, text: str = "group") -> Exception:
    return ExceptionGroup(text, members)  # noqa: F821 (3.11)


class TestStack:
    @pytest.mark.parametrize(
        "raising",
        [
            *(chained, suppressed, recursive, noted, odd_notes, speechless, looped, wrong_syntax),
            misspelt,
        ],
    )
    def test_it_is_what_python_prints(self, raising: Callable[[], None]) -> None:
        """Chains, suppressed contexts, notes, recursion, loops, syntax errors, to the letter."""
        error = caught(raising)
        assert stack(error) == printed(error)
        assert stack(error) == printed(error)  # from what is known of its places by now

    @pytest.mark.parametrize("depth", range(1, 8))
    def test_repeated_frames_are_what_python_prints(self, depth: int) -> None:
        """A few frames at the same line are shown, the number of the others is told."""
        error = caught(lambda: nested(depth))
        assert stack(error) == printed(error)

    def test_many_places(self) -> None:
        """However many places errors come from, lines are kept for some, and each has its own."""
        for number in range(3000):
            code = compile("\n" * (number % 7) + "1 / 0", f"made{number}.py", "exec")
            told = stack(caught(lambda code=code: exec(code)))  # type: ignore[misc]
            assert f'File "made{number}.py", line {number % 7 + 1}, in <module>' in told
        assert len(_LINES) <= 1024

    def test_a_limit_set_for_all_tracebacks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """`sys.tracebacklimit` holds for what we print as well."""
        error = caught(lambda: nested(5))
        assert stack(error).count("File") > 2
        monkeypatch.setattr(sys, "tracebacklimit", 2, raising=False)
        assert stack(error) == printed(error)
        assert stack(error).count("File") == 2

    @GROUPS
    def test_groups_are_what_python_prints(self) -> None:
        """Nested groups, with notes, chains and links that several members share."""
        shared, other = caught(chained), caught(suppressed)
        inner = caught(lambda: (_ for _ in ()).throw(group(shared, other, text="inner")))
        outer = group(other, inner, shared, ValueError("x"))
        outer.__cause__ = shared
        outer.__notes__ = ["a note\nof two lines"]
        other.__cause__ = inner
        assert stack(outer) == printed(outer)

    @GROUPS
    def test_fifty_members_are_cut_to_ten(self) -> None:
        """Ten are shown, the number of the others is told."""
        error = group(*(ValueError(number) for number in range(50)))
        text = stack(error)
        assert text == printed(error)
        assert "ValueError: 9" in text
        assert "ValueError: 10" not in text
        assert "and 40 more exceptions" in text

    @GROUPS
    def test_huge_groups_are_bounded(self) -> None:
        """Hundreds of thousands of members, nested, cost no more than some dozens."""
        error: Exception = group(*(ValueError(number) for number in range(100_000)))
        for _ in range(500):
            error = group(*([error] * 20))
        text = stack(error)
        assert text.startswith("  | ExceptionGroup: group (20 sub-exceptions)")
        assert text.count("\n") < 2000

    def test_long_chains_are_bounded(self) -> None:
        """A loop that chains ten thousand exceptions shows the last ones."""
        error: BaseException = ValueError(0)
        for number in range(1, 10_000):
            following = ValueError(number)
            following.__context__ = error
            error = following
        text = stack(error)
        assert text.endswith("ValueError: 9999")
        assert 10 < text.count("ValueError: ") <= 64

    def test_very_deep_recursion_keeps_both_ends(self) -> None:
        """Of twenty thousand frames the first and the last are shown."""

        def bounce(left: int) -> None:
            if left:
                bounce(left - 1)
            else:
                raise ValueError("bottom")

        error = ValueError("bottom")
        made = caught(lambda: bounce(200)).__traceback__
        assert made is not None
        here = made
        for _ in range(10_000):
            here = type(made)(here, made.tb_frame, made.tb_lasti, made.tb_lineno)
        text = stack(error.with_traceback(here))
        assert "frames left out" in text
        assert text.endswith("ValueError: bottom")
        assert text.count('  File "') < 1000

    def test_a_long_one_is_cut_in_its_middle(self) -> None:
        """Where it began and how it ended are both kept within the limit."""
        text = stack(caught(chained), 600)
        assert len(text.encode()) <= 600
        assert text.startswith("Traceback (most recent call last):")
        assert text.endswith("TypeError: third")

    def test_locals_stay_home_unless_asked_for(self) -> None:
        """Source lines are sent, values of variables only with include_locals."""

        def secretive() -> None:
            variable = "hun" + "ter2"
            raise ValueError(len(variable))

        error = caught(secretive)
        assert "hunter2" not in stack(error)
        assert "variable = 'hunter2'" in str(exception_fields(error, 9999, True)["stack"])

    def test_locals_are_bounded_and_ask_nobody(self) -> None:
        """A huge variable and one that stands for a query do not hurt."""

        class QuerySet:
            def __repr__(self) -> str:
                raise AssertionError("asked")

        def busy() -> None:
            a_query, in_a_list = QuerySet(), [QuerySet()]
            huge = list(range(1_000_000))
            text = "x" * 1_000_000
            raise ValueError(str((len(huge), len(text), id(a_query), id(in_a_list)))[:0])

        shown = str(exception_fields(caught(busy), 99999, True)["stack"])
        assert len(shown) < 20_000
        assert ".QuerySet>" in shown
        assert "a_query = <" in shown
        assert "asked" not in shown.replace('AssertionError("asked")', "")
        assert "huge = [0, 1, 2," in shown

    def test_what_was_cut_says_so(self) -> None:
        """A long stack, a wide group and a long chain are marked, a whole one is not."""
        assert "truncated" not in exception_fields(caught(lambda: int("x")))
        assert exception_fields(ValueError("x" * 9000), 2000)["truncated"] is True
        chain = None
        for number in range(100):
            error = ValueError(number)
            error.__cause__, chain = chain, error
        assert chain is not None
        assert exception_fields(chain, 10**6)["truncated"] is True

    def test_nothing_of_the_exception_is_kept(self) -> None:
        """What was told of an exception does not keep its frames and their locals alive."""

        class Big:
            pass

        def holding() -> weakref.ref[Big]:
            big = Big()
            try:
                raise ValueError(id(big))
            except ValueError as error:
                fields.update(exception_fields(error))
            return weakref.ref(big)

        fields: dict[str, object] = {}
        gc.disable()
        try:
            assert holding()() is None
        finally:
            gc.enable()
        assert "in holding" in str(fields["stack"])


class TestHostile:
    def test_attributes_that_break_are_survived(self) -> None:
        """A class that lies about its chain and its notes still has a message and a stack."""

        class BrokenError(Exception):
            @property
            def __notes__(self) -> object:
                raise RuntimeError

            @property
            def __cause__(self) -> object:
                raise RuntimeError

        def broken() -> None:
            raise BrokenError("said")

        fields = exception_fields(caught(broken))
        assert fields["message"] == "said"
        assert "in broken" in str(fields["stack"])
        assert "BrokenError: said" in str(fields["stack"])

    @pytest.mark.parametrize(
        "details", [(), ("m",), ("m", ("f", "x", 1, "t")), ("m", ("f", 1, "x", None)),
                    ("m", (None, None, None, None)), ("m", ("f", -5, 9**9, "t\n"))],
    )  # fmt: skip
    def test_odd_syntax_errors(self, details: tuple[object, ...]) -> None:
        """A SyntaxError with any attributes is told somehow."""
        try:
            error = SyntaxError(*details)
        except (TypeError, ValueError):
            error = SyntaxError("m")
            error.lineno = "x"
        assert "SyntaxError" in stack(error)

    def test_falsy_exceptions(self) -> None:
        """An exception's __bool__ and __len__ are not asked."""

        class EmptyError(Exception):
            def __bool__(self) -> bool:
                raise AssertionError

            __len__ = __bool__

        error = ValueError("x")
        error.__cause__ = EmptyError("cause")
        assert "EmptyError: cause" in stack(error)

    def test_a_stack_that_is_nearly_full(self) -> None:
        """At any depth of the caller's stack there is an answer."""
        error = caught(chained)
        answers = []

        def descend() -> None:
            try:
                descend()
            finally:
                answers.append("message" in exception_fields(error))

        with pytest.raises(RecursionError):
            descend()
        assert answers
        assert all(answers)


class TestFields:
    def test_the_frame_that_matters_is_the_applications(self) -> None:
        """Not where the standard library raised, but where the application called it."""
        fields = exception_fields(caught(lambda: json.loads("{")))
        assert fields["file"] == __file__
        assert fields["function"] == "<lambda>"
        assert isinstance(fields["line"], int)

    def test_without_any_the_innermost_frame_is_told(self) -> None:
        """An exception raised and caught in the standard library has a place there."""
        error = caught(lambda: json.loads("{"))
        assert error.__traceback__ is not None
        error.__traceback__ = error.__traceback__.tb_next.tb_next
        assert exception_fields(error)["function"] == "raw_decode"

    def test_an_exception_never_raised_has_no_place(self) -> None:
        """File, line and function are left out, the rest is there."""
        fields = exception_fields(ValueError("x"))
        assert sorted(fields) == ["exception.module", "fingerprint", "message", "stack"]
        assert fields["stack"] == "ValueError: x"
        assert fields["exception.module"] == "builtins"

    def test_names_and_messages(self) -> None:
        """The name is the class's qualified one; a message there always is."""
        error = caught(speechless)
        assert exception_name(error) == "SpeechlessError"
        assert exception_fields(error)["message"] == "<exception str() failed>"
        assert exception_fields(ValueError())["message"] == "ValueError"

        class InnerError(Exception):
            pass

        assert exception_name(InnerError()).endswith("test_names_and_messages.<locals>.InnerError")


class TestFingerprint:
    SOURCE = "def outer():\n    inner()\n\ndef inner():\n    raise {}\n"

    def made(self, folder: Path, source: str) -> str:
        """The fingerprint of what a module of that source raises, in that folder."""
        folder.mkdir(parents=True)
        file = folder / "service.py"
        file.write_text(source)
        spec = spec_from_file_location("shop.service", file)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        error = caught(module.outer)
        error.__traceback__ = error.__traceback__.tb_next
        return str(exception_fields(error)["fingerprint"])

    def test_it_is_the_same_elsewhere_and_on_other_lines(self, tmp_path: Path) -> None:
        """Folders, line numbers and messages do not matter; types and functions do."""
        plain = self.made(tmp_path / "a", self.SOURCE.format("ValueError(1)"))
        assert re.fullmatch("[0-9a-f]{16}", plain)
        moved = "\n\n# moved\n" + self.SOURCE.format("ValueError('other')")
        assert self.made(tmp_path / "b" / "c", moved) == plain
        assert self.made(tmp_path / "d", self.SOURCE.format("KeyError(1)")) != plain
        renamed = self.SOURCE.replace("inner", "other").format("ValueError(1)")
        assert self.made(tmp_path / "e", renamed) != plain

    def test_it_does_not_depend_on_the_depth_of_recursion(self) -> None:
        """The same endless recursion is one failure, however deep the stack was."""

        def at(depth: int) -> object:
            if depth:
                return at(depth - 1)
            return exception_fields(caught(recursive))["fingerprint"]

        assert at(1) == at(50)

    @pytest.mark.skipif(os.name == "nt", reason="looks for interpreters as POSIX names them")
    def test_it_is_the_same_in_every_process(self) -> None:
        """Hash seeds do not matter: the value of another process is ours."""
        code = (
            "from nucleus_logging.stack import exception_fields\n"
            "try: int('x')\nexcept ValueError as e: print(exception_fields(e)['fingerprint'])"
        )
        made = {
            subprocess.run(
                [sys.executable, "-c", code],
                env={**os.environ, "PYTHONHASHSEED": seed},
                cwd=Path(__file__).parent.parent,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            for seed in ("1", "2")
        }
        assert len(made) == 1


class TestResolve:
    def test_forms_of_exc_info(self) -> None:
        """True, a tuple and the exception itself all mean the exception."""
        error = ValueError("x")
        try:
            raise error
        except ValueError:
            found = [resolve_exc_info(value) for value in (True, 1, error, sys.exc_info(), "yes")]
        assert found == [error] * 5

    @pytest.mark.parametrize(
        "value", [None, False, 0, (None, None, None), (), "", (ValueError, "x", None)], ids=repr
    )
    def test_forms_of_none(self, value: object) -> None:
        """Nothing, in all the forms it takes, means none, also while one is being handled."""
        try:
            raise ValueError
        except ValueError:
            found = resolve_exc_info(value)
        assert found is None

    def test_outside_of_a_handler_there_is_none(self) -> None:
        """exc_info=True with nothing being handled is no error."""
        assert resolve_exc_info(True) is None

    def test_an_object_that_cannot_be_judged(self) -> None:
        """A __bool__ that raises means none."""

        class Undecided:
            def __bool__(self) -> bool:
                raise RuntimeError

        assert resolve_exc_info(Undecided()) is None
