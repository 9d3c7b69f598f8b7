"""Programs with known right results, run by Aer: the specification's own examples among them."""

from __future__ import annotations

import math

import pytest
from execution import HEADER, sample
from qiskit.quantum_info import Statevector

from quantainer.circuits.qasm3 import export, read


def outcomes(text: str, shots: int = 2000) -> dict[str, float]:
    """Return the frequencies; the exported program must have the same."""
    program = read((HEADER + text).encode(), "t.qasm").program
    counts = sample(program, shots)
    again = sample(read(export(program).encode(), "t.qasm").program, shots)
    assert (
        set(again) == set(counts) or max(abs(again.get(k, 0) - v) for k, v in counts.items()) < 200
    )
    return {key: times / shots for key, times in counts.items()}


def near(found: dict[str, float], expected: dict[str, float], shots: int = 2000) -> bool:
    """Tell whether frequencies are within five standard deviations."""
    return set(found) <= set(expected) and all(
        abs(found.get(key, 0) - share) < 5 * math.sqrt(share * (1 - share) / shots) + 1e-9
        for key, share in expected.items()
    )


def test_teleportation() -> None:
    text = """
    qubit[3] q; bit[2] m; output bit r;
    ry(0.8) q[0]; rz(0.3) q[0];
    h q[1]; cx q[1], q[2]; cx q[0], q[1]; h q[0];
    m[0] = measure q[0]; m[1] = measure q[1];
    if (m[1]) x q[2];
    if (m[0] == 1) { z q[2]; }
    rz(-0.3) q[2]; ry(-0.8) q[2];
    r = measure q[2];
    """
    assert outcomes(text) == {"0": 1.0}


def test_repeat_until_success() -> None:
    text = """
    def segment(qubit[2] anc, qubit psi) -> bit[2] {
      bit[2] b;
      reset anc; h anc;
      ccx anc[0], anc[1], psi; s psi; ccx anc[0], anc[1], psi; z psi;
      h anc;
      measure anc -> b;
      return b;
    }
    qubit psi; qubit[2] ancilla; bit[2] flags = "11"; output bit r;
    reset psi; h psi;
    while (int[2](flags) != 0) { flags = segment(ancilla, psi); }
    rz(pi - arccos(3.0 / 5)) psi;
    h psi;
    r = measure psi;
    """
    assert outcomes(text) == {"0": 1.0}


@pytest.mark.parametrize("phase", range(8))
def test_iterative_phase_estimation(phase: int) -> None:
    text = f"""
    const int n = 3;
    const float theta = 2 * pi * {phase} / 8;
    qubit q; qubit r; angle[n] c; output bit[n] result;
    x r;
    uint[n] power = 4;
    for uint i in [0:n - 1] {{
      reset q; h q;
      ctrl @ pow(power) @ phase(theta) q, r;
      inv @ phase(c) q;
      h q;
      bit m = measure q;
      result[i] = m;
      if (m) c += pi;
      c >>= 1;
      power >>= 1;
    }}
    """
    assert outcomes(text, 100) == {f"{phase:03b}": 1.0}


@pytest.mark.parametrize("value", [0, 3, 5])
def test_inverse_fourier_transform_with_feed_forward(value: int) -> None:
    text = f"""
    qubit[3] q; bit[3] c;
    for uint i in [0:2] {{ h q[i]; p(2 * pi * {value} * 2.0 ** (i - 3.0)) q[i]; }}
    for uint i in [0:2] {{
      uint k = 2 - i;
      for uint j in [0:2] {{ if (j < i) {{ if (c[j]) p(-pi / 2.0 ** (i - j)) q[k]; }} }}
      h q[k];
      c[i] = measure q[k];
    }}
    """
    assert outcomes(text, 200) == {f"{value:03b}": 1.0}


@pytest.mark.parametrize(("a", "b"), [(1, 15), (9, 7), (0, 0), (15, 15)])
def test_ripple_carry_adder(a: int, b: int) -> None:
    text = f"""
    gate majority a, b, c {{ cx c, b; cx c, a; ccx a, b, c; }}
    gate unmaj a, b, c {{ ccx a, b, c; cx c, a; cx a, b; }}
    qubit[1] cin; qubit[4] a; qubit[4] b; qubit[1] cout; bit[5] ans;
    uint[4] a_in = {a}; uint[4] b_in = {b};
    for uint i in [0:3] {{ if (bool(a_in[i])) x a[i]; if (bool(b_in[i])) x b[i]; }}
    majority cin[0], b[0], a[0];
    for uint i in [0:2] {{ majority a[i], b[i + 1], a[i + 1]; }}
    cx a[3], cout[0];
    for uint i in [2:-1:0] {{ unmaj a[i], b[i + 1], a[i + 1]; }}
    unmaj cin[0], b[0], a[0];
    measure b[0:3] -> ans[0:3];
    measure cout[0] -> ans[4];
    """
    assert outcomes(text, 50) == {f"{a + b:05b}": 1.0}


def test_error_correction_by_syndrome() -> None:
    text = """
    qubit[3] q; qubit[2] a; bit[2] syn; output bit[3] c;
    def syndrome(qubit[3] d, qubit[2] a) -> bit[2] {
      bit[2] b; cx d[0], a[0]; cx d[1], a[0]; cx d[1], a[1]; cx d[2], a[1]; b = measure a; return b;
    }
    cx q[0], q[1]; x q[1];
    syn = syndrome(q, a);
    switch (uint[2](syn)) { case 1 { x q[0]; } case 2 { x q[2]; } case 3 { x q[1]; } default { } }
    c = measure q;
    """
    assert outcomes(text, 100) == {"000": 1.0}


def test_a_random_walk_that_ends_by_measurement() -> None:
    text = """
    qubit q; bit r; output uint[4] n;
    while (n < 15) { h q; r = measure q; if (r) break; n += 1; }
    """
    expected = {f"{n:04b}": 2.0 ** -(n + 1) for n in range(15)} | {"1111": 2.0**-15}
    assert near(outcomes(text), expected)


def test_a_measured_angle_that_is_no_sum_of_rotations() -> None:
    text = """
    qubit[2] q; bit c; output bit[2] r; float angle1 = 0.4;
    h q[0]; c = measure q[0];
    if (c) angle1 = 2 * arcsin(sqrt(0.25));
    ry(angle1 * 1.0) q[1];
    r[0] = c; r[1] = measure q[1];
    """
    low = math.sin(0.2) ** 2
    expected = {"00": (1 - low) / 2, "10": low / 2, "01": 0.375, "11": 0.125}
    assert near(outcomes(text), expected)


def test_bits_of_a_register_are_in_order() -> None:
    text = "qubit[3] q; bit[3] c; bit[2] d; x q[0]; c = measure q; d[1] = measure q[0];"
    assert outcomes(text, 10) == {"10 001": 1.0}


def test_the_standard_gates_of_the_specification() -> None:
    """Each gate of the library against the matrix that the specification gives for its use."""
    text = "qubit q; U(0.3, 0.4, 0.5) q;"
    state = Statevector(read((HEADER + text).encode(), "t").program).data
    theta, phi = 0.3, 0.4
    expected = [
        (1 + complex(math.cos(theta), math.sin(theta))) / 2,
        1j
        * complex(math.cos(phi), math.sin(phi))
        * (1 - complex(math.cos(theta), math.sin(theta)))
        / 2,
    ]
    assert state == pytest.approx(expected, abs=1e-12)
