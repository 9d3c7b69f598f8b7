"""Workers: the pool of processes: hands out work, replaces the dead, keeps to its bound.

At most ``size`` processes execute at a time, and as many read. One more may exist, so that reading
a new circuit never waits for a long execution, nor a job for those who have circuits read. Frozen
ones (their container is paused) do not count; when they have gone on and done, those that are too
many end.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from quantainer.broker.parts import Packed
from quantainer.broker.process import Answer, Task, WorkerProcess
from quantainer.broker.resources import READING_BYTES
from quantainer_client.errors import QuantainerError

__all__ = ["Ask", "Pool"]

log = logging.getLogger("quantainer.workers")

_BACKOFF_FIRST = 0.2
_BACKOFF_LAST = 30.0
_HOPELESS = 4  # processes that end one after another before they are ready


@dataclass(slots=True)
class Ask:
    """A short question to any worker: read and plan a submission, or list the backends."""

    message: dict[str, Any]
    fd: int | None
    digest: str
    answer: asyncio.Future[Answer]
    seconds: float


class Pool:
    """Owns the worker processes."""

    def __init__(
        self,
        size: int,
        setup: Mapping[str, Any],
        environ: Mapping[str, str],
        on_idle: Callable[[], None],
    ) -> None:
        self._size = size
        self._setup = setup
        self._environ = environ
        self._on_idle = on_idle
        self._numbers = itertools.count(1)
        self._workers: list[WorkerProcess] = []
        self._asks: OrderedDict[str, deque[Ask]] = OrderedDict()
        self._failures = 0
        self._retry: asyncio.TimerHandle | None = None
        self._closed = False
        self.deaths = 0

    @property
    def size(self) -> int:
        """Executions at a time."""
        return self._size

    @property
    def executing(self) -> int:
        """Executions under way, frozen ones not counted."""
        return sum(1 for worker in self._workers if worker.executing and not worker.frozen)

    def processes(self) -> list[int]:
        """Return the process ids of the workers."""
        return [worker.pid for worker in self._workers]

    def describe(self) -> list[dict[str, Any]]:
        """Return what each worker does, for ``status``."""
        return [
            {
                "pid": worker.pid,
                "state": _state(worker),
            }
            for worker in self._workers
        ]

    # Questions

    async def ask(
        self, who: str, message: dict[str, Any], fd: int | None, digest: str, seconds: float
    ) -> Answer:
        """Have a worker answer; turns go round over those who ask.

        Args:
            who: Whose turn it takes: a lease.
            message: The request.
            fd: The payload; stays open until the answer.
            digest: Of the payload, so that the same worker is asked again.
            seconds: After which the worker that reads is killed.

        Raises:
            QuantainerError: As the worker answered; ``worker_died`` or ``timeout`` if it ended.
        """
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        question = Ask(message, fd, digest, future, seconds)
        self._asks.setdefault(who, deque()).append(question)
        self._serve_asks(self._size)
        answer = await future
        if answer.fields.get("ok") is True:
            return answer
        if answer.fd is not None:
            os.close(answer.fd)
        raise QuantainerError.from_dict(answer.fields.get("error") or {})

    @property
    def _reading(self) -> int:
        """Questions that workers are at."""
        return sum(1 for worker in self._workers if worker.task and not worker.executing)

    def _share(self) -> None:
        """Hand out work: a question if none is being answered, then jobs, then other questions.

        So neither waits for the other, however much there is of it.
        """
        if not self._reading:
            self._serve_asks(1)
        self._on_idle()
        self._serve_asks(self._size)

    def _serve_asks(self, most: int) -> None:
        """Have questions answered, ``most`` at a time: one process is left for a job."""
        while self._asks:
            who, queue = next(iter(self._asks.items()))
            worker = self._idle(queue[0].digest) if self._reading < most else None
            if worker is None:
                self._grow()
                return
            question = queue.popleft()
            del self._asks[who]
            if queue:
                self._asks[who] = queue  # to the end of the round
            if not question.answer.cancelled():
                self._put(worker, who, question)

    def _put(self, worker: WorkerProcess, who: str, question: Ask) -> None:
        def answered(answer: Answer) -> None:
            if not question.answer.done():
                question.answer.set_result(answer)
            elif answer.fd is not None:
                os.close(answer.fd)

        def died(reason: str) -> None:
            if question.answer.done():
                return
            if worker.was_gone:
                self._asks.setdefault(who, deque()).appendleft(question)  # for another
            else:
                question.answer.set_exception(_reading_failed(worker, reason, question.seconds))

        task = Task(next(self._numbers), answered, died, question.seconds)
        worker.assign(task, question.message, question.fd, question.digest)

    # Executions

    def free(self, digest: str = "") -> WorkerProcess | None:
        """Return an idle worker for an execution, one that knows the payload if there is one."""
        if self.executing >= self._size or (self._asks and not self._reading):
            return None
        worker = self._idle(digest)
        if worker is None:
            self._grow()
        return worker

    def execute(
        self,
        worker: WorkerProcess,
        message: dict[str, Any],
        fd: int,
        digest: str,
        seconds: float,
        answered: Callable[[Answer], None],
        died: Callable[[str], None],
        progressed: Callable[[Answer], None],
        parts: asyncio.Future[Packed] | None = None,
    ) -> None:
        """Start an execution on a free worker; with ``parts`` it goes on after them."""
        task = Task(next(self._numbers), answered, died, seconds, progressed)
        worker.assign(task, message, fd, digest, parts)

    def _idle(self, digest: str) -> WorkerProcess | None:
        idle = [worker for worker in self._workers if worker.idle]
        return next((worker for worker in idle if worker.knows(digest)), idle[0] if idle else None)

    # Processes

    def start(self) -> None:
        """Start the first process; others follow when there is work for them."""
        self._grow()

    def renew(self) -> None:
        """Replace every process by a fresh one: idle ones at once, others when they have done."""
        for worker in list(self._workers):
            worker.retire()

    def _grow(self) -> None:
        if self._closed or self._retry is not None:
            return
        counted = [worker for worker in self._workers if not worker.frozen]
        if len(counted) > self._size or any(not worker.ready for worker in counted):
            return
        try:
            worker = WorkerProcess(self._setup, self._environ, self._idled, self._gone)
        except OSError as error:
            log.error("a worker could not be started: %s", error)  # noqa: TRY400
            self._failed()
            return
        self._workers.append(worker)

    def _idled(self, worker: WorkerProcess) -> None:
        self._failures = 0
        self._share()
        if worker.idle and self._is_one_too_many():
            worker.retire()

    def _is_one_too_many(self) -> bool:
        """Tell whether more processes are left, of those that were frozen, than there may be."""
        staying = [worker for worker in self._workers if not (worker.frozen or worker.retired)]
        return len(staying) > self._size + 1

    def _gone(self, worker: WorkerProcess) -> None:
        self._workers.remove(worker)
        if self._closed:
            return
        if worker.retired:
            log.info("worker %d %s", worker.pid, worker.exit_reason)
        else:
            self.deaths += 1
            log.warning("worker %d %s", worker.pid, worker.exit_reason)
        if worker.ready or worker.retired:
            self._loop_soon()
        else:
            self._failed()

    def _loop_soon(self) -> None:
        asyncio.get_running_loop().call_soon(self._idle_again)

    def _idle_again(self) -> None:
        if not self._workers:
            self._grow()
        self._share()

    def _failed(self) -> None:
        """Try again later and later; meanwhile tell those who ask instead of letting them wait."""
        self._failures += 1
        delay = min(_BACKOFF_LAST, _BACKOFF_FIRST * 2**self._failures)
        self._retry = asyncio.get_running_loop().call_later(delay, self._again)
        if self._failures < _HOPELESS or self._workers:
            return
        for queue in self._asks.values():
            for question in queue:
                if not question.answer.done():
                    question.answer.set_exception(_no_workers())
        self._asks.clear()

    def _again(self) -> None:
        self._retry = None
        self._grow()

    def close(self) -> None:
        """End all processes."""
        self._closed = True
        if self._retry is not None:
            self._retry.cancel()
        for worker in list(self._workers):
            worker.kill("was ended with the broker")
        for worker in list(self._workers):
            worker.wait_gone(5.0)


def _state(worker: WorkerProcess) -> str:
    if worker.frozen:
        return "frozen"
    if not worker.ready:
        return "starting"
    if worker.executing:
        return "executing"
    return "idle" if worker.task is None else "reading"


def _reading_failed(worker: WorkerProcess, reason: str, seconds: float) -> QuantainerError:
    if worker.overdue:
        return QuantainerError(
            "timeout",
            "Reading and planning the circuits took too long.",
            limit=seconds,
            hint="Split the circuits, or raise the setting plan_timeout.",
        )
    if worker.memory_was_refused:
        return QuantainerError(
            "out_of_memory",
            "The circuits take more memory to read than this node grants.",
            limit=READING_BYTES,
            hint="Split the circuits, or send fewer of them at a time.",
        )
    return QuantainerError(
        "invalid_circuit",
        f"The circuits could not be read: the worker process that read them {reason}.",
        hint="The circuit is too large for this node, or damaged.",
    )


def _no_workers() -> QuantainerError:
    return QuantainerError(
        "internal", "Worker processes do not start on this node.", hint="See the broker's log."
    )
