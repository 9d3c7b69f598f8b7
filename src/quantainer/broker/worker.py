"""Worker: the process that reads circuits and runs them, one request at a time.

Started by the pool as a fresh interpreter (no fork: engines hold threads) with one end of a socket.
It may crash, hang or run out of memory: that ends this process and fails one job, nothing else.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from quantainer.backends.backend import Backend, Limits, PubResult, Settling
from quantainer.backends.recent import Recent
from quantainer.backends.registry import load_backends
from quantainer.broker import encoding
from quantainer.broker.parts import unpack
from quantainer.broker.process import LARGE
from quantainer.broker.requests import Submission, parse
from quantainer.broker.resources import READING_BYTES
from quantainer.broker.results import add_result
from quantainer.broker.slices import Part, Piece, Progress, joined, pieces_of, usable
from quantainer.broker.warmup import warm_up
from quantainer.broker.workload import Planned, Run, Workload, pub_requests
from quantainer.circuits import ReadOptions
from quantainer.core import seed as seeds
from quantainer_client import wire
from quantainer_client.errors import QuantainerError
from quantainer_client.payload import Payload, map_payload

__all__ = ["Worker", "main"]

_PR_SET_PDEATHSIG = 1
_INLINE_MAX = 32 * 1024  # lists of larger replies travel in the memfd
_ERROR_MAX = 2000
_STALE_AT_ONCE = 2000  # numbers of parts, far within one packet
_LISTS = frozenset({"results", "pubs", "targets"})
_SLACK_BYTES = 1024**3
_LARGE_PAYLOAD = 4 * 1024**2
_TRIM_BYTES = 256 * 1024**2


class Worker:
    """Answers the broker's requests."""

    def __init__(self, connection: socket.socket, setup: dict[str, Any]) -> None:
        self._connection = connection
        shared = setup.get("shared")
        self._limits = Limits(
            setup["memory_bytes"],
            setup["threads"],
            None if shared is None else Path(shared),
            setup.get("seconds"),
        )
        self._backends: dict[str, Backend] = load_backends(self._limits)
        reading = ReadOptions(**setup["reading"])
        self._workload = Workload(self._backends, self._limits, reading, setup["shots_max"])
        self._runs: Recent[Run] = Recent(256)
        self._ran: Backend | None = None
        self._baseline = _data_bytes()
        self._bound_memory(_TRIM_BYTES)

    def warm_up(self) -> None:
        """Load what most work needs."""
        warm_up(self._workload)

    def serve(self) -> None:
        """Answer requests until the broker closes its end."""
        self._reply({"op": "ready"}, Payload())
        while True:
            packet, fds, _, _ = socket.recv_fds(self._connection, wire.MAX_MESSAGE, 3)
            if not packet:
                return
            text = bytes(map_payload(fds.pop(0))) if packet == LARGE else packet
            message = encoding.decode(text)
            data, parts, *_ = *map(map_payload, fds), memoryview(b""), memoryview(b"")
            self._answer(message, data, parts)
            if message["op"] == "execute":
                self._settle()

    def _answer(self, message: dict[str, Any], data: memoryview, parts: memoryview) -> None:
        reply = {"op": message["op"], "task": message["task"]}
        payload = Payload()
        try:
            reply |= self._perform(message, data, parts, payload)
            reply["ok"] = True
            self._reply(reply, payload)
        except QuantainerError as error:
            self._refuse(reply, error)
        except MemoryError:
            self._refuse(reply, _out_of_memory(message))
        except Exception as error:
            traceback.print_exc()
            self._refuse(reply, _failure(error))

    def _settle(self) -> None:
        """Have the backend that ran last do what nobody waits for; it may as well do it later."""
        backend, self._ran = self._ran, None
        if isinstance(backend, Settling):
            try:
                backend.settle()
            except Exception:  # the run that needs it will tell
                traceback.print_exc()

    def _perform(
        self, message: dict[str, Any], data: memoryview, parts: memoryview, payload: Payload
    ) -> dict[str, Any]:
        match message["op"]:
            case "backends":
                return {"targets": self._targets()}
            case "plan":
                with self._memory(READING_BYTES, trim=len(data) > _LARGE_PAYLOAD):
                    return {"pubs": self._plan(message, data)}
            case "estimate":
                with self._memory(READING_BYTES, trim=len(data) > _LARGE_PAYLOAD):
                    return {"pubs": self._estimate(message, data)}
            case "execute":
                with self._memory(message["memory_bytes"]):
                    return {"results": self._execute(message, data, parts, payload)}
        raise ValueError(f"unknown operation {message['op']!r}")

    def _targets(self) -> list[dict[str, Any]]:
        return [asdict(backend.target(self._limits)) for backend in self._backends.values()]

    def _plan(self, message: dict[str, Any], data: memoryview) -> list[dict[str, Any]]:
        request = parse(Submission, message["request"])
        return [_described(planned) for planned in self._workload.plan(request, data)]

    def _estimate(self, message: dict[str, Any], data: memoryview) -> list[dict[str, Any]]:
        """Plan each pub for itself: one that is refused does not hide the others."""
        request = parse(Submission, message["request"])
        described: list[dict[str, Any]] = []
        for index, pub in enumerate(pub_requests(request, data)):
            try:
                described.append(_described(self._workload.plan_pub(request, pub, index, data)))
            except QuantainerError as error:
                described.append({"error": error.to_dict()})
        return described

    def _execute(
        self, message: dict[str, Any], data: memoryview, parts: memoryview, payload: Payload
    ) -> list[dict[str, Any]]:
        run = self._prepared(message, data)
        self._ran = run.backend
        threads, seed = message["threads"], message["request"]["seed"]
        own_seeds = [seeds.member(seed, index) for index in range(len(run.planned))]
        pieces = pieces_of(run.planned, own_seeds)
        known = self._known(message, pieces, parts)
        progress = Progress(lambda number, part: self._send_part(message, number, run, part))
        done: list[list[PubResult]] = [[] for _ in run.planned]
        for number, piece in enumerate(pieces):
            result = known.get(number)
            if result is None:
                pub, plan = piece.planned.pub, piece.planned.plan
                result = run.backend.run(pub, plan, run.options, piece.seed, threads)
                if len(pieces) > 1:
                    part = Part(piece.pub, piece.planned, piece.seed, threads, result)
                    progress.add(number, part)
            done[piece.pub].append(result)
        counts = message["request"].get("counts", False)
        return [
            _entry(
                run,
                Part(index, planned, own_seeds[index], threads, joined(done[index])),
                payload,
                counts=counts,
            )
            for index, planned in enumerate(run.planned)
        ]

    def _known(
        self, message: dict[str, Any], pieces: list[Piece], parts: memoryview
    ) -> dict[int, PubResult]:
        """Return what an earlier attempt has made durable; tell the broker what is of no use."""
        if "parts" not in message:
            return {}
        known, stale = usable(pieces, unpack(message["parts"], parts))
        for first in range(0, len(stale), _STALE_AT_ONCE):
            numbers = stale[first : first + _STALE_AT_ONCE]
            self._reply({"op": "part", "task": message["task"], "stale": numbers}, Payload())
        return known

    def _send_part(self, message: dict[str, Any], number: int, run: Run, part: Part) -> None:
        """Tell the broker of a finished part, before the rest is."""
        payload = Payload()
        entry = {"pub": part.pub, **_entry(run, part, payload, counts=False)}
        reply = {"op": "part", "task": message["task"], "part": number, "shots": part.shots}
        self._reply({**reply, "results": [entry]}, payload)

    def _prepared(self, message: dict[str, Any], data: memoryview) -> Run:
        """Return the work of a message; work that the broker numbered is kept for the next time."""
        number = message["number"]
        run = self._runs.get(number)
        if run is None:
            request = parse(Submission, message["request"])
            run = self._workload.run(request, data)
            if number:
                self._runs.put(number, run.again(), 1)
        return run

    def _reply(self, reply: dict[str, Any], payload: Payload) -> None:
        listed = {name: _encoded(reply.pop(name)) for name in _LISTS & reply.keys()}
        for name, text in listed.items():
            if len(text) > _INLINE_MAX:
                # The broker's reply to its caller holds it too and must fit into a packet.
                place = {"offset": payload.append(text), "length": len(text)}
                listed[name] = _encoded(place)
        head = encoding.encode_plain({**reply, "lists": list(listed)})
        packet = b"\n".join((head, *listed.values()))
        fd = payload.seal() if payload.size else None
        try:
            wire.send(self._connection, packet, fd)
        finally:
            if fd is not None:
                os.close(fd)

    def _refuse(self, reply: dict[str, Any], error: QuantainerError) -> None:
        fields = {"op": reply["op"], "task": reply["task"], "ok": False}
        packet = _encoded({**fields, "error": error.to_dict()})
        if len(packet) > _INLINE_MAX:  # it may name what is as long as a circuit
            short = QuantainerError(error.code, error.message[:_ERROR_MAX] + " …")
            packet = _encoded({**fields, "error": short.to_dict()})
        wire.send(self._connection, packet)

    @contextlib.contextmanager
    def _memory(self, admitted: int, *, trim: bool = True) -> Iterator[None]:
        """Bound this process's private memory by what the job was admitted with, and slack.

        An engine that takes more than its plan said then fails its own job and not its neighbours.
        """
        if admitted <= _TRIM_BYTES:
            yield  # the standing bound holds
            return
        self._bound_memory(admitted)
        try:
            yield
        finally:
            self._bound_memory(_TRIM_BYTES)
            if trim:
                gc.collect()
                ctypes.CDLL(None).malloc_trim(0)

    def _bound_memory(self, admitted: int) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        bound = self._baseline + admitted + admitted // 4 + _SLACK_BYTES
        if hard != resource.RLIM_INFINITY:
            bound = min(bound, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (bound, hard))


def _encoded(value: Any) -> bytes:
    return encoding.encode(value).encode()


def _described(planned: Planned) -> dict[str, Any]:
    return {
        "facts": planned.pub.facts.to_dict(),
        "plan": asdict(planned.plan),
        "result_bytes": planned.result_bytes,
        "shots": planned.shots,
    }


def _entry(run: Run, part: Part, payload: Payload, *, counts: bool) -> dict[str, Any]:
    """Add what a part yielded to the payload and return its entry of ``results``."""
    entry = add_result(part.planned, part.result, payload, counts=counts)
    entry["metadata"] = _metadata(run, part) | entry["metadata"]
    return entry


def _metadata(run: Run, part: Part) -> dict[str, Any]:
    plan = part.planned.plan
    return {
        "backend": run.backend.name,
        "method": plan.method,
        "engine": plan.engine,
        "engine_version": plan.engine_version,
        "precision": plan.precision,
        "reason": plan.reason,
        "seed": part.seed,
        "threads": part.threads,
        "truncation_error": None,
        "bit_order": "qiskit",
        "cache": "hit" if part.planned.warm else "miss",
        "notes": list(part.planned.pub.circuit.notes),
    }


def _out_of_memory(message: dict[str, Any]) -> QuantainerError:
    return QuantainerError(
        "out_of_memory",
        "The worker ran out of the memory this job was admitted with.",
        limit=message.get("memory_bytes", READING_BYTES),
        hint="Ask for fewer shots at a time, single precision, or another method.",
    )


def _failure(error: Exception) -> QuantainerError:
    first = (str(error).strip().splitlines() or [""])[0][:500]
    return QuantainerError("backend_failed", f"The backend failed: {type(error).__name__}: {first}")


def _data_bytes() -> int:
    """Return this process's private writable memory, as RLIMIT_DATA counts it."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
        return int(file.read().split()[5]) * resource.getpagesize()


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when the broker ends, however it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Serve the broker that started this process: ``worker.py FD PARENT SETUP``."""
    fd, parent, setup = int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
    _die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    connection = socket.socket(fileno=fd)
    worker = Worker(connection, setup)
    worker.warm_up()
    # What was imported stays; new garbage is looked for less often than after 700 objects.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        worker.serve()


if __name__ == "__main__":
    main()
