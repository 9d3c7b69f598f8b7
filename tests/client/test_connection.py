"""The connection with a real broker, and no SDK."""

from __future__ import annotations

import math
import os
import threading
from array import array
from pathlib import Path

import numpy as np
import pytest

from quantainer_client import Circuit, Connection, Pub, QuantainerError, Symbol


def bell() -> Circuit:
    return Circuit(2, name="bell").h(0).cx(0, 1).measure_all()


def test_hello_names_broker_limits_and_lease(connection: Connection) -> None:
    reply = connection.hello()
    assert reply["protocol"] == 1
    assert reply["limits"]["shots"] >= 1000
    assert reply["lease"]["backends"]


def test_backends_are_listed_and_described(connection: Connection) -> None:
    assert "qsim" in [backend["name"] for backend in connection.backends()]
    assert connection.backend("qsim")["qubits"] >= 20
    with pytest.raises(QuantainerError) as caught:
        connection.backend("nonsense")
    assert caught.value.code == "unknown_backend"


def test_bell(connection: Connection) -> None:
    result = connection.run(bell(), shots=1000)
    counts = result.counts()
    assert set(counts) == {"00", "11"}
    assert sum(counts.values()) == 1000
    assert abs(counts["00"] - 500) < 100  # six standard deviations
    assert result.metadata["backend"] == "qsim"
    assert result.metadata["bit_order"] == "qiskit"


def test_bit_zero_is_rightmost_single_and_in_a_batch(connection: Connection) -> None:
    circuit = Circuit(3).x(0).measure_all()
    assert connection.run(circuit, shots=10).counts() == {"001": 10}
    batch = connection.run([circuit, Circuit(3).x(2).measure_all(), circuit], shots=10)
    assert [pub.counts() for pub in batch] == [{"001": 10}, {"100": 10}, {"001": 10}]


def test_registers_of_any_width_in_qiskits_order(connection: Connection) -> None:
    circuit = Circuit(2)
    first, second = circuit.add_register("first", 3), circuit.add_register("second", 130)
    circuit.x(0).measure(0, first[1]).measure(0, second[129]).measure(1, second[0])
    result = connection.run(circuit, shots=7)
    assert result.counts() == {"1" + "0" * 129 + " 010": 7}
    assert result[0].registers["second"].integers() == [2**129] * 7
    assert result[0].registers["first"].counts() == {"010": 7}


def test_ghz_of_a_thousand_qubits(connection: Connection) -> None:
    circuit = Circuit(1000).h(0)
    for qubit in range(999):
        circuit.cx(qubit, qubit + 1)
    counts = connection.run(circuit.measure_all(), shots=200).counts()
    assert set(counts) == {"0" * 1000, "1" * 1000}


def test_teleportation_with_conditions(connection: Connection) -> None:
    circuit = Circuit(3, 3).ry(1.2, 0).h(1).cx(1, 2).cx(0, 1).h(0).measure([0, 1], [0, 1])
    circuit.x(2, condition=([1], 1)).z(2, condition=([0], 1)).ry(-1.2, 2).measure(2, 2)
    counts = connection.run(circuit, shots=500).counts()
    assert sum(counts.values()) == 500
    assert {key[0] for key in counts} == {"0"}
    assert {key[1:] for key in counts} == {"00", "01", "10", "11"}


def test_conditions_on_a_register_take_several_values(connection: Connection) -> None:
    for flips, expected in ((0, "0"), (1, "1"), (2, "0"), (3, "1")):
        circuit = Circuit(3, 3)
        for qubit in range(2):
            if flips >> qubit & 1:
                circuit.x(qubit)
        circuit.measure([0, 1], [0, 1]).x(2, condition=([0, 1], [1, 3])).measure(2, 2)
        assert connection.run(circuit, shots=5).counts() == {f"{expected}{flips:02b}": 5}


def test_parameters_bind_by_name_in_rows(connection: Connection) -> None:
    b, a = Symbol("b"), Symbol("a")
    circuit = Circuit(2).rx(b * 2, 0).rx(a - math.pi, 1).measure_all()
    angles = {"a": [0.0, math.pi, math.pi], "b": [0.0, 0.0, math.pi / 2]}
    pub = connection.run(Pub(circuit, parameters=angles), shots=20)[0]
    assert [pub.counts(row) for row in range(3)] == [{"10": 20}, {"00": 20}, {"01": 20}]
    with pytest.raises(IndexError):
        pub.counts(3)
    once = connection.run(Pub(circuit, parameters={"a": math.pi, "b": math.pi / 2}), shots=20)
    assert once.counts() == {"01": 20}


def test_expectation_values_are_exact(connection: Connection) -> None:
    circuit = Circuit(2).ry(Symbol("t"), 0).cx(0, 1)
    observables = [[("ZZ", 1.0)], [("IZ", 2.0), ("XX", 0.5)]]
    pub = Pub(circuit, parameters={"t": [0.3, 1.1]}, observables=observables)
    result = connection.run(pub)[0]
    expected = [[1.0, 2 * math.cos(t) + 0.5 * math.sin(t)] for t in (0.3, 1.1)]
    assert np.allclose(np.array(result.evs).reshape(2, 2), expected, atol=1e-6)
    assert np.allclose(result.stds, 0)
    pairs = Pub(
        circuit, values=(["t"], array("d", [0.3, 1.1])), observables=observables, pairs=[[1, 1]]
    )
    assert np.allclose(connection.run(pairs)[0].evs, [expected[1][1]], atol=1e-6)


def test_submit_wait_result_and_jobs(connection: Connection) -> None:
    job = connection.submit(bell(), shots=50)
    assert job.wait(60) == "DONE"
    assert job.ended
    assert sum(job.result().counts().values()) == 50
    assert job.id in [summary["job"] for summary in connection.jobs()]
    assert sum(connection.result(job.id).counts().values()) == 50  # a second time too


def test_a_job_can_be_cancelled(connection: Connection) -> None:
    circuit = Circuit(20, 20)
    for layer in range(30):
        for qubit in range(20):
            circuit.u(0.3 + layer, 0.2, 0.1 * qubit, qubit)
        circuit.measure(layer % 20, layer % 20)
        for qubit in range(0, 19):
            circuit.cx(qubit, qubit + 1)
    job = connection.submit(circuit, shots=100_000)
    job.cancel()
    assert job.wait(60) == "CANCELLED"
    with pytest.raises(QuantainerError) as caught:
        job.result()
    assert caught.value.code == "cancelled"


def test_unknown_jobs_are_refused(connection: Connection) -> None:
    for ask in (connection.wait, connection.result, connection.cancel):
        with pytest.raises(QuantainerError) as caught:
            ask("0" * 24)
        assert caught.value.code == "unknown_job"


def test_estimate_runs_nothing(connection: Connection) -> None:
    before = len(connection.jobs())
    estimate = connection.estimate(bell(), shots=10)
    assert estimate[0]["facts"]["qubits"] == 2
    assert estimate[0]["plan"]["method"]
    assert len(connection.jobs()) == before


def test_the_same_seed_gives_the_same_bits(connection: Connection) -> None:
    def bits(seed: int | None) -> list[str]:
        result = connection.run(Circuit(40).h(0).h(7).measure_all(), shots=64, seed=seed)
        return result[0].registers["meas"].bitstrings()

    assert bits(7) == bits(7)
    assert bits(7) != bits(8)
    assert bits(None) != bits(None)
    assert bits(np.int64(7)) == bits(7)
    assert connection.run(bell(), seed=2**63 - 1).metadata["seed"] == 2**63 - 1


@pytest.mark.parametrize("seed", ["42", 42.4, 42.0, -42, 2**63, 10**30, True, b"1", [1], math.nan])
def test_odd_seeds_are_refused_with_the_range(connection: Connection, seed: object) -> None:
    with pytest.raises(QuantainerError, match="9223372036854775807") as caught:
        connection.run(bell(), seed=seed)  # type: ignore[arg-type]
    assert caught.value.code == "invalid_seed"


@pytest.mark.parametrize("shots", [0, -1, 10**12, "10", 1.0, True, math.nan])
def test_odd_shots_are_refused(connection: Connection, shots: object) -> None:
    with pytest.raises(QuantainerError) as caught:
        connection.run(bell(), shots=shots)  # type: ignore[arg-type]
    assert caught.value.code == "invalid_shots"


@pytest.mark.parametrize(
    ("work", "code"),
    [
        ([], "bad_request"),
        (b"", "invalid_circuit"),
        (b"QCOL\x01", "invalid_circuit"),
        (b"\x00\xff" * 50, "invalid_circuit"),
        ('OPENQASM 2.0; include "qelib1.inc"; qreg q[1]; h q[', "invalid_circuit"),
        (Circuit(2).h(0), "no_measurement"),
        (Pub(Circuit(1).rx(Symbol("a"), 0).measure_all()), "invalid_parameters"),
        (
            Pub(Circuit(1).rx(Symbol("a"), 0).measure_all(), parameters={"b": 1.0}),
            "invalid_parameters",
        ),
    ],
)
def test_bad_work_is_refused_by_name(connection: Connection, work: object, code: str) -> None:
    with pytest.raises(QuantainerError) as caught:
        connection.run(work, shots=10)  # type: ignore[arg-type]
    assert caught.value.code == code
    assert connection.run(bell(), shots=10)


def test_parameters_that_do_not_fit_are_refused_before_they_travel() -> None:
    circuit = Circuit(1).rx(Symbol("a"), 0)
    for parameters in ({"a": [1.0, 2.0], "b": [1.0, 2.0, 3.0]}, {"a": "x"}, {"a": None}):
        with pytest.raises(QuantainerError) as caught:
            Pub(circuit, parameters=parameters)
        assert caught.value.code == "invalid_parameters"


def test_unknown_backends_and_options_are_refused(connection: Connection) -> None:
    with pytest.raises(QuantainerError) as caught:
        connection.run(bell(), backend="nonsense")
    assert caught.value.code == "unknown_backend"
    with pytest.raises(QuantainerError) as caught:
        connection.run(bell(), options={"nonsense": 1})
    assert caught.value.code == "invalid_option"


def test_lists_too_long_for_a_message_travel_in_the_payload(connection: Connection) -> None:
    pubs = [Pub(Circuit(2).x(index % 2).measure_all(), name="n" * 200) for index in range(700)]
    result = connection.run(pubs, shots=1)
    assert [pub.counts() for pub in result] == [{"01": 1}, {"10": 1}] * 350
    labels = [[("".join("IZ"[i >> bit & 1] for bit in range(10)), 1.0)] for i in range(1024)] * 4
    values = connection.run(Pub(Circuit(10).x(0), observables=labels))[0].evs
    expected = [(-1.0) ** (label[0][0][-1] == "Z") for label in labels]
    assert np.allclose(values, expected)


def test_results_beyond_a_copy_are_mapped(connection: Connection) -> None:
    result = connection.run(Circuit(3).x(1).measure_all(), shots=200_000)
    assert result.counts() == {"010": 200_000}
    data = result[0].registers["meas"].data
    assert data.readonly
    del result  # the mapping lives as long as a view of it
    assert bytes(data[-3:]) == b"\x02\x02\x02"


def test_a_changed_circuit_is_never_taken_for_the_last_one(connection: Connection) -> None:
    circuit = Circuit(1, 1)
    values = np.array([0.0])
    for turns in range(4):
        circuit = Circuit(1).rx(Symbol("a"), 0).measure_all()
        values[0] = math.pi * turns
        counts = connection.run(Pub(circuit, values=(["a"], values)), shots=5).counts()
        assert counts == {str(turns % 2): 5}


def test_threads_share_a_connection(connection: Connection) -> None:
    failures: list[object] = []

    def work(bit: int) -> None:
        circuit = Circuit(2).x(bit).measure_all()
        for _ in range(5):
            counts = connection.run(circuit, shots=10).counts()
            if counts != {("01", "10")[bit]: 10}:
                failures.append(counts)

    threads = [threading.Thread(target=work, args=(number % 2,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_program_text_of_any_format(connection: Connection) -> None:
    text = (
        'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[2];\ncreg c[2];\nx q[0];\nmeasure q -> c;\n'
    )
    assert connection.run(text, shots=4).counts() == {"01": 4}
    assert connection.run(Pub(text.encode(), format="qasm2"), shots=4).counts() == {"01": 4}


def test_bits_in_no_register_come_last(connection: Connection) -> None:
    circuit = Circuit(1)
    columns = circuit._columns
    columns.clbits = 3
    columns.registers.append(("a", [1]))
    circuit.x(0).measure(0, 2)
    result = connection.run(circuit, shots=3)
    assert result.counts() == {"10 0": 3}
    assert list(result[0].registers) == ["a", ""]


def test_a_user_without_a_name_or_home_is_told_or_served(broker_socket: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        os.environ.clear()
        os.setgroups([])
        os.setgid(12345)
        os.setuid(12345)
        try:
            answer = str(Connection(str(broker_socket)).hello()["protocol"])
        except QuantainerError as error:
            answer = error.message
        os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    with os.fdopen(reader) as file:
        answer = file.read()
    assert answer == "1" or (str(broker_socket) in answer and "may not use it" in answer)


@pytest.mark.parametrize("timeout", [float("nan"), float("inf"), -1, 0, "60", True])
@pytest.mark.parametrize("call", ["run", "submit"])
def test_a_timeout_that_is_none_is_refused(
    connection: Connection, call: str, timeout: object
) -> None:
    with pytest.raises(QuantainerError) as refused:
        getattr(connection, call)(Circuit(1).h(0).measure_all(), timeout=timeout)
    assert refused.value.code == "invalid_option"
    assert repr(timeout) in refused.value.message
    assert refused.value.hint
