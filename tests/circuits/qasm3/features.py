"""Features: small programs with known right results, one or more for each row of docs/openqasm3.md.

Programs get a version and ``stdgates.inc`` in front unless they start with a version of their own;
their first line is then line 1 + ``LINES``.
"""

# ruff: noqa: E501 (programs of a line)
from __future__ import annotations

LINES = 2

# Classical results on basis states: register values after the run.
RUNS: dict[str, tuple[str, dict[str, int]]] = {
    "version": ("OPENQASM 3.1; bit b = 1;", {"b": 1}),
    "no-version": ('include "stdgates.inc"; qubit q; x q; bit b = measure q;', {"b": 1}),
    "comments": ("/* a \n // b */ bit b = 1; // c; d\n", {"b": 1}),
    "unicode": ("qubit[2] γ; bit[2] ψ; x γ[1]; ψ = measure γ;", {"ψ": 2}),
    "old-registers": ("qreg q[2]; creg c[2]; x q[1]; measure q -> c;", {"c": 2}),
    "literals": (
        'output int[32] a; a = 0xff + 0o17 + 0b11 + 1_000; bit[8] b = "0000_1111"; '
        "output bool c; c = true && .5e1 == 5.;",
        {"a": 255 + 15 + 3 + 1000, "c": 1},
    ),
    "broadcast": (
        "qubit[3] q; qubit[3] r; qubit k; bit[3] c; x q; cx q, r; cx k, r; c = measure r;",
        {"c": 7},
    ),
    "reset": ("qubit[2] q; bit[2] c; x q; reset q[0]; c = measure q;", {"c": 2}),
    "measure-in-declaration": ("qubit[2] q; x q[0]; bit[2] c = measure q;", {"c": 1}),
    "measure-unassigned": ("qubit q; bit c; x q; measure q; c = measure q;", {"c": 1}),
    "mid-circuit": (
        "qubit q; bit a; bit b; x q; a = measure q; x q; b = measure q;",
        {"a": 1, "b": 0},
    ),
    "alias-qubits": (
        "qubit[3] q; qubit[2] r; let a = q[0:2:2] ++ r; let b = a[{3, 0}]; "
        "x b; bit[3] c = measure q; bit[2] d = measure r;",
        {"c": 1, "d": 2},
    ),
    "alias-bits": (
        'bit[3] a = "001"; bit[2] b = "10"; let c = a[0:1] ++ b; c[1] = 1; c[3] = 0;',
        {"a": 3, "b": 0},
    ),
    "indices": (
        "qubit[6] q; bit[6] c; x q[-1]; x q[{0, 2}]; x q[5:-2:3]; c = measure q;",
        {"c": 0b001101},
    ),
    "bit-strings": ('bit[4] c = "1010"; c[0] = c[3];', {"c": 0b1011}),
    "const": ("const int n = 3; const uint[8] m = n * 2; qubit[m] q; bit[m] c; x q[m - 1]; "
              "c = measure q;", {"c": 32}),
    "int-wraps": (
        "output int[4] a; a = 7; a += 1; output uint[4] b; b = 15; b += 2; output uint[4] c; c -= 1;",
        {"a": 8, "b": 1, "c": 15},
    ),
    "int-arithmetic": (
        "output int[8] a; output int[8] b; output int[8] c; output int[16] d; "
        "a = -7 / 2; b = -7 % 2; c = 7 - 2 * 5; d = 3 ** 2 ** 2;",
        {"a": 256 - 3, "b": 255, "c": 253, "d": 81},
    ),
    "precedence": (
        "output int[8] a; a = -2 ** 2 + 3 * 4 - (1 << 2 + 1); output bool b; "
        "b = 1 | 2 == 2 && !false;",
        {"a": 0, "b": 1},
    ),
    "shifts": (
        'bit[8] a = "10001111"; bit[8] b = a << 1; bit[8] c = a >> 1; output int[8] d; '
        "d = -8; d >>= 1;",
        {"d": 252},
    ),
    "bitwise": (
        'output bit[8] a; a = ("10001111" & "01110000") | "00001111" ^ ~"11110000"; '
        "output uint[4] u; u = 5; u ^= 3; u = ~u;",
        {"a": 0, "u": 9},
    ),
    "popcount-rotl-rotr": (
        'output uint[8] a; a = popcount("110111"); output bit[8] b; b = rotl("10001111", 2); '
        "uint[6] v = 37; output uint[6] c; c = rotl(v, 3); output uint[6] d; d = rotr(v, -3);",
        {"a": 5, "b": 0b00111110, "c": 44, "d": 44},
    ),
    "comparisons": (
        "output bit[6] r; r[0] = 1 < 2; r[1] = -1 > 0; r[2] = 2.5 >= 2.5; r[3] = true != false; "
        'r[4] = "011" == "011"; bit[3] c = "101"; r[5] = c == 5;',
        {"r": 0b111101},
    ),
    "slices-of-integers": (
        'int[32] my = 15; my[4:7] = "1010"; output uint[32] a; a = my; '
        "output bit[16] b; b = my[0:2:31]; output bit c; c = my[-1];",
        {"a": 0xAF, "b": 3, "c": 0},
    ),
    "concatenation": (
        'output bit[5] a; bit[2] x1 = "01"; bit[3] y1 = "110"; a = x1 ++ y1;',
        {"a": 0b11001},
    ),
    "casts": (
        "output int[8] a; output uint[8] b; output bit[4] c; output bool d; output int[4] e; "
        'a = int[8](-2.9); b = uint[8](a); c = bit[4](uint[4](9)); d = bool(4); e = int[4]("1111");',
        {"a": 254, "b": 254, "c": 9, "d": 1, "e": 15},
    ),
    "float-and-functions": (
        "output bit[9] r; const float e1 = 1e-12; r[0] = sqrt((sin(pi / 6) - .5) ** 2) < e1; "
        "r[1] = ceiling(1.2) == 2; r[2] = floor(-1.2) == -2; r[3] = mod(7, 3) == 1; "
        "r[4] = log(euler) == 1; r[5] = arccos(1.0) == 0; r[6] = exp(0) == 1; r[7] = tau == 2 * π; "
        "r[8] = sqrt(16) == 4 && arctan(0) == 0 && arcsin(0) == 0 && cos(0) == 1 && tan(0) == 0;",
        {"r": 511},
    ),
    "complex": (
        "complex[float[64]] c = 2.5 + 3.5im; complex d = c * 2 im; output bit[3] r; "
        "r[0] = real(d) == -7; r[1] = imag(c) == 3.5; r[2] = c != d;",
        {"r": 7},
    ),
    "angle-arithmetic": (
        "angle[4] a = 7 * (pi / 8); angle[4] b = pi / 8; angle[4] c = 5 * (pi / 4); uint[4] two = 2; "
        "output bit[4] r0; output bit[4] r1; output bit[4] r2; output bit[4] r3; output uint[4] r4; "
        "output bit[4] r5; output bit[4] r6; r0 = bit[4](a + b); r1 = bit[4](b - a); "
        "r2 = bit[4](a / two); r3 = bit[4](two * c); r4 = c / b; angle[4] n = pi / 4; "
        "r5 = bit[4](-n); r6 = bit[4](a << 2);",
        {"r0": 8, "r1": 10, "r2": 3, "r3": 4, "r4": 10, "r5": 14, "r6": 12},
    ),
    "angle-rounds-to-even": (
        "const float two_pi = 6.283185307179586; float f = two_pi * (127. / 512.); "
        "output bit[8] r; r = bit[8](angle[8](f));",
        {"r": 0b01000000},
    ),
    "arrays": (
        "array[int[32], 3, 2] a = {{1, 2}, {3, 4}, {5, 6}}; array[int[32], 2] b = a[1]; "
        "a[0, 1] = 9; a[-1][0] += b[0]; output int[8] r; r = a[0][1] + a[2, 0] + b[-1];",
        {"r": 9 + 8 + 4},
    ),
    "array-slices": (
        "array[int[8], 3] k = {2, 3, 4}; array[int[8], 2] f = {0, 1}; k[1:2] = f[0:1]; "
        "array[int[8], 5] c = k ++ f; output int[16] r; r = k[0] + 10 * k[1] + 100 * k[2] + "
        "1000 * c[4];",
        {"r": 2 + 0 + 100 + 1000},
    ),
    "sizeof": (
        "array[float[64], 8, 4] d; const uint a = sizeof(d); output uint[8] r; "
        "r = a * 10 + sizeof(d, 1);",
        {"r": 84},
    ),
    "for-range": (
        "output int[8] r; for int i in [0:2:6] { r += i; } for int i in [3:-1:1] r = r * 2 - i;",
        {"r": (((12 * 2 - 3) * 2 - 2) * 2 - 1)},
    ),
    "for-set": ("output int[8] r; for int[32] i in {1, 5, 10} { r += i; }", {"r": 16}),
    "for-bits": (
        'bit[5] c = "10110"; output uint[8] r; for bit b in c[1:4] { r = r * 2; if (b) r += 1; }',
        {"r": 0b1101},
    ),
    "for-array": (
        "array[int[8], 3] a = {2, 4, 8}; output int[8] r; for int[8] i in a { r += i; i = 0; }",
        {"r": 14},
    ),
    "for-empty": ("output int[8] r; for int i in [1:0] { r = 9; }", {"r": 0}),
    "while": ("output int[8] r; int i = 5; while (i > 0) { r += i; i -= 1; }", {"r": 15}),
    "break-continue": (
        "output int[8] r; int i; while (true) { i += 1; if (i == 2) continue; if (i == 5) break; "
        "r += i; }",
        {"r": 1 + 3 + 4},
    ),
    "if-else": (
        "output int[8] r; if (false) r = 1; else if (1 == 1) { r = 2; } else r = 3;",
        {"r": 2},
    ),
    "switch": (
        "output int[8] r; int i = 15; const int B = 14; switch (i) { case 1, 3 { r = 1; } "
        "case B + 1 { r = 2; } default { r = 3; } } switch (i) { case 0 { r = 9; } }",
        {"r": 2},
    ),
    "end": ("output int[8] r; r = 1; end; r = 2;", {"r": 1}),
    "scopes": (
        "int ii = 100; { ii *= 2; int ii = 1; ii *= 2; } ii *= 2; output int[16] r; r = ii; "
        "for uint ii in [1:2] { r += ii; }",
        {"r": 403},
    ),
    "def": (
        "def add(int[8] a, int[8] b) -> int[8] { a += b; return a; } output int[8] r; int[8] k = 2; "
        "r = add(k, add(k, 3)) + k;",
        {"r": 9},
    ),
    "def-qubits": (
        "def flip(qubit[2] a, qubit b) -> bit { x a[1]; cx a[1], b; return measure b; } "
        "qubit[3] q; bit r = flip(q[0:1], q[2]); bit[3] c = measure q;",
        {"r": 1, "c": 6},
    ),
    "def-old-call": (
        "def f(qubit a, qubit b) -> bit { x a; cx a, b; return measure b; } qubit[2] q; bit c; "
        "c = f q[0], q[1]; f q[1], q[0];",
        {"c": 1},
    ),
    "def-arrays": (
        "def fill(mutable array[int[8], #dim = 1] a, readonly array[int[8], 2] b) { "
        "for uint i in [0:sizeof(a) - 1] { a[i] = b[1] + i; } } array[int[8], 4] a; "
        "array[int[8], 2] b = {5, 7}; fill(a[1:2], b); output int[8] r; r = a[0] + a[1] + a[2] + a[3];",
        {"r": 15},
    ),
    "def-recursion": (
        "def fact(int[16] n) -> int[16] { if (n <= 1) { return 1; } return n * fact(n - 1); } "
        "output int[16] r; r = fact(5);",
        {"r": 120},
    ),
    "def-end": ("def stop() { end; } output int[8] r; r = 1; stop(); r = 2;", {"r": 1}),
    "physical-qubits": ("bit[2] c; x $2; cx $2, $8; c[0] = measure $2; c[1] = measure $8;", {"c": 3}),
    "nop-barrier": ("qubit[2] q; bit b; x q[0]; barrier q; nop q[1]; barrier; b = measure q[0];",
                    {"b": 1}),
    "delay": ("qubit[2] q; bit b; duration d = 2 * 50ns; x q[0]; delay[d] q; delay[8dt] q[0]; "
              "b = measure q[0];", {"b": 1}),
    "box": ("qubit q; bit b; box { x q; delay[100ns] q; } box [1us] { nop q; } b = measure q;",
            {"b": 1}),
    "stretch": ("qubit q; bit b; stretch g; x q; delay[2 * g + 10ns] q; b = measure q;", {"b": 1}),
    "durationof-delays": (
        "qubit q; duration d = durationof({delay[100ns] q; delay[50ns] q;}); output bool r; "
        "r = d == 150ns; output bool s1; s1 = d / 50ns == 3.0;",
        {"r": 1, "s1": 1},
    ),
    "output": ("output bit[2] r; bit[3] hidden = 5; r = hidden[0:1];", {"r": 1}),
    "implied-gates": ("OPENQASM 3.0; qubit[2] q; bit[2] c; x q[0]; cnot q[0], q[1]; c = measure q;",
                      {"c": 3}),
    # What follows depends on measurements, and is computed at run time.
    "runtime-if": ("qubit[2] q; bit c; bit d; x q[0]; c = measure q[0]; if (c) x q[1]; else x q[0]; "
                   "d = measure q[1];", {"c": 1, "d": 1}),
    "runtime-if-register": (
        "qubit[3] q; bit[2] c; bit d; x q[1]; c = measure q[0:1]; if (c == 2) { x q[2]; } "
        "d = measure q[2];",
        {"c": 2, "d": 1},
    ),
    "runtime-while": (
        "qubit[3] q; bit[3] c; output int[8] r; x q; c = measure q; while (c != 0) { c >>= 1; "
        "r += 1; }",
        {"r": 3},
    ),
    "runtime-while-call": (
        "def toggled(qubit q) -> bit { x q; return measure q; } qubit q; output uint[4] n; x q; "
        "while (!toggled(q)) { n += 1; } n += 2;",
        {"n": 3},
    ),
    "runtime-for": (
        "qubit[2] q; bit[2] c; output int[8] r; x q[1]; c = measure q; "
        "for uint i in [0:uint[2](c)] { r += i; }",
        {"r": 3},
    ),
    "runtime-break-continue": (
        "qubit q; bit c; output int[8] r; for uint i in [1:9] { if (i % 2 == 0) x q; c = measure q; "
        "if (c) { if (i > 5) break; continue; } r += i; }",
        {"r": 1 + 4 + 5},
    ),
    "runtime-switch": (
        "qubit[2] q; bit[2] c; output int[8] r; x q; c = measure q; switch (uint[2](c)) { "
        "case 0, 1 { r = 1; } case 3 { r = 7; } default { r = 2; } }",
        {"r": 7},
    ),
    "runtime-arithmetic": (
        "qubit[8] q; bit[8] c; x q[0]; x q[3]; x q[7]; c = measure q; output int[8] s1; "
        "output uint[8] p1; output int[8] d1; output int[8] m1; output uint[8] w; output uint[8] n1; "
        "s1 = int[8](c) + 3; p1 = uint[8](c) * 3; d1 = int[8](c) / 7; m1 = int[8](c) % 7; "
        "w = uint[8](c) << 1; n1 = popcount(c) + 10;",
        {
            "s1": (-119 + 3) % 256, "p1": 137 * 3 % 256, "d1": (-17) % 256, "m1": 0,
            "w": 274 % 256, "n1": 13,
        },
    ),
    "runtime-comparison": (
        "qubit[4] q; bit[4] c; x q[3]; c = measure q; output bit[4] r; r[0] = uint[4](c) > 7; "
        "r[1] = int[4](c) < 0; r[2] = uint[4](c) <= 7; r[3] = c[3] && !c[0];",
        {"r": 0b1011},
    ),
    "runtime-return": (
        "def first(bit[4] c) -> int[8] { for uint i in [0:3] { if (c[i]) { return i; } } return -1; } "
        "qubit[4] q; bit[4] c; x q[2]; c = measure q; output int[8] r; r = first(c); "
        'output int[8] z1; z1 = first("0000");',
        {"r": 2, "z1": 255},
    ),
    "runtime-end": ("qubit[2] q; bit c; bit d; x q; c = measure q[0]; if (c) end; d = measure q[1];",
                    {"c": 1, "d": 0}),
    "runtime-index": (
        "qubit[4] q; bit[2] c; bit[4] d; x q[0]; c = measure q[0:1]; reset q; x q[uint[2](c) + 1]; "
        "d = measure q;",
        {"c": 1, "d": 4},
    ),
    "runtime-array": (
        "qubit[2] q; bit[2] c; array[int[8], 4] a = {3, 1, 4, 1}; x q[1]; c = measure q; "
        "output int[8] r; r = a[uint[2](c)]; a[uint[2](c)] = 9; output int[8] t1; t1 = a[2] + a[0];",
        {"r": 4, "t1": 12},
    ),
    "runtime-float": (
        "qubit q; bit c; float f = 0.5; x q; c = measure q; if (c) f = 2.5; float g = f * 2; "
        "output bool r; r = g > 4;",
        {"r": 1},
    ),
    "runtime-wide": (
        "qubit[70] q; bit[70] c; bit d; qubit r; x q[69]; c = measure q; "
        "if (c == 590295810358705651712) x r; d = measure r;",
        {"c": 1 << 69, "d": 1},
    ),
}  # fmt: skip

# Two programs of one unitary, global phase included.
UNITARIES: dict[str, tuple[str, str]] = {
    "builtin-U": (
        "qubit q; U(0.3, 0.4, 0.5) q;",
        "qubit q; gphase(0.15 + 0.45); rz(0.5) q; ry(0.3) q; rz(0.4) q;",
    ),
    "gphase": ("qubit q; gphase(pi / 3); ctrl @ gphase(0.2) q;", "qubit q; gphase(π/3); p(0.2) q;"),
    "ctrl": (
        "qubit[3] q; ctrl @ x q[0], q[1]; ctrl(2) @ x q[2], q[1], q[0]; ctrl @ ctrl @ z q[0], q[1], q[2];",
        "qubit[3] q; cx q[0], q[1]; ccx q[2], q[1], q[0]; h q[2]; ccx q[0], q[1], q[2]; h q[2];",
    ),
    "negctrl": (
        "qubit[2] q; negctrl @ rx(0.3) q[0], q[1];",
        "qubit[2] q; x q[0]; crx(0.3) q[0], q[1]; x q[0];",
    ),
    "ctrl-of-user-gate": (
        "gate g(a) p1, p2 { h p1; cx p1, p2; rz(a) p2; gphase(a / 4); } qubit[3] q; "
        "ctrl @ g(0.7) q[2], q[0], q[1];",
        "qubit[3] q; ch q[2], q[0]; ccx q[2], q[0], q[1]; crz(0.7) q[2], q[1]; p(0.175) q[2];",
    ),
    "ctrl-U-phase": (
        "qubit[2] q; ctrl @ U(pi, 0, pi) q[0], q[1];",
        "qubit[2] q; cx q[0], q[1]; s q[0];",
    ),
    "inv": (
        "gate g(a) q { s q; h q; rx(a) q; gphase(a); } qubit q; inv @ g(0.4) q;",
        "qubit q; gphase(-0.4); rx(-0.4) q; h q; sdg q;",
    ),
    "pow-integer": (
        "gate g q { h q; t q; } qubit q; pow(3) @ g q; pow(-2) @ s q; pow(2) @ ry(0.3) q;",
        "qubit q; h q; t q; h q; t q; h q; t q; z q; ry(0.6) q;",
    ),
    "pow-fraction": (
        "qubit[2] q; pow(0.5) @ x q[0]; pow(1/2.) @ z q[1]; pow(0.25) @ swap q[0], q[1]; "
        "pow(3) @ pow(0.25) @ swap q[0], q[1];",
        "qubit[2] q; sx q[0]; s q[1]; swap q[0], q[1];",
    ),
    "modifier-chain": (
        "qubit[3] q; negctrl @ ctrl @ inv @ pow(2) @ t q[0], q[1], q[2];",
        "qubit[3] q; x q[0]; ctrl(2) @ sdg q[0], q[1], q[2]; x q[0];",
    ),
    "gate": (
        "gate entangle(θ) a, b { h a; cx a, b; rz(θ / 2) b; } gate twice(t1) a, b { "
        "entangle(t1) a, b; entangle(-t1) b, a; } qubit[2] q; twice(0.8) q[0], q[1];",
        "qubit[2] q; h q[0]; cx q[0], q[1]; rz(0.4) q[1]; h q[1]; cx q[1], q[0]; rz(-0.4) q[0];",
    ),
    "gate-with-loop": (
        "gate g(a) q { for uint i in [1:3] { rx(a * i) q; } } qubit q; g(0.1) q;",
        "qubit q; rx(0.6) q;",
    ),
    "gate-broadcast": (
        "gate g a, b { cx a, b; } qubit[2] q; qubit[2] r; h q; g q, r; ctrl @ g q[0], q[1], r[0];",
        "qubit[2] q; qubit[2] r; h q[0]; h q[1]; cx q[0], r[0]; cx q[1], r[1]; ccx q[0], q[1], r[0];",
    ),
    "standard-gates": (
        "qubit[3] q; u1(0.1) q[0]; u2(0.2, 0.3) q[0]; u3(0.4, 0.5, 0.6) q[0]; phase(0.7) q[0]; "
        "cphase(0.8) q[0], q[1]; CX q[0], q[1]; cu(0.1, 0.2, 0.3, 0.4) q[0], q[1]; "
        "cswap q[0], q[1], q[2]; id q[0]; sx q[1];",
        "qubit[3] q; U(0, 0, 0.1) q[0]; gphase(-(0.5 + pi/2) / 2); U(pi/2, 0.2, 0.3) q[0]; "
        "gphase(-(0.4 + 0.5 + 0.6) / 2); U(0.4, 0.5, 0.6) q[0]; p(0.7) q[0]; cp(0.8) q[0], q[1]; "
        "cx q[0], q[1]; p(0.4 - 0.1 / 2) q[0]; ctrl @ U(0.1, 0.2, 0.3) q[0], q[1]; "
        "ctrl @ swap q[0], q[1], q[2]; pow(0.5) @ x q[1];",
    ),
    "input-angles": (
        "input float[64] theta; input angle[32] phi; input array[angle[32], 2] more; qubit q; "
        "rx(theta / 2) q; rz(sin(phi)) q; ry(more[1] ** 2) q;",
        "qubit q; rx(0.3) q; rz(sin(0.2)) q; ry(0.25) q;",
    ),
}  # fmt: skip
INPUTS = {"theta": 0.6, "phi": 0.2, "more[1]": 0.5}

# Programs that are read, and what is kept of them: in the notes or in the metadata.
KEPT: dict[str, tuple[str, str]] = {
    "pragma": ("pragma ibm.user alice\nqubit q; x q;", "pragma `ibm.user alice` is kept"),
    "hash-pragma": (
        "#pragma braket result state_vector\nqubit q; x q;",
        "`braket result state_vector`",
    ),
    "annotation": ("@openqasm.noswap\nqubit q; x q;", "annotation `openqasm.noswap` is kept"),
    "extern": ("extern f(int[8], bit[2]) -> int[8]; qubit q; x q;", "extern `f` is declared"),
    "defcal": ("defcal x $0 { play drive($0), {a}; } qubit q; x q;", "`defcal x` is kept"),
    "cal": ("cal { port d0; } qubit q; x q;", "`cal` is kept"),
    "defcalgrammar": ('defcalgrammar "openpulse"; qubit q; x q;', "`defcalgrammar` is kept"),
    "box-duration": ("qubit q; box[1us] { x q; }", "the duration of a box is kept"),
    "stretch-note": ("qubit q; stretch a; delay[a] q;", "a stretch has its least value here"),
    "integer-division": ("qubit q; rx(1 / 2) q;", "1 / 2 divides integers and gives 0"),
    "one-past-the-end": ("qubit[4] q; x q[1:4];", "is cut at the last"),
}

# Programs that are refused: code, line counted from the program's own first, reason.
REFUSED: dict[str, tuple[str, str, int, str]] = {
    "version-4": ("OPENQASM 4.0; qubit q;", "invalid_circuit", 1, "unsupported OpenQASM version 4.0"),
    "late-version": ("qubit q;\nOPENQASM 3.0;", "invalid_circuit", 2, "the version stands before"),
    "qelib1": ('include "qelib1.inc";', "invalid_circuit", 1, "library of OpenQASM 2"),
    "include-missing": ('include "nowhere.inc";', "invalid_circuit", 1, "nowhere.inc"),
    "loop-without-type": ("qubit[4] q;\nfor i in [0:3] { h q[i]; }", "invalid_circuit", 2,
                          "loop variable needs a type. E.g. `for uint i in …`."),
    "loop-underscore": ("qubit q; for _ in [0:4] { z q; }", "invalid_circuit", 1,
                        "loop variable needs a type. E.g. `for uint _ in …`."),
    "undeclared": ("qubit[2] data;\nh dta[0];", "invalid_circuit", 2,
                   "`dta` is not declared. Did you mean `data`?"),
    "undefined-gate": ("qubit[2] q;\n\ncnot q[0], q[1];", "invalid_circuit", 3,
                       "gate `cnot` is not defined. Did you mean `cx`?"),
    "redeclared": ("qubit q;\nbit q;", "invalid_circuit", 2, "`q` is declared already"),
    "redefined-gate": ("gate h q { }", "invalid_circuit", 1, "defined already, by stdgates.inc"),
    "index-range": ("qubit[1] q;\nh q[2];", "invalid_circuit", 2, "index 2 is out of range"),
    "arity-qubits": ("qubit[2] q;\ncx q[0];", "invalid_circuit", 2, "acts on 2 qubit(s), here are 1"),
    "arity-angles": ("qubit q;\nrx q;", "invalid_circuit", 2, "takes 1 angle(s), here are 0"),
    "arity-call": ("def f(int a) { }\nf(1, 2);", "invalid_circuit", 2, "takes 1 argument(s), here are 2"),
    "same-qubit": ("qubit[2] q;\ncx q[0], q[0];", "invalid_circuit", 2, "the same qubit twice"),
    "broadcast-sizes": ("qubit[2] q; qubit[3] r;\ncx q, r;", "invalid_circuit", 2,
                        "registers of different size"),
    "measure-sizes": ("qubit[2] q; bit[3] c;\nc = measure q;", "invalid_circuit", 2,
                      "2 qubit(s) are measured into 3 bit(s)"),
    "type-float-to-int": ("float f = 2.5;\nint i = f;", "invalid_circuit", 2,
                          "a value of type float does not fit int. Cast it: `int(…)`."),
    "type-int-to-angle": ("int i = 1;\nangle[8] a = i;", "invalid_circuit", 2,
                          "a value of type int does not fit angle[8]"),
    "type-widths": ('bit[3] a = "101";\nbit[2] b = a;', "invalid_circuit", 2,
                    "bit[3] and bit[2] differ in width"),
    "type-cast": ("duration d = 1ns;\nint i = int(d);", "invalid_circuit", 2,
                  "duration cannot be cast to int"),
    "const-assigned": ("const int a = 1;\na = 2;", "invalid_circuit", 2, "cannot be assigned to"),
    "const-needed": ("uint n = 4;\nqubit[n] q;", "invalid_circuit", 2, "the size must be a constant"),
    "const-of-variable": ("int a = 1;\nconst int b = a;", "invalid_circuit", 2, "is not constant"),
    "division-by-zero": ("int a = 0;\nint b = 1 / a;", "invalid_circuit", 2, "division by zero"),
    "no-semicolon": ("qubit q\nh q;", "invalid_circuit", 1, "expected `;` after the declaration"),
    "bracket": ("qubit[2 q;", "invalid_circuit", 1, "`[` is never closed"),
    "comment-open": ("/* qubit q;", "invalid_circuit", 1, "a comment that is never closed"),
    "reset-in-gate": ("gate g a {\nreset a; }", "invalid_circuit", 2, "no reset inside of a gate"),
    "gate-index": ("gate g a {\nx a[0]; }", "invalid_circuit", 2, "a single qubit cannot be indexed"),
    "hidden-variable": ("int a = 1; def f() -> int {\nreturn a; }\nint b = f();", "invalid_circuit", 2,
                        "`a` is not visible inside of a gate or subroutine"),
    "qubits-in-def": ("def f() {\nqubit q; }\nf();", "invalid_circuit", 2, "declared in the global scope"),
    "break-outside": ("break;", "invalid_circuit", 1, "`break` outside of a loop"),
    "no-return": ("def f() -> int { }\nint a = f();", "invalid_circuit", 2, "can end without `return`"),
    "readonly-array": ("def f(readonly array[int, 2] a) {\na[0] = 1; }\narray[int, 2] b; f(b);",
                       "invalid_circuit", 2, "it is `readonly`"),
    "array-shape": ("array[int, 2] a; array[int, 3] b;\na = b;", "invalid_circuit", 2, "does not fit"),
    "endless-loop": ("qubit q;\nwhile (true) { x q; }", "unsupported_circuit", 2, "this loop never ends"),
    "extern-call": ("extern f(int) -> int;\nint a = f(1);", "unsupported_circuit", 2,
                    "extern `f` (line 3) cannot be called"),
    "defcal-call": ("defcal pulse $0 { }\npulse $0;", "unsupported_circuit", 2, "only a calibration"),
    "durationof-gate": ("duration d = durationof({x $0;});", "unsupported_circuit", 1,
                        "depends on the target"),
    "verbatim": ("#pragma braket verbatim\nbox { x $0; }", "unsupported_circuit", 1, "braket verbatim"),
    "gate-duration": ("qubit q;\nx[100ns] q;", "unsupported_circuit", 2, "a duration of its own"),
    "runtime-float-loop": (
        "qubit q; bit c; float f;\nwhile (c == 0) { f = f + 1; h q; c = measure q; }",
        "unsupported_circuit", 2, "`f` of type float changes in a loop",
    ),
    "runtime-alias": ("qubit[2] q; bit c = measure q[0];\nlet a = q[int(c)];", "unsupported_circuit", 2,
                      "what an alias stands for cannot depend on a measurement"),
    "missing-inputs": ("input uint[4] a_in;\ninput uint[4] b_in; input float f;", "invalid_circuit", 1,
                       "inputs without a value: `a_in`, `b_in`"),
    "too-many-iterations": ("int i;\nwhile (i >= 0) { i = 1; }", "too_large", 2, "iterations of loops"),
}  # fmt: skip

# Quantum results at run time, sampled: every key that can occur.
SAMPLED: dict[str, tuple[str, set[str]]] = {
    "runtime-angle": (
        "qubit[3] q; bit[2] c; bit d; angle[2] a; h q[0]; c = measure q[0:1]; a = angle[2](c); "
        "output bit[2] r; h q[2]; p(2 * a) q[2]; h q[2]; r[0] = c[0]; r[1] = measure q[2];",
        {"00", "11"},
    ),
}

# Features whose tests need more than a program.
APART = {
    "include": "run",
    "include-nested": "run",
    "include-circular": "refused",
    "input-values": "run",
}
