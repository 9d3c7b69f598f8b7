"""``quantainer bench``: measure this node beside its peers."""

from __future__ import annotations

import importlib
import json
from typing import Annotated, Any

import typer
from rich.console import Console

from quantainer.cli import values
from quantainer.cli.progress import progress
from quantainer_client.errors import QuantainerError

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Measure this node beside its peers, in the same run.",
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback()
def _root() -> None:
    """Measure this node beside its peers, in the same run."""


@app.command()
def device(
    as_json: Json = False,
    engines: Annotated[bool, typer.Option(help="Compare with each engine (minutes).")] = True,
    containers: Annotated[bool, typer.Option(help="Start containers.")] = True,
) -> None:
    """Circuits of all kinds, round trips, container starts.

    GHZ, random and special circuits beside their engines; containers with and without the device;
    import of the client. Containers run on Docker 27 or newer if it has the image that
    QUANTAINER_BENCH_IMAGE names (python:3.11-slim), else on the embedded engine.

    \b
    Examples:
      quantainer bench device --no-engines --no-containers --json
    """
    bench = _load("quantainer_bench.device")
    with progress("bench") as say:
        report = bench.run(say, engines=engines, containers=containers)
    _show(report, as_json=as_json)


@app.command("compile")
def compile_rates(
    as_json: Json = False,
    peers: Annotated[bool, typer.Option(help="Compare with pytket and PennyLane.")] = True,
    devices: Annotated[
        bool, typer.Option("--devices", help="Each kind of device and level instead (minutes).")
    ] = False,
) -> None:
    """Compile and parse rates.

    Circuits whose structure was seen before, and new ones, beside the peers' rates; every format
    beside each public parser that can read it. With --devices, new circuits on a device of each
    kind at every level, beside Qiskit.

    \b
    Examples:
      quantainer bench compile --no-peers --json
      quantainer bench compile --devices --json
    """
    bench = _load("quantainer_bench.compile_devices" if devices else "quantainer_bench.compile")
    with progress("bench") as say:
        report = bench.run(say) if devices else bench.run(say, peers=peers)
    _show(report, as_json=as_json)


@app.command()
def agreement(
    as_json: Json = False,
    containers: Annotated[int, typer.Option(min=1, help="Alive at any time.")] = 200,
    seconds: Annotated[
        float, typer.Option(parser=values.at_least(0.1), metavar="SECONDS", help="Of churn.")
    ] = 60.0,
) -> None:
    """How long containers and their circuits disagree.

    Measured while containers come and go (minutes). A Docker Engine 27 or newer is needed, the
    image that QUANTAINER_BENCH_IMAGE names (python:3.11-slim), and root. Exit 1 if the bar of
    1200 ms at p99 is missed.

    \b
    Examples:
      quantainer bench agreement --containers 20 --seconds 20 --json
    """
    bench = _load("quantainer_bench.agreement")
    with progress("bench") as say:
        report = bench.run(say, containers=containers, seconds=seconds)
    _show(report, as_json=as_json)
    if not report["held"]:
        raise typer.Exit(1)


@app.command()
def leases(
    as_json: Json = False,
    number: Annotated[int, typer.Option("--leases", min=2, help="Open at once.")] = 1000,
    clients: Annotated[int, typer.Option(min=1, help="Busy ones among them.")] = 64,
    seconds: Annotated[
        float,
        typer.Option(parser=values.at_least(1), metavar="SECONDS", help="Each of two rounds."),
    ] = 30.0,
) -> None:
    """A thousand leases, dozens of them busy.

    Failures, shares, memory and times (minutes). Control groups are needed, and root. Exit 1 if
    a bar is missed: no failed job, shares within 10 % of weights, 64 KiB for an idle lease.

    \b
    Examples:
      quantainer bench leases --leases 100 --clients 16 --seconds 10 --json
    """
    bench = _load("quantainer_bench.leases")
    with progress("bench") as say:
        report = bench.run(say, leases=number, clients=clients, seconds=seconds)
    _show(report, as_json=as_json)
    if not report["held"]:
        raise typer.Exit(1)


def _load(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise QuantainerError(
            "backend_failed",
            f"This benchmark needs {error.name}, which is not installed.",
            hint="Install quantainer with the extras dev, fast and bench.",
        ) from None


def _show(report: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(report, indent=1))
        return
    Console().print(_lines(report), highlight=False)


def _lines(fields: dict[str, Any], prefix: str = "") -> str:
    """Return nested fields as one dotted name and number a line."""
    lines = []
    for name, value in fields.items():
        if isinstance(value, dict):
            lines.append(_lines(value, f"{prefix}{name}."))
        else:
            shown = f"{value:.4g}" if isinstance(value, float) else str(value)
            lines.append(f"{prefix}{name:<24} {shown}")
    return "\n".join(lines)
