"""``quantainer top``: watch jobs and leases live."""

from __future__ import annotations

import signal
import sys
import time
from typing import Annotated, Any

import typer

from quantainer.cli import values
from quantainer.cli.host import ask, print_json

__all__ = ["app"]

_LATEST = 15
_SHOWN = ("version", "queue", "workers", "leases", "jobs")

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def top(
    interval: Annotated[
        float, typer.Option(parser=values.at_least(0.1), metavar="SECONDS", help="Between looks.")
    ] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print once and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print once, as JSON, and end.")] = False,
) -> None:
    """Watch jobs and leases live; Ctrl-C ends it.

    \b
    Examples:
      quantainer top
      quantainer top --once
      quantainer top --json
    """
    if as_json:
        status, latest = ask("status"), ask("jobs", limit=_LATEST)["jobs"]
        print_json({name: status[name] for name in _SHOWN} | {"latest": latest})
        return
    from rich.live import Live

    from quantainer.cli.console import Console

    console = Console()
    if once or not console.is_terminal:
        console.print(_view(ask("status"), ask("jobs", limit=_LATEST)["jobs"]))
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))  # the screen comes back
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(_view(ask("status"), ask("jobs", limit=_LATEST)["jobs"]), refresh=True)
            time.sleep(interval)


def _view(status: dict[str, Any], latest: list[dict[str, Any]]) -> Any:
    from rich.console import Group
    from rich.text import Text

    from quantainer.cli.jobs import table

    queue, workers = status["queue"], status["workers"]
    states = [process["state"] for process in workers["processes"]]
    head = (
        f"quantainer {status['version']}   "
        f"{queue['running']} running, {queue['waiting']} waiting   "
        f"workers {states.count('executing')}/{workers['size']}   "
        f"free {queue['free_memory_bytes'] / 2**30:.1f} GiB   "
        f"{time.strftime('%H:%M:%S')}"
    )
    live = {job["job"] for job in status["jobs"]}
    recent = [job for job in latest if job["job"] not in live]
    return Group(
        Text(head, style="bold"),
        Text(),
        _leases(status),
        Text(),
        table(status["jobs"][:20] + recent),
    )


def _leases(status: dict[str, Any]) -> Any:
    from rich.table import Table

    listed = Table(box=None, header_style="bold")
    for heading in ("lease", "tenant", "state", "devices", "jobs"):
        listed.add_column(heading)
    for lease in status["leases"][:20]:
        jobs = [job for job in status["jobs"] if job["lease"] == lease["id"]]
        listed.add_row(
            lease["id"],
            str(lease["tenant"])[:24],
            lease["state"],
            ",".join(lease["backends"]),
            str(len(jobs)),
        )
    return listed
