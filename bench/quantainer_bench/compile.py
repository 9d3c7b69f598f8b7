"""``quantainer bench compile``: compile and parse rates beside Qiskit, pytket and PennyLane.

``miss`` compiles circuits that were never seen. "first_job" is what the first job of a structure on
an emulator waits for: a steady cache, whose result depends on the circuit alone, with its shelf on
disk; so are the "ordinary" circuits. "with_template" adds what is done after the job's answer for
the hits that follow: the template, and its file.

"thin" circuits are 1000 layers of one random gate, half of them CX, half rotations: the circuits of
the white paper's compile benchmark. The target is a 27-qubit heavy-hex device. Peers that are not
installed are reported as absent.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from qiskit import QuantumCircuit, qasm2, qasm3, qpy
from qiskit.transpiler import generate_preset_pass_manager

from quantainer.circuits import Circuit, measure, read
from quantainer.circuits.cache import CompileCache
from quantainer.circuits.compile import LEVELS, compile_for, compile_program
from quantainer.core.facts import Facts
from quantainer.core.target import QubitFacts, TargetFacts
from quantainer_bench.rounds import Times, ratio, time_each, time_rounds
from quantainer_client.qiskit.encode import encode
from quantainer_client.qiskit.target import target_of

__all__ = ["device", "run", "thin"]

LAYERS = 1000
WIDTHS = (4, 10, 20)
LEVEL = 1
ORDINARY = (100, 300, 1000)
"""Gates of ordinary circuits, on 8 qubits."""
JOB_LEVELS = (1, 2)
_HITS = 5000
_ORDINARY_ROUNDS = 15
_ROUNDS = {4: 90, 10: 45, 20: 30}
_HEAVY_HEX = (
    *((0, 1), (1, 2), (1, 4), (2, 3), (3, 5), (4, 7), (5, 8), (6, 7), (7, 10), (8, 9), (8, 11)),
    *((10, 12), (11, 14), (12, 13), (12, 15), (13, 14), (14, 16), (15, 18), (16, 19), (17, 18)),
    *((18, 21), (19, 20), (19, 22), (21, 23), (22, 25), (23, 24), (24, 25), (25, 26)),
)


def run(say: Callable[[str], None], *, peers: bool = True) -> dict[str, Any]:
    """Run every section.

    Args:
        say: Called with a line before each section, for progress.
        peers: Also measure pytket and PennyLane, which take minutes.
    """
    target = device()
    report: dict[str, Any] = {"layers": LAYERS, "level": LEVEL, "miss": {}}
    say("compile, structure seen before")
    report["hit"] = _hits(target)
    for qubits in WIDTHS:
        say(f"compile, first time: {qubits} qubits")
        report["miss"][str(qubits)] = _misses(target, qubits, peers=peers)
    say("compile, first time: ordinary circuits")
    report["ordinary"] = {
        str(level): {str(gates): _ordinary(target, gates, level) for gates in ORDINARY}
        for level in JOB_LEVELS
    }
    say("compile, first time: every level")
    report["levels"] = _levels(target)
    say("parsing")
    report |= _parsing(peers=peers)
    return report


def device() -> TargetFacts:
    """Return a 27-qubit heavy-hex device without calibration."""
    edges = tuple(edge for a, b in _HEAVY_HEX for edge in ((a, b), (b, a)))
    return TargetFacts(
        name="heavy_hex_27",
        kind="qpu",
        qubits=27,
        basis_gates=("rz", "sx", "x", "cx"),
        coupling_map=edges,
        qubit_facts=tuple(QubitFacts() for _ in range(27)),
    )


def thin(qubits: int, structure: int, angles: int = 0, layers: int | None = None) -> QuantumCircuit:
    """Return ``LAYERS`` random gates; ``structure`` and ``angles`` seed them apart."""
    gates, values = random.Random(structure), random.Random(angles)
    circuit = QuantumCircuit(qubits, qubits)
    for _ in range(LAYERS if layers is None else layers):
        if gates.random() < 0.5:
            circuit.cx(*gates.sample(range(qubits), 2))
        else:
            name = gates.choice(("rx", "ry", "rz"))
            getattr(circuit, name)(values.uniform(0, 6.28), gates.randrange(qubits))
    circuit.measure(range(qubits), range(qubits))
    return circuit


def _hits(target: TargetFacts) -> dict[str, Any]:
    """Compile 1000-gate circuits whose structure is known, each with angles of its own."""
    cache = CompileCache()
    payloads = [encode(thin(10, 1, angles))[0] for angles in range(64)]
    for data in payloads[:2]:
        circuit = read(data)
        cache.compile(circuit, measure(circuit), target, LEVEL)
    index = 0

    def hit() -> object:
        nonlocal index
        index = (index + 1) % len(payloads)
        return cache.find(payloads[index], target, LEVEL)

    if hit() is None:
        raise RuntimeError("the structure was not found again")
    times = time_each(hit, _HITS, warmup=200)
    return {
        "per_s": 1000 / float(np.mean(times.ms)),
        "p50_us": times.median * 1e3,
        "p95_us": times.quantile(0.95) * 1e3,
        "p99_us": times.quantile(0.99) * 1e3,
        "n": _HITS,
    }


def _misses(target: TargetFacts, qubits: int, *, peers: bool) -> dict[str, Any]:
    """Compile circuits that were never seen: ours from bytes, Qiskit's from its own objects."""
    rounds = _ROUNDS[qubits]
    programs = [thin(qubits, 1000 + number) for number in range(rounds + 1)]
    payloads = [encode(program)[0] for program in programs]
    manager = _qiskit(target, LEVEL)
    with TemporaryDirectory() as shelf:
        contenders = {
            "ours": _each(programs, partial(compile_program, target=target, level=LEVEL)),
            **_jobs(payloads, target, LEVEL, Path(shelf)),
            "ours_from_bytes": _each(payloads, lambda data: _from_bytes(data, target)),
            "qiskit": _each(programs, manager.run),
        }
        times = _with_template(time_rounds(contenders, rounds))
    report: dict[str, Any] = {f"{name}_per_s": _rate(found) for name, found in times.items()}
    for name in ("", "_first_job", "_with_template"):
        report[f"speedup{name}"] = ratio(times["qiskit"], times[f"ours{name}"])
    report["ours"], report["qiskit"] = times["ours"].fields(), times["qiskit"].fields()
    report["two_qubit_gates"] = {
        "ours": _wide(compile_program(program, target, LEVEL) for program in programs[:8]),
        "ours_with_template": _wide(_compiled(data, target) for data in payloads[:8]),
        "qiskit": _wide(map(manager.run, programs[:8])),
    }
    if peers:
        report |= _pytket(programs[:2], target) | _pennylane(programs[:3])
    return report


def _jobs(
    payloads: list[bytes], target: TargetFacts, level: int, shelf: Path
) -> dict[str, Callable[[], object]]:
    """Return what a worker does with each circuit that it has read and measured for admission.

    Apart from that, what it does once the job is answered.
    """
    cache = CompileCache(directory=shelf, steady=True)
    circuits = [read(data) for data in payloads]
    read_and_measured = [(circuit, measure(circuit)) for circuit in circuits]

    def compiled(job: tuple[Circuit, Facts]) -> object:
        return cache.compile(job[0], job[1], target, level).program

    return {"ours_first_job": _each(read_and_measured, compiled), "later": cache.settle}


def _with_template(times: dict[str, Times]) -> dict[str, Times]:
    """Return the times with what is done later added to the job's that it is done for."""
    later = times.pop("later")
    both = zip(times["ours_first_job"].ms, later.ms, strict=True)
    return {**times, "ours_with_template": Times(tuple(map(sum, both)))}


def _compiled(data: bytes, target: TargetFacts) -> QuantumCircuit:
    circuit = read(data)
    return CompileCache(steady=True).compile(circuit, measure(circuit), target, LEVEL).program


def _ordinary(target: TargetFacts, gates: int, level: int) -> dict[str, Any]:
    """Compile circuits of everyday sizes that were never seen, beside Qiskit."""
    programs = [thin(8, 3000 + number, layers=gates) for number in range(_ORDINARY_ROUNDS + 1)]
    payloads = [encode(program)[0] for program in programs]
    with TemporaryDirectory() as shelf:
        contenders = {
            **_jobs(payloads, target, level, Path(shelf)),
            "qiskit": _each(programs, _qiskit(target, level).run),
        }
        times = _with_template(time_rounds(contenders, _ORDINARY_ROUNDS))
        times["ours"] = times.pop("ours_with_template")
    report: dict[str, Any] = {f"{name}_per_s": _rate(found) for name, found in times.items()}
    for name in ("", "_first_job"):
        report[f"speedup{name}"] = ratio(times["qiskit"], times[f"ours{name}"])
    return report


def _levels(target: TargetFacts, qubits: int = 10, rounds: int = 8) -> dict[str, Any]:
    """Compile new circuits at every level, beside Qiskit's pass manager of the same level."""
    programs = [thin(qubits, 2000 + number) for number in range(rounds + 1)]
    report: dict[str, Any] = {}
    for level in LEVELS:
        manager = _qiskit(target, level)
        ours = partial(compile_program, target=target, level=level)
        contenders = {"ours": _each(programs, ours), "qiskit": _each(programs, manager.run)}
        times = time_rounds(contenders, rounds)
        report[str(level)] = {
            **{f"{name}_per_s": _rate(found) for name, found in times.items()},
            "speedup": ratio(times["qiskit"], times["ours"]),
            "two_qubit_gates": {
                "ours": _wide(map(ours, programs)),
                "qiskit": _wide(map(manager.run, programs)),
            },
        }
    return report


def _qiskit(target: TargetFacts, level: int) -> Any:
    return generate_preset_pass_manager(
        level, target=target_of(asdict(target)), seed_transpiler=20_260
    )


def _wide(results: Iterable[Any]) -> float:
    """Return the mean number of CX of compiled circuits: what speed must not be bought with."""
    programs = [getattr(result, "program", result) for result in results]
    return float(np.mean([program.count_ops().get("cx", 0) for program in programs]))


def _from_bytes(data: bytes, target: TargetFacts) -> object:
    circuit = read(data)
    return compile_for(circuit, measure(circuit), target, LEVEL)


def _pytket(programs: list[QuantumCircuit], target: TargetFacts) -> dict[str, Any]:
    if find_spec("pytket") is None:
        return {"pytket_per_s": None}
    from pytket.architecture import Architecture
    from pytket.circuit import OpType
    from pytket.passes import AutoRebase, DefaultMappingPass, SequencePass, SynthesiseTket
    from pytket.qasm import circuit_from_qasm_str

    passes = SequencePass(
        [
            SynthesiseTket(),
            DefaultMappingPass(Architecture(list(target.coupling_map or ()))),
            AutoRebase({OpType.Rz, OpType.SX, OpType.X, OpType.CX}),
        ]
    )
    circuits = [circuit_from_qasm_str(qasm2.dumps(program)) for program in programs]
    times = time_each(_each(circuits, passes.apply), len(circuits), warmup=0)
    return {"pytket_per_s": _rate(times)}


def _pennylane(programs: list[QuantumCircuit]) -> dict[str, Any]:
    if find_spec("pennylane") is None:
        return {"pennylane_per_s": None}
    import pennylane as qml

    names = {"rx": qml.RX, "ry": qml.RY, "rz": qml.RZ, "cx": qml.CNOT}
    tapes = []
    for program in programs:
        operations = [
            names[step.name](*map(float, step.params), wires=_places(program, step))
            for step in program.data
            if step.name in names
        ]
        tapes.append(qml.tape.QuantumScript(operations, [qml.probs(wires=[0])]))
    times = time_each(_each(tapes, qml.compile), len(tapes), warmup=0)
    return {"pennylane_per_s": _rate(times)}


# --- Parsing
# ---------------------------------------------------------------------------------------


def _parsing(*, peers: bool) -> dict[str, Any]:
    """Read one 1000-gate circuit of 10 qubits in every format, beside the public parsers."""
    program = thin(10, 7)
    file = io.BytesIO()
    qpy.dump(program, file)
    texts = {"qasm2": qasm2.dumps(program), "qasm3": qasm3.dumps(program)}
    report: dict[str, Any] = {}
    for name, ours, theirs in (
        ("qasm3", texts["qasm3"].encode(), {
            "qiskit_python": lambda: qasm3.loads(texts["qasm3"]),
            "qiskit_experimental": lambda: qasm3.loads_experimental(texts["qasm3"]),
            "openqasm3": lambda: _reference(texts["qasm3"]),
        }),
        ("qasm2", texts["qasm2"].encode(), {
            "qiskit": lambda: qasm2.loads(texts["qasm2"]),
            **(_pytket_parser(texts["qasm2"]) if peers else {}),
        }),
        ("qpy", file.getvalue(), {"qiskit": lambda: qpy.load(io.BytesIO(file.getvalue()))}),
        ("columnar", encode(program)[0], {}),
        *_other_formats(program),
    ):  # fmt: skip
        report[name] = _against(ours, theirs)
    report["qasm3"]["speedup"] = report["qasm3"]["qiskit_python"]["speedup"]
    return report


def _against(data: bytes, theirs: dict[str, Callable[[], object]]) -> dict[str, Any]:
    working = {name: call for name, call in theirs.items() if _works(call)}
    times = time_rounds({"ours": lambda: read(data), **working}, 8)
    report: dict[str, Any] = {"ours_per_s": _rate(times["ours"]), "ours": times["ours"].fields()}
    for name in theirs:
        if name not in working:
            report[name] = None  # it cannot read the circuit
            continue
        report[name] = {
            "per_s": _rate(times[name]),
            "speedup": ratio(times[name], times["ours"])["p50"],
        }
    return report


def _works(call: Callable[[], object]) -> bool:
    try:
        call()
    except Exception:
        return False
    return True


def _reference(text: str) -> object:
    import openqasm3

    return openqasm3.parse(text)


def _pytket_parser(text: str) -> dict[str, Callable[[], object]]:
    if find_spec("pytket") is None:
        return {}
    from pytket.qasm import circuit_from_qasm_str

    return {"pytket": lambda: circuit_from_qasm_str(text)}


def _other_formats(
    program: QuantumCircuit,
) -> list[tuple[str, bytes, dict[str, Callable[[], object]]]]:
    """Return Cirq's, Stim's and QIR's forms of circuits of the same size."""
    found: list[tuple[str, bytes, dict[str, Callable[[], object]]]] = []
    if find_spec("cirq") is not None:
        import cirq

        text = _cirq_json(program)
        found.append(("cirq", text.encode(), {"cirq": lambda: cirq.read_json(json_text=text)}))
    import stim

    lines = "\n".join(f"CX {k % 10} {(k + 3) % 10}\nH {k % 10}" for k in range(LAYERS // 2))
    found.append(("stim", lines.encode(), {"stim": lambda: stim.Circuit(lines)}))
    if find_spec("pyqir") is not None:
        text_ir = _qir(program)
        found.append(("qir", text_ir.encode(), {"pyqir": lambda: _pyqir(text_ir)}))
    return found


def _cirq_json(program: QuantumCircuit) -> str:
    import cirq

    line = cirq.LineQubit.range(program.num_qubits)
    gates = {"rx": cirq.rx, "ry": cirq.ry, "rz": cirq.rz}
    circuit = cirq.Circuit()
    for step in program.data:
        at = [line[program.find_bit(bit).index] for bit in step.qubits]
        if step.name == "cx":
            circuit.append(cirq.CNOT(*at))
        elif step.name in gates:
            circuit.append(gates[step.name](float(step.params[0]))(*at))
    return str(cirq.to_json(circuit))


def _qir(program: QuantumCircuit) -> str:
    import pyqir

    module = pyqir.SimpleModule("bench", program.num_qubits, program.num_qubits)
    qis = pyqir.BasicQisBuilder(module.builder)
    for step in program.data:
        at = [module.qubits[program.find_bit(bit).index] for bit in step.qubits]
        if step.name != "measure":
            getattr(qis, step.name)(*map(float, step.params), *at)
    return str(module.ir())


def _pyqir(text: str) -> object:
    import pyqir

    return pyqir.Module.from_ir(pyqir.Context(), text)


def _each(items: Any, call: Callable[[Any], object]) -> Callable[[], object]:
    """Return a call that takes the next item each time, and begins anew at the end."""
    items = list(items)
    position = 0

    def following() -> object:
        nonlocal position
        item = items[position % len(items)]
        position += 1
        return call(item)

    return following


def _rate(times: Times) -> float:
    return 1000 / times.median


def _places(program: QuantumCircuit, step: Any) -> list[int]:
    return [program.find_bit(bit).index for bit in step.qubits]
