"""``quantainer compile``: make a circuit file fit a backend."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantainer.cli.circuit_file import (
    CircuitName,
    File,
    Format,
    GateLibrary,
    Inputs,
    Level,
    MaxGates,
    Reading,
    backend_named,
    node_limits,
)
from quantainer.cli.host import print_json
from quantainer.cli.shield import shielded
from quantainer_client.errors import QuantainerError

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_FORMATS = {".qasm": "qasm3", ".qasm3": "qasm3", ".qpy": "qpy", ".qcol": "columnar"}


@app.command("compile")
def compile_file(
    file: File,
    backend: Annotated[
        str, typer.Option("--backend", "-B", metavar="NAME", help="Device to compile for.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where to write: .qasm, .qpy or .qcol."),
    ] = None,
    level: Level = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the facts as JSON.")] = False,
    circuit_format: Format = None,
    gate_library: GateLibrary = "legacy",
    circuit: CircuitName = None,
    inputs: Inputs = None,
    max_gates: MaxGates = None,
) -> None:
    """Compile a circuit file for a backend; OpenQASM 3 to standard output if no file is named.

    \b
    Examples:
      quantainer compile bell.qasm --backend fake_lima
      quantainer compile bell.qasm -B fake_lima --level 3 -o bell.qpy
    """
    kind = _FORMATS.get(output.suffix if output else ".qasm")
    if kind is None:
        raise typer.BadParameter(
            f"{output}: the name must end in one of {', '.join(_FORMATS)}.", param_hint="'--output'"
        )
    reading = Reading(file, circuit_format, gate_library, circuit, tuple(inputs or ()), max_gates)

    def work() -> None:
        _compile(reading, backend, output, kind, 1 if level is None else level, as_json=as_json)

    shielded(file, work)


def _compile(
    reading: Reading, backend: str, output: Path | None, kind: str, level: int, *, as_json: bool
) -> None:
    from quantainer.circuits import measure
    from quantainer.circuits.compile import compile_for
    from quantainer.circuits.fit import fit_of

    source = reading.read()
    target = backend_named(backend, limits := node_limits()).target(limits)
    compiled = compile_for(source, measure(source), target, level)
    data = _encode(compiled.program, kind)
    if output is not None:
        _write(output, data)
    elif not as_json:
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
    fields = {
        "backend": backend,
        "level": level,
        "initial_layout": list(compiled.initial_layout),
        "final_layout": list(compiled.final_layout),
        **fit_of(compiled, target).to_dict(),
    }
    if as_json:
        print_json(fields)
        return
    typer.echo(
        f"{backend}: depth {fields['native_depth']}, {fields['swaps']} swaps added, "
        f"qubits {_places(compiled.initial_layout)}",
        err=True,
    )


def _encode(program: QuantumCircuit, kind: str) -> bytes:
    if kind == "qasm3":
        from qiskit import qasm3

        return str(qasm3.dumps(program)).encode()
    if kind == "columnar":
        from quantainer_client.qiskit.encode import encode

        data, found = encode(program)
        if found != "columnar":
            raise QuantainerError(
                "unsupported_circuit",
                "The compiled circuit has feedback or delays, which the columnar form cannot hold.",
                hint="Write .qpy or .qasm instead.",
            )
        return data
    import io

    from qiskit import qpy

    file = io.BytesIO()
    qpy.dump(program, file)
    return file.getvalue()


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise QuantainerError("invalid_option", f"{path}: {error.strerror}.") from None


def _places(layout: tuple[int | None, ...]) -> str:
    shown = ", ".join("-" if place is None else str(place) for place in layout[:32])
    return shown + (", …" if len(layout) > 32 else "")
