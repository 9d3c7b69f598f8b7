"""Histogram: a result in the terminal."""

from __future__ import annotations

from rich.text import Text

from quantainer.cli.console import Console
from quantainer_client.histogram import histogram, legend
from quantainer_client.result import Result

__all__ = ["print_result"]


def print_result(result: Result, console: Console | None = None) -> None:
    """Print what ran, and how often each outcome came."""
    console = console or Console()
    fields = result.to_dict()
    metadata = fields["metadata"]
    engine = f"{metadata.get('engine')} {metadata.get('engine_version')}"
    console.print(
        f"[bold]{fields['shots']}[/] shots on [bold]{fields['backend']}[/] "
        f"({fields['method']}, {engine}), seed {metadata.get('seed')}",
        highlight=False,
    )
    bars = Text(histogram(fields["counts"], console.width))
    bars.highlight_regex("[▏▎▍▌▋▊▉█]+", "cyan")
    console.print(bars)
    if named := legend(fields["registers"]):
        console.print(named, highlight=False, markup=False)
    if metadata.get("truncation_error"):
        console.print(f"truncation error {metadata['truncation_error']:.2e}", highlight=False)
    for note in metadata.get("notes") or ():
        console.print(f"note: {note}", highlight=False, markup=False)
    console.print(f"[dim]job {fields['job']}[/]", highlight=False)
