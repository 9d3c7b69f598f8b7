"""EstimatorV2: Qiskit's estimator on the device."""

from __future__ import annotations

import numpy as np
from qiskit.primitives import BaseEstimatorV2, DataBin, PubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub

from quantainer_client.qiskit.encode import pub_of
from quantainer_client.qiskit.primitive import Primitive
from quantainer_client.qiskit.primitive_job import PrimitiveJob
from quantainer_client.qiskit.values import doubles, metadata_of, repeats_of, values_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple, Union

    from qiskit.primitives import BasePrimitiveJob
    from qiskit.primitives.containers.estimator_pub import EstimatorPubLike

    from quantainer_client import result as plain
    from quantainer_client.connection import Connection
    from quantainer_client.qiskit.backend import QuantainerBackend
    from quantainer_client.submission import Pub

__all__ = ["EstimatorV2"]

_PROJECTORS = {
    # Each eigenstate's projector is half the identity plus or minus half the Pauli.
    "0": ("Z", 1.0),
    "1": ("Z", -1.0),
    "+": ("X", 1.0),
    "-": ("X", -1.0),
    "r": ("Y", 1.0),
    "l": ("Y", -1.0),
}


class EstimatorV2(Primitive, BaseEstimatorV2):  # type: ignore[misc]
    """Estimates expectation values; all pubs of a call are one job.

    Args:
        backend: A ``QuantainerBackend`` or the name of one; None: ``qsim``, or else the only one
            granted.
        default_precision: For pubs that name none: standard error of each value; 0 asks for exact
            values, which simulators have and QPUs have not.
        seed: 0 to 2⁶³ − 1; None: fresh entropy.
        options: ``method``, ``engine``, ``precision``, ``truncation_max``, ``level``.
        connection: The connection to use unless ``backend`` has one; by default the process's own.
    """

    def __init__(
        self,
        backend: Union[QuantainerBackend, str, None] = None,
        *,
        default_precision: float = 0.0,
        seed: Optional[int] = None,
        options: Optional[Dict[str, Any]] = None,
        connection: Optional[Connection] = None,
    ) -> None:
        super().__init__(backend, seed, options, connection)
        self.default_precision = default_precision

    def run(
        self, pubs: Iterable[EstimatorPubLike], *, precision: Optional[float] = None
    ) -> BasePrimitiveJob:
        """Hand in pubs; ``precision`` is for those that name none.

        Raises:
            QuantainerError: Whatever the broker refuses.
        """
        precision = self.default_precision if precision is None else precision
        coerced = [EstimatorPub.coerce(pub, precision) for pub in pubs]
        if self._is_local():
            from quantainer_client.qiskit import local

            return local.estimate(coerced, self.seed)
        job = self._submit([_pub(pub) for pub in coerced])
        return PrimitiveJob(
            job, lambda result: [_read(pub, entry) for pub, entry in zip(coerced, result)]
        )


def _pub(pub: EstimatorPub) -> Pub:
    observables = [_terms(item) for item in pub.observables.ravel().tolist()]
    return pub_of(
        pub.circuit,
        observables=observables,
        pairs=_pairs(pub),
        precision=float(pub.precision),
        **values_of(pub),
    )


def _pairs(pub: EstimatorPub) -> List[List[int]]:
    """Return ``(row, observable)`` for each element of the pub's broadcast shape."""
    rows = np.arange(pub.parameter_values.size).reshape(pub.parameter_values.shape)
    rows //= repeats_of(pub)  # without parameters all are the only row
    observables = np.arange(pub.observables.size).reshape(pub.observables.shape)
    grid = np.broadcast_arrays(rows, observables)
    pairs: List[List[int]] = np.stack([index.ravel() for index in grid], axis=1).tolist()
    return pairs


def _terms(observable: Mapping[str, float]) -> List[Tuple[str, float]]:
    """Return an observable as Pauli labels with coefficients; projectors are spelt out."""
    terms: Dict[str, float] = {}
    for label, coefficient in observable.items():
        for pauli, factor in _paulis(label):
            terms[pauli] = terms.get(pauli, 0.0) + factor * float(coefficient)
    return list(terms.items())


def _paulis(label: str) -> List[Tuple[str, float]]:
    spelt = [("", 1.0)]
    for letter in label:
        if letter in _PROJECTORS:
            pauli, sign = _PROJECTORS[letter]
            spelt = [
                (text + other, factor * 0.5 * (sign if other == pauli else 1.0))
                for text, factor in spelt
                for other in ("I", pauli)
            ]
        else:
            spelt = [(text + letter, factor) for text, factor in spelt]
    return spelt


def _read(pub: EstimatorPub, result: plain.PubResult) -> PubResult:
    values = DataBin(
        evs=doubles(result.evs, pub.shape), stds=doubles(result.stds, pub.shape), shape=pub.shape
    )
    metadata = {"target_precision": pub.precision, **metadata_of(pub.circuit, result)}
    return PubResult(values, metadata)
