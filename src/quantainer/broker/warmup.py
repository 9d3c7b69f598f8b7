"""Warm-up: a worker runs small circuits before it takes work: no caller waits for imports."""

from __future__ import annotations

import logging

from quantainer.broker.requests import PubRequest, Submission
from quantainer.broker.workload import Workload
from quantainer_client.circuit import Circuit

__all__ = ["warm_up"]

log = logging.getLogger("quantainer.worker")

_OPENQASM = b"""OPENQASM 2.0;
include "qelib1.inc";
qreg q[3];
creg c[3];
u3(0.1,0.2,0.3) q[0];
cx q[0],q[1];
measure q -> c;
"""


def warm_up(workload: Workload) -> None:
    """Read, plan and run one circuit of each common kind; a failure is logged and does not matter.

    Wide and Clifford, in the form that adapters send; small and dense, as a file.
    """
    chain = Circuit(30).h(0)
    for qubit in range(29):
        chain = chain.cx(qubit, qubit + 1)
    for data, name in ((chain.measure_all().encode(), "columnar"), (_OPENQASM, "qasm2")):
        try:
            _run(workload, data, name)
        except Exception as error:
            log.warning("warm-up with %s: %s: %s", name, type(error).__name__, error)


def _run(workload: Workload, data: bytes, name: str) -> None:
    pub = PubRequest(offset=0, length=len(data), format=name)
    request = Submission(v=1, op="submit", pubs=[pub], shots=8)
    run = workload.run(request, memoryview(data))
    for planned in run.planned:
        run.backend.run(planned.pub, planned.plan, run.options, 1, 1)
