"""SamplerV2: Qiskit's sampler on the device."""

from __future__ import annotations

from qiskit.primitives import BaseSamplerV2, BitArray, DataBin, SamplerPubResult
from qiskit.primitives.containers.sampler_pub import SamplerPub

from quantainer_client.errors import QuantainerError
from quantainer_client.qiskit.encode import pub_of
from quantainer_client.qiskit.loose import loose_name
from quantainer_client.qiskit.primitive import Primitive
from quantainer_client.qiskit.primitive_job import PrimitiveJob
from quantainer_client.qiskit.values import (
    check_pubs,
    metadata_of,
    packed,
    repeats_of,
    values_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterable, Optional, Union

    from qiskit import QuantumCircuit
    from qiskit.primitives import BasePrimitiveJob
    from qiskit.primitives.containers.sampler_pub import SamplerPubLike

    from quantainer_client.connection import Connection
    from quantainer_client.qiskit.backend import QuantainerBackend
    from quantainer_client.result import PubResult

__all__ = ["SamplerV2"]

_RESERVED = "shape"
"""A field of Qiskit's own in every result."""


class SamplerV2(Primitive, BaseSamplerV2):  # type: ignore[misc]
    """Samples circuits; all pubs of a call are one job.

    Args:
        backend: A ``QuantainerBackend`` or the name of one; None: ``qsim``, or else the only one
            granted.
        default_shots: For pubs that name none.
        seed: 0 to 2⁶³ − 1; the same seed gives the same bits. None: fresh entropy.
        options: ``method``, ``engine``, ``precision``, ``truncation_max``, ``level``.
        connection: The connection to use unless ``backend`` has one; by default the process's own.
    """

    def __init__(
        self,
        backend: Union[QuantainerBackend, str, None] = None,
        *,
        default_shots: int = 1024,
        seed: Optional[int] = None,
        options: Optional[Dict[str, Any]] = None,
        connection: Optional[Connection] = None,
    ) -> None:
        super().__init__(backend, seed, options, connection)
        self.default_shots = default_shots

    def run(
        self, pubs: Iterable[SamplerPubLike], *, shots: Optional[int] = None
    ) -> BasePrimitiveJob:
        """Hand in pubs; ``shots`` is for those that name none.

        Raises:
            QuantainerError: ``bad_request``, ``invalid_parameters``, ``unsupported_circuit``, or
                whatever the broker refuses.
        """
        shots = self.default_shots if shots is None else shots
        coerced = [SamplerPub.coerce(pub, shots) for pub in pubs]
        check_pubs(coerced)
        for pub in coerced:
            _check_names(pub.circuit)
        if self._is_local():
            from quantainer_client.qiskit import local

            return local.sample(coerced, self.seed)
        work = [
            pub_of(pub.circuit, shots=pub.shots * repeats_of(pub), **values_of(pub))
            for pub in coerced
        ]
        job = self._submit(work, shots)
        return PrimitiveJob(
            job, lambda result: [_read(pub, entry) for pub, entry in zip(coerced, result)]
        )


def _check_names(circuit: QuantumCircuit) -> None:
    if any(register.name == _RESERVED for register in circuit.cregs):
        raise QuantainerError(
            "unsupported_circuit",
            f"Circuit {circuit.name!r} has a classical register {_RESERVED!r}, a name that results "
            "of Qiskit's have for themselves.",
            hint="Give the register another name.",
        )


def _read(pub: SamplerPub, result: PubResult) -> SamplerPubResult:
    shape = pub.parameter_values.shape
    arrays = {
        register.name or loose_name(pub.circuit): BitArray(
            packed(register, shape, pub.shots), register.bits
        )
        for register in result.registers.values()
    }
    metadata = {"shots": pub.shots, **metadata_of(pub.circuit, result)}
    return SamplerPubResult(DataBin(**arrays, shape=shape), metadata)
