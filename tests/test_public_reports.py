"""The public bug reports that must not come back have tests, and docs/reports.md lists them."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

TESTS = Path(__file__).parent
TABLE = TESTS.parent / "docs" / "reports.md"
MAIN_JOB = {1, 2, 3, 4, 7, 12, 13, 21, 23, 24, 25, 43, 46, 50, 54}
LIFE_CYCLE = {14, 16, 19, 20, 21}
CIRCUITS = {37, 39, 40, 41, 46, 47, 50, 51, 53, 56, 57}


def marked() -> dict[int, set[str]]:
    """Return the tests with the marker ``report`` by its number, as ``folder/file.py::name``."""
    found: dict[int, set[str]] = defaultdict(set)
    for file in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test"):
                continue
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.report":
                    (number,) = (ast.literal_eval(word) for word in mark.args)
                    found[number].add(f"{file.relative_to(TESTS)}::{node.name}")
    return dict(found)


def listed() -> dict[int, set[str]]:
    """Return the same from the table in the documentation."""
    rows = re.findall(r"^\| (\d+) \|.*\| (`.*`) \|$", TABLE.read_text(encoding="utf-8"), re.M)
    return {int(number): set(re.findall(r"`([^`]+)`", tests)) for number, tests in rows}


def test_every_report_has_a_test() -> None:
    assert marked().keys() >= MAIN_JOB | LIFE_CYCLE | CIRCUITS


def test_the_table_is_complete_and_names_tests_that_are_there() -> None:
    rows, tests = listed(), marked()
    assert rows.keys() >= MAIN_JOB | LIFE_CYCLE | CIRCUITS
    for number, names in rows.items():
        assert names, number
        assert names <= tests[number], number
