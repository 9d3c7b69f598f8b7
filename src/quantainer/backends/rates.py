"""Rates: rough run times of each engine, for the choice between them and for backfill.

Measured on two cores and an otherwise idle machine; repeat with ``python -m
quantainer_bench.engines``. Only ratios matter to the choice.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from quantainer.backends.simulators.entanglement import BOND, bond_log2, rank_log2
from quantainer.backends.simulators.simulator import Method, Precision

if TYPE_CHECKING:
    from quantainer.backends.choice import Need
    from quantainer.backends.simulators.program import Program

__all__ = ["mps_sampling_seconds", "mps_seconds", "seconds"]

# Milliseconds for the reference circuit: u on every qubit and a brick of cz, 20 layers, 1000 shots.
_WIDTHS = (4, 10, 16, 20, 22, 24, 26)
_DENSE: dict[tuple[str, Precision], tuple[float, ...]] = {
    ("panta", "single"): (0.2, 0.4, 3.7, 37, 200, 800, 3500),
    ("panta", "double"): (0.19, 0.39, 3.8, 43, 267, 1170, 5100),
    ("qsimcirq", "single"): (0.5, 0.9, 4.3, 30, 148, 720, 3200),
    ("qevedo", "single"): (0.7, 1.5, 5.6, 36, 162, 790, 3800),
    ("qevedo", "double"): (0.7, 1.6, 8.6, 64, 330, 1450, 6700),
    ("lightning", "single"): (0.3, 0.6, 4.6, 64, 600, 3800, 16900),
    ("lightning", "double"): (0.35, 0.8, 7.2, 130, 1200, 7500, 33000),
    ("prism", "double"): (0.5, 0.6, 5.2, 80, 390, 1850, 8100),
    ("numpy", "double"): (8.0, 15, 500, 10000, 45000, 2e5, 8e5),
    ("aer", "single"): (3.0, 7.0, 55, 660, 2900, 12500, 52000),
    ("aer", "double"): (3.0, 6.7, 50, 600, 2600, 11000, 46000),
}
_SINGLE_THREADED = frozenset({"lightning", "numpy"})
# A circuit with feed-forward, as a multiple of one run of its gates, for each shot.
_PER_SHOT = {"panta": 0.05, "lightning": 0.1, "numpy": 0.1, "aer": 2.0}
# Seconds for a gate on neighbours in a matrix product state, and more of them by bond cubed.
_MPS_GATE = {"qevedo": (5e-6, 2e-8), "panta": (1.5e-5, 2.7e-8), "aer": (3e-5, 1e-7)}
# Seconds for each shot and qubit by bond squared.
_MPS_SHOT = {"qevedo": 4e-10, "panta": 3e-9, "aer": 3e-9}
_MPS_START = {"qevedo": 1e-3, "panta": 3e-3, "aer": 6e-2}


def seconds(need: Need, method: Method, engine: str, precision: Precision, threads: int) -> float:
    """Return a rough run time; never a promise."""
    match method:
        case "stabilizer":
            return _stabilizer(need, engine)
        case "near_clifford":
            return _near_clifford(need, engine)
        case "statevector":
            return _dense(need.qubits, need, engine, precision, threads)
        case "trajectories":
            once = _dense(need.qubits, need, engine, precision, threads)
            return once * (1 + need.shots * _PER_SHOT.get(engine, 2.0))
        case "density_matrix":
            return _dense(2 * need.qubits, need, engine, precision, threads)
        case "mps":
            return _mps(need, engine)


def _stabilizer(need: Need, engine: str) -> float:
    bits = need.shots * need.clbits
    if engine == "stim":
        return 3e-5 + 6e-8 * need.operations + 1.5e-9 * bits
    if engine == "prism":  # builds a compact sampler: dear for many gates, cheap for many shots
        return 2e-4 + 3e-13 * need.operations * need.qubits**2 + 0.2e-9 * bits
    once = 1e-3 + 2.5e-8 * need.operations * need.qubits * max(1, need.qubits // 10)
    return once + bits * (2.5e-7 + 9e-11 * need.qubits**2)  # each bit of each shot is measured


def _near_clifford(need: Need, engine: str) -> float:
    if engine == "prism":
        return 3e-4 + 1e-6 * 1.9**need.t_count
    return 4e-3 + 1e-7 * 2.0**need.t_count


def _dense(width: int, need: Need, engine: str, precision: Precision, threads: int) -> float:
    table = _DENSE.get((engine, precision), _DENSE["aer", "double"])
    reference = _interpolated(width, table) / 1000
    gates = need.operations / (30 * max(width, 1))
    alone = engine in _SINGLE_THREADED or width < 14
    share = 1.0 if alone else (2 / max(threads, 1)) ** 0.8
    # A tenth of the reference is sampling and start, whatever the number of gates.
    return reference * (0.1 + 0.9 * gates) * share


def _interpolated(width: int, table: tuple[float, ...]) -> float:
    if width >= _WIDTHS[-1]:
        # Widths that no machine holds are still compared, within the range of floats.
        return float(table[-1] * 2.0 ** min(width - _WIDTHS[-1], 900))
    if width <= _WIDTHS[0]:
        return table[0]
    right = next(index for index, value in enumerate(_WIDTHS) if value > width)
    left = right - 1
    part = (width - _WIDTHS[left]) / (_WIDTHS[right] - _WIDTHS[left])
    return math.exp((1 - part) * math.log(table[left]) + part * math.log(table[right]))


def _mps(need: Need, engine: str) -> float:
    bond = 2.0 ** min(need.bond_log2, 8, need.qubits // 2)
    start = _MPS_START.get(engine, _MPS_START["aer"])
    return start + need.two_qubit * _mps_gate(engine, bond) + 2e-6 * need.operations


def _mps_gate(engine: str, bond: float) -> float:
    least, each = _MPS_GATE.get(engine, _MPS_GATE["aer"])
    return least + each * bond**3


def mps_seconds(program: Program, engine: str, bond: int, most: float) -> float:
    """Return a rough run time of a terminal program as a matrix product state.

    Each gate is counted with the rank that its place can have by then; one on far qubits, with the
    exchanges that bring them together and back, for each place between. Engines that find a better
    order of the qubits take less.

    Args:
        program: Measured at its end.
        engine: Its name.
        bond: The largest Schmidt rank kept.
        most: Counting ends there: more is infinite.
    """
    n, total = program.qubits, 0.0
    largest = int(math.log2(bond))
    prices = [_mps_gate(engine, 2.0**rank) for rank in range(largest + 1)]
    ranks = [0] * n
    for gate in program.gates:
        if len(gate.qubits) == 1:
            continue
        low, high = min(gate.qubits), max(gate.qubits)
        times = 1 if high - low == 1 else 2
        step = rank_log2(gate)
        for cut in range(low, high):
            ranks[cut] += step
            total += times * prices[min(ranks[cut], cut + 1, n - 1 - cut, largest)]
        if total > most:
            return math.inf
    return total


def mps_sampling_seconds(program: Program, engine: str, shots: int) -> float:
    """Return a rough time of drawing shots from a matrix product state; 0 for none."""
    bond = min(1 << bond_log2(program), BOND)
    return shots * program.qubits * _MPS_SHOT.get(engine, _MPS_SHOT["aer"]) * bond**2
