"""Floor 1: read circuits, measure them, compile them for a target."""

from quantainer.circuits.circuit import Circuit
from quantainer.circuits.measure import measure
from quantainer.circuits.options import ReadOptions
from quantainer.circuits.reader import read

__all__ = ["Circuit", "ReadOptions", "measure", "read"]
