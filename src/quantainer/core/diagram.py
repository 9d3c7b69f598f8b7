"""Diagram: the life cycle drawn from its transition tables.

``python -m quantainer.core.diagram < docs/lifecycle.md`` prints that page with the parts between
its markers made anew. A test holds the page to the tables.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TypeVar

from quantainer.core.transitions import JOB_TRANSITIONS, LEASE_TRANSITIONS, STATE_OF, Table

__all__ = ["draw", "renew", "tabulate"]

S = TypeVar("S", bound=StrEnum)


def draw(table: Table[S]) -> str:
    """Return a table as a Mermaid state diagram."""
    sources = {step.source for step in table.transitions}
    targets = {step.target: None for step in table.transitions}
    lines = ["stateDiagram-v2", f"    [*] --> {table.transitions[0].source}"]
    lines += [f"    {step.source} --> {step.target}: {step.name}" for step in table.transitions]
    lines += [f"    {target} --> [*]" for target in targets if target not in sources]
    return "\n".join(["```mermaid", *lines, "```"])


def tabulate() -> str:
    """Return the phases of a job with the state that its owner sees, as a Markdown table."""
    rows = [f"| `{phase}` | `{state}` |" for phase, state in STATE_OF.items()]
    return "\n".join(["| phase | state |", "|---|---|", *rows])


def renew(page: str) -> str:
    """Return a page with what stands between its markers made anew.

    Raises:
        ValueError: If a marker is missing.
    """
    parts = {
        "lease": draw(LEASE_TRANSITIONS),
        "job": draw(JOB_TRANSITIONS),
        "states": tabulate(),
    }
    for name, text in parts.items():
        before, marker, rest = page.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        if not (marker and end):
            raise ValueError(f"the page has no part marked {name!r}")
        page = f"{before}{marker}{text}\n{end}{after}"
    return page


if __name__ == "__main__":
    sys.stdout.write(renew(sys.stdin.read()))
