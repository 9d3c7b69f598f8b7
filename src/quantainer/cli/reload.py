"""``quantainer reload``: have the broker look again at its backends and device nodes."""

from __future__ import annotations

from typing import Annotated

import typer

from quantainer.cli.host import ask, print_json

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_TIMEOUT = 150.0


@app.command()
def reload(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look again at installed backends and at the setting 'nodes', and describe the devices anew.

    Jobs go on; containers see the new devices.json. The same happens at SIGHUP, that is at
    'systemctl reload quantainer'.

    \b
    Examples:
      pip install some-backend && quantainer reload
    """
    found = ask("reload", timeout=_TIMEOUT)
    for envelope in ("v", "id", "ok"):
        found.pop(envelope, None)
    if as_json:
        print_json(found)
        return
    for warning in found["warnings"]:
        typer.echo(f"warning: {warning}", err=True)
    described = found["specification"] or "nowhere: see the broker's log"
    typer.echo(f"{len(found['backends'])} backends, described in {described}")
