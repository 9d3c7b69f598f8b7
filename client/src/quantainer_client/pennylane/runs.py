"""Runs: circuits as PennyLane's tapes ask for them, gathered into as few pubs as possible."""

from __future__ import annotations

import numpy as np

from quantainer_client.submission import Pub

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Sequence, Tuple

    from quantainer_client.columns import Columns

    Terms = List[Tuple[str, float]]

__all__ = ["Run", "pubs_of"]


class Run:
    """One circuit to run.

    Attributes:
        columns: The circuit.
        shots: How often; None for exact values.
        observables: For exact values.
    """

    def __init__(
        self, columns: Columns, shots: Optional[int], observables: Optional[List[Terms]] = None
    ) -> None:
        self.columns = columns
        self.shots = shots
        self.observables = observables

    @property
    def structure(self) -> Any:
        """What runs must have in common to become rows of one pub: everything but angles."""
        columns = self.columns
        matrices = any(name == "unitary" for name, *_ in columns.gates)
        return (
            columns.qubits,
            tuple(columns.gates),
            columns.kinds.tobytes(),
            columns.operands.tobytes(),
            columns.when.tobytes(),
            repr(columns.conditions),
            columns.params.tobytes() if matrices else len(columns.params),
            repr(columns.registers),
            repr(self.observables),
            self.shots,
        )


def pubs_of(runs: Sequence[Run]) -> Tuple[List[Pub], List[Tuple[int, int]]]:
    """Gather runs that differ in angles alone into pubs with rows.

    Returns:
        The pubs, and ``(pub, row)`` of each run.
    """
    groups: Dict[Any, List[int]] = {}
    for index, run in enumerate(runs):
        groups.setdefault(run.structure, []).append(index)
    pubs: List[Pub] = []
    places = [(0, 0)] * len(runs)
    for members in groups.values():
        group = [runs[index] for index in members]
        rows = np.array([run.columns.params for run in group], dtype="<f8")
        varying = np.flatnonzero((rows != rows[0]).any(axis=0)).tolist()
        if varying:
            for row, index in enumerate(members):
                places[index] = (len(pubs), row)
            pubs.append(_with_rows(group[0], varying, rows))
        else:
            for index in members:
                places[index] = (len(pubs), 0)
                pubs.append(_pub(runs[index]))
    return pubs, places


def _with_rows(run: Run, slots: List[int], rows: Any) -> Pub:
    """Return a pub whose given parameter slots are free, with a row of values for each run."""
    columns = run.columns
    columns.symbols = [(slot, [(f"p{slot}", 1.0)], 0.0) for slot in slots]
    for slot in slots:
        columns.params[slot] = 0.0
    values = np.ascontiguousarray(rows[:, slots])
    return _pub(run, values=([f"p{slot}" for slot in slots], values))


def _pub(run: Run, **fields: Any) -> Pub:
    return Pub(run.columns, shots=run.shots, observables=run.observables, **fields)
