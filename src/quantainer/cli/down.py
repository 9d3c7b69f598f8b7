"""``quantainer down``: stop the broker."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from quantainer.cli.host import ask, host_socket
from quantainer_client.errors import QuantainerError

__all__ = ["app"]

app = typer.Typer(add_completion=False)


@app.command()
def down(
    timeout: Annotated[float, typer.Option(help="Seconds to wait for its end.")] = 30.0,
) -> None:
    """Stop the broker. Jobs that have not ended go on when it is started again."""
    socket = host_socket()
    try:
        ask("shutdown")
    except QuantainerError as error:
        if error.code != "broker_unavailable" or socket.exists():
            raise
        typer.echo("No broker runs.")
        return
    deadline = time.monotonic() + timeout
    while socket.exists():
        if time.monotonic() > deadline:
            raise QuantainerError("timeout", "The broker has not ended in time.", limit=timeout)
        time.sleep(0.02)
    typer.echo("Broker stopped.")
