"""Submission: circuits, parameters and observables as one ``submit`` request with its payload."""

from __future__ import annotations

from array import array
from operator import index

from quantainer_client import seeds
from quantainer_client.errors import QuantainerError
from quantainer_client.payload import Payload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Sequence, Tuple, TypedDict, Union

    from quantainer_client.circuit import Circuit
    from quantainer_client.columns import Columns

    class Choices(TypedDict, total=False):
        """What a caller may choose of a job; see ``Connection.submit``."""

        backend: Optional[str]
        shots: Optional[int]
        seed: Optional[int]
        priority: int
        options: Optional[Dict[str, Any]]

    Program = Union[Circuit, Columns, bytes, str]
    Observable = Sequence[Tuple[str, float]]

__all__ = ["Pub", "checked_shots", "checked_timeout", "fields_of"]

_MAX_NAME = 256
_MAX_INLINE = 32_768
"""Characters of JSON that a pub list may take in the message; a longer one moves to the payload."""


class Pub:
    """One circuit with what it is run with.

    Args:
        circuit: A ``Circuit``, or the bytes or text of a program in any format the broker reads.
        format: ``columnar``, ``qpy``, ``qasm2``, ``qasm3``, ``cirq``, ``stim``, ``qir``; None: the
            broker finds it by content.
        shots: Overrides the job's number.
        parameters: Values of the free parameters by name: one number each, or equally long lists
            (one row each) for several runs.
        values: Instead of ``parameters``: names, and a C-contiguous buffer of
            ``float64[rows, len(names)]``.
        inputs: OpenQASM 3: values of ``input`` variables by name. A text is read as the variable's
            type says; a list is for an array.
        circuit_name: QPY and QIR: which of the circuits in ``circuit`` is meant.
        observables: ``[[(Pauli label, coefficient), …], …]``, qubit 0 rightmost: asks for
            expectation values instead of samples.
        pairs: ``(row, observable)`` to evaluate; None: every observable on every row.
        precision: Standard error asked of expectation values; 0: exact.
    """

    __slots__ = (
        "circuit",
        "circuit_name",
        "format",
        "inputs",
        "name",
        "observables",
        "pairs",
        "precision",
        "shots",
        "values",
    )

    def __init__(
        self,
        circuit: Program,
        *,
        format: Optional[str] = None,
        name: str = "",
        shots: Optional[int] = None,
        parameters: Optional[Dict[str, Any]] = None,
        values: Optional[Tuple[Sequence[str], Any]] = None,
        inputs: Optional[Dict[str, Any]] = None,
        circuit_name: Optional[str] = None,
        observables: Optional[Sequence[Observable]] = None,
        pairs: Optional[Sequence[Sequence[int]]] = None,
        precision: float = 0.0,
    ) -> None:
        self.circuit = circuit
        self.format = format
        self.name = name or getattr(circuit, "name", "")
        self.shots = None if shots is None else checked_shots(shots)
        self.values = _matrix(parameters) if parameters else values
        self.inputs = inputs
        self.circuit_name = circuit_name
        self.observables = observables
        self.pairs = pairs
        self.precision = precision

    def encode(self) -> Tuple[bytes, Optional[str]]:
        """Return the circuit's bytes and their format."""
        if isinstance(self.circuit, str):
            return self.circuit.encode("utf-8"), self.format
        if isinstance(self.circuit, (bytes, bytearray, memoryview)):
            return bytes(self.circuit), self.format
        return self.circuit.encode(), "columnar"


def fields_of(
    pubs: Sequence[Pub],
    *,
    backend: Optional[str] = None,
    shots: Optional[int] = None,
    seed: Optional[int] = None,
    priority: int = 0,
    timeout: Optional[float] = None,
    options: Optional[Dict[str, Any]] = None,
) -> Tuple[Dict[str, Any], Payload]:
    """Return the fields of a ``submit`` or ``estimate`` request and the payload they refer to.

    Without ``backend`` the broker takes the lease's default.

    Raises:
        QuantainerError: ``bad_request`` without pubs, ``invalid_shots``, ``invalid_seed``,
            ``invalid_parameters``, ``invalid_option`` for a timeout that is none.
    """
    if not pubs:
        raise QuantainerError("bad_request", "There is no circuit to run.")
    payload = Payload()
    places: Dict[bytes, int] = {}
    entries = [_entry(pub, payload, places) for pub in pubs]
    fields: Dict[str, Any] = {"pubs": entries}
    if backend is not None:
        fields["backend"] = backend
    if shots is not None:
        fields["shots"] = checked_shots(shots)
    if seed is not None:
        fields["seed"] = seeds.checked(seed)
    if priority:
        fields["priority"] = priority
    if timeout is not None:
        fields["timeout"] = checked_timeout(timeout)
    if options:
        fields["options"] = options
    if _is_long(entries):
        fields["pubs"] = payload.append_json(entries)
    return fields, payload


def checked_shots(shots: Any) -> int:
    """Return a number of shots if it is a positive integer; the broker knows the upper limit.

    Raises:
        QuantainerError: ``invalid_shots``.
    """
    try:
        number = 0 if isinstance(shots, bool) else index(shots)
    except TypeError:
        number = 0
    if number < 1:
        raise QuantainerError(
            "invalid_shots", f"The number of shots must be an integer from 1, not {shots!r}."
        )
    return number


def checked_timeout(timeout: Any) -> float:
    """Return a number of seconds if it is one: finite, and more than 0.

    Raises:
        QuantainerError: ``invalid_option``.
    """
    number = isinstance(timeout, (int, float)) and not isinstance(timeout, bool)
    if not number or not 0 < timeout < float("inf"):
        raise QuantainerError(
            "invalid_option",
            f"A timeout is a finite number of seconds above 0, not {timeout!r}.",
            hint="Leave it out to wait as long as the broker lets jobs run.",
        )
    return float(timeout)


def _entry(pub: Pub, payload: Payload, places: Dict[bytes, int]) -> Dict[str, Any]:
    data, kind = pub.encode()
    offset = places.get(data)
    if offset is None:
        offset = places[data] = payload.append(data)
    entry: Dict[str, Any] = {"offset": offset, "length": len(data), "format": kind}
    if pub.name:
        entry["name"] = pub.name[:_MAX_NAME]
    if pub.shots is not None:
        entry["shots"] = pub.shots
    if pub.values is not None:
        entry["parameters"] = _parameters(pub.values, payload)
    if pub.inputs:
        entry["inputs"] = dict(pub.inputs)
    if pub.circuit_name is not None:
        entry["circuit"] = pub.circuit_name
    if pub.observables is not None:
        entry["observables"] = [[list(term) for term in terms] for terms in pub.observables]
        entry["precision"] = pub.precision
        if pub.pairs is not None:
            entry["pairs"] = [list(pair) for pair in pub.pairs]
    return entry


def _parameters(values: Tuple[Sequence[str], Any], payload: Payload) -> Dict[str, Any]:
    names, data = values
    numbers = memoryview(data).cast("B")
    rows, rest = divmod(len(numbers), 8 * max(1, len(names)))
    if rest or not rows:
        raise QuantainerError(
            "invalid_parameters", f"The values do not form rows of {len(names)} parameters."
        )
    return {"names": list(names), "offset": payload.append(data), "rows": rows}


def _matrix(parameters: Dict[str, Any]) -> Tuple[List[str], Any]:
    """Return names and row-major values of parameters given one by one."""
    names = list(parameters)
    columns = [_column(parameters[name]) for name in names]
    rows = max(len(column) for column in columns)
    for name, column in zip(names, columns):
        if len(column) not in (1, rows):
            raise QuantainerError(
                "invalid_parameters",
                f"Parameter {name!r} has {len(column)} values where others have {rows}.",
                needed=rows,
            )
    spread = [column * rows if len(column) == 1 else column for column in columns]
    return names, array("d", [value for row in zip(*spread) for value in row])


def _column(value: Any) -> List[float]:
    values = value if hasattr(value, "__iter__") else [value]
    try:
        return [float(item) for item in values]
    except (TypeError, ValueError):
        raise QuantainerError(
            "invalid_parameters", f"A parameter value must be a number, not {value!r}."
        ) from None


def _is_long(entries: List[Dict[str, Any]]) -> bool:
    """Tell whether the list could crowd the message, by a bound that costs little to find."""
    if len(entries) > 64:
        return True
    terms = sum(
        sum(
            len(label) + 32
            for observable in entry.get("observables", ())
            for label, _ in observable
        )
        + 24 * len(entry.get("pairs", ()))
        + len(str(entry.get("inputs", "")))
        + sum(6 * len(name) + 3 for name in entry.get("parameters", {}).get("names", ()))
        for entry in entries
    )
    return terms > _MAX_INLINE // 2
