"""Every file of the corpus of other people's circuits behaves as its index says."""

from __future__ import annotations

import csv
import json
import lzma
import re
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit import qasm2
from qiskit.qasm2 import LEGACY_CUSTOM_INSTRUCTIONS
from scipy.stats import chi2

from quantainer.circuits import Circuit, ReadOptions, measure, read
from quantainer.circuits.compile import compile_for
from quantainer.core.target import TargetFacts
from quantainer_client.errors import QuantainerError

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
pytestmark = pytest.mark.skipif(
    not CORPUS.exists(), reason=f"the corpus of other people's circuits is absent: {CORPUS}"
)


def _rows() -> list[dict[str, str]]:
    index = CORPUS / "INDEX.tsv"
    if not index.exists():
        return []
    with index.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


ROWS = _rows()
EXPECTED: dict[str, Any] = json.loads((CORPUS / "EXPECTED.json").read_text()) if ROWS else {}

# Files with gates that act on one qubit twice: they are measured, and refused where they would run.
FAULTY = {
    "random_QAOA_angles_k3_N1000_p1.qasm.xz": (1400, "cx qr[325],qr[325];", {"cx": 20, "rzz": 3}),
}
# Depth in the index counts a gate that the file defines as one step; here it counts as its
# definition. The gates, so that Qiskit can be asked for both.
OWN_GATES = {"adder_n10.qasm": ("majority", "unmaj")}
# ``bit c;`` is a register of one bit here, told by its name. The reference reads it as a bit of no
# register, which its counts leave out: what the index expects is what it says of the registers.
SCALAR_BITS = {"input.qasm": {"c": {"kind": "exact(statevector)", "probs": {"0": 1.0}}}}
SECONDS = 60


def _data(row: dict[str, str]) -> bytes:
    data = (CORPUS / row["path"]).read_bytes()
    return lzma.decompress(data) if row["path"].endswith(".xz") else data


def _name(row: dict[str, str]) -> str:
    return Path(row["path"]).name


def _read(row: dict[str, str], **options: Any) -> Circuit:
    folder = str((CORPUS / row["path"]).parent)
    start = time.monotonic()
    try:
        return read(_data(row), _name(row), options=ReadOptions(include_path=(folder,), **options))
    finally:
        assert time.monotonic() - start < SECONDS


def _id(row: dict[str, str]) -> str:
    return "/".join(row["path"].split("/")[-2:])


def _expecting(*starts: str) -> list[Any]:
    return [pytest.param(row, id=_id(row)) for row in ROWS if row["expected"].startswith(starts)]


@pytest.mark.parametrize("row", _expecting("REFUSE:"))
def test_refused_with_file_line_and_reason(row: dict[str, str]) -> None:
    with pytest.raises(QuantainerError) as caught:
        _read(row)
    message = caught.value.message
    assert caught.value.code in ("invalid_circuit", "unsupported_circuit", "too_large")
    # An include names the file that was included.
    place = re.match(r"(?P<file>[^:]+):(?P<line>\d+)(:\d+)?: \S", message)
    assert place, message
    stated = re.search(r"line (\d+)( / (\d+))?", row["expected"])
    if stated:
        assert place["line"] in (stated[1], stated[3]), message


@pytest.mark.parametrize("row", _expecting("REFUSE each line"))
def test_every_line_refused_on_its_own(row: dict[str, str]) -> None:
    lines = [line for line in _data(row).decode().splitlines() if line.strip()]
    for line in lines:
        if line.lstrip().startswith("//"):
            continue
        with pytest.raises(QuantainerError, match=r":1(:\d+)?: "):
            read(line.encode(), _name(row), "qasm3")


READABLE = (
    "PARSE;",
    "PARSE with exact",
    "PARSE and run",
    "PARSE within",
    "RUNS",
    "width is",
    "same",
)


@pytest.mark.parametrize("row", _expecting(*READABLE))
def test_read_and_measured_as_the_index_says(row: dict[str, str]) -> None:
    facts = measure(_read(row, keep_faults=True))
    qubits = re.fullmatch(r"\[?(\d+)\]?", row["qubits"])
    if qubits:
        assert facts.qubits == int(qubits[1])
    if row["clbits"].isdigit():
        assert facts.clbits == int(row["clbits"])
    if row["depth"].isdigit() and _name(row) not in OWN_GATES:
        assert facts.depth == int(row["depth"])
    elif row["depth"].isdigit():
        program = qasm2.loads(_data(row).decode(), custom_instructions=LEGACY_CUSTOM_INSTRUCTIONS)
        assert program.depth() == int(row["depth"])
        assert facts.depth == program.decompose(list(OWN_GATES[_name(row)])).depth()
    if "no measurement" in row["expected"]:
        assert facts.measured_clbits == 0


@pytest.mark.parametrize("name", FAULTY)
def test_gates_on_one_qubit_twice_are_measured_and_never_run(name: str) -> None:
    line, statement, twice = FAULTY[name]
    row = next(row for row in ROWS if _name(row) == name)
    with pytest.raises(QuantainerError, match=rf"^{name}:{line}:\d+: duplicate qubits"):
        _read(row)
    circuit = _read(row, keep_faults=True)
    assert len(circuit.faults) == sum(twice.values())
    assert circuit.faults[0] == f"{name}:{line}:1: {statement} acts on one qubit twice"
    facts = measure(circuit)
    assert (facts.qubits, facts.clbits) == (1000, 1000)
    assert facts.gates["impossible"] == sum(twice.values())
    written = Counter(re.findall(r"^\w+", _data(row).decode(), re.MULTILINE))
    for gate, count in twice.items():
        assert facts.gates[gate] == written[gate] - count
    target = TargetFacts(name="wide", kind="qpu", qubits=1000)
    with pytest.raises(QuantainerError, match=rf"^{name}:{line}:1: .* acts on one qubit twice"):
        compile_for(circuit, facts, target)


@pytest.mark.parametrize(
    "row", _expecting("VALID", "PARSE", "REFUSE or", "REFUSE until", "PARSE with")
)
def test_valid_files_are_read_or_refused_by_name(row: dict[str, str]) -> None:
    """What cannot be carried out is refused with line and construct; nothing is dropped."""
    refusal: QuantainerError | None = None
    try:
        measure(_read(row))
    except QuantainerError as error:
        refusal = error
    if refusal is not None:
        assert refusal.code in ("invalid_circuit", "unsupported_circuit")
        assert re.match(r"[^:]+:\d+(:\d+)?: \S|[^:]+: one circuit expected", refusal.message)


# --- Files that run -------------------------------------------------------------------------------


def _on_aer(circuit: Circuit, shots: int) -> dict[str, int]:
    """The reference, on the program as it was read; gates it does not know are translated."""
    from qiskit import transpile
    from qiskit_aer import AerSimulator

    simulator = AerSimulator()
    program = transpile(circuit.program, simulator, optimization_level=0)
    return dict(simulator.run(program, shots=shots, seed_simulator=11).result().get_counts())


def _on_qsim(circuit: Circuit, shots: int) -> dict[str, int]:
    """Our own automatic simulator."""
    from quantainer.backends.backend import Limits, Options, Pub
    from quantainer.backends.qsim import Qsim

    backend, limits = Qsim(), Limits(2 << 30, 2)
    pub = Pub(circuit, measure(circuit), circuit.name, shots=shots)
    plan = backend.plan(pub, Options(), limits)
    samples = backend.run(pub, plan, Options(), seed=11, threads=2).samples
    assert samples is not None
    bits = np.unpackbits(samples[0], axis=1, bitorder="little")
    program = circuit.program
    found: Counter[str] = Counter()
    places = [
        [program.find_bit(bit).index for bit in register] for register in reversed(program.cregs)
    ]
    for shot in bits:
        found[" ".join("".join(str(shot[i]) for i in reversed(at)) for at in places)] += 1
    return dict(found)


ENGINES = {"aer": _on_aer, "qsim": _on_qsim}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("path", list(EXPECTED), ids=lambda path: "/".join(path.split("/")[-2:]))
def test_runs_with_the_known_distribution(path: str, engine: str) -> None:
    row = next(row for row in ROWS if row["path"] == path)
    shots = 20_000
    circuit = _read(row)
    counts = ENGINES[engine](circuit, shots)
    scalars = SCALAR_BITS.get(_name(row), {})
    registers = [register.name for register in reversed(circuit.program.cregs)]
    for name, entry in scalars.items():
        assert circuit.program.cregs[registers[::-1].index(name)].size == 1
        _assert_agrees(_marginal(counts, registers, {name}), shots, entry)
    known = set(registers) - scalars.keys()
    assert len(registers) - len(known) == len(scalars)
    _assert_agrees(_marginal(counts, registers, known), shots, EXPECTED[path])


def _marginal(counts: dict[str, int], registers: list[str], kept: set[str]) -> dict[str, int]:
    """Return the counts over some of the registers, which are listed as in the strings."""
    places = [place for place, name in enumerate(registers) if name in kept]
    found: list[tuple[str, int]] = []
    for outcome, count in counts.items():
        parts = outcome.split(" ")
        assert len(parts) == len(registers)
        found.append((" ".join(parts[place] for place in places), count))
    return _joined(found)


def _joined(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for outcome, count in pairs:
        found[outcome] += count
    return dict(found)


def _assert_agrees(counts: dict[str, int], shots: int, entry: dict[str, Any]) -> None:
    """Compare by chi-square at a confidence of 1 - 10⁻⁶; certain outcomes exactly."""
    probabilities = entry.get("probs") or entry["top8"]
    if "probs" in entry:
        assert set(counts) <= set(probabilities)
    # A sampled reference has a spread of its own.
    spread = 2.0 if entry["kind"].startswith("sampled") else 1.0
    statistic = 0.0
    for outcome, probability in probabilities.items():
        expected = probability * shots
        assert outcome in counts or expected < 30
        variance = max(expected * (1 - probability), 1e-9) * spread
        if probability == 1.0:
            assert counts == {outcome: shots}
            return
        statistic += (counts.get(outcome, 0) - expected) ** 2 / variance
    assert statistic < chi2.isf(1e-6, len(probabilities))


@pytest.mark.parametrize(
    ("path", "same_as"),
    [
        ("our-qpy/adder_n4_newest.qpy", "pnnl+QASMBench/small/adder_n4/adder_n4.qasm"),
        ("our-qpy/adder_n4_oldest.qpy", "pnnl+QASMBench/small/adder_n4/adder_n4.qasm"),
        ("our-qpy/example_if.qpy", "Qiskit+qiskit/test/python/qasm/example_if.qasm"),
        (
            "our-qpy/teleportation_n3.qpy",
            "pnnl+QASMBench/small/teleportation_n3/teleportation_n3.qasm",
        ),
        (
            "Qiskit+qiskit/test/benchmarks/qasm/pea_3_pi_8.qasm",
            "pnnl+QASMBench/small/pea_n5/pea_n5.qasm",
        ),
    ],
)
def test_runs_like_the_file_it_was_made_of(path: str, same_as: str) -> None:
    row = next(row for row in ROWS if row["path"] == path)
    original = next(row for row in ROWS if row["path"] == same_as)
    _assert_agrees(_on_qsim(_read(row), 20_000), 20_000, EXPECTED[same_as])
    ours, theirs = measure(_read(row)), measure(_read(original))
    assert (ours.depth, ours.qubits, ours.clifford) == (
        theirs.depth,
        theirs.qubits,
        theirs.clifford,
    )


def test_a_condition_on_301_bits() -> None:
    """The register equals 2³⁰⁰ whenever bit 300 is 1: then the second h makes bit 200 random."""
    row = next(row for row in ROWS if row["path"].endswith("bigint.qasm"))
    circuit = _read(row)
    assert measure(circuit).active_qubits == 1
    shots = 8000
    outcomes = _on_qsim(circuit, shots).items()
    counts = _joined((outcome[-301] + outcome[-201], count) for outcome, count in outcomes)
    _assert_agrees(counts, shots, {"kind": "exact", "probs": {"00": 0.5, "10": 0.25, "11": 0.25}})


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=_id(row)) for row in ROWS if row["format"] == "stim"]
)
def test_noiseless_detectors_never_fire(row: dict[str, str]) -> None:
    """Our program, back in Stim's own words, makes every detector and observable 0."""
    import stim

    circuit = _read(row)
    names = {"h": "H", "cx": "CX", "id": "I", "reset": "R", "measure": "M"}
    index = {bit: place for place, bit in enumerate(circuit.program.qubits)}
    order: list[int] = []
    lines = []
    for step in circuit.program.data:
        lines.append(" ".join([names[step.name], *(str(index[bit]) for bit in step.qubits)]))
        order += [circuit.program.find_bit(bit).index for bit in step.clbits]
    shots = stim.Circuit("\n".join(lines)).compile_sampler(seed=3).sample(20)
    record = np.zeros_like(shots)
    record[:, order] = shots
    kept = circuit.program.metadata["stim"]
    assert kept["detectors"]
    for bits in (*kept["detectors"], *kept["observables"].values()):
        assert not np.bitwise_xor.reduce(record[:, bits], axis=1).any()


def test_the_whole_index_is_covered() -> None:
    """A row that no test above takes would be a row that nobody looks at."""
    covered = (*READABLE, "REFUSE", "VALID", "PARSE")
    missed = [row["path"] for row in ROWS if not row["expected"].startswith(covered)]
    assert missed == []
