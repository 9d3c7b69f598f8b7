"""``quantainer submit``: run a circuit file on this node."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from quantainer.cli import values
from quantainer.cli.circuit_file import (
    CircuitName,
    File,
    Format,
    Inputs,
    inputs_given,
    name_of,
    program_in,
)
from quantainer.cli.host import host_socket, print_json
from quantainer_client.connection import Connection
from quantainer_client.errors import QuantainerError
from quantainer_client.result import Result
from quantainer_client.submission import Pub

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def submit(
    file: File,
    shots: Annotated[str, typer.Option(metavar="N", help="Number of shots.")] = "1024",
    backend: Annotated[
        str | None,
        typer.Option("--backend", "-B", metavar="NAME", help="Device to use; qsim if absent."),
    ] = None,
    seed: Annotated[
        str | None, typer.Option(metavar="N", help="Integer from 0 to 2⁶³ − 1.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Such as statevector or mps; chosen if absent."),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="One that `quantainer devices` names; chosen if absent."),
    ] = None,
    precision: Annotated[
        Literal["single", "double"] | None, typer.Option(help="Of amplitudes; chosen if absent.")
    ] = None,
    truncation_max: Annotated[
        float | None,
        typer.Option(
            parser=values.fraction,
            metavar="SHARE",
            help="Weight that a matrix product state may lose, 0 to 1. Default 0.001.",
        ),
    ] = None,
    priority: Annotated[
        int, typer.Option(min=-100, max=100, help="Among your own jobs; higher is sooner.")
    ] = 0,
    timeout: Annotated[
        float | None,
        typer.Option(parser=values.seconds, metavar="SECONDS", help="Time the job may run."),
    ] = None,
    circuit_format: Format = None,
    circuit: CircuitName = None,
    inputs: Inputs = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run a circuit file and print what was measured.

    \b
    Examples:
      quantainer submit bell.qasm --shots 1000
      quantainer submit bell.qasm --backend fake_lima --seed 7 --json
      quantainer submit rotation.qasm --input theta=0.5 --input n=3
      cat bell.qasm | quantainer submit -
    """
    program = program_in(file, circuit_format)
    options = {
        "method": method,
        "engine": engine,
        "precision": precision,
        "truncation_max": truncation_max,
    }
    pub = Pub(
        program.data,
        format=circuit_format,
        circuit_name=circuit,
        name=name_of(file),
        inputs=inputs_given(inputs or ()),
    )
    with Connection(str(host_socket())) as connection, program.located():
        result = _wait(
            connection,
            pub,
            backend=backend,
            shots=_integer(shots, "invalid_shots", "shots"),
            seed=None if seed is None else _integer(seed, "invalid_seed", "seed"),
            priority=priority,
            timeout=timeout,
            options={name: value for name, value in options.items() if value is not None},
        )
    if as_json:
        print_json(result.to_dict())
        return
    from quantainer.cli.histogram import print_result

    print_result(result)


def _integer(text: str, code: str, what: str) -> int:
    """Return an option's integer; what is none is refused like a wrong value, not as misuse."""
    try:
        return int(text)
    except ValueError:
        raise QuantainerError(code, f"--{what} takes an integer, not {text!r}.") from None


def _wait(connection: Connection, pub: Pub, **fields: Any) -> Result:
    """Run and, on a terminal, show that work goes on; Ctrl-C cancels the job."""
    from rich.console import Console

    console = Console(stderr=True)
    job = connection.submit(pub, **fields)
    try:
        if not console.is_terminal:
            return job.result()
        with console.status(f"Running job {job.id} …"):
            return job.result()
    except KeyboardInterrupt:
        job.cancel()
        typer.echo(f"Job {job.id} is cancelled.", err=True)
        raise
