"""Histogram: counts as bars of text."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional

__all__ = ["histogram", "legend"]

_ROWS_MAX = 16
_KEY_MAX = 40
_EIGHTHS = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")


def histogram(counts: Dict[str, int], width: int = 80) -> str:
    """Return the most frequent outcomes as lines of at most ``width`` columns, by bit string.

    Outcomes beyond the first sixteen are summed up in a last line; long bit strings are cut in the
    middle.
    """
    total = sum(counts.values())
    if not total:
        return "nothing was measured"
    frequent = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_ROWS_MAX]
    rows = [(_shortened(key), number) for key, number in sorted(frequent)]
    labels = max(len(key) for key, _ in rows)
    digits = len(str(frequent[0][1]))
    room = max(8, width - labels - digits - 10)
    lines = [
        f"{key:>{labels}} {_bar(number / frequent[0][1], room):<{room}} "
        f"{number:>{digits}} {number / total:6.1%}"
        for key, number in rows
    ]
    rest = len(counts) - len(frequent)
    if rest:
        others = total - sum(number for _, number in frequent)
        lines.append(f"{rest} other outcomes: {others} {others / total:.1%}")
    return "\n".join(lines)


def legend(registers: List[Dict[str, Any]]) -> Optional[str]:
    """Return which registers the parts of a bit string are; None if there is one part."""
    names = [register["name"] or "(no register)" for register in registers if register["bits"]]
    return "bits of " + ", ".join(reversed(names)) if len(names) > 1 else None


def _bar(share: float, room: int) -> str:
    eighths = max(1, round(share * room * 8))
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8]


def _shortened(key: str) -> str:
    if len(key) <= _KEY_MAX:
        return key
    half = (_KEY_MAX - 1) // 2
    return f"{key[:half]}…{key[-half:]}"
