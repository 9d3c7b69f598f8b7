"""How long container and circuits disagree while containers churn on a real Docker Engine.

Each container holds a lease and keeps two jobs queued or running. Containers are created, paused,
unpaused, stopped, killed and run out of memory at random, several at once. The engine says when
that happened to each; a poll of the broker says when lease and jobs were seen to agree.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quantainer.device import cdi
from quantainer_bench.agreement_engine import Engine
from quantainer_bench.described import broker_in
from quantainer_bench.start import DEFAULT_IMAGE
from quantainer_client.channel import Channel
from quantainer_client.errors import QuantainerError
from quantainer_client.payload import resolve_list

__all__ = ["LIMIT_MS", "measure", "run"]

Say = Callable[[str], None]

LIMIT_MS = 1200.0
"""The bar, at p99."""
HANDS = 4
"""How many things are done to containers at once."""
_POLL_S = 0.01
_PATIENCE_S = 60.0
_MEMORY_BYTES = 64 * 2**20
_ACTS = {"pause": 8, "unpause": 8, "stop": 2, "kill": 2, "oom": 1}
_FIT = {
    "pause": ("ACTIVE",),
    "unpause": ("PAUSED",),
    "stop": ("ACTIVE", "PAUSED"),
    "kill": ("ACTIVE", "PAUSED"),
    "oom": ("ACTIVE",),
}
_ENDS: dict[str, tuple[str, dict[str, str]]] = {
    "stop": ("stop", {"t": "10"}),
    "kill": ("kill", {"signal": "SIGKILL"}),
    "oom": ("kill", {"signal": "SIGUSR1"}),
}

# Ends at once on SIGTERM, which the first process of a container ignores otherwise; on SIGUSR1 it
# takes all the memory there is.
PROGRAM = """
import os, signal, time
from quantainer_client import Circuit, QuantainerError, connect
hoard = []
def grow(*_):
    while True:
        hoard.append(os.urandom(1 << 20))
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
signal.signal(signal.SIGUSR1, grow)
circuit = Circuit(QUBITS)
for layer in range(20):
    for qubit in range(QUBITS):
        circuit.ry(0.1 * layer + qubit, qubit)
    for qubit in range(QUBITS - 1):
        circuit.cx(qubit, qubit + 1)
circuit.measure_all()
connection = connect()
while True:
    try:
        for job in [connection.submit(circuit, shots=10) for _ in range(2)]:
            job.result()
    except QuantainerError as error:
        time.sleep(1)
"""


def run(say: Say, *, containers: int = 200, seconds: float = 60.0, seed: int = 1) -> dict[str, Any]:
    """Start a broker of its own beside the engine that ``DOCKER_HOST`` names, and measure.

    The environment variable QUANTAINER_BENCH_IMAGE names an image with Python (default
    python:3.11-slim).

    Raises:
        QuantainerError: ``broker_unavailable`` without such an engine, ``invalid_option`` if it has
            no such image or a broker that runs has described its devices to it.
    """
    engine = Engine()
    folders = [folder for folder in engine.cdi_folders() if os.access(folder, os.W_OK)]
    if not folders:
        raise QuantainerError(
            "broker_unavailable",
            f"Docker Engine {engine.version()} reads no CDI folder that can be written here.",
            hint="Use Docker Engine 27 or newer with CDI on, and run this as root.",
        )
    image = os.environ.get("QUANTAINER_BENCH_IMAGE", DEFAULT_IMAGE)
    if not engine.has(image):
        raise QuantainerError(
            "invalid_option",
            f"Docker Engine {engine.version()} has no image {image}.",
            hint=f"`docker pull {image}`, or name one with Python that it has: "
            "QUANTAINER_BENCH_IMAGE=NAME.",
        )
    with broker_in(folders[-1], stop_grace="1") as broker:
        socket = broker.runtime_dir / "broker.sock"
        return measure(
            say, engine, socket, image, containers=containers, seconds=seconds, seed=seed
        )


def measure(
    say: Say,
    engine: Engine,
    socket: Path,
    image: str,
    *,
    containers: int,
    seconds: float,
    seed: int = 1,
    qubits: int = 20,
) -> dict[str, Any]:
    """Churn containers for some seconds and return how long engine and broker disagreed.

    Args:
        socket: The broker's host socket.
        image: An image with Python.
        containers: How many are alive at any time.
        qubits: Width of the jobs, which sets how long they take.

    Returns:
        For each kind of event, and for all, the time in ms; ``held`` tells whether the bar was.

    Raises:
        QuantainerError: ``timeout`` if the two never agreed.
    """
    with engine.listening(), _watching(socket) as watch:
        churn = _Churn(engine, watch, image, PROGRAM.replace("QUBITS", str(qubits)), seed)
        try:
            say(f"starting {containers} containers on Docker {engine.version()}")
            begun = time.monotonic()
            churn.populate(containers)
            started_s = time.monotonic() - begun
            say(f"all run after {started_s:.0f} s; {seconds:.0f} s of churn")
            churn.reign(seconds)
            return {
                "engine": f"docker {engine.version()}",
                "containers": containers,
                "start_s": round(started_s, 1),
                "poll_ms": round(watch.interval_ms(), 1),
                **churn.report(),
            }
        finally:
            say("removing the containers")
            churn.remove()


# What the broker says


@dataclass(slots=True)
class _Seen:
    """One container as the broker shows it."""

    lease: str | None = None
    jobs: Counter[str] = field(default_factory=Counter)


class _Watch:
    """Polls the broker, and lets others wait for what it shows."""

    def __init__(self, socket: Path) -> None:
        self._channel = Channel(str(socket), 30.0)
        self._seen: dict[str, _Seen] = {}
        self._times = (time.time_ns(), time.time_ns())
        self._polls: list[int] = []
        self._news = threading.Condition()
        self._ended = False

    def poll(self) -> None:
        """Ask until told to end."""
        while not self._ended:
            asked = time.monotonic()
            seen = self._ask()
            with self._news:
                self._seen = seen
                self._times = (self._times[1], time.time_ns())
                self._polls.append(self._times[1] - self._times[0])
                self._news.notify_all()
            # Whoever measures is not to be what keeps the broker busy.
            time.sleep(max(_POLL_S, time.monotonic() - asked))

    def _ask(self) -> dict[str, _Seen]:
        reply, payload = self._channel.round_trip("status", {}, None, 60.0)
        leases = resolve_list(reply["leases"], payload, "leases")
        jobs = resolve_list(reply["jobs"], payload, "jobs")
        by_lease = {lease["id"]: _Seen(lease["state"]) for lease in leases}
        for job in jobs:
            by_lease.setdefault(job["lease"], _Seen()).jobs[job["state"]] += 1
        return {lease["container"]: by_lease[lease["id"]] for lease in leases}

    def of(self, container: str) -> _Seen:
        """Return what was seen last of a container."""
        return self._seen.get(container, _Seen())

    def until(self, container: str, agrees: Callable[[_Seen], bool]) -> tuple[int, int]:
        """Wait for agreement; return when it was not yet seen, and when it was.

        Raises:
            QuantainerError: ``timeout``.
        """
        deadline = time.monotonic() + _PATIENCE_S
        with self._news:
            while not agrees(self.of(container)):
                if not self._news.wait(deadline - time.monotonic()) or self._ended:
                    raise QuantainerError(
                        "timeout",
                        f"The broker still says {self.of(container)} of {container[:12]}.",
                    )
            return self._times

    def interval_ms(self) -> float:
        """Return the mean time between polls: no answer is finer than that."""
        return sum(self._polls) / max(1, len(self._polls)) / 1e6

    def end(self) -> None:
        self._ended = True


@contextlib.contextmanager
def _watching(socket: Path) -> Iterator[_Watch]:
    watch = _Watch(socket)
    thread = threading.Thread(target=watch.poll, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.end()
        thread.join()


def _paused(seen: _Seen) -> bool:
    return seen.lease == "PAUSED" and set(seen.jobs) <= {"PAUSED"}


def _active(seen: _Seen) -> bool:
    return seen.lease in ("CREATED", "ACTIVE") and "PAUSED" not in seen.jobs


def _over(seen: _Seen) -> bool:
    """Nothing new is begun for it: what runs may finish within the grace period."""
    return seen.lease in (None, "STOPPING") and not set(seen.jobs) & {"QUEUED", "PAUSED"}


def _gone(seen: _Seen) -> bool:
    return seen.lease is None and not seen.jobs


# What is done to containers


class _Churn:
    """Does one thing after another to containers, in several threads."""

    def __init__(self, engine: Engine, watch: _Watch, image: str, program: str, seed: int) -> None:
        self._engine = engine
        self._watch = watch
        self._image = image
        self._program = program
        self._rng = random.Random(seed)
        self._lock = threading.Lock()
        self._made: set[str] = set()
        self._idle: dict[str, str] = {}
        self._times: defaultdict[str, list[float]] = defaultdict(list)
        self._work: Counter[str] = Counter()

    def populate(self, containers: int) -> None:
        """Start that many."""
        with ThreadPoolExecutor(HANDS) as hands:
            for _ in hands.map(lambda _: self._create(), range(containers)):
                pass

    def reign(self, seconds: float) -> None:
        """Do things until the time is over."""
        deadline = time.monotonic() + seconds
        with ThreadPoolExecutor(HANDS) as hands:
            for done in [hands.submit(self._go_on, deadline) for _ in range(HANDS)]:
                done.result()

    def remove(self) -> None:
        """Remove what is left."""
        with ThreadPoolExecutor(HANDS) as hands:
            list(hands.map(self._engine.remove, list(self._made)))

    def report(self) -> dict[str, Any]:
        """Return the times by kind and of all."""
        every = [ms for times in self._times.values() for ms in times]
        fields: dict[str, Any] = {name: _fields(ms) for name, ms in sorted(self._times.items())}
        total = _fields(every)
        return {
            "disagreement": {**fields, "all": total},
            "with_jobs": dict(sorted(self._work.items())),
            "limit_ms": LIMIT_MS,
            "held": all(times["p99_ms"] <= LIMIT_MS for times in (*fields.values(), total)),
        }

    def _go_on(self, deadline: float) -> None:
        while time.monotonic() < deadline:
            act = self._next_act()
            container = self._take(act)
            if container is None:
                time.sleep(_POLL_S)
                continue
            self._count(act, container)
            if act in ("pause", "unpause"):
                self._turn(act, container)
            else:
                self._finish(act, container)
                self._create()

    def _next_act(self) -> str:
        """Return what is to be done: at random, once everything was done at least once."""
        with self._lock:
            missing = [act for act in _ACTS if not self._times[act]]
        return missing[0] if missing else self._rng.choices(list(_ACTS), list(_ACTS.values()))[0]

    def _take(self, act: str) -> str | None:
        """Take a container in hand; every other time one whose jobs run."""
        with self._lock:
            fit = [name for name, now in self._idle.items() if now in _FIT[act]]
            paused = sum(now == "PAUSED" for now in self._idle.values())
            if not fit or (act == "pause" and paused > len(self._idle) // 2):
                return None
            busy = [name for name in fit if "RUNNING" in self._watch.of(name).jobs]
            chosen = self._rng.choice(busy if busy and self._rng.random() < 0.5 else fit)
            del self._idle[chosen]
            return chosen

    def _create(self) -> None:
        command = ["python3", "-c", self._program]
        container = self._engine.create(self._image, command, f"{cdi.KIND}=qsim", _MEMORY_BYTES)
        with self._lock:
            self._made.add(container)
        with self._doing("start", container):
            seen = self._watch.until(container, _active)
        self._note("create", self._engine.when(container, "start", 0), seen, early=True)
        self._watch.until(container, lambda seen: bool(seen.jobs))
        with self._lock:
            self._idle[container] = "ACTIVE"

    def _turn(self, act: str, container: str) -> None:
        earlier = self._engine.told(container, act)
        with self._doing(act, container):
            seen = self._watch.until(container, _paused if act == "pause" else _active)
        self._note(act, self._engine.when(container, act, earlier), seen)
        with self._lock:
            self._idle[container] = "PAUSED" if act == "pause" else "ACTIVE"

    def _finish(self, act: str, container: str) -> None:
        action, query = _ENDS[act]
        with self._doing(action, container, **query):
            seen = self._watch.until(container, _over)
            gone = self._watch.until(container, _gone)
        died = self._engine.when(container, "die", 0)
        self._note(act, self._engine.finished_at(container), seen)
        self._note("released", died, gone, early=True)
        self._engine.remove(container)
        with self._lock:
            self._made.discard(container)

    @contextlib.contextmanager
    def _doing(self, action: str, container: str, **query: str) -> Iterator[None]:
        """Do something to a container while the body watches what comes of it."""
        doing = threading.Thread(
            target=self._engine.do, args=(action, container), kwargs=query, daemon=True
        )
        doing.start()
        yield
        doing.join()

    def _count(self, act: str, container: str) -> None:
        jobs = self._watch.of(container).jobs
        with self._lock:
            for state in jobs:
                self._work[f"{act}, {state}"] += 1

    def _note(self, kind: str, at: int, seen: tuple[int, int], *, early: bool = False) -> None:
        """Note the longest time for which the two may have disagreed.

        Args:
            at: When the engine changed.
            seen: When the broker was last seen to disagree, and first to agree.
            early: The broker is meant to be first: a lease is there before its container runs.
        """
        late = seen[1] - at
        apart = late if early else max(late, at - seen[0])
        with self._lock:
            self._times[kind].append(max(0, apart) / 1e6)


def _fields(times: list[float]) -> dict[str, Any]:
    ordered = sorted(times)

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 1)

    if not ordered:
        return {"n": 0, "p50_ms": 0.0, "p99_ms": 0.0, "max_ms": 0.0}
    return {"n": len(ordered), "p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": at(1.0)}
