"""Kinds: the classical types of OpenQASM 3.

An integer or angle without a width has the machine's, 64 bits; a float is always computed in
double precision and rounded to its own type where it is stored.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "ANGLE", "BIT", "BOOL", "COMPLEX", "DURATION", "FLOAT", "INT", "MACHINE", "STRETCH", "UINT",
    "VOID", "Kind", "array", "bits",
]  # fmt: skip

MACHINE = 64


@dataclass(frozen=True, slots=True)
class Kind:
    """A classical type.

    Attributes:
        name: ``bool``, ``bit`` (one bit), ``bits`` (a register), ``int``, ``uint``, ``float``,
            ``angle``, ``complex``, ``duration``, ``stretch``, ``array`` or ``void``.
        size: Width in bits, where one is given; of ``complex`` the width of its components.
        element: Of an array.
        shape: Of an array; a dimension of unknown length is -1.
    """

    name: str
    size: int | None = None
    element: Kind | None = None
    shape: tuple[int, ...] = ()

    @property
    def width(self) -> int:
        """Bits that a value takes."""
        if self.name in ("bool", "bit"):
            return 1
        return MACHINE if self.size is None else self.size

    @property
    def binary(self) -> bool:
        """Whether values are bit patterns, which can live in classical bits."""
        return self.name in ("bool", "bit", "bits", "int", "uint", "angle")

    @property
    def integer(self) -> bool:
        """Whether the type is ``int`` or ``uint``."""
        return self.name in ("int", "uint")

    @property
    def truth(self) -> bool:
        """Whether the type is ``bool`` or a single ``bit``."""
        return self.name in ("bool", "bit")

    @property
    def number(self) -> bool:
        """Whether values are numbers, or truth values that count as 0 and 1."""
        return self.name in ("bool", "bit", "bits", "int", "uint", "float", "complex")

    def __str__(self) -> str:
        if self.name == "array":
            if -1 in self.shape:
                return f"array[{self.element}, #dim = {len(self.shape)}]"
            return f"array[{self.element}, {', '.join(map(str, self.shape))}]"
        if self.name == "bits":
            return f"bit[{self.size}]"
        if self.name == "complex" and self.size is not None:
            return f"complex[float[{self.size}]]"
        return self.name if self.size is None else f"{self.name}[{self.size}]"


BOOL, BIT, VOID = Kind("bool"), Kind("bit"), Kind("void")
INT, UINT, FLOAT, ANGLE, COMPLEX = map(Kind, ("int", "uint", "float", "angle", "complex"))
DURATION, STRETCH = Kind("duration"), Kind("stretch")


def bits(size: int) -> Kind:
    """Return ``bit[size]``."""
    return Kind("bits", size)


def array(element: Kind, shape: tuple[int, ...]) -> Kind:
    """Return an array type."""
    return Kind("array", None, element, shape)
