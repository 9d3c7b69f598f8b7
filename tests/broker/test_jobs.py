"""Jobs through a real broker: right answers, seeds, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from engine.broker import Broker
from programs import BELL, FLIPPED, HEADER, TELEPORT, dense, ghz
from quantainer_client import Circuit, Pub, Symbol
from quantainer_client.channel import Channel
from quantainer_client.connection import Connection
from quantainer_client.errors import QuantainerError
from quantainer_client.payload import Payload


@pytest.fixture(scope="module")
def connection(broker: Broker) -> Iterator[Connection]:
    with Connection(str(broker.socket)) as open_connection:
        yield open_connection


def alive(connection: Connection) -> None:
    assert set(connection.run(BELL, shots=100).counts()) <= {"00", "11"}


def test_bell_ghz_and_bit_order(connection: Connection) -> None:
    counts = connection.run(BELL, shots=10_000).counts()
    assert set(counts) == {"00", "11"}
    assert abs(counts["00"] - 5000) < 5 * 50  # five standard deviations
    assert connection.run(FLIPPED, shots=10).counts() == {"01": 10}
    assert set(connection.run(ghz(50), shots=1000).counts()) == {"0" * 50, "1" * 50}


def test_teleportation_feeds_measured_bits_forward(connection: Connection) -> None:
    counts = connection.run(TELEPORT, shots=500).counts()
    assert all(key.startswith("1 ") for key in counts)
    assert sum(counts.values()) == 500
    assert len(counts) == 4


def test_same_seed_same_bits_alone_or_in_a_batch(connection: Connection) -> None:
    first = connection.run(BELL, shots=64, seed=42)
    again = connection.run(BELL, shots=64, seed=42)
    batch = connection.run([BELL, FLIPPED, BELL], shots=64, seed=42)
    assert bytes(first[0].registers["c"].data) == bytes(again[0].registers["c"].data)
    assert bytes(first[0].registers["c"].data) == bytes(batch[0].registers["c"].data)
    # Each member's metadata names the seed that repeats it alone.
    alone = connection.run(BELL, shots=64, seed=batch[2].metadata["seed"])
    assert bytes(alone[0].registers["c"].data) == bytes(batch[2].registers["c"].data)
    other = connection.run(BELL, shots=64, seed=43)
    assert bytes(first[0].registers["c"].data) != bytes(other[0].registers["c"].data)


def test_no_seed_is_fresh_entropy_and_is_told(connection: Connection) -> None:
    first, second = (connection.run(BELL, shots=8) for _ in range(2))
    assert first.metadata["seed"] != second.metadata["seed"]


def test_metadata_says_what_ran(connection: Connection) -> None:
    metadata = connection.run(ghz(50), shots=8).metadata
    expected = {"backend": "qsim", "method": "stabilizer", "bit_order": "qiskit"}
    assert {name: metadata[name] for name in expected} == expected
    assert {"engine", "engine_version", "precision", "reason", "threads", "cache"} <= set(metadata)


def test_parameters_bind_by_name(connection: Connection) -> None:
    columns = {"b": [0.0, 3.141592653589793], "a": [3.141592653589793, 0.0]}
    circuit = Circuit(2).rx(Symbol("a"), 0).rx(Symbol("b"), 1).measure_all()
    result = connection.run(Pub(circuit, parameters=columns), shots=20)
    assert result.counts(row=0) == {"01": 20}
    assert result.counts(row=1) == {"10": 20}


def test_submit_wait_result(connection: Connection) -> None:
    job = connection.submit(BELL, shots=16, seed=1)
    assert connection.wait(job.id, 30)["state"] == "DONE"
    fetched = connection.result(job.id)
    again = connection.result(job.id)
    assert fetched.counts() == again.counts()
    assert connection.jobs()[0]["job"] == job.id


def test_counts_on_request(broker: Broker) -> None:
    channel = Channel(str(broker.socket), 30)
    payload = Payload()
    pubs = [{"offset": payload.append(FLIPPED.encode()), "length": len(FLIPPED)}]
    fd = payload.seal()
    fields: dict[str, Any] = {"pubs": pubs, "shots": 9, "wait": True}
    with_counts, _ = channel.round_trip("submit", {**fields, "counts": True}, fd, 30)
    assert with_counts["results"][0]["counts"] == {"01": 9}
    without, _ = channel.round_trip("submit", fields, fd, 30)
    assert "counts" not in without["results"][0]
    later, _ = channel.round_trip("result", {"job": without["job"], "counts": True}, None, 30)
    assert later["results"][0]["counts"] == {"01": 9}
    os.close(fd)
    channel.close()


def test_estimate_runs_nothing(connection: Connection) -> None:
    before = connection.jobs()
    fields = connection.estimate([ghz(50), "rubbish"], shots=5)
    assert fields[0]["facts"]["qubits"] == 50
    assert fields[0]["plan"]["method"] == "stabilizer"
    assert fields[1]["error"]["code"] == "invalid_circuit"
    assert connection.jobs() == before


def test_idle_qubits_need_no_memory(connection: Connection) -> None:
    rotations = "".join("t q[45];\nh q[45];\n" for _ in range(50))
    program = f"{HEADER}qreg q[50];\ncreg c[1];\nh q[45];\n{rotations}measure q[45] -> c[0];\n"
    facts = connection.estimate(program)[0]["facts"]
    assert (facts["qubits"], facts["active_qubits"]) == (50, 1)
    assert sum(connection.run(program, shots=30).counts().values()) == 30


BAD = {
    "empty": (b"", "invalid_circuit"),
    "truncated": (BELL[:60].encode(), "invalid_circuit"),
    "binary": (bytes(range(256)) * 100, "invalid_circuit"),
    "not text": ("qreg q[é];".encode("latin-1"), "invalid_circuit"),
    "NaN angle": (
        f"{HEADER}qreg q[1];creg c[1];rx(0/0) q[0];measure q->c;".encode(),
        "invalid_circuit",
    ),
    "no measurement": (f"{HEADER}qreg q[2];creg c[2];h q[0];".encode(), "no_measurement"),
    "nothing to measure into": (f"{HEADER}qreg q[2];h q[0];".encode(), "no_measurement"),
    "deep": (b"OPENQASM 3.0;\n" + b"(" * 200_000, "invalid_circuit"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_circuit_is_refused_by_name(connection: Connection, name: str) -> None:
    data, code = BAD[name]
    with pytest.raises(QuantainerError) as caught:
        connection.run(data, shots=10)
    assert caught.value.code in (code, "too_large")
    assert len(caught.value.message) > 15
    alive(connection)


def test_wide_dense_circuit_names_need_limit_and_way_out(connection: Connection) -> None:
    with pytest.raises(QuantainerError) as caught:
        connection.run(dense(2000, 2), shots=10, options={"method": "statevector"})
    error = caught.value
    assert error.code in ("out_of_memory", "too_many_qubits")
    assert error.limit is not None
    assert error.needed is not None
    assert error.needed > error.limit
    assert error.hint
    alive(connection)


def test_unmeasured_bit_is_named(connection: Connection) -> None:
    with pytest.raises(QuantainerError, match=r"c\[0\]"):
        connection.run(f"{HEADER}qreg q[2];creg c[2];h q[0];cx q[0],q[1];", shots=10)


def _observed(coefficient: float, precision: float = 0.0) -> dict[str, Any]:
    observables = [[["ZZ", coefficient]]]
    pub = {"offset": 0, "length": len(BELL), "observables": observables, "precision": precision}
    return {"pubs": [pub]}


def _shots(value: Any) -> dict[str, Any]:
    return {"pubs": [{"offset": 0, "length": len(BELL), "shots": value}]}


RAW: dict[str, tuple[dict[str, Any], str]] = {
    "shots 0": ({"shots": 0}, "invalid_shots"),
    "shots -1": ({"shots": -1}, "invalid_shots"),
    "shots 10^12": ({"shots": 10**12}, "invalid_shots"),
    "shots text": ({"shots": "100"}, "invalid_shots"),
    "shots float": ({"shots": 10.0}, "invalid_shots"),
    "shots true": ({"shots": True}, "invalid_shots"),
    "seed text": ({"seed": "42"}, "invalid_seed"),
    "seed float": ({"seed": 42.4}, "invalid_seed"),
    "seed negative": ({"seed": -42}, "invalid_seed"),
    "seed 2^63": ({"seed": 2**63}, "invalid_seed"),
    "seed true": ({"seed": True}, "invalid_seed"),
    "backend": ({"backend": "nope"}, "unknown_backend"),
    "backend type": ({"backend": 3}, "bad_request"),
    "method": ({"options": {"method": "magic"}}, "invalid_option"),
    "precision": ({"options": {"precision": "half"}}, "invalid_option"),
    "unknown option": ({"options": {"color": 1}}, "invalid_option"),
    "unknown field": ({"colour": 1}, "bad_request"),
    "no pubs": ({"pubs": []}, "bad_request"),
    "pub outside": ({"pubs": [{"offset": 10**9, "length": 4}]}, "bad_request"),
    "pub negative": ({"pubs": [{"offset": -1, "length": 4}]}, "bad_request"),
    "pubs from nowhere": ({"pubs": {"offset": 10**9, "length": 4}}, "bad_request"),
    "timeout 0": ({"timeout": 0}, "bad_request"),
    "priority": ({"priority": 10**6}, "bad_request"),
    "shots of a circuit: list": (_shots([]), "invalid_shots"),
    "shots of a circuit: object": (_shots({}), "invalid_shots"),
    "precision 1e-200": (_observed(1.0, precision=1e-200), "invalid_option"),
    "precision 1e-160": (_observed(1.0, precision=1e-160), "invalid_option"),
    "precision 1e-9": (_observed(1.0, precision=1e-9), "invalid_shots"),
    "coefficient": (_observed(10**400), "bad_request"),
}


def _submit_raw(broker: Broker, fields: dict[str, Any]) -> None:
    """Submit a Bell pair in a message with fields as they are given."""
    payload = Payload()
    pubs = [{"offset": payload.append(BELL.encode()), "length": len(BELL)}]
    fd = payload.seal()
    channel = Channel(str(broker.socket), 30)
    try:
        channel.round_trip("submit", {"pubs": pubs, "shots": 5, **fields}, fd, 30)
    finally:
        os.close(fd)
        channel.close()


@pytest.mark.parametrize("name", RAW)
def test_bad_request_names_the_field(broker: Broker, connection: Connection, name: str) -> None:
    fields, code = RAW[name]
    with pytest.raises(QuantainerError) as caught:
        _submit_raw(broker, fields)
    assert caught.value.code == code
    alive(connection)


def test_what_equals_a_number_of_shots_is_none(connection: Connection, broker: Broker) -> None:
    """Also where a job of one shot was planned before, and its plan would be found."""
    connection.run(BELL, shots=1)
    for value in (True, 1.0):
        with pytest.raises(QuantainerError) as caught:
            _submit_raw(broker, _shots(value))
        assert caught.value.code == "invalid_shots"


def test_greatest_seed_and_smallest_shots(connection: Connection) -> None:
    result = connection.run(BELL, shots=1, seed=2**63 - 1)
    assert result.metadata["seed"] == 2**63 - 1
    assert sum(result.counts().values()) == 1


def test_wrong_parameters_are_named(connection: Connection) -> None:
    circuit = Circuit(1).rx(Symbol("theta"), 0).measure_all()
    with pytest.raises(QuantainerError, match="theta"):
        connection.run(circuit, shots=5)
    with pytest.raises(QuantainerError, match="phi"):
        connection.run(Pub(circuit, parameters={"phi": 1.0}), shots=5)
    with pytest.raises(QuantainerError, match="finite"):
        connection.run(Pub(circuit, parameters={"theta": float("nan")}), shots=5)


@pytest.mark.report(3)
def test_advertised_width_is_planned_within_memory(connection: Connection) -> None:
    """Report 3: what is advertised is admitted, one qubit more is refused."""
    qubits = connection.backend("qsim")["qubits"]
    options = {"method": "statevector"}
    fits = connection.estimate(dense(qubits, 1), shots=1, options=options)[0]
    assert "error" not in fits
    over = connection.estimate(dense(qubits + 1, 1), shots=1, options=options)[0]
    assert over["error"]["code"] in ("out_of_memory", "too_many_qubits")


@pytest.mark.report(12)
def test_neighbouring_seeds_are_independent(connection: Connection) -> None:
    """Report 12: the variance of counts over seeds is binomial."""
    program = f"{HEADER}qreg q[1];creg c[1];reset q[0];h q[0];measure q->c;"
    shots, seeds = 400, 200
    ones = [connection.run(program, shots=shots, seed=s).counts().get("1", 0) for s in range(seeds)]
    mean = sum(ones) / seeds
    variance = sum((value - mean) ** 2 for value in ones) / (seeds - 1)
    # Chi-squared with 199 degrees of freedom: beyond these bounds in less than 1 of 10^6 runs.
    assert 0.55 < variance / (shots / 4) < 1.6
    assert abs(mean - shots / 2) < 5 * (shots / 4 / seeds) ** 0.5
