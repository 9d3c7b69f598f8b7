"""Instance: a template with angles in it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

from quantainer.circuits.columnar import build
from quantainer.circuits.compile import Compiled
from quantainer.circuits.options import ReadOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from qiskit import QuantumCircuit

    from quantainer.circuits.collected import Collected
    from quantainer.circuits.structure import Place
    from quantainer.circuits.template import Template

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
    if made is not None and place.symbols is None:
        program = partial(made.filled, compiled)
    else:
        program = partial(_program, template, compiled, place)
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
    columns = template.filled(angles)
    if place.symbols is not None:
        columns.symbols = template.symbols(place.symbols, angles)
    return build(columns, "", ReadOptions()).program
