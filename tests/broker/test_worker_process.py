"""A worker process that is frozen and thawed by the broker, at awkward moments."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from quantainer.broker.environment import worker_environment
from quantainer.broker.process import Answer, Task, WorkerProcess

GRACE_S = 60.0
QUESTION: dict[str, Any] = {"op": "backends"}


def _setup() -> dict[str, Any]:
    return {
        "memory_bytes": 2**30,
        "threads": 1,
        "shared": None,
        "reading": {},
        "shots_max": 1000,
    }


async def _ready() -> WorkerProcess:
    is_ready = asyncio.get_running_loop().create_future()

    def idle(_: WorkerProcess) -> None:
        if not is_ready.done():
            is_ready.set_result(None)

    worker = WorkerProcess(_setup(), worker_environment(1, os.environ), idle, lambda _: None)
    await asyncio.wait_for(is_ready, GRACE_S)
    return worker


def _ask(worker: WorkerProcess, number: int) -> asyncio.Future[Answer]:
    answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    died = RuntimeError("the worker died")
    task = Task(number, answer.set_result, lambda _: answer.set_exception(died))
    worker.assign(task, dict(QUESTION), None, "")
    return answer


def _let_it_answer(worker: WorkerProcess, before: float) -> None:
    """Wait until it computes no more, without letting the loop read what it sent."""
    deadline = time.monotonic() + GRACE_S
    last = before
    while time.monotonic() < deadline:
        time.sleep(0.5)
        now, _ = worker.account()
        if now == last > before:
            return
        last = now
    raise AssertionError("it did not answer")


def test_one_that_had_answered_when_it_was_frozen_goes_on() -> None:
    """Its job is over, so no unpausing of that job's container will ever thaw it."""

    async def scene() -> None:
        worker = await _ready()
        try:
            before, _ = worker.account()
            first = _ask(worker, 1)
            _let_it_answer(worker, before)
            worker.freeze()
            assert (await asyncio.wait_for(first, GRACE_S)).fields["ok"]
            assert worker.idle
            assert not worker.frozen
            assert (await asyncio.wait_for(_ask(worker, 2), GRACE_S)).fields["ok"]
        finally:
            worker.kill("was ended with the test")
            worker.wait_gone(GRACE_S)

    asyncio.run(scene())


def test_an_answer_that_is_of_no_use_is_its_end_and_is_told() -> None:
    """Whoever waits for it hears of it, or a job would run for ever."""

    async def scene() -> None:
        worker = await _ready()
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def answered(answer: Answer) -> None:
            raise KeyError("results")

        try:
            worker.assign(Task(1, answered, told.set_result), dict(QUESTION), None, "")
            assert await asyncio.wait_for(told, GRACE_S) == "sent a malformed answer"
            assert not worker.idle
        finally:
            worker.kill("was ended with the test")
            worker.wait_gone(GRACE_S)

    asyncio.run(scene())


def test_one_that_is_frozen_at_work_waits_for_its_thaw() -> None:
    async def scene() -> None:
        worker = await _ready()
        try:
            worker.freeze()
            answer = _ask(worker, 1)
            await asyncio.sleep(1.0)
            assert not answer.done()
            worker.thaw()
            assert (await asyncio.wait_for(answer, GRACE_S)).fields["ok"]
        finally:
            worker.kill("was ended with the test")
            worker.wait_gone(GRACE_S)

    asyncio.run(scene())
