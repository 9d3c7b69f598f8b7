"""Cirq's documents: objects that are written once and referred to again."""

from __future__ import annotations

from typing import Any

from quantainer.circuits.cirq_json.values import UnknownTypeError

__all__ = ["CIRCUITS", "Document", "NoCircuitError"]

CIRCUITS = ("Circuit", "FrozenCircuit")
_MAX_REFERENCES = 1000


class NoCircuitError(UnknownTypeError):
    """The file holds something else."""


class Document:
    """A parsed JSON text. ``VAL`` defines, ``REF`` refers; older files have a list of objects."""

    def __init__(self, content: Any) -> None:
        self._shared: dict[Any, Any] = {}
        self._content = content

    def circuit(self) -> dict[str, Any]:
        """Return the one circuit.

        Raises:
            NoCircuitError: If it holds something else.
            UnknownTypeError: If it holds several circuits.
        """
        found = self.resolve(self._only(self._content))
        if not isinstance(found, dict) or found.get("cirq_type") not in CIRCUITS:
            raise NoCircuitError(kind_of(found))
        return found

    def resolve(self, value: Any) -> Any:
        """Follow references to the object itself."""
        for _ in range(_MAX_REFERENCES):
            kind = value.get("cirq_type") if isinstance(value, dict) else None
            if kind == "VAL":
                self._shared[value["key"]] = value["val"]
                value = value["val"]
            elif kind in ("REF", "_SerializedKey"):
                value = self._shared[value["key"]]
            elif kind == "_SerializedContext":
                value = value["obj"]
            else:
                return value
        raise ValueError("references lead in a circle")

    def _only(self, content: Any) -> Any:
        if isinstance(content, dict) and content.get("cirq_type") == "_ContextualSerialization":
            *others, last = content["object_dag"]
            self._shared.update({entry["key"]: entry["obj"] for entry in others})
            return last
        if not isinstance(content, list):
            return content
        if len(content) == 1:
            return content[0]
        kinds = [kind_of(entry) for entry in content]
        for kind in kinds:
            if kind not in (*CIRCUITS, "VAL", "REF"):
                raise NoCircuitError(kind)
        raise UnknownTypeError("Circuit", f"one circuit expected, got a list of {len(content)}")


def kind_of(value: Any) -> str:
    """Return the ``cirq_type`` of an object, or what it is instead of one."""
    return str(value.get("cirq_type")) if isinstance(value, dict) else type(value).__name__
