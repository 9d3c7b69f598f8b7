"""Instance: a template with angles in it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

from quantainer.circuits.columnar import build, params_of
from quantainer.circuits.compile import Compiled
from quantainer.circuits.options import ReadOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from qiskit import QuantumCircuit

    from quantainer.circuits.collected import Collected
    from quantainer.circuits.structure import Place
    from quantainer.circuits.template import Template
    from quantainer_client.columns import Columns

__all__ = ["instance"]


def instance(
    template: Template,
    angles: NDArray[np.float64],
    place: Place,
    cache: Literal["hit", "miss"],
    made: Collected | None = None,
) -> Compiled:
    """Return a template with its angles: numbers, and expressions where the source has them."""
    compiled = template.angles(angles)
    if made is None:
        program = partial(_program, template, compiled, place)
    else:
        program = partial(_filled, made, template, compiled, place)
    return Compiled(
        program,
        template.initial_layout,
        template.final_layout,
        template.swaps,
        template.level,
        cache,
        compiled if place.symbols is None else None,
    )


def _program(template: Template, angles: NDArray[np.float64], place: Place) -> QuantumCircuit:
    return build(_columns(template, angles, place), "", ReadOptions()).program


def _filled(
    made: Collected, template: Template, angles: NDArray[np.float64], place: Place
) -> QuantumCircuit:
    if place.symbols is None:
        return made.filled(angles.tolist())
    return made.filled(params_of(_columns(template, angles, place)))


def _columns(template: Template, angles: NDArray[np.float64], place: Place) -> Columns:
    columns = template.filled(angles)
    if place.symbols is not None:
        columns.symbols = template.symbols(place.symbols, angles)
    return columns
