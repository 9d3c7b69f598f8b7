"""Chaos: dozens of tenants, and workers, brokers and containers that die or freeze at random.

At the end every acknowledged job has ended, every committed result is the one that a clean broker
gives for the same seed, nobody saw a job of another tenant, and nothing is left reserved or open.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qiskit import QuantumCircuit, qasm2, qasm3

from quantainer_bench.box import SEEDS, SHOTS, Box, digest_of, hierarchies
from quantainer_bench.circuits import dynamic, ghz, near_clifford, random_dense
from quantainer_client.channel import Channel
from quantainer_client.connection import Connection
from quantainer_client.errors import QuantainerError
from quantainer_client.payload import resolve_list

__all__ = ["run"]

Say = Callable[[str], None]

_TERMINAL = ("DONE", "FAILED", "CANCELLED")
_EXPECTED = ("cancelled", "worker_died")
"""What a tenant may be told of a job while workers and containers die."""
_AGREEMENT_S = 1.2
_SETTLE_S = 300.0
_BETWEEN_BROKER_KILLS_S = 10.0


def run(
    say: Say, *, seconds: float = 60.0, tenants: int = 24, seed: int = 1, durability: str = "normal"
) -> dict[str, Any]:
    """Let chaos reign for some seconds, then check every promise.

    Returns:
        Figures, and ``violations``: a list of broken promises, empty if all were kept.

    Raises:
        QuantainerError: ``forbidden`` if control groups cannot be made here.
    """
    trees = hierarchies()
    with tempfile.TemporaryDirectory(prefix="quantainer-chaos-") as name:
        directory = Path(name)
        programs = _programs()
        path = directory / "programs.json"
        path.write_text(json.dumps(programs))
        node = Node(directory / "node", durability)
        chaos = Chaos(node, path, trees, random.Random(seed))
        try:
            node.start()
            say(f"{tenants} tenants, {seconds:.0f} s of chaos")
            chaos.populate(tenants)
            chaos.reign(seconds)
            say("calm: waiting for every job to end")
            chaos.settle()
            say("asking every tenant for the jobs of the others")
            chaos.peek()
            report = chaos.report()
            chaos.close()
            say("looking for what is left behind")
            report["leaks"] = chaos.leaks(programs)
        finally:
            chaos.close()
            node.kill()
        say("running every circuit again on a clean broker")
        report["replay"] = chaos.replay(directory / "clean", programs)
    report["violations"] = chaos.violations
    return report


def _programs() -> dict[str, str]:
    circuits: dict[str, QuantumCircuit] = {
        "ghz": ghz(50),
        "near_clifford": near_clifford(20, 4, 8),
        "dense_short": random_dense(12, 8),
        "dense_long": random_dense(18, 20),
    }
    texts = {name: qasm2.dumps(circuit) for name, circuit in circuits.items()}
    return {**texts, "dynamic": qasm3.dumps(dynamic(8, 4))}


class Node:
    """A broker that can be killed and started again on the same directories."""

    def __init__(self, directory: Path, durability: str) -> None:
        directory.mkdir()
        self.directory = directory
        places = {"runtime_dir": "run", "state_dir": "state", "cdi_dir": "cdi"}
        settings = {key: str(directory / value) for key, value in places.items()}
        settings |= {"durability": durability, "stop_grace": "2"}
        self._environment = {
            **os.environ,
            **{f"QUANTAINER_{key.upper()}": value for key, value in settings.items()},
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None

    @property
    def device(self) -> Path:
        """The socket of containers."""
        return self.directory / "run" / "dev" / "qvm.sock"

    def connect(self) -> Connection:
        """Open a connection to the host socket."""
        return Connection(str(self.directory / "run" / "broker.sock"))

    def start(self) -> float:
        """Start it and return the seconds until it answered.

        Raises:
            QuantainerError: ``broker_unavailable``.
        """
        begun = time.monotonic()
        with (self.directory / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "quantainer", "up", "--foreground"],
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        while time.monotonic() - begun < 120 and self._process.poll() is None:
            with contextlib.suppress(QuantainerError):
                self.ask("hello", client="chaos")
                return time.monotonic() - begun
            time.sleep(0.05)
        log_text = (self.directory / "broker.log").read_text(errors="replace")[-3000:]
        raise QuantainerError("broker_unavailable", f"The broker did not start: {log_text}")

    def kill(self) -> None:
        """End it as a power switch would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    @property
    def pid(self) -> int:
        """The broker's process."""
        assert self._process is not None
        return self._process.pid

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """Ask as the operator."""
        if self._channel is None:
            self._channel = Channel(str(self.directory / "run" / "broker.sock"), 30)
        reply, payload = self._channel.round_trip(op, fields, None, 120)
        for name in ("leases", "jobs"):
            if name in reply:
                reply[name] = resolve_list(reply[name], payload, name)
        return reply

    def children(self) -> list[int]:
        """Return the worker processes."""
        text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in text.split()]

    def descriptors(self) -> int:
        """Return how many files the broker holds open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def memory_bytes(self) -> int:
        """Return the broker's resident memory."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf(
            "SC_PAGESIZE"
        )


@dataclass
class Tally:
    """What was done to the node."""

    events: Counter[str] = field(default_factory=Counter)
    agreements: list[float] = field(default_factory=list)
    restarts: list[float] = field(default_factory=list)


class Chaos:
    """Does harm at random, then checks what it did not break."""

    def __init__(self, node: Node, programs: Path, trees: list[Path], rng: random.Random) -> None:
        self._node = node
        self._programs = programs
        self._trees = trees
        self._rng = rng
        self._serial = 0
        self._broker_killed_at = time.monotonic()
        self.boxes: list[Box] = []
        self.gone: list[Box] = []
        self.tally = Tally()
        self.violations: list[str] = []
        self._done: dict[str, tuple[str, int]] = {}

    # Harm

    def populate(self, tenants: int) -> None:
        """Start the tenants."""
        for _ in range(tenants):
            self._open_box()

    def _open_box(self) -> None:
        self._serial += 1
        name = f"quantainer-chaos-{os.getpid()}-{self._serial}"
        seed = self._rng.randrange(2**32)
        box = Box(name, self._node.device, seed, self._programs, self._trees)
        self.boxes.append(box)
        self._node.ask("lease.open", container=name, pid=box.pid)
        box.tell("go")

    def reign(self, seconds: float) -> None:
        """Do something to someone, again and again."""
        acts: list[tuple[Callable[[], None], int]] = [
            (self._freeze, 10),
            (self._thaw, 10),
            (self._kill_worker, 5),
            (self._replace_box, 3),
            (self._kill_broker, 2),
        ]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            time.sleep(self._rng.uniform(0.0, 0.3))
            (act,) = self._rng.choices([act for act, _ in acts], [weight for _, weight in acts])
            act()

    def _freeze(self) -> None:
        self._turn(frozen=True)

    def _thaw(self) -> None:
        self._turn(frozen=False)

    def _turn(self, *, frozen: bool) -> None:
        candidates = [box for box in self.boxes if box.frozen is not frozen]
        # Most tenants run most of the time.
        if not candidates or (frozen and len(candidates) <= len(self.boxes) // 2):
            return
        box = self._rng.choice(candidates)
        begun = time.monotonic()
        box.freeze(frozen)
        self.tally.events["freeze" if frozen else "thaw"] += 1
        self.tally.agreements.append(self._agreement(box, frozen, begun))

    def _agreement(self, box: Box, frozen: bool, begun: float) -> float:
        """Return how long the broker took to see a container as the kernel does."""
        while True:
            for lease in self._node.ask("lease.list")["leases"]:
                if lease["container"] == box.name and (lease["state"] == "PAUSED") is frozen:
                    return time.monotonic() - begun
            if time.monotonic() - begun > 10:
                self.violations.append(f"{box.name}: frozen={frozen} was never seen")
                return time.monotonic() - begun
            time.sleep(0.002)

    def _kill_worker(self) -> None:
        workers = self._node.children()
        if workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._rng.choice(workers), signal.SIGKILL)
            self.tally.events["worker killed"] += 1

    def _replace_box(self) -> None:
        box = self._rng.choice(self.boxes)
        self.boxes.remove(box)
        self.gone.append(box)
        box.kill()
        self.tally.events["container killed"] += 1
        self._open_box()

    def _kill_broker(self) -> None:
        if time.monotonic() - self._broker_killed_at < _BETWEEN_BROKER_KILLS_S:
            return
        self._node.kill()
        self.tally.events["broker killed"] += 1
        # Containers change while nobody looks.
        for box in self._rng.sample(self.boxes, len(self.boxes) // 4):
            box.freeze(not box.frozen)
        self.tally.restarts.append(self._node.start())
        self._broker_killed_at = time.monotonic()
        for box in self.boxes:
            self._agreement(box, box.frozen, time.monotonic())

    # Calm

    def settle(self) -> None:
        """Unpause everyone and wait until all that was acknowledged has ended."""
        for box in self.boxes:
            box.freeze(False)
            box.tell("drain")
        deadline = time.monotonic() + _SETTLE_S
        while time.monotonic() < deadline:
            if all(box.heard("drained") for box in self.boxes):
                break
            time.sleep(0.2)
        for box in self.boxes:
            if not box.heard("drained"):
                self.violations.append(f"{box.name} still waits for its jobs")
        while time.monotonic() < deadline and self._live_jobs():
            time.sleep(0.2)

    def _live_jobs(self) -> list[dict[str, Any]]:
        return list(self._node.ask("status")["jobs"])

    def peek(self) -> None:
        """Have tenants look for the jobs of others."""
        jobs = self._acknowledged()
        for box in self._rng.sample(self.boxes, min(8, len(self.boxes))):
            own = {line["job"] for line in box.heard("acknowledged")}
            others = [job for job in jobs if job not in own]
            box.tell("peek", *self._rng.sample(others, min(40, len(others))))
            deadline = time.monotonic() + 60
            while not (said := box.heard("peeked")) and time.monotonic() < deadline:
                time.sleep(0.05)
            if not said:
                self.violations.append(f"{box.name} did not answer")
                continue
            if said[0]["seen"]:
                self.violations.append(f"{box.name} saw {said[0]['seen'][:3]}")
            if foreign := set(said[0]["own"]) & set(others):
                self.violations.append(f"{box.name} was shown {sorted(foreign)[:3]}")

    def _acknowledged(self) -> dict[str, dict[str, Any]]:
        return {
            line["job"]: line
            for box in (*self.boxes, *self.gone)
            for line in box.heard("acknowledged")
        }

    def report(self) -> dict[str, Any]:
        """Compare what tenants were told with what the broker holds, and count."""
        jobs = self._acknowledged()
        told = {
            line["job"]: line["digest"]
            for box in (*self.boxes, *self.gone)
            for line in box.heard("result")
        }
        states: Counter[str] = Counter()
        codes: Counter[str] = Counter()
        with self._node.connect() as connection:
            for job, line in jobs.items():
                try:
                    state = connection.wait(job, 0)["state"]
                except QuantainerError as error:
                    state = error.code
                states[state] += 1
                if state not in _TERMINAL:
                    self.violations.append(f"job {job} was acknowledged and is {state}")
                if state == "DONE":
                    digest = digest_of(connection.result(job, 0))
                    self._done[job] = digest, line["seed"]
                    if told.get(job, digest) != digest:
                        self.violations.append(f"job {job}: the tenant was told another result")
                elif job in told:
                    self.violations.append(f"job {job} is {state} and its tenant has a result")
        for box in (*self.boxes, *self.gone):
            codes.update(line["code"] for line in box.heard("ended"))
            self.violations += [
                f"job {line['job']} failed without a cause in the chaos: {line['message']}"
                for line in box.heard("ended")
                if line["code"] not in _EXPECTED
            ]
        agreements = sorted(self.tally.agreements)
        p99 = agreements[len(agreements) * 99 // 100] if agreements else 0.0
        if p99 > _AGREEMENT_S:
            self.violations.append(f"container and circuits agreed after {p99:.2f} s at p99")
        self._kinds = {job: line["kind"] for job, line in jobs.items()}
        return {
            "jobs": {"acknowledged": len(jobs), **states},
            "told": {"results": len(told), "errors": dict(codes)},
            "harm": dict(self.tally.events),
            "agreement": {
                "changes": len(agreements),
                "p50_ms": round(1000 * agreements[len(agreements) // 2], 2) if agreements else None,
                "p99_ms": round(1000 * p99, 2),
                "max_ms": round(1000 * agreements[-1], 2) if agreements else None,
            },
            "restart_s": [round(seconds, 2) for seconds in self.tally.restarts],
        }

    def leaks(self, programs: dict[str, str]) -> dict[str, Any]:
        """Look for reservations, leases, descriptors and memory that stayed behind."""
        left = self._leases_left()
        status = self._node.ask("status")
        queue, limit = status["queue"], status["limits"]["memory_bytes"]
        found = {
            "leases": len(left),
            "running": queue["running"],
            "waiting": queue["waiting"],
            "memory_reserved_bytes": limit - queue["free_memory_bytes"],
        }
        self.violations += [f"{name}: {value} left" for name, value in found.items() if value]
        self._churn(programs, 2)
        before = self._node.descriptors(), self._node.memory_bytes()
        self._churn(programs, 6)
        grown = {
            "descriptors": self._node.descriptors() - before[0],
            "memory_bytes": self._node.memory_bytes() - before[1],
        }
        if grown["descriptors"] > 8:
            self.violations.append(f"the broker holds {grown['descriptors']} more descriptors")
        if grown["memory_bytes"] > 16 * 2**20:
            self.violations.append(f"the broker grew by {grown['memory_bytes']} bytes")
        return {**found, "growth": grown}

    def _churn(self, programs: dict[str, str], rounds: int) -> None:
        """Open, use and end leases, and run jobs: what must leave nothing behind."""
        for _ in range(rounds):
            with self._node.connect() as connection:
                for index in range(100):
                    connection.run(programs["ghz"], shots=SHOTS, seed=index)
            for _ in range(5):
                self._open_box()
            time.sleep(0.5)
            self.close()
            self._leases_left()

    def _leases_left(self) -> list[dict[str, Any]]:
        """Return the leases of containers that are still open half a minute after their end."""
        deadline = time.monotonic() + 30
        while True:
            leases = self._node.ask("lease.list")["leases"]
            left = [lease for lease in leases if lease["container"]]
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.1)

    def replay(self, directory: Path, programs: dict[str, str]) -> dict[str, Any]:
        """Run everything again where nothing dies, and compare bit by bit."""
        clean: dict[tuple[str, int], str] = {}
        node = Node(directory, "normal")
        try:
            node.start()
            with node.connect() as connection:
                for kind, text in programs.items():
                    for seed in range(SEEDS):
                        result = connection.run(text, shots=SHOTS, seed=seed)
                        clean[kind, seed] = digest_of(result)
        finally:
            node.kill()
        different = [
            job
            for job, (digest, seed) in self._done.items()
            if clean[self._kinds[job], seed] != digest
        ]
        for job in different[:5]:
            self.violations.append(f"job {job} ({self._kinds[job]}) differs from its clean replay")
        return {"compared": len(self._done), "different": len(different)}

    def close(self) -> None:
        """End every tenant that is left."""
        while self.boxes:
            box = self.boxes.pop()
            self.gone.append(box)
            box.kill()
