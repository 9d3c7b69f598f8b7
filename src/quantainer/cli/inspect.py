"""``quantainer inspect``: measure a circuit file, on its own and on a backend."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quantainer.cli.circuit_file import (
    BackendName,
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
    from quantainer.circuits import Circuit
    from quantainer.core.facts import Facts

__all__ = ["app", "describe"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_SHOTS = 1024
_ATTEMPT = (
    "no exact simulation fits here; a matrix product state is tried, and may turn out to lose too "
    "much (`quantainer submit --truncation-max` allows more)"
)
_BOXES = "┌┤■╫"  # what drawings consist of, which no other encoding than Unicode's may have
_DRAWN_OPERATIONS = 300
_DRAWN_QUBITS = 40


@app.command()
def inspect(
    file: File,
    backend: BackendName = None,
    level: Level = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    svg: Annotated[
        Path | None, typer.Option(help="Write a drawing as SVG; needs quantainer[plot].")
    ] = None,
    png: Annotated[
        Path | None, typer.Option(help="Write a drawing as PNG; needs quantainer[plot].")
    ] = None,
    circuit_format: Format = None,
    gate_library: GateLibrary = "legacy",
    circuit: CircuitName = None,
    inputs: Inputs = None,
    max_gates: MaxGates = None,
) -> None:
    """Measure a circuit file: width, depth, gates, and whether it fits a backend.

    \b
    Examples:
      quantainer inspect bell.qasm
      quantainer inspect bell.qasm --backend fake_lima --json
    """
    if level is not None and backend is None:
        raise typer.BadParameter(
            "It says how hard to compile for a backend: add --backend.", param_hint="'--level'"
        )
    reading = Reading(file, circuit_format, gate_library, circuit, tuple(inputs or ()), max_gates)

    def work() -> None:
        _inspect(reading, backend, 1 if level is None else level, svg, png, as_json=as_json)

    shielded(file, work)


def _inspect(
    reading: Reading,
    backend: str | None,
    level: int,
    svg: Path | None,
    png: Path | None,
    *,
    as_json: bool,
) -> None:
    from quantainer.circuits import measure

    found = reading.read(keep_faults=True)
    facts = measure(found)
    fields = describe(found, facts)
    if backend is not None:
        fields |= _on_backend(found, facts, backend, level)
    for path in (svg, png):
        if path is not None:
            _draw(found, path, "svg" if path is svg else "png")
    if as_json:
        print_json(fields)
        return
    from quantainer.cli.facts_table import print_facts

    print_facts(fields)
    _print_drawing(found, facts)


def describe(circuit: Circuit, facts: Facts) -> dict[str, Any]:
    """Return the facts of a circuit as JSON fields, with what each method would need."""
    from quantainer.circuits.measure import unwritten

    notes = [*circuit.notes]
    if not facts.measured_clbits:
        notes.append("nothing is measured: it has expectation values, but no counts")
    else:
        missing = unwritten(circuit)
        more = f" and {len(missing) - 4} more" if len(missing) > 4 else ""
        if missing:
            notes.append(f"no measurement writes bit {', '.join(missing[:4])}{more}: always 0")
    return {
        "name": circuit.name,
        **facts.to_dict(),
        "size": facts.size,
        "memory_bytes": _memory(facts),
        "notes": notes,
    }


def _memory(facts: Facts) -> dict[str, int]:
    """Return the peak memory of each simulation method that can hold the circuit."""
    from quantainer.backends.memory import Footprint, peak_bytes
    from quantainer.backends.simulators.simulator import Method

    footprint = Footprint(facts.active_qubits, facts.size, _SHOTS, facts.clbits, facts.bond_log2)
    methods: list[Method] = ["statevector", "density_matrix", "mps"]
    if facts.clifford:
        methods.append("stabilizer")
    return {method: peak_bytes(method, "", "double", footprint) for method in methods}


def _on_backend(circuit: Circuit, facts: Facts, name: str, level: int) -> dict[str, Any]:
    from quantainer.circuits.fit import Fit, fit

    if circuit.faults:
        return {"backend": name, **Fit(False, circuit.faults).to_dict()}
    limits = node_limits()
    backend = backend_named(name, limits)
    target = backend.target(limits)
    if target.kind != "simulator" or target.coupling_map is not None:
        return {"backend": name, **fit(circuit, facts, target, level).to_dict()}
    return {"backend": name, **_simulated(circuit, facts, backend, limits)}


def _simulated(circuit: Circuit, facts: Facts, backend: Any, limits: Any) -> dict[str, Any]:
    """An ideal simulator runs the circuit as it is, if there is memory for it."""
    import numpy as np

    from quantainer.backends.backend import Options, Pub
    from quantainer.circuits.fit import Fit

    values = np.zeros((1, len(facts.parameters))) if facts.parameters else None
    pub = Pub(circuit, facts, "inspect", shots=_SHOTS, parameters=values)
    try:
        plan = backend.plan(pub, Options(), limits)
    except QuantainerError as error:
        return Fit(False, (str(error),)).to_dict()
    as_it_is = Fit(
        True if plan.exact else None,
        () if plan.exact else (_ATTEMPT,),
        native_depth=facts.depth,
        native_two_qubit_depth=facts.two_qubit_depth,
        swaps=0,
        native_gates=facts.gates,
        success_probability=1.0 if plan.exact else None,
    )
    how = {
        "method": plan.method,
        "engine": plan.engine,
        "memory": plan.memory_bytes,
        "seconds": plan.seconds,
    }
    return {**as_it_is.to_dict(), "plan": {**how, "reason": plan.reason}}


def _draw(circuit: Circuit, path: Path, kind: str) -> None:
    missing = [name for name in ("matplotlib", "pylatexenc") if not _installed(name)]
    if missing:
        raise QuantainerError(
            "invalid_option",
            f"--{kind} draws with matplotlib and pylatexenc; not installed: {', '.join(missing)}.",
            hint=f"They are the extra quantainer[plot]: {sys.executable} -m pip install "
            f"{' '.join(missing)}",
        )
    import matplotlib

    operations = circuit.program.size()
    if operations > _DRAWN_OPERATIONS:
        typer.echo(f"Drawing {operations} operations, which takes a while …", err=True)
    matplotlib.use("Agg")
    figure = circuit.program.draw("mpl", fold=40)
    try:
        figure.savefig(path, format=kind, bbox_inches="tight")
    except OSError as error:
        raise QuantainerError("invalid_option", f"{path}: {error.strerror}.") from None
    typer.echo(f"{path} is written.", err=True)


def _installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ValueError:  # it was taken away from this process
        return False


def _can_print(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _print_drawing(circuit: Circuit, facts: Facts) -> None:
    if facts.size > _DRAWN_OPERATIONS or facts.qubits > _DRAWN_QUBITS:
        return
    from quantainer.cli.console import Console

    console = Console()
    if not _can_print(_BOXES, console.encoding):
        return
    drawing = circuit.program.draw("text", fold=console.width, idle_wires=False)
    console.print(str(drawing), markup=False, highlight=False)
