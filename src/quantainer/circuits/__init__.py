"""Floor 1: read circuits, measure them, compile them for a target."""

from quantainer.circuits.circuit import Circuit
from quantainer.circuits.options import ReadOptions
from quantainer.circuits.reader import read

__all__ = ["Circuit", "ReadOptions", "read"]
