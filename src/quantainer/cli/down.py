"""``quantainer down``: stop the broker."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from quantainer.cli import values
from quantainer.cli.host import ask, host_socket, print_json
from quantainer_client.errors import QuantainerError

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def down(
    timeout: Annotated[
        float,
        typer.Option(parser=values.at_least(0), metavar="SECONDS", help="To wait for its end."),
    ] = 30.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Stop the broker. Jobs that have not ended go on when it is started again.

    \b
    Examples:
      quantainer down
      quantainer down --json
    """
    path = host_socket()
    try:
        ask("shutdown")
    except QuantainerError as error:
        if error.code != "broker_unavailable" or _listens(path):
            raise
        _tell({"stopped": False, "socket": str(path)}, "No broker runs.", as_json=as_json)
        return
    deadline = time.monotonic() + timeout
    while _listens(path):
        if time.monotonic() > deadline:
            raise QuantainerError("timeout", "The broker has not ended in time.", limit=timeout)
        time.sleep(0.02)
    _tell({"stopped": True, "socket": str(path)}, "Broker stopped.", as_json=as_json)


def _tell(facts: dict[str, Any], line: str, *, as_json: bool) -> None:
    if as_json:
        print_json(facts)
    else:
        typer.echo(line)


def _listens(path: Path) -> bool:
    """Tell whether a broker is there, also one that this user may not ask."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:
            return True
    return True
