"""What is the same in each event is made once, whoever else forgets it meanwhile."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nucleus_logging import templates
from tests.journals import Maker

if TYPE_CHECKING:
    import pytest


def test_forgotten_by_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that makes room for new names takes none away from one that has just come."""
    maker = Maker()
    capture = (*maker.capture("hello")[:6], "INFO", *maker.capture()[7:])
    expected = json.loads(maker.encoder.encode(capture).core)
    made: Any = templates.dumps

    def forgetting(fields: Any) -> Any:
        kept = maker.encoder.templates
        for each in (kept._sites, kept._sources, kept._plain):
            each.clear()
        return made(fields)

    forgetting({})
    monkeypatch.setattr(templates, "dumps", forgetting)
    assert json.loads(maker.encoder.encode(capture).core) == expected


def test_a_given_name_is_plain() -> None:
    """A record that brings its name, as each line that is shipped does, needs no closer look."""
    maker = Maker()
    whole = maker.capture("%s")
    capture = (*whole[:5], ("Paid 5",), "INFO", "shop", {"nucleus_name": "Paid"}, *whole[9:])
    made = maker.encoder.templates.body(capture)
    assert made is not None
    event = json.loads(made[1] + b"}")
    assert (event["name"], event["payload"]["message"]) == ("Paid", "Paid 5")
    assert "nucleus_name" not in event["payload"]
