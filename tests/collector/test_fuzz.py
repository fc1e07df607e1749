"""Nonsense from anybody: answered, counted, never a traceback. A little of what the soak does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.soak.fuzz import TRIALS, Target

if TYPE_CHECKING:
    from nucleus_logging.collector import Collector

pytestmark = pytest.mark.once


@pytest.mark.parametrize("name", TRIALS)
def test_nonsense(collector: Collector, capfd: pytest.CaptureFixture[str], name: str) -> None:
    """Questions, messages and bytes of any form get an answer that is not the server's fault."""
    target = Target(collector.url)
    trial, made_of = TRIALS[name]

    @settings(max_examples=100, deadline=None)
    @given(made=st.fixed_dictionaries(made_of))
    def run(made: dict[str, Any]) -> None:
        trial(target, **made)

    run()
    target.works()
    assert capfd.readouterr().err == ""
