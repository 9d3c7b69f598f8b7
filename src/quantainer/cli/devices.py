"""``quantainer devices``: list the backends this node offers."""

from __future__ import annotations

from typing import Annotated

import typer

from quantainer.cli.host import ask, print_json

__all__ = ["app"]

app = typer.Typer(add_completion=False)


@app.command()
def devices(
    name: Annotated[str | None, typer.Argument(help="One backend: show every fact.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the backends this node offers, with the widths that really run."""
    if name is not None:
        print_json(ask("backends", name=name)["target"])
        return
    backends = ask("backends")["backends"]
    if as_json:
        print_json({"devices": backends})
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for heading in ("device", "kind", "qubits", "Clifford", "status", ""):
        table.add_column(heading, justify="right" if heading in ("qubits", "Clifford") else "left")
    for facts in backends:
        table.add_row(
            facts["name"],
            facts["kind"],
            str(facts["qubits"]),
            str(facts["clifford_qubits"]),
            facts["status"],
            facts["description"],
        )
    Console().print(table)
