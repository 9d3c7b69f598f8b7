"""One asymmetric circuit through every format, on every kind of backend, alone and in a batch."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from test_facts import OTHERS, _asymmetric, _formats

from engine.broker import Broker
from quantainer_client import Connection, Pub

FORMATS = ("qasm2", "qasm3", "qpy", "columnar", "stim", "qir", "cirq")


@pytest.fixture(scope="module")
def connection(broker: Broker) -> Iterator[Connection]:
    with Connection(str(broker.socket)) as opened:
        yield opened


@pytest.mark.report(43)
@pytest.mark.parametrize("backend", ["qsim", "fake_lima"])
@pytest.mark.parametrize("name", FORMATS)
def test_qubit_0_is_the_rightmost_character(
    name: str, backend: str, connection: Connection
) -> None:
    data = OTHERS.get(name) or _formats(_asymmetric())[name]
    single = connection.run(Pub(data, format=name), backend=backend, shots=400)
    batch = connection.run([Pub(data), Pub(data, format=name)], backend=backend, shots=400)
    for result in (single[0], batch[0], batch[1]):
        counts = result.counts()
        # The emulator misreads a few; the ideal one none.
        assert counts.get("01", 0) > 300, counts
        assert backend != "qsim" or counts == {"01": 400}
        assert result.metadata["bit_order"] == "qiskit"
