"""Every feature of docs/openqasm3.md, by small programs with known right results."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from execution import HEADER, basis_run, sample
from features import APART, INPUTS, KEPT, LINES, REFUSED, RUNS, SAMPLED, UNITARIES
from qiskit.quantum_info import Operator

from quantainer.circuits.options import ReadOptions
from quantainer.circuits.qasm3 import export, read
from quantainer_client.errors import QuantainerError

DOCS = Path(__file__).parents[3] / "docs" / "openqasm3.md"


def program_of(text: str) -> str:
    return text if text.startswith(("OPENQASM", 'include "stdgates')) else HEADER + text


@pytest.mark.parametrize("name", RUNS)
def test_runs(name: str) -> None:
    text, expected = RUNS[name]
    program = read(program_of(text).encode(), "t.qasm").program
    values = basis_run(program)
    assert {register: values[register] for register in expected} == expected
    again = read(export(program).encode(), "t.qasm").program
    assert basis_run(again) == values


@pytest.mark.parametrize("name", UNITARIES)
def test_unitary(name: str) -> None:
    matrices = []
    for text in UNITARIES[name]:
        program = read(program_of(text).encode(), "t.qasm").program
        bound = program.assign_parameters({each: INPUTS[each.name] for each in program.parameters})
        matrices.append(Operator(bound).data)
    assert np.allclose(*matrices, atol=1e-9)


@pytest.mark.parametrize("name", SAMPLED)
def test_sampled(name: str) -> None:
    text, expected = SAMPLED[name]
    assert set(sample(read(program_of(text).encode(), "t.qasm").program)) == expected


def test_include(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "outer.inc").write_text('include "parts/inner.inc"; const int b = a + 1;')
    (tmp_path / "parts" / "inner.inc").write_text("const int a = 3; gate flip q { x q; }")
    options = ReadOptions(include_path=(str(tmp_path),))
    text = f'{HEADER}include "outer.inc"; qubit[b] q; bit[b] c; flip q[a]; c = measure q;'
    assert basis_run(read(text.encode(), "t.qasm", options).program) == {"c": 8}


@pytest.mark.parametrize("path", ["../secret.inc", "/etc/passwd", "missing.inc"])
def test_include_stays_in_its_folders(tmp_path: Path, path: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret.inc").write_text("const int a = 1;")
    (inside / "link.inc").symlink_to(tmp_path / "secret.inc")
    options = ReadOptions(include_path=(str(inside),))
    for each in (path, "link.inc"):
        with pytest.raises(QuantainerError, match=r"t\.qasm:1:1: .*"):
            read(f'include "{each}";'.encode(), "t.qasm", options)


def test_circular_include_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.inc").write_text('\ninclude "b.inc";')
    (tmp_path / "b.inc").write_text('include "a.inc";')
    options = ReadOptions(include_path=(str(tmp_path),))
    with pytest.raises(QuantainerError) as caught:
        read(b'include "a.inc";', "t.qasm", options)
    assert caught.value.message.startswith("b.inc:1:1: circular include: a.inc → b.inc → a.inc")


def test_errors_in_included_files_name_that_file(tmp_path: Path) -> None:
    (tmp_path / "a.inc").write_text("\ngate g q { y1 q; }")
    options = ReadOptions(include_path=(str(tmp_path),))
    with pytest.raises(QuantainerError, match=r"a\.inc:2:12: gate `y1` is not defined"):
        read(f'{HEADER}include "a.inc";'.encode(), "t.qasm", options)


@pytest.mark.parametrize(("a", "b"), [(0, 0), (5, 9), (15, 15), (7, 1)])
def test_input_values(a: int, b: int) -> None:
    text = (
        "input uint[4] a; input uint[4] b; input bool flip; input bit[2] c; "
        "input array[int[8], 2] l; output uint[5] sum; qubit[5] q; "
        "for uint i in [0:4] { if (bool((uint[5](a) + b)[i])) x q[i]; } "
        "if (flip && c[1]) sum = uint[5](0); sum = measure q; output int[8] total; "
        "total = l[0] + l[1];"
    )
    inputs = {"a": a, "b": b, "flip": True, "c": "10", "l": [3, -5]}
    program = read((HEADER + text).encode(), "t.qasm", ReadOptions(inputs=inputs)).program
    assert basis_run(program) == {"sum": a + b, "total": 254}


@pytest.mark.parametrize(
    ("name", "value"),
    [("a", 16), ("a", -1), ("a", 1.5), ("a", "three"), ("c", "101"), ("l", [1]), ("l", [1, 999])],
)
def test_wrong_input_values_are_refused(name: str, value: object) -> None:
    text = f"{HEADER}input uint[4] a; input bit[2] c; input array[int[8], 2] l;"
    inputs = {"a": 1, "c": "10", "l": [3, -5], name: value}
    with pytest.raises(QuantainerError, match=r"t\.qasm:3:\d+: "):
        read(text.encode(), "t.qasm", ReadOptions(inputs=inputs))


def test_inputs_that_the_program_does_not_have_are_refused() -> None:
    for text in ("input float theta; qubit q; rx(theta) q;", "qubit q; x q;"):
        with pytest.raises(QuantainerError, match=r"t\.qasm: the program has no input `tetha`"):
            read((HEADER + text).encode(), "t.qasm", ReadOptions(inputs={"tetha": 0.5}))


@pytest.mark.parametrize("name", KEPT)
def test_kept(name: str) -> None:
    text, note = KEPT[name]
    circuit = read(program_of(text).encode(), "t.qasm")
    assert any(note in each for each in circuit.notes), circuit.notes
    assert circuit.program.num_qubits


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    text, code, line, reason = REFUSED[name]
    with pytest.raises(QuantainerError) as caught:
        read(program_of(text).encode(), "t.qasm", ReadOptions(max_iterations=1000))
    error = caught.value
    whole = line if text.startswith("OPENQASM") else line + LINES
    assert error.code == code
    assert re.match(rf"t\.qasm:{whole}:\d+: ", error.message), error.message
    assert reason in str(error)


def test_the_documented_features_are_the_tested_ones() -> None:
    rows = re.findall(r"^\|[^|]*\|\s*(run|kept|refused)\s*\|([^|]*)\|", DOCS.read_text(), re.M)
    documented: dict[str, str] = {}
    for status, tests in rows:
        for name in re.findall(r"`([\w-]+)`", tests):
            assert name not in documented, f"{name} is in two rows"
            documented[name] = status
    tested = {
        **dict.fromkeys((*RUNS, *UNITARIES, *SAMPLED), "run"),
        **dict.fromkeys(KEPT, "kept"),
        **dict.fromkeys(REFUSED, "refused"),
        **APART,
    }
    assert documented == tested
