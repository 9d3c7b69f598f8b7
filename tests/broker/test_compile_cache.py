"""Jobs on emulators: what was compiled for one job is found by the next, with the right angles."""

from __future__ import annotations

from collections.abc import Callable
from math import pi
from typing import Any

import pytest

from engine.broker import Broker
from quantainer_client import Circuit, Pub, Symbol
from quantainer_client.connection import Connection

DEVICE = "fake_manila"


def rotated(angle: float) -> Circuit:
    return Circuit(2).rx(angle, 0).cx(0, 1).measure_all()


def run(connection: Connection, circuit: Any, **fields: Any) -> Any:
    return connection.run(circuit, **{"backend": DEVICE, "shots": 4000, **fields})


def ones(result: Any, row: int = 0) -> float:
    counts = result.counts(row=row)
    return sum(count for key, count in counts.items() if key[-1] == "1") / sum(counts.values())


@pytest.fixture
def connection(make_broker: Callable[..., Broker]) -> Any:
    """One worker: the order of what it meets is known."""
    with Connection(str(make_broker(workers="1").socket)) as opened:
        yield opened


def test_the_second_job_is_a_hit_and_other_angles_are_right(connection: Connection) -> None:
    first, second = (run(connection, rotated(0.4)) for _ in range(2))
    assert first.metadata["compile"] == {"cache": "miss", "hits": 0, "misses": 1, "level": 1}
    assert second.metadata["compile"] == {"cache": "hit", "hits": 1, "misses": 0, "level": 1}
    for angle, expected in ((0.4, 0.0395), (2.7, 0.952), (1.2, 0.319)):
        result = run(connection, rotated(angle))
        assert result.metadata["compile"]["cache"] == "hit"
        assert abs(ones(result) - expected) < 0.08
    # What a compiler makes use of is another structure: a half turn is one gate, not three.
    half = run(connection, rotated(pi))
    assert half.metadata["compile"]["cache"] == "miss"
    assert ones(half) > 0.9
    assert run(connection, rotated(0.4), options={"level": 0}).metadata["compile"] == {
        "cache": "miss", "hits": 0, "misses": 1, "level": 0,
    }  # fmt: skip


def test_rows_of_parameters_are_bound_by_name_to_what_was_found(connection: Connection) -> None:
    circuit = Circuit(2).rx(2 * Symbol("z"), 0).rx(Symbol("a"), 1).measure_all()
    states = []
    for values in ({"z": [0.0, pi / 2], "a": [pi, 0.0]}, {"z": [pi / 2, 0.0], "a": [pi, pi]}):
        result = run(connection, Pub(circuit, parameters=values))
        states.append(result.metadata["compile"]["cache"])
        for row, (z, a) in enumerate(zip(values["z"], values["a"], strict=True)):
            likely = f"{int(a > 3)}{int(z > 1)}"
            assert result.counts(row=row)[likely] > 0.85 * 4000
    assert states == ["miss", "hit"]


def test_a_circuit_without_angles_and_one_with_feedback(connection: Connection) -> None:
    bell = Circuit(2).h(0).cx(0, 1).measure_all()
    fed = Circuit(2, 2).x(0).measure(0, 0).x(1, condition=([0], 1)).measure(1, 1)
    for circuit, device in ((bell, DEVICE), (fed, "fake_fez")):
        states = [
            run(connection, circuit, backend=device).metadata["compile"]["cache"] for _ in range(3)
        ]
        assert states == ["miss", "hit", "hit"]


def test_expectation_values_compile_each_basis_once(connection: Connection) -> None:
    circuit = Circuit(2).ry(0.7, 0).cx(0, 1)
    pub = Pub(circuit, observables=[[("ZZ", 1.0)], [("XX", 1.0)]], precision=0.05)
    first, second = (connection.run(pub, backend=DEVICE) for _ in range(2))
    assert first.metadata["compile"] == {"cache": "miss", "hits": 0, "misses": 2, "level": 1}
    assert second.metadata["compile"] == {"cache": "hit", "hits": 2, "misses": 0, "level": 1}


def test_another_process_finds_it_and_gives_the_same_bits(
    make_broker: Callable[..., Broker],
) -> None:
    """What a circuit becomes depends on it alone: one seed, one outcome, found or not."""
    broker = make_broker(workers="1")
    with Connection(str(broker.socket)) as opened:
        run(opened, rotated(0.4))
        found = run(opened, rotated(0.9), seed=7)
        assert found.metadata["compile"]["cache"] == "hit"
    broker.stop()
    broker.start()
    with Connection(str(broker.socket)) as opened:
        again = run(opened, rotated(0.9), seed=7)
        assert again.metadata["compile"]["cache"] == "hit"
        assert again.counts() == found.counts()
    alone = make_broker(workers="1")
    with Connection(str(alone.socket)) as opened:
        fresh = run(opened, rotated(0.9), seed=7)
        assert fresh.metadata["compile"]["cache"] == "miss"
        assert fresh.counts() == found.counts()
    shelf = broker.home / "state" / "compiled"
    assert shelf.stat().st_mode & 0o777 == 0o700
    assert list(shelf.glob("*.template"))
