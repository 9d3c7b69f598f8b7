"""Facts for people: the fields of ``inspect`` as a table."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from quantainer.cli.console import Console
from quantainer.cli.size import size

__all__ = ["print_facts"]


_FITS = {True: "fits", False: "does not fit", None: "not known before it is tried"}


def print_facts(fields: dict[str, Any]) -> None:
    """Print what was measured of a circuit, and how it fits a backend if one was asked."""
    console = Console()
    table = Table(box=None, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    for label, value in _rows(fields):
        table.add_row(label, value)
    console.print(table)
    for note in fields["notes"]:
        console.print(f"  note: {note}", markup=False, highlight=False)


def _rows(fields: dict[str, Any]) -> list[tuple[str, str]]:
    registers = ", ".join(f"{name}[{bits}]" for name, bits in fields["registers"])
    gates = ", ".join(f"{name} {count}" for name, count in fields["gates"].items())
    rows = [
        ("format", fields["format"]),
        ("qubits", f"{fields['qubits']} declared, {fields['active_qubits']} active"),
        ("classical bits", f"{fields['clbits']}{f' ({registers})' if registers else ''}"),
        ("depth", f"{_depth(fields['depth'])}, two-qubit {_depth(fields['two_qubit_depth'])}"),
        ("operations", f"{fields['size']}: {gates}" if gates else "0"),
        ("Clifford", "yes" if fields["clifford"] else f"no, {fields['t_count']} rotations outside"),
        ("feedback", _feedback(fields)),
        ("light cone", f"{fields['light_cone']} qubits"),
        ("memory", ", ".join(f"{k} {size(v)}" for k, v in fields["memory_bytes"].items())),
    ]
    if fields["parameters"]:
        rows.append(("parameters", ", ".join(fields["parameters"])))
    return rows + (_backend_rows(fields) if "backend" in fields else [])


def _backend_rows(fields: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [("on " + fields["backend"], _FITS[fields["fits"]])]
    rows += [("", reason) for reason in fields["reasons"]]
    if fields["native_depth"] is not None:
        swaps = fields["swaps"]
        rows.append(("native depth", f"{fields['native_depth']}, {swaps} swaps added"))
    if fields["duration_us"] is not None:
        rows.append(("duration", f"{fields['duration_us']:.2f} µs"))
    if fields["coherence_share"] is not None:
        rows.append(("coherence", f"{fields['coherence_share']:.1%} of the shortest T1 or T2"))
    if fields["success_probability"] is not None:
        rows.append(("success", f"{fields['success_probability']:.1%}"))
    if "plan" in fields:
        rows.append(("plan", fields["plan"]["reason"]))
    return rows


def _depth(value: int | None) -> str:
    return "depends on data" if value is None else str(value)


def _feedback(fields: dict[str, Any]) -> str:
    if fields["dynamic"]:
        return "operations depend on measured values"
    return "mid-circuit measurement or reset" if fields["mid_circuit"] else "none"
