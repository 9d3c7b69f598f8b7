"""The drawings in the docs are those of the code."""

from pathlib import Path

import pytest

from quantainer.core.diagram import draw, renew
from quantainer.core.transitions import LEASE_TRANSITIONS, TransitionError

PAGE = Path(__file__).parents[2] / "docs" / "lifecycle.md"


def test_the_page_is_up_to_date():
    page = PAGE.read_text(encoding="utf-8")
    assert renew(page) == page, "run python -m quantainer.core.diagram as docs/lifecycle.md says"


def test_the_drawing_begins_and_ends():
    drawing = draw(LEASE_TRANSITIONS)
    assert "[*] --> CREATED" in drawing
    assert "ENDED --> [*]" in drawing
    assert "PAUSED --> ACTIVE: unpause" in drawing


def test_a_page_without_markers_is_refused():
    with pytest.raises(ValueError, match="no part marked 'lease'"):
        renew("nothing here")


def test_a_step_that_does_not_exist_is_an_error():
    with pytest.raises(TransitionError, match="no step 'start' from ENDED"):
        LEASE_TRANSITIONS.step("ENDED", "start")
