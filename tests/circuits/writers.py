"""One drawn program, written in every format that can hold it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from drawn_program import Drawn, Step, Test
from hypothesis import strategies as st
from qir_writer import bitcode, qir
from qiskit import ClassicalRegister, QuantumCircuit, qasm3, qpy
from qiskit.circuit.library import get_standard_gate_name_mapping

from quantainer.circuits.qasm3 import export
from quantainer_client.circuit import Circuit as Flat
from quantainer_client.qiskit.encode import encode

__all__ = ["drawn", "written"]

GATES = {
    # name: qubits, angles
    **dict.fromkeys(("h", "x", "y", "z", "s", "sdg", "t", "tdg", "sx", "sxdg"), (1, 0)),
    **dict.fromkeys(("rx", "ry", "rz", "p"), (1, 1)),
    **dict.fromkeys(("cx", "cz", "cy", "swap", "iswap"), (2, 0)),
    **dict.fromkeys(("rxx", "ryy", "rzz"), (2, 1)),
    **dict.fromkeys(("ccx", "cswap"), (3, 0)),
}
CLIFFORD = ("h", "x", "y", "z", "s", "sdg", "sx", "sxdg", "cx", "cz", "cy", "swap", "iswap")


@st.composite
def drawn(draw: Any, *, in_order: bool = False, clifford: bool = False) -> Drawn:
    """Draw a program of up to four qubits."""
    qubits = draw(st.integers(3 if not clifford else 2, 4))
    sizes = draw(st.lists(st.integers(1, 2), min_size=1, max_size=3))
    names = [name for name in (CLIFFORD if clifford else GATES) if GATES[name][0] <= qubits]
    tests = st.integers(0, len(sizes) - 1).flatmap(
        lambda register: st.builds(
            Test,
            st.just(register),
            st.none() | st.integers(0, sizes[register] - 1),
            st.integers(0, 1),
        )
    )

    @st.composite
    def gate(inner: Any, conditions: Any = tests) -> Step:
        name = inner(st.sampled_from(names))
        width, angles = GATES[name]
        at = inner(st.permutations(range(qubits)))[:width]
        condition = inner(st.none() | st.none() | conditions)
        return "gate", name, at, [inner(st.floats(0.1, 0.7)) for _ in range(angles)], condition

    others = [st.tuples(st.just("reset"), st.integers(0, qubits - 1))]
    if not in_order:
        place = st.integers(0, sum(sizes) - 1)
        others += [
            st.tuples(st.just("measure"), st.integers(0, qubits - 1), place),
            st.permutations(range(qubits)).map(lambda order: ("barrier", order[: qubits - 1])),
            st.tuples(
                st.just("if"),
                tests,
                st.lists(gate(st.none()), min_size=1, max_size=2),
                st.lists(gate(st.none()), max_size=2),
            ),
        ]
    if not in_order:
        any_steps = draw(st.lists(st.one_of(gate(), gate(), *others), max_size=12))
        return _on_measured(Drawn(qubits, sizes, any_steps, False))
    steps: list[Step] = [("gate", "h", [qubit], [], None) for qubit in range(qubits)]
    seen: list[int] = []
    for bit in range(sum(sizes)):
        registers = [r for r in range(len(sizes)) if sum(sizes[: r + 1]) <= len(seen)]
        known = st.none()
        if registers:
            known = st.sampled_from(registers).flatmap(
                lambda r: st.builds(
                    Test, st.just(r), st.none() | st.integers(0, sizes[r] - 1), st.integers(0, 1)
                )
            )
        steps += draw(st.lists(st.one_of(gate(known), gate(known), *others), max_size=4))
        steps.append(("measure", draw(st.integers(0, qubits - 1)), bit))
        seen.append(bit)
    return Drawn(qubits, sizes, steps, True)


def _on_measured(program: Drawn) -> Drawn:
    """Leave out conditions on bits that nothing was measured into: in OpenQASM 3 they are known."""
    measured: set[int] = set()
    steps: list[Step] = []
    for step in program.steps:
        test = step[-1] if step[0] == "gate" else step[1] if step[0] == "if" else None
        is_known = test is not None and not measured.issuperset(program.bits(test))
        if step[0] == "measure":
            measured.add(step[2])
        if not is_known:
            steps.append(step)
        elif step[0] == "gate":
            steps.append((*step[:-1], None))
    return Drawn(program.qubits, program.sizes, steps, program.in_order)


def written(program: Drawn) -> Iterator[tuple[str, str, bytes]]:
    """Yield writer, format, and the program in it, for each that can hold it."""
    qiskit = _qiskit(program)
    yield "Qiskit", "qasm3", qasm3.dumps(qiskit).encode()
    yield "ours", "qasm3", export(qiskit).encode()
    for version in range(max(13, qpy.QPY_COMPATIBILITY_VERSION), qpy.common.QPY_VERSION + 1):
        file = io.BytesIO()
        qpy.dump(qiskit, file, version=version)
        yield f"version {version}", "qpy", file.getvalue()
    data, kind = encode(qiskit)
    yield "client", kind, data
    ir = qir(program)
    yield "text", "qir", ir.encode()
    yield "bitcode", "qir", bitcode(ir)
    for writer, kind, write in (
        ("client's own", "columnar", _columnar),
        ("by hand", "qasm2", _qasm2),
        ("by hand", "stim", _stim),
        ("Cirq", "cirq", _cirq),
    ):
        text = write(program)
        if text is not None:
            yield writer, kind, text if isinstance(text, bytes) else text.encode()


# --- Qiskit ---------------------------------------------------------------------------------------


def _qiskit(program: Drawn) -> QuantumCircuit:
    registers = [ClassicalRegister(size, f"c{i}") for i, size in enumerate(program.sizes)]
    circuit = QuantumCircuit(program.qubits)
    circuit.add_register(*registers)

    def condition(test: Test) -> Any:
        register = registers[test.register]
        return (register if test.bit is None else register[test.bit], test.value)

    def gate(name: str, at: list[int], angles: list[float]) -> None:
        circuit.append(get_standard_gate_name_mapping()[name].base_class(*angles), at)

    def step(kind: str, *rest: Any) -> None:
        if kind == "gate":
            name, at, angles, test = rest
            if test is None:
                gate(name, at, angles)
                return
            with circuit.if_test(condition(test)):
                gate(name, at, angles)
        elif kind == "if":
            test, yes, no = rest
            with circuit.if_test(condition(test)) as otherwise:
                for inner in yes:
                    step(*inner)
            if no:
                with otherwise:
                    for inner in no:
                        step(*inner)
        else:
            getattr(circuit, kind)(*rest)

    for found in program.steps:
        step(*found)
    return circuit


# --- Columnar and OpenQASM 2 ----------------------------------------------------------------------


def _columnar(program: Drawn) -> bytes | None:
    circuit = Flat(program.qubits, sum(program.sizes))
    for kind, *rest in program.steps:
        if kind == "if":
            return None
        if kind == "gate":
            name, at, angles, test = rest
            when = None if test is None else (program.bits(test), test.value)
            circuit.gate(name, at, angles, condition=when)
        elif kind == "barrier":
            circuit.barrier(*rest[0])
        else:
            getattr(circuit, kind)(*rest)
    return circuit.encode()


def _qasm2(program: Drawn) -> str | None:
    lines = ['OPENQASM 2.0;\ninclude "qelib1.inc";', f"qreg q[{program.qubits}];"]
    lines += [f"creg c{i}[{size}];" for i, size in enumerate(program.sizes)]
    places = [f"c{i}[{bit}]" for i, size in enumerate(program.sizes) for bit in range(size)]
    for kind, *rest in program.steps:
        match kind, rest:
            case "gate", (name, at, angles, test):
                if test is not None and not _is_whole(program, test):
                    return None
                when = "" if test is None else f"if(c{test.register}=={test.value}) "
                values = f"({','.join(map(repr, angles))})" if angles else ""
                lines.append(f"{when}{name}{values} {_q(at)};")
            case "measure", (qubit, bit):
                lines.append(f"measure q[{qubit}] -> {places[bit]};")
            case "reset", (qubit,):
                lines.append(f"reset q[{qubit}];")
            case "barrier", (at,):
                lines.append(f"barrier {_q(at)};")
            case _:
                return None
    return "\n".join(lines)


def _is_whole(program: Drawn, test: Test) -> bool:
    return test.bit is None or program.sizes[test.register] == 1


def _q(at: list[int]) -> str:
    return ",".join(f"q[{qubit}]" for qubit in at)


# --- Stim -----------------------------------------------------------------------------------------

_STIM = {"sdg": "S_DAG", "sx": "SQRT_X", "sxdg": "SQRT_X_DAG"}


def _stim(program: Drawn) -> str | None:
    if not program.in_order:
        return None
    lines = []
    measured = 0
    for kind, *rest in program.steps:
        match kind, rest:
            case "gate", (name, at, _, test):
                if name not in CLIFFORD:
                    return None
                code = _STIM.get(name, name.upper())
                if test is None:
                    lines.append(f"{code} {' '.join(map(str, at))}")
                    continue
                bits = program.bits(test)
                if name not in ("x", "y", "z") or len(bits) > 1 or test.value != 1:
                    return None
                lines.append(f"C{code} rec[{bits[0] - measured}] {at[0]}")
            case "measure", (qubit, _):
                lines.append(f"M {qubit}")
                measured += 1
            case "reset", (qubit,):
                lines.append(f"R {qubit}")
            case _:
                return None
    return "\n".join(lines)


# --- Cirq -----------------------------------------------------------------------------------------


def _cirq(program: Drawn) -> str | None:
    if not program.in_order:
        return None
    import cirq
    import sympy

    fixed = {"h": cirq.H, "x": cirq.X, "y": cirq.Y, "z": cirq.Z, "s": cirq.S, "sdg": cirq.S**-1,
             "t": cirq.T, "tdg": cirq.T**-1, "sx": cirq.X**0.5, "sxdg": cirq.X**-0.5,
             "cx": cirq.CNOT, "cz": cirq.CZ, "cy": cirq.ControlledGate(cirq.Y), "swap": cirq.SWAP,
             "iswap": cirq.ISWAP, "ccx": cirq.CCX, "cswap": cirq.CSWAP}  # fmt: skip
    pi = 3.141592653589793
    turned = {"rx": cirq.rx, "ry": cirq.ry, "rz": cirq.rz,
              "p": lambda angle: cirq.ZPowGate(exponent=angle / pi),
              "rxx": lambda angle: cirq.XXPowGate(exponent=angle / pi),
              "ryy": lambda angle: cirq.YYPowGate(exponent=angle / pi),
              "rzz": lambda angle: cirq.ZZPowGate(exponent=angle / pi)}  # fmt: skip
    qubits = cirq.LineQubit.range(program.qubits)
    moments = []
    for kind, *rest in program.steps:
        match kind, rest:
            case "gate", (name, at, angles, test):
                gate = turned[name](*angles) if angles else fixed[name]
                operation = gate.on(*(qubits[index] for index in at))
                if test is not None:
                    bits = program.bits(test)
                    number = sum(sympy.Symbol(f"m{bit}") * 2**i for i, bit in enumerate(bits))
                    operation = operation.with_classical_controls(sympy.Eq(number, test.value))
            case "measure", (qubit, bit):
                operation = cirq.measure(qubits[qubit], key=f"m{bit}")
            case "reset", (qubit,):
                operation = cirq.reset(qubits[qubit])
        moments.append(cirq.Moment(operation))
    return cirq.to_json(cirq.Circuit(moments))
