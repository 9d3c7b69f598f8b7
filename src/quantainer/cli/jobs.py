"""``quantainer jobs``: list, show, fetch or cancel jobs."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from quantainer.cli import values
from quantainer.cli.host import ask, duration, host_socket, print_json
from quantainer_client.errors import QuantainerError

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="List, show, fetch or cancel jobs.",
)

_TENANT_WIDTH = 24
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
JobName = Annotated[str, typer.Argument(metavar="JOB", help="The job's identifier.")]


@app.command("list")
def list_jobs(
    everyone: Annotated[
        bool, typer.Option("--all", help="Jobs of every tenant (operator only).")
    ] = False,
    limit: Annotated[int, typer.Option(help="Most jobs to list.", min=1, max=10_000)] = 50,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first.

    \b
    Examples:
      quantainer jobs list --limit 10
      quantainer jobs list --all --json
    """
    jobs = ask("jobs", all=everyone, limit=limit)["jobs"]
    if as_json:
        print_json({"jobs": jobs})
        return
    from quantainer.cli.console import Console

    Console().print(table(jobs))


@app.command()
def show(job: JobName, as_json: AsJson = False) -> None:
    """Show where a job stands.

    \b
    Examples:
      quantainer jobs show c2e29df62a0584ccfde36f90 --json
    """
    facts = _find(job)
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        typer.echo(f"{name:<14}{_shown(name, value)}")


@app.command()
def result(
    job: JobName,
    timeout: Annotated[
        float,
        typer.Option(parser=values.at_least(0), metavar="SECONDS", help="To wait for its end."),
    ] = 3600.0,
    partial: Annotated[
        bool, typer.Option("--partial", help="What is measured by now, or was when it stopped.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Wait for a job and print what it measured.

    \b
    Examples:
      quantainer jobs result c2e29df62a0584ccfde36f90
      quantainer jobs result c2e29df62a0584ccfde36f90 --partial
    """
    from quantainer_client.connection import Connection

    with Connection(str(host_socket())) as connection:
        found = connection.partial(job) if partial else connection.result(job, timeout)
    if not len(found):
        raise QuantainerError(
            "unknown_job",
            f"Nothing of job {job} has been measured.",
            hint=f"`quantainer jobs show {job}` tells where it stands.",
        )
    if as_json:
        print_json(found.to_dict())
        return
    from quantainer.cli.histogram import print_result

    print_result(found)


@app.command()
def cancel(job: JobName, as_json: AsJson = False) -> None:
    """Ask for the end of a job, and say what became of that.

    In JSON, "effect" is "cancelled", "asked" (it runs, and ends soon) or "none" (it had ended).

    \b
    Examples:
      quantainer jobs cancel c2e29df62a0584ccfde36f90
    """
    reply = ask("cancel", job=job)
    facts = {"job": reply["job"], "state": reply["state"], "effect": _effect(reply["state"])}
    if as_json:
        print_json(facts)
        return
    typer.echo(f"{facts['job']} {_EFFECTS[facts['effect']].format(state=facts['state'])}")


_EFFECTS = {
    "none": "had ended before ({state}): there is nothing to cancel",
    "cancelled": "is cancelled",
    "asked": "is {state}: it is asked to end, and `quantainer jobs show` tells when it has",
}


def _effect(state: str) -> str:
    """Return what a cancellation did to a job that is in this state after it."""
    if state in ("DONE", "FAILED"):
        return "none"
    return "cancelled" if state == "CANCELLED" else "asked"


def _shown(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return f"{value.get('code')}: {value.get('message')}"
    if name.endswith("_at"):
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value))
    return str(value)


def _find(job: str) -> dict[str, Any]:
    reply = ask("jobs", job=job)["jobs"]
    if not reply:
        raise QuantainerError(
            "unknown_job",
            f"There is no job {job!r} here.",
            hint="`quantainer jobs list` shows those there are.",
        )
    facts: dict[str, Any] = reply[0]
    return facts


def table(jobs: list[dict[str, Any]]) -> Any:
    """Return jobs as a table, one line each; of several tenants' jobs it says whose."""
    from rich.table import Table

    error = "error" if any(job.get("error") for job in jobs) else ""
    tenant = "tenant" if len({job.get("tenant") for job in jobs}) > 1 else ""
    headings = ["job", "state", "backend", "shots", "age", *filter(None, (tenant, error))]
    rows = [_cells(job) for job in jobs]
    listed = Table(box=None, header_style="bold", padding=(0, 1, 0, 0), pad_edge=False)
    for heading in headings:
        squeezed = heading in ("tenant", "error")
        listed.add_column(
            heading,
            justify="right" if heading in ("shots", "age") else "left",
            no_wrap=True,
            min_width=None if squeezed else max([0, *(len(row[heading]) for row in rows)]),
            max_width=_TENANT_WIDTH if heading == "tenant" else None,
        )
    for row in rows:
        listed.add_row(*(row[heading] for heading in headings))
    return listed


def _cells(job: dict[str, Any]) -> dict[str, str]:
    return {
        "job": job["job"],
        "state": job["state"],
        "backend": job["backend"],
        "shots": _shots(job),
        "age": " ".join(duration(time.time() - job["submitted_at"]).split()[:2]),
        "tenant": str(job.get("tenant", "")),
        "error": (job.get("error") or {}).get("code", ""),
    }


def _shots(job: dict[str, Any]) -> str:
    done, total = job["shots_done"], job["shots"]
    return str(total) if done == total else f"{done}/{total}"
