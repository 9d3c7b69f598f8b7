"""Errors as they cross the device socket: one list of codes, one exception.

An error names the thing, the limit, what was needed, and the way out. The same class is raised by
the broker and by the client that receives it, so a caller can tell ``too_many_qubits`` from
``queue_full`` without reading prose.
"""

from __future__ import annotations

TYPE_CHECKING = False  # spares the import of typing: see the import budget
if TYPE_CHECKING:
    from typing import Any, Dict, Optional

__all__ = ["CODES", "QuantainerError"]

CODES = {
    # The message itself
    "bad_request": "The message is not a valid request of protocol version 1.",
    "unknown_op": "The operation does not exist in this protocol version.",
    "too_large": "A message, payload or batch is over a stated size limit.",
    # Who is asking
    "no_lease": "The kernel says the caller belongs to no container with a quantum device.",
    "forbidden": "The lease does not grant what was asked.",
    "unknown_job": "No such job is visible to the caller.",
    "unknown_backend": "No such backend is visible to the caller.",
    # The circuit
    "invalid_circuit": "The circuit text or bytes could not be read.",
    "unsupported_circuit": "The circuit is valid but uses something this backend cannot do.",
    "no_measurement": "Sampling was asked of a circuit that measures nothing.",
    "invalid_shots": "The number of shots is outside the stated range.",
    "invalid_seed": "The seed is not an integer in the stated range.",
    "invalid_option": "An option is unknown or its value is outside the stated range.",
    "invalid_parameters": "Parameter names or shapes do not match the circuit.",
    "too_many_qubits": "The circuit is wider than the backend or the lease allows.",
    "out_of_memory": "The job needs more memory than this node or lease can grant.",
    "truncation": "The approximation error of the only affordable method is above the bound.",
    # Running
    "queue_full": "The tenant's queue is full; try later.",
    "timeout": "The job ran, or the caller waited, longer than the stated limit.",
    "cancelled": "The job was cancelled.",
    "worker_died": "The worker process that ran the job died.",
    "backend_failed": "The backend reported a failure.",
    "broker_unavailable": "The broker cannot be reached.",
    "storage": "The broker cannot read or write its state directory.",
    "internal": "A fault in the broker itself; its log has the details.",
}


class QuantainerError(Exception):
    """A refusal or failure that a person can act on.

    Args:
        code: One of ``CODES``.
        message: One sentence that names the thing.
        limit: The limit that was hit, where there is one.
        needed: What the request needed, in the limit's unit.
        hint: The way out.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        limit: Any = None,
        needed: Any = None,
        hint: Optional[str] = None,
    ) -> None:
        if code not in CODES:
            raise ValueError(f"unknown error code {code!r}")
        super().__init__(message)
        self.code = code
        self.message = message
        self.limit = limit
        self.needed = needed
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message} {self.hint}"

    def __reduce__(self) -> Any:
        return (QuantainerError.from_dict, (self.to_dict(),))

    def to_dict(self) -> Dict[str, Any]:
        """Return the error as it goes over the wire."""
        fields = {
            "code": self.code,
            "message": self.message,
            "limit": self.limit,
            "needed": self.needed,
            "hint": self.hint,
        }
        return {name: value for name, value in fields.items() if value is not None}

    @classmethod
    def from_dict(cls, fields: Dict[str, Any]) -> QuantainerError:
        """Rebuild an error from the wire; a code from a newer broker becomes ``internal``."""
        code = fields.get("code", "internal")
        return cls(
            code if code in CODES else "internal",
            str(fields.get("message", "The broker gave no reason.")),
            limit=fields.get("limit"),
            needed=fields.get("needed"),
            hint=fields.get("hint"),
        )
