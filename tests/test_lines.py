"""What is written to a journal can be read back, and what is damaged is known for it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleus_logging.lines import Content, Stored, closing_line, json_line, opened_line
from nucleus_logging.session import event_id
from tests.journals import Maker

_TEXTS = st.text(max_size=40)


@given(_TEXTS, st.dictionaries(_TEXTS, st.one_of(_TEXTS, st.integers(), st.none())))
def test_a_line_gives_back_its_object(key: str, value: dict[str, object]) -> None:
    """Whatever object a line was made of comes out of it, byte for byte, and is JSON with it."""
    core = json.dumps({"k" + key: value}, ensure_ascii=False).encode("utf-8", "replace")
    line = closing_line(core)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert opened_line(line[:-1]) == core
    assert set(json.loads(line)) == {"k" + key, "sum"}


@given(st.data())
def test_any_flipped_bit_is_seen(data: st.DataObject) -> None:
    """A line of which one bit has changed is refused."""
    line = bytearray(closing_line(Maker().event("größer", text="ein Text").core)[:-1])
    place = data.draw(st.integers(0, len(line) - 1))
    line[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ValueError, match="checksum"):
        opened_line(bytes(line))


@given(st.integers(0, 400))
def test_any_cut_is_seen(length: int) -> None:
    """A line that ends early is refused, also in the middle of a character."""
    line = closing_line(Maker().event("größer", text="ü" * 100).core)[:-1]
    assert len(line) > 300
    with pytest.raises(ValueError, match="checksum"):
        opened_line(line[: min(length, len(line) - 1)])


@given(_TEXTS, _TEXTS, st.sampled_from(["event", "error", "nucleus:view", "init", "userid"]))
def test_an_event_is_read_without_parsing_it(name: str, text: str, kind: str) -> None:
    """Type, id, number and date are those of the event, whatever its texts look like."""
    lure = '","id":"nobody","date":1,"type":"error'
    event = Maker().event(name + lure, kind, text=text + lure)
    stored = Stored.read(event.core)
    assert (stored.id, stored.number, stored.date) == (event.id, event.number, event.date)
    assert stored.type == json.loads(event.core)["type"]
    assert stored.core == event.core


@given(st.integers(0, 2**32 - 1))
def test_a_number_is_read_out_of_its_id(number: int) -> None:
    """The number that an id was made of, whatever its prefix looks like."""
    for prefix in ("AbCdEf-_", "12345678"):
        core = b'{"type":"init","event":"init","id":"%s","date":7}'
        stored = Stored.read(core % event_id(prefix, number).encode())
        assert (stored.id, stored.number) == (event_id(prefix, number), number)


@pytest.mark.parametrize("tail", ["", "x", "-1", " 1", "1_0", "0x1", "01", "A", "+1", "١"])
def test_an_id_of_others(tail: str) -> None:
    """An event with an id that was not made here is not taken for one of ours."""
    for identifier in (f"AbCdEfGh{tail}", tail):
        with pytest.raises(ValueError, match="no event"):
            Stored.read(f'{{"type":"init","event":"init","id":"{identifier}","date":7}}'.encode())


def test_a_scan_sorts_lines_by_what_they_are() -> None:
    """Events, facts, acknowledgements and the header are told apart; the rest is bad."""
    maker = Maker()
    first, second = maker.event(), maker.event()
    lines = [
        json_line({"segment": 1, "app_id": "shop"}),
        closing_line(first.core),
        json_line({"facts": {"platform": "Linux"}}),
        closing_line(second.core),
        json_line({"ack": [first.id]}),
        b"what is this\n",
        closing_line(b'{"type":"event","name":"no id"}'),
        closing_line(b'{"type":"event","id":"x","date":7}'),
        closing_line(b"[1,2]"),
        closing_line(b'{"ack":7}'),
    ]
    content = Content([line.rstrip(b"\n") for line in lines])
    assert content.header == {"segment": 1, "app_id": "shop"}
    assert content.facts == {"platform": "Linux"}
    assert [event.id for event in content.events.values()] == [first.id, second.id]
    assert [event.id for event in content.waiting()] == [second.id]
    assert len(content.bad) == 5
    assert not content.newer


def test_a_later_format_is_known() -> None:
    """A file that says it is of a later version is not read as one of ours."""
    assert Content([json_line({"segment": 2})[:-1]]).newer


@given(st.lists(st.binary(max_size=60)))
def test_any_bytes_can_be_scanned(lines: list[bytes]) -> None:
    """No line, whatever it holds, makes a scan fail."""
    content = Content(lines)
    assert not content.events
