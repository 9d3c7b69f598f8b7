"""EstimatorV2: Qiskit's estimator on the device."""

from __future__ import annotations

import numpy as np
from qiskit.primitives import BaseEstimatorV2, DataBin, PubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub

from quantainer_client.errors import QuantainerError
from quantainer_client.qiskit.encode import pub_of
from quantainer_client.qiskit.observables import terms_of
from quantainer_client.qiskit.primitive import Primitive
from quantainer_client.qiskit.primitive_job import PrimitiveJob
from quantainer_client.qiskit.values import (
    check_pubs,
    doubles,
    metadata_of,
    repeats_of,
    values_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterable, List, Optional, Union

    from qiskit.primitives import BasePrimitiveJob
    from qiskit.primitives.containers.estimator_pub import EstimatorPubLike

    from quantainer_client import result as plain
    from quantainer_client.connection import Connection
    from quantainer_client.qiskit.backend import QuantainerBackend
    from quantainer_client.submission import Pub

__all__ = ["EstimatorV2"]


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
            QuantainerError: ``bad_request``, ``invalid_parameters``, or whatever the broker
                refuses.
        """
        precision = self.default_precision if precision is None else precision
        coerced = [EstimatorPub.coerce(pub, precision) for pub in pubs]
        check_pubs(coerced)
        for pub in coerced:
            _check_observables(pub)
        if self._is_local():
            from quantainer_client.qiskit import local

            return local.estimate(coerced, self.seed)
        job = self._submit([_pub(pub) for pub in coerced])
        return PrimitiveJob(
            job, lambda result: [_read(pub, entry) for pub, entry in zip(coerced, result)]
        )


def _check_observables(pub: EstimatorPub) -> None:
    if not pub.observables.size:
        raise QuantainerError(
            "invalid_parameters",
            f"A pub has no observable: their shape is {pub.observables.shape}.",
            hint="Name at least one, such as 'Z'.",
        )


def _pub(pub: EstimatorPub) -> Pub:
    observables = [terms_of(item) for item in pub.observables.ravel().tolist()]
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


def _read(pub: EstimatorPub, result: plain.PubResult) -> PubResult:
    values = DataBin(
        evs=doubles(result.evs, pub.shape), stds=doubles(result.stds, pub.shape), shape=pub.shape
    )
    metadata = {"target_precision": pub.precision, **metadata_of(pub.circuit, result)}
    return PubResult(values, metadata)
