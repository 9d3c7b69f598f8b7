"""``quantainer devices``: list the backends this node offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from quantainer.cli.host import ask, print_json

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def devices(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="One backend: every fact, as JSON.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the backends this node offers, with the widths that really run.

    \b
    Examples:
      quantainer devices
      quantainer devices fake_lima       # every fact of one, as JSON
    """
    if name is not None:
        print_json(_facts(ask("backends", name=name)["target"]))
        return
    backends = ask("backends")["backends"]
    if as_json:
        print_json({"devices": backends})
        return
    from rich.table import Table

    from quantainer.cli.console import Console

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
            _described(facts),
        )
    Console().print(table)


def _facts(target: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of one backend, with those that the list has and that follow from them."""
    qubits = target["qubit_facts"]
    usable = sum(1 for facts in qubits if facts["usable"])
    return {
        **target,
        "clifford_qubits": target["clifford_qubits"] or target["qubits"],
        "usable_qubits": usable if qubits else target["qubits"],
    }


def _described(facts: dict[str, Any]) -> Text:
    """Return a description; of the many emulators, as much of it as one line holds."""
    from rich.text import Text

    short = facts["kind"] == "emulator"
    return Text(facts["description"], no_wrap=short, overflow="ellipsis" if short else None)
