"""The fixture `nucleus_events` for users' tests; pytest finds it by its entry point.

Inert unless it is used: until then it imports nothing but pytest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def nucleus_events() -> Iterator[list[dict[str, object]]]:
    """What was logged during the test, as events: see `nucleus_logging.testing`."""
    from nucleus_logging.testing import capture_events

    with capture_events() as events:
        yield events
