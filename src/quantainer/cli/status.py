"""``quantainer status``: show the broker, its limits and its settings."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from quantainer.cli.host import ask, duration, print_json

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    show_settings: Annotated[
        bool, typer.Option("--settings", help="Show every setting and where it came from.")
    ] = False,
) -> None:
    """Show the broker, its limits and its settings.

    \b
    Examples:
      quantainer status --settings
      quantainer status --json
    """
    facts = ask("status")
    for envelope in ("v", "id", "ok"):
        facts.pop(envelope, None)
    if as_json:
        print_json(facts)
        return
    for name, value in _lines(facts):
        typer.echo(f"{name:<12}{value}")
    if show_settings:
        typer.echo()
        for key, setting in facts["settings"].items():
            typer.echo(f"{key:<24}{_shown(setting['value']):<28} {setting['source']}")


def _shown(value: Any) -> str:
    """Return a setting for people: the unit is said in docs/configuration.md."""
    if value is None or value == {}:
        return "–"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    workers = facts["workers"]
    busy = sum(1 for process in workers["processes"] if process["state"] == "executing")
    queue, cpu, memory = facts["queue"], facts["cpu"], facts["memory"]
    age = duration(time.time() - facts["started_at"])
    lines = [
        ("broker", f"{facts['version']}, process {facts['pid']}, up {age}"),
        ("socket", facts["sockets"]["host"]),
        ("device", facts["sockets"]["device"]),
        (
            "backends",
            ", ".join(backend["name"] for backend in facts["backends"][:6])
            + (f" and {len(facts['backends']) - 6} more" if len(facts["backends"]) > 6 else ""),
        ),
        ("threads", f"{cpu['threads']} ({cpu['source']})"),
        ("memory", f"{memory['limit_bytes'] / 2**30:.1f} GiB for jobs ({memory['source']})"),
        ("workers", f"{busy} of {workers['size']} executing, {workers['deaths']} died"),
        ("jobs", f"{queue['running']} running, {queue['waiting']} waiting"),
        ("leases", str(len(facts["leases"]))),
    ]
    return lines + [("warning", warning) for warning in cpu["warnings"]]
