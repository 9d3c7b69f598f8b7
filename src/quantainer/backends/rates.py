"""Rates: rough run times of each engine, for the choice between them and for backfill.

Measured by ``python -m quantainer_bench.engines`` on two cores; only ratios matter to the choice.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from quantainer.backends.simulators.simulator import Method, Precision

if TYPE_CHECKING:
    from quantainer.backends.choice import Need

__all__ = ["seconds"]

# Milliseconds for the reference circuit (u on every qubit and brick cz, 20 layers, 1000 shots).
_WIDTHS = (4, 10, 16, 20, 22, 24, 26)
_DENSE: dict[tuple[str, Precision], tuple[float, ...]] = {
    ("aer", "double"): (2.0, 6.7, 41, 600, 2600, 11000, 46000),
    ("aer", "single"): (2.0, 7.0, 65, 700, 3000, 13000, 52000),
}
_SINGLE_THREADED = frozenset({"lightning"})


def seconds(need: Need, method: Method, engine: str, precision: Precision, threads: int) -> float:
    """Return a rough run time; never a promise."""
    match method:
        case "stabilizer":
            return _stabilizer(need, engine)
        case "near_clifford":
            return 5e-4 + 2e-6 * need.operations * 1.5 ** max(0, need.t_count - 10)
        case "statevector":
            return _dense(need.qubits, need, engine, precision, threads)
        case "trajectories":
            each = _dense(need.qubits, need, engine, precision, threads)
            return each * max(1, need.shots) / 20
        case "density_matrix":
            return _dense(2 * need.qubits, need, engine, precision, threads)
        case "mps":
            return _mps(need, engine)


def _stabilizer(need: Need, engine: str) -> float:
    tableau = 2e-5 + need.operations * 4e-7 + 2e-10 * need.qubits * need.qubits
    shots = need.shots * max(need.clbits, 1)
    if engine == "stim":
        return tableau + shots * 1.5e-9
    return 30 * tableau + shots * (need.qubits + 10) * 3e-8


def _dense(width: int, need: Need, engine: str, precision: Precision, threads: int) -> float:
    table = _DENSE.get((engine, precision), _DENSE["aer", "double"])
    reference = _interpolated(width, table) / 1000
    gates = need.operations / (30 * max(width, 1))
    share = 1.0 if engine in _SINGLE_THREADED or width < 14 else (2 / max(threads, 1)) ** 0.8
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
    work = need.two_qubit * bond**3 * 1e-9 + need.operations * 3e-6
    return work * {"qevedo": 0.3, "panta": 1.0, "prism": 1.0}.get(engine, 8.0) + 1e-3
