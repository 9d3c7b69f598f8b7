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

_ID_LENGTH = 24
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
        raise QuantainerError("unknown_job", f"Nothing of job {job} is measured yet.")
    if as_json:
        print_json(found.to_dict())
        return
    from quantainer.cli.histogram import print_result

    print_result(found)


@app.command()
def cancel(job: JobName, as_json: AsJson = False) -> None:
    """Ask for the end of a job.

    \b
    Examples:
      quantainer jobs cancel c2e29df62a0584ccfde36f90
    """
    reply = ask("cancel", job=job)
    facts = {"job": reply["job"], "state": reply["state"]}
    if as_json:
        print_json(facts)
        return
    typer.echo(f"{facts['job']} {facts['state']}")


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
    """Return jobs as a table."""
    from rich.table import Table

    listed = Table(box=None, header_style="bold")
    listed.add_column("job", no_wrap=True, min_width=_ID_LENGTH)  # whole: it is what is copied
    for heading in ("state", "backend", "shots", "age", "tenant", ""):
        listed.add_column(heading, justify="right" if heading in ("shots", "age") else "left")
    for job in jobs:
        error = job.get("error") or {}
        listed.add_row(
            job["job"],
            job["state"],
            job["backend"],
            f"{job['shots_done']}/{job['shots']}",
            duration(time.time() - job["submitted_at"]),
            str(job.get("tenant", ""))[:24],
            error.get("code", ""),
        )
    return listed
