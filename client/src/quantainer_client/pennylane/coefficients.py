"""Coefficients of observables, which are real: an observable is Hermitian."""

from __future__ import annotations

import pennylane as qml

from quantainer_client.errors import QuantainerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["real"]

_TOLERANCE = 1e-9


def real(coefficient: Any) -> float:
    """Return a coefficient of a Pauli word as a number.

    Raises:
        QuantainerError: ``unsupported_circuit`` if it is not real.
    """
    number = complex(qml.math.toarray(coefficient))
    if abs(number.imag) > _TOLERANCE * max(1.0, abs(number)):
        raise QuantainerError(
            "unsupported_circuit",
            f"An observable has the coefficient {number:.6g}: it is not Hermitian, and has no "
            "expectation value that can be measured.",
            hint="Measure its Hermitian and its anti-Hermitian part each on its own.",
        )
    return number.real
