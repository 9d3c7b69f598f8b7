"""``quantainer status``: show the broker, its limits and its settings."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from quantainer.cli.host import ask, duration, print_json
from quantainer.cli.size import size

__all__ = ["app", "warnings_of"]

_LISTED = 6

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
            shown = _shown(key, setting["value"])
            typer.echo(f"{key:<24}{shown:<28} {setting['source']}")


_SECONDS = (
    *("results_age", "jobs_age", "job_timeout", "plan_timeout", "stop_grace"),
    "slow_reader_timeout",
)
_BYTES = ("memory_limit", "memory_reserve", "results_bytes", "payload_max", "result_max")


def _shown(key: str, value: Any) -> str:
    """Return a setting for people, with its unit."""
    if value is None or value == {}:
        return "–"
    if key in _SECONDS:
        days = f" ({value / 86_400:g} d)" if value >= 86_400 else ""
        return f"{value:.15g} s{days}"
    return f"{size(value)}" if key in _BYTES else str(value)


def _leases(leases: list[dict[str, Any]]) -> str:
    """Return how many leases there are, and the first of them by container or else by name."""
    names = [str(lease.get("container") or lease["id"])[:24] for lease in leases[:_LISTED]]
    more = f" and {len(leases) - _LISTED} more" if len(leases) > _LISTED else ""
    return f"{len(leases)}{': ' if names else ''}{', '.join(names)}{more}"


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
            ", ".join(backend["name"] for backend in facts["backends"][:_LISTED])
            + (
                f" and {len(facts['backends']) - _LISTED} more"
                if len(facts["backends"]) > _LISTED
                else ""
            ),
        ),
        ("threads", f"{cpu['threads']} ({cpu['source']})"),
        ("memory", f"{memory['limit_bytes'] / 2**30:.1f} GiB for jobs ({memory['source']})"),
        ("workers", f"{busy} of {workers['size']} executing, {workers['deaths']} died"),
        ("jobs", f"{queue['running']} running, {queue['waiting']} waiting"),
        ("leases", _leases(facts["leases"])),
    ]
    return lines + [("warning", warning) for warning in warnings_of(facts)]


def warnings_of(facts: dict[str, Any]) -> list[str]:
    """Return what the broker warns of, of its threads and its memory."""
    return [*facts["cpu"]["warnings"], *facts["memory"].get("warnings", ())]
