"""What both primitives share: parameter values, and views of the results."""

from __future__ import annotations

import numpy as np

from quantainer_client.errors import QuantainerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Tuple

    from quantainer_client.result import PubResult, Register

__all__ = ["check_pubs", "doubles", "metadata_of", "packed", "repeats_of", "values_of"]


def check_pubs(pubs: List[Any]) -> None:
    """Refuse pubs that ask for nothing.

    Raises:
        QuantainerError: ``bad_request`` if there is none, ``invalid_parameters`` for one that has
            no row of parameter values.
    """
    if not pubs:
        raise QuantainerError("bad_request", "There is no circuit to run.")
    for pub in pubs:
        if not pub.parameter_values.size:
            raise QuantainerError(
                "invalid_parameters",
                f"A pub has no row of parameter values: their shape is "
                f"{pub.parameter_values.shape}.",
                hint="Leave it out.",
            )


def repeats_of(pub: Any) -> int:
    """Return how often a Qiskit pub asks for the same: its shape may be one of no parameters."""
    return 1 if pub.circuit.num_parameters else int(pub.parameter_values.size)


def values_of(pub: Any) -> Dict[str, Any]:
    """Return the parameter values of a Qiskit pub as a field of ``Pub``: bound by name."""
    parameters = list(pub.circuit.parameters)
    if not parameters:
        return {}
    names = [parameter.name for parameter in parameters]
    array = pub.parameter_values.as_array(parameters)
    rows = np.ascontiguousarray(array.reshape(-1, len(names)), dtype="<f8")
    return {"values": (names, rows)}


def packed(register: Register, shape: Tuple[int, ...], shots: int) -> Any:
    """Return ``uint8[*shape, shots, bytes]`` as Qiskit's ``BitArray`` has it: last byte lowest.

    It is a view: the bytes of each shot are read from last to first, nothing is copied.
    """
    data = np.frombuffer(register.data, dtype=np.uint8)
    return data.reshape(*shape, shots, register.bytes)[..., ::-1]


def doubles(data: Any, shape: Tuple[int, ...]) -> Any:
    """Return expectation values in the shape of their pub."""
    return np.array(data, dtype=float).reshape(shape)


def metadata_of(circuit: Any, result: PubResult) -> Dict[str, Any]:
    """Return a pub's metadata: the circuit's own, and what the broker says of the run."""
    return {"circuit_metadata": circuit.metadata or {}, "quantainer": result.metadata}
