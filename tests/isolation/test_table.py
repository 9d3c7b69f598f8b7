"""The page of attempts and the tests that make them agree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.ordinary

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "isolation.md"
ROW = re.compile(r"^\| (?P<attempt>.+) \| (?P<stopped>.+) \| (?P<tests>`.+`) \|$", re.MULTILINE)


def listed() -> list[str]:
    """Return the tests that the page names."""
    rows = ROW.findall(PAGE.read_text())
    return [test for *_, tests in rows for test in re.findall(r"`([^`]+)`", tests)]


def written() -> set[str]:
    """Return the tests of this folder."""
    found = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        names = re.findall(r"^ *def (test_\w+)\(", path.read_text(), re.MULTILINE)
        found |= {f"isolation/{path.name}::{name}" for name in names}
    return {name for name in found if Path(__file__).name not in name}


def test_every_attempt_names_a_test_that_exists() -> None:
    for name in listed():
        file, _, test = name.partition("::")
        assert re.search(rf"^ *def {test}\(", (TESTS / file).read_text(), re.MULTILINE), name


def test_every_test_is_an_attempt_of_the_page() -> None:
    assert sorted(written() - set(listed())) == []
    assert len(listed()) == len(set(listed()))


def test_there_are_at_least_twenty_attempts() -> None:
    assert len(ROW.findall(PAGE.read_text())) >= 20
