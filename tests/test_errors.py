"""The error tree: who is a kind of whom, and what each carries."""

from __future__ import annotations

import copy
import pickle

import pytest

from nucleus_logging import errors

TREE: list[type[Exception]] = [getattr(errors, name) for name in errors.__all__]


class TestTree:
    @pytest.mark.parametrize("kind", TREE)
    def test_one_root(self, kind: type[Exception]) -> None:
        """One `except NucleusError` catches everything of ours."""
        assert issubclass(kind, errors.NucleusError)

    def test_configuration_is_value_error(self) -> None:
        """A wrong option is a ValueError, so that `logging.config` reports it as one."""
        assert issubclass(errors.ConfigurationError, ValueError)
        assert not issubclass(errors.ConfigurationError, errors.TransportError)

    @pytest.mark.parametrize(
        "kind",
        [
            errors.ResolveError,
            errors.ConnectError,
            errors.ProxyError,
            errors.TLSError,
            errors.HandshakeError,
            errors.PostError,
            errors.ConnectionLost,
            errors.Aborted,
        ],
    )
    def test_phases(self, kind: type[Exception]) -> None:
        """Every network phase has a class of its own below TransportError."""
        assert issubclass(kind, errors.TransportError)
        assert kind.__name__ in (errors.__doc__ or "")

    @pytest.mark.parametrize("kind", TREE)
    def test_pickles(self, kind: type[Exception]) -> None:
        """An error crosses a process boundary with its text."""
        error = pickle.loads(pickle.dumps(kind("what happened")))
        assert type(error) is kind
        assert str(error) == "what happened"


class TestHandshakeError:
    def test_status(self) -> None:
        """The status that came instead of 101 is kept, and is not part of the text."""
        error = errors.HandshakeError("refused: 404 Not Found", 404)
        assert error.status == 404
        assert str(error) == "refused: 404 Not Found"

    def test_copies_keep_the_status(self) -> None:
        """Copies and pickles keep the status."""
        error = errors.HandshakeError("refused", 503, 7.0)
        for same in (copy.copy(error), pickle.loads(pickle.dumps(error))):
            assert (same.status, same.retry_after) == (503, 7.0)

    def test_no_status(self) -> None:
        """An answer that was not HTTP has no status."""
        assert errors.HandshakeError("not HTTP").status is None


class TestPostError:
    def test_what_the_server_said(self) -> None:
        """Status and the wait that was asked for are kept, by copies too, and not in the text."""
        error = copy.copy(errors.PostError("too many", 429, 30.0))
        assert (error.status, error.retry_after, str(error)) == (429, 30.0, "too many")


class TestConnectionLost:
    def test_code(self) -> None:
        """The code of the close frame is kept, by pickles too, and not part of the text."""
        error = pickle.loads(pickle.dumps(errors.ConnectionLost("closed", 1011)))
        assert (error.code, str(error)) == (1011, "closed")
        assert errors.ConnectionLost("reset").code is None
