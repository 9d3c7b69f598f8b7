"""What Qiskit's primitives have in common: where they hand in work, and with which choices."""

from __future__ import annotations

from quantainer_client.connection import Connection, connect
from quantainer_client.local import is_local

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Union

    from quantainer_client.job import Job
    from quantainer_client.qiskit.backend import QuantainerBackend
    from quantainer_client.submission import Pub

__all__ = ["Primitive"]


class Primitive:
    """A sampler or an estimator on one backend."""

    def __init__(
        self,
        backend: Union[QuantainerBackend, str, None],
        seed: Optional[int],
        options: Optional[Dict[str, Any]],
        connection: Optional[Connection],
    ) -> None:
        self._backend: Optional[str] = None
        if backend is not None:
            self._backend = backend if isinstance(backend, str) else backend.name
        self._connection = connection or getattr(backend, "connection", None) or connect()
        self.seed = seed
        self.options = dict(options or {})

    def _is_local(self) -> bool:
        return is_local(self._connection, self._backend, self.options)

    def _submit(self, work: List[Pub], shots: Optional[int] = None) -> Job:
        return self._connection.submit(
            work, backend=self._backend, shots=shots, seed=self.seed, options=self.options
        )
