"""Samples: PennyLane measurements from measured bits."""

from __future__ import annotations

from copy import copy

import numpy as np
import pennylane as qml
from pennylane.measurements import ExpectationMP, SampleMeasurement, SampleMP, VarianceMP

from quantainer_client.pennylane.coefficients import real

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Sequence

__all__ = ["is_sampled", "value_of"]


def is_sampled(measurement: Any) -> bool:
    """Tell whether the device has a measurement's value with shots."""
    return isinstance(measurement, SampleMeasurement)


def value_of(measurement: Any, bits: Any, wires: Sequence[Any], mid_bits: Dict[Any, Any]) -> Any:
    """Return a measurement's value.

    Args:
        measurement: Any that draws on samples.
        bits: ``int[shots, wires]`` measured at the end.
        wires: Their labels.
        mid_bits: ``int[shots]`` of each mid-circuit measurement.
    """
    if measurement.mv is not None and mid_bits:
        return _mid_value(measurement, mid_bits)
    word = _pauli_word(measurement)
    if word is None:
        return measurement.process_samples(bits, wires)
    letters, factor = word
    columns = [index for index, wire in enumerate(wires) if wire in letters]
    signs = factor * (1.0 - 2.0 * (bits[:, columns].sum(axis=1) % 2))
    if isinstance(measurement, ExpectationMP):
        return np.float64(signs.mean())
    return np.float64(signs.var()) if isinstance(measurement, VarianceMP) else signs


def _pauli_word(measurement: Any) -> Any:
    """Return word and factor if a measurement's samples are parities of bits.

    PennyLane itself would list all 2ⁿ eigenvalues, which wide words do not allow.
    """
    if not isinstance(measurement, (ExpectationMP, SampleMP, VarianceMP)):
        return None
    if measurement.obs is None or not qml.pauli.is_pauli_word(measurement.obs):
        return None
    ((word, coefficient),) = measurement.obs.pauli_rep.items()
    return word, real(coefficient)


def _mid_value(measurement: Any, mid_bits: Dict[Any, Any]) -> Any:
    """Return statistics of mid-circuit measurements; each counts as a wire of its own."""
    several = isinstance(measurement.mv, (list, tuple))
    values = list(measurement.mv) if several else [measurement.mv]
    sources = list(dict.fromkeys(m for value in values for m in value.measurements))
    stand_ins = {source: _on_wire(source, index) for index, source in enumerate(sources)}
    moved = [
        type(value)(
            [stand_ins[m] for m in value.measurements],
            value.processing_fn if getattr(value, "has_processing", True) else None,
        )
        for value in values
    ]
    own = copy(measurement)
    own.mv = moved if several else moved[0]
    bits = np.stack([mid_bits[source] for source in sources], axis=1)
    return own.process_samples(bits, list(range(len(sources))))


def _on_wire(measurement: Any, wire: int) -> Any:
    return measurement.map_wires({measurement.wires[0]: wire})
