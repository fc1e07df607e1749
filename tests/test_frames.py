"""WebSocket frames: what is encoded, what is parsed, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleus_logging.errors import ConnectionLost
from nucleus_logging.transports import frames
from tests.servers import wire


class _Bytes:
    """Enough of a socket for the server's reader."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def recv(self, size: int) -> bytes:
        taken, self._data = self._data[:size], self._data[size:]
        return taken


def _all(parser: frames.FrameParser) -> list[tuple[int, bytes]]:
    return list(iter(parser.next, None))


class TestEncode:
    @given(payload=st.binary(max_size=300))
    def test_small(self, payload: bytes) -> None:
        """A server reads, unmasked, what was encoded."""
        frame = wire.Reader(_Bytes(frames.encode(frames.TEXT, payload))).frame()  # type: ignore[arg-type]

        assert frame == wire.Frame(wire.TEXT, True, True, payload)

    @pytest.mark.parametrize("size", [0, 1, 3, 4, 125, 126, 65535, 65536, 1_000_003])
    def test_lengths(self, size: int) -> None:
        """Each of the three forms of length is right at its limits."""
        payload = bytes(range(251)) * (size // 251 + 1)

        frame = wire.Reader(_Bytes(frames.encode(frames.BINARY, payload[:size]))).frame()  # type: ignore[arg-type]

        assert frame.payload == payload[:size]

    def test_masks_differ(self) -> None:
        """No two frames share a mask (RFC 6455, 5.3)."""
        assert len({frames.encode(frames.TEXT, b"same") for _ in range(50)}) > 40


class TestFrameParser:
    @given(
        messages=st.lists(st.tuples(st.booleans(), st.lists(st.binary(max_size=200), min_size=1))),
        cuts=st.lists(st.integers(1, 400)),
        ping=st.booleans(),
    )
    def test_any_pieces(
        self, messages: list[tuple[bool, list[bytes]]], cuts: list[int], ping: bool
    ) -> None:
        """Messages come out whole, however they were fragmented and however bytes arrive."""
        data = b""
        for text, parts in messages:
            for index, part in enumerate(parts):
                opcode = 0 if index else (wire.TEXT if text else wire.BINARY)
                data += wire.frame(opcode, part, final=index == len(parts) - 1)
                data += wire.frame(wire.PING, b"p") if ping else b""
        parser = frames.FrameParser(1 << 20)
        found: list[tuple[int, bytes]] = []
        for cut in [*cuts, len(data)]:
            parser.feed(data[:cut])
            data = data[cut:]
            found += _all(parser)

        whole = [one for one in found if one[0] in (frames.TEXT, frames.BINARY)]
        assert whole == [
            (frames.TEXT if text else frames.BINARY, b"".join(parts)) for text, parts in messages
        ]
        pings = [one for one in found if one[0] == frames.PING]
        assert len(pings) == ping * sum(len(parts) for _, parts in messages)

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            pytest.param(b"\xc1\x00", "bad frame", id="reserved bit"),
            pytest.param(b"\x83\x00", "bad frame", id="unknown opcode"),
            pytest.param(b"\x81\x81\0\0\0\0x", "bad frame", id="masked by the server"),
            pytest.param(b"\x09\x00", "control frame", id="ping in pieces"),
            pytest.param(b"\x89\x7e\x00\x7e", "control frame", id="ping too large"),
            pytest.param(b"\x80\x00", "out of order", id="continuation of nothing"),
            pytest.param(b"\x01\x00\x81\x00", "out of order", id="message inside a message"),
            pytest.param(b"\x81\x7f\x00\x00\x01\x00\x00\x00\x00\x00", "more than", id="1 TB"),
            pytest.param(b"\x81\x7f" + b"\xff" * 8, "more than", id="longest there is"),
        ],
    )
    def test_refused(self, data: bytes, words: str) -> None:
        """A breach of the protocol is refused by the head alone."""
        parser = frames.FrameParser(1000)
        parser.feed(data)

        with pytest.raises(ConnectionLost, match=words):
            _all(parser)

    def test_fragments_share_the_limit(self) -> None:
        """Fragments that are small each cannot make a message that is too large."""
        parser = frames.FrameParser(1000)
        parser.feed(wire.frame(wire.TEXT, b"x" * 600, final=False))
        parser.feed(wire.frame(0, b"x" * 401))

        with pytest.raises(ConnectionLost, match="more than 1000 bytes"):
            _all(parser)

    def test_limit_is_allowed(self) -> None:
        """A message of exactly the limit passes, and the next one starts from nothing."""
        parser = frames.FrameParser(1000)
        for _ in range(2):
            parser.feed(wire.frame(wire.TEXT, b"x" * 500, final=False))
            parser.feed(wire.frame(0, b"x" * 500))

        assert [len(payload) for _, payload in _all(parser)] == [0, 1000, 0, 1000]

    @given(data=st.binary(max_size=300))
    def test_noise(self, data: bytes) -> None:
        """Any bytes at all give frames or a ConnectionLost, and nothing else."""
        parser = frames.FrameParser(100)
        parser.feed(data)
        try:
            _all(parser)
        except ConnectionLost:
            pass


class TestCloseReason:
    @pytest.mark.parametrize(
        ("payload", "words"),
        [
            (b"", "no code"),
            (b"\x03", "no code"),
            (b"\x03\xe9", "1001"),
            (b"\x03\xf5try later", "1013 try later"),
            (b"\x03\xf5\xff\x1b[2J\n", "1013 \ufffd [2J"),
        ],
    )
    def test_text(self, payload: bytes, words: str) -> None:
        """Code and reason become one line that can be printed anywhere."""
        assert frames.close_reason(payload) == words
