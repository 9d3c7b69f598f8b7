"""Histogram: counts as bars in the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["histogram", "print_result"]

_ROWS_MAX = 16
_KEY_MAX = 40
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def print_result(result: dict[str, Any], console: Console | None = None) -> None:
    """Print a result as ``result_fields`` gives it: what ran, and how often each outcome came."""
    console = console or Console()
    metadata = result["metadata"]
    engine = f"{metadata.get('engine')} {metadata.get('engine_version')}"
    console.print(
        f"[bold]{result['shots']}[/] shots on [bold]{result['backend']}[/] "
        f"({result['method']}, {engine}), seed {metadata.get('seed')}",
        highlight=False,
    )
    console.print(histogram(result["counts"], max(10, console.width - _KEY_MAX - 24)))
    if metadata.get("truncation_error"):
        console.print(f"truncation error {metadata['truncation_error']:.2e}", highlight=False)
    for note in metadata.get("notes") or ():
        console.print(f"note: {note}", highlight=False, markup=False)
    console.print(f"[dim]job {result['job']}[/]", highlight=False)


def histogram(counts: dict[str, int], width: int) -> Table:
    """Return bars of the most frequent outcomes, in the order of their bit strings."""
    total = sum(counts.values()) or 1
    frequent = sorted(counts.items(), key=lambda item: -item[1])[:_ROWS_MAX]
    largest = frequent[0][1] if frequent else 1
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for key, count in sorted(frequent):
        bar = Text(_bar(count / largest, width), style="cyan")
        table.add_row(_shortened(key), bar, f"{count}  {count / total:6.1%}")
    rest = len(counts) - len(frequent)
    if rest:
        others = total - sum(count for _, count in frequent)
        table.add_row(f"{rest} others", "", f"{others}  {others / total:6.1%}")
    return table


def _bar(share: float, width: int) -> str:
    eighths = max(1, round(share * width * 8))
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _shortened(key: str) -> str:
    if len(key) <= _KEY_MAX:
        return key
    half = (_KEY_MAX - 1) // 2
    return f"{key[:half]}…{key[-half:]}"
