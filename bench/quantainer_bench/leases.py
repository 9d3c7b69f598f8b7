"""A thousand leases, of which dozens are busy: no failed job, fair shares, and what one costs.

Every lease is a process in control groups of its own, leased as a hook leases a container, and
known to the broker by its socket alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from qiskit import qasm2

from quantainer_bench.box import hierarchies
from quantainer_bench.circuits import ghz, random_dense
from quantainer_bench.private_broker import PrivateBroker, private_broker
from quantainer_client.channel import Channel
from quantainer_client.errors import QuantainerError
from quantainer_client.payload import resolve_list

__all__ = ["IDLE_BYTES", "SHARE", "run"]

Say = Callable[[str], None]

IDLE_BYTES = 64 * 1024
"""The bar for what an idle lease may cost the broker."""
SHARE = 0.10
"""The bar for how far a tenant's share may be from its weight."""
WEIGHTS = (1.0, 2.0, 3.0, 4.0)
_OUTSTANDING = 8
_SETTLE_S = 2.0
_WARM_LEASES = 50


def run(
    say: Say, *, leases: int = 1000, clients: int = 64, seconds: float = 30.0, qubits: int = 14
) -> dict[str, Any]:
    """Open the leases on a broker of its own, keep some busy, and measure.

    Args:
        leases: How many are open.
        clients: How many of them are busy.
        seconds: For each of two rounds: one job at a time, and always some waiting.
        qubits: Width of the jobs that wait.

    Returns:
        Figures; ``held`` tells whether every bar was.

    Raises:
        QuantainerError: ``forbidden`` if control groups cannot be made here.
    """
    trees = hierarchies()
    weights = {f"busy-{index}": WEIGHTS[index % len(WEIGHTS)] for index in range(clients)}
    with private_broker(weights=json.dumps(weights)) as broker:
        node = _Node(broker, trees)
        try:
            say(f"opening {leases} leases, {clients} of them busy")
            busy = [_Client(node.lease(name, _client(broker))) for name in weights]
            idle = _open_idle(node, leases - clients)
            say(f"{seconds:.0f} s of one job at a time from each")
            alone = _alone(busy, seconds)
            say(f"{seconds:.0f} s of {_OUTSTANDING} jobs waiting from each, by weights")
            shares = _shares(busy, list(weights.values()), seconds, qubits)
            open_now = node.open_leases()
        finally:
            say("ending them all")
            closed_s = node.end()
    report = {
        "leases": open_now,
        "clients": clients,
        "idle": idle,
        "one_at_a_time": alone,
        "shares": shares,
        "closed_s": closed_s,
    }
    held = (
        open_now == leases
        and alone["failed"] == shares["failed"] == 0
        and idle["bytes"] <= IDLE_BYTES
        and shares["worst"] <= SHARE
    )
    return {**report, "held": held}


# Leases


class _Node:
    """A broker and the contained processes that have its leases."""

    def __init__(self, broker: PrivateBroker, trees: list[Path]) -> None:
        self._broker = broker
        self._trees = trees
        self._channel = Channel(str(broker.runtime_dir / "broker.sock"), 30.0)
        self._made: list[tuple[subprocess.Popen[str], list[Path]]] = []

    def lease(self, name: str, command: list[str]) -> subprocess.Popen[str]:
        """Start a process in groups of its own and open its lease, as a hook does."""
        groups = [tree / f"quantainer-bench-{os.getpid()}-{name}" for tree in self._trees]
        for group in groups:
            group.mkdir()
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._made.append((process, groups))
        for group in groups:
            (group / "cgroup.procs").write_text(str(process.pid))
        fields = {"container": name, "tenant": name, "pid": process.pid}
        self._channel.round_trip("lease.open", fields, None, 30.0)
        return process

    def open_leases(self) -> int:
        """Return how many leases of containers are open."""
        reply, payload = self._channel.round_trip("lease.list", {}, None, 30.0)
        return sum(bool(lease["container"]) for lease in resolve_list(reply["leases"], payload, ""))

    def memory_bytes(self) -> int:
        """Return the broker's resident memory."""
        fields = Path(f"/proc/{self._broker.process.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGESIZE")

    def end(self) -> float:
        """End every process and return the seconds until every lease has ended."""
        begun = time.monotonic()
        for process, _ in self._made:
            process.kill()
        for process, groups in self._made:
            process.communicate()
            for group in groups:
                _remove(group)
        while self.open_leases() and time.monotonic() - begun < 120:
            time.sleep(0.05)
        return round(time.monotonic() - begun, 2)


def _remove(group: Path) -> None:
    for _ in range(100):
        with contextlib.suppress(OSError):
            group.rmdir()
            return
        time.sleep(0.01)


def _client(broker: PrivateBroker) -> list[str]:
    socket = str(broker.runtime_dir / "dev" / "qvm.sock")
    return [sys.executable, "-m", "quantainer_bench.leases_client", socket]


def _open_idle(node: _Node, number: int) -> dict[str, Any]:
    """Open idle leases and return what each of all but the first few cost."""
    warm = min(_WARM_LEASES, number // 2)
    for index in range(warm):
        node.lease(f"idle-{index}", ["sleep", "infinity"])
    before = node.memory_bytes()
    begun = time.monotonic()
    for index in range(warm, number):
        node.lease(f"idle-{index}", ["sleep", "infinity"])
    counted = max(1, number - warm)
    return {
        "counted": counted,
        "bytes": round((node.memory_bytes() - before) / counted),
        "limit_bytes": IDLE_BYTES,
        "open_ms": round(1000 * (time.monotonic() - begun) / counted, 2),
    }


# Work


class _Client:
    """A busy client's process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def order(self, **fields: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(fields) + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise QuantainerError("internal", "A client of the benchmark ended.")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _work(busy: list[_Client], **order: Any) -> list[dict[str, Any]]:
    """Let all work at once and return what came of it."""
    for client in busy:
        client.order(**order)
    return [client.answer() for client in busy]


def _alone(busy: list[_Client], seconds: float) -> dict[str, Any]:
    """Each client has one job at a time: how long it takes, submit to result."""
    program = qasm2.dumps(ghz(50))
    _work(busy, program=program, shots=1000, outstanding=1, until=time.monotonic() + 1.0)
    until = time.monotonic() + seconds
    answers = _work(busy, program=program, shots=1000, outstanding=1, until=until)
    times = sorted(1000 * took for answer in answers for _, took in answer["ended"])
    jobs = [len(answer["ended"]) for answer in answers]
    return {
        "failed": sum(len(answer["failed"]) for answer in answers),
        "errors": list(_errors(answers)),
        "jobs_per_s": round(sum(jobs) / seconds),
        "p50_ms": round(times[len(times) // 2], 2),
        "p99_ms": round(times[len(times) * 99 // 100], 2),
        "max_ms": round(times[-1], 2),
        "least_jobs": min(jobs),
        "most_jobs": max(jobs),
    }


def _shares(
    busy: list[_Client], weights: list[float], seconds: float, qubits: int
) -> dict[str, Any]:
    """Each client always has jobs waiting: who gets how much of the node."""
    program = qasm2.dumps(random_dense(qubits, 10))
    begun = time.monotonic() + _SETTLE_S
    until = begun + seconds
    answers = _work(busy, program=program, shots=100, outstanding=_OUTSTANDING, until=until)
    jobs = [sum(begun <= at < until for at, _ in answer["ended"]) for answer in answers]
    times = sorted(1000 * took for answer in answers for _, took in answer["ended"])
    due = [sum(jobs) * weight / sum(weights) for weight in weights]
    off = [abs(got - share) / share for got, share in zip(jobs, due, strict=True)]
    by_weight = {
        f"{weight:g}": [got for got, mine in zip(jobs, weights, strict=True) if mine == weight]
        for weight in sorted(set(weights))
    }
    return {
        "failed": sum(len(answer["failed"]) for answer in answers),
        "errors": list(_errors(answers)),
        "jobs_per_s": round(sum(jobs) / seconds),
        "p50_ms": round(times[len(times) // 2], 1),
        "p99_ms": round(times[len(times) * 99 // 100], 1),
        "worst": round(max(off), 3),
        "limit": SHARE,
        "jobs_by_weight": {
            weight: {"least": min(counts), "most": max(counts)}
            for weight, counts in by_weight.items()
        },
    }


def _errors(answers: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the first few messages."""
    seen = [text for answer in answers for text in answer["failed"]]
    yield from seen[:3]
