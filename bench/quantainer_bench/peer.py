"""A single simulation engine in a process of its own, which can be given up on."""

from __future__ import annotations

import io
import multiprocessing
import time
from multiprocessing.connection import Connection as Pipe
from types import TracebackType
from typing import Any, cast

from qiskit import QuantumCircuit, qpy

__all__ = ["Peer", "qpy_bytes"]

_Request = tuple[bytes, str, str, int, int]


class Peer:
    """Runs circuits on one engine through its adapter, without the broker.

    Args:
        engine: Name in the adapters' catalogue.
        patience_s: A run that takes longer is killed, and the engine is out for good.
    """

    def __init__(self, engine: str, patience_s: float) -> None:
        self.engine = engine
        self._patience_s = patience_s
        self._out: str | None = None
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._pipe = ours
        self._process = context.Process(target=_serve, args=(engine, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.join()

    def time_ms(
        self, circuit: QuantumCircuit, method: str, precision: str, shots: int, threads: int
    ) -> float | str:
        """Return milliseconds from the engine's circuit to its samples, or why there are none."""
        if self._out is not None:
            return self._out
        try:
            self._pipe.send((qpy_bytes(circuit), method, precision, shots, threads))
            if self._pipe.poll(self._patience_s):
                return cast("float | str", self._pipe.recv())
            self._out = f"given up after {self._patience_s:g} s"
        except (EOFError, ConnectionError):
            self._process.join(1)
            self._out = f"its process died (exit {self._process.exitcode})"
        self._process.kill()
        self._process.join()
        return self._out


def qpy_bytes(circuit: QuantumCircuit) -> bytes:
    """Return a circuit as QPY."""
    buffer = io.BytesIO()
    qpy.dump(circuit, buffer)
    return buffer.getvalue()


def _serve(engine: str, pipe: Pipe[Any, Any]) -> None:
    from quantainer.backends.simulators.catalogue import Catalogue

    catalogue = Catalogue()
    simulator = catalogue.ready(engine)
    while True:
        try:
            request: _Request = pipe.recv()
        except EOFError:
            return
        if simulator is None:
            pipe.send(catalogue.dropped[engine])
            continue
        try:
            answer = _run(simulator, *request)
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
        try:
            pipe.send(answer)
        except ConnectionError:  # nobody waits any more
            return


def _run(
    simulator: Any, data: bytes, method: str, precision: str, shots: int, threads: int
) -> float | str:
    from quantainer.backends.simulators.lowering import lower
    from quantainer.circuits import read

    if method not in simulator.methods or precision not in simulator.precisions:
        return f"has no {method} in {precision} precision"
    program = lower(read(data, format="qpy").program)
    refusal = simulator.refuses(program, method)
    if refusal is not None:
        return str(refusal)
    prepared = simulator.prepare(program, method, precision)
    started = time.perf_counter_ns()
    prepared.sample(shots, 1, threads)
    return (time.perf_counter_ns() - started) / 1e6
