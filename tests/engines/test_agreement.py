"""Containers that churn, and circuits that follow: how long the two disagree."""

from __future__ import annotations

import json

import pytest

from engine.broker import Broker
from engine.docker import Docker

agreement = pytest.importorskip("quantainer_bench.agreement")
from quantainer_bench.agreement_engine import Engine  # noqa: E402

pytestmark = pytest.mark.engine


def test_churning_containers_and_their_circuits_agree(
    docker: Docker, base: str, broker: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twenty here; ``quantainer bench agreement`` takes two hundred."""
    report = agreement.measure(
        lambda _: None,
        Engine(docker.host),
        broker.socket,
        base,
        containers=20,
        seconds=15,
        qubits=18,
    )
    with capsys.disabled():
        print(f"\nagreement, ms: {json.dumps(report['disagreement'])}")
    assert {"create", "pause", "unpause", "stop", "kill", "oom"} < report["disagreement"].keys()
    assert report["disagreement"]["all"]["p99_ms"] <= agreement.LIMIT_MS
    assert {"pause, RUNNING", "pause, QUEUED", "unpause, PAUSED"} <= report["with_jobs"].keys()
    assert broker.leases() == []
    assert broker.jobs() == []
