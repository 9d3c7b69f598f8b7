"""Worker processes that are frozen, thawed, die or cannot be reached at awkward moments."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quantainer.broker.environment import worker_environment
from quantainer.broker.process import Answer, Task, WorkerProcess
from quantainer.broker.workers import Pool
from quantainer_client.payload import Payload

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


async def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + GRACE_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def _pool(size: int = 1) -> Pool:
    return Pool(size, _setup(), worker_environment(1, os.environ), lambda: None)


def test_what_is_given_to_one_that_died_after_its_answer_goes_to_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has no part in that death, and is not told that its circuits cannot be read."""

    async def scene() -> None:
        pool = _pool()
        try:
            pool.start()
            await _until(pool.free)
            (worker,) = pool._workers
            before, _ = worker.account()
            with monkeypatch.context() as alone:
                alone.setattr(pool, "_grow", lambda: None)
                first = asyncio.create_task(pool.ask("l", dict(QUESTION), None, "", GRACE_S))
                second = asyncio.create_task(pool.ask("l", dict(QUESTION), None, "", GRACE_S))
                await asyncio.sleep(0)
                _let_it_answer(worker, before)
                os.kill(worker.pid, signal.SIGKILL)
                os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
                assert (await asyncio.wait_for(first, GRACE_S)).fields["ok"]
            pool.start()
            assert (await asyncio.wait_for(second, GRACE_S)).fields["ok"]
            assert pool.processes() != [worker.pid]
        finally:
            pool.close()

    asyncio.run(scene())


def test_those_that_were_frozen_do_not_stay_for_ever() -> None:
    """Others were started in their place; when all go on there are more than there may be."""
    payload = Payload()
    payload.append(b"circuit")
    fd = payload.seal()

    async def scene() -> None:
        pool = _pool()
        ended: list[str] = []
        try:
            pool.start()
            held = []
            for _ in range(3):
                await _until(pool.free)
                worker = pool.free()
                assert worker is not None
                held.append(worker)
                worker.freeze()
                pool.execute(
                    worker,
                    {"op": "execute", "request": {}, "memory_bytes": 0, "number": 0},
                    fd,
                    "",
                    GRACE_S,
                    lambda answer: ended.append(str(answer.fields["ok"])),
                    ended.append,
                    lambda _: None,
                )
            for worker in held:
                worker.thaw()
            await _until(lambda: len(ended) == 3)
            assert ended == ["False"] * 3
            await _until(lambda: len(pool.processes()) <= pool.size + 1)
            assert pool.deaths == 0
            assert (await pool.ask("l", dict(QUESTION), None, "", GRACE_S)).fields["ok"]
        finally:
            pool.close()

    asyncio.run(scene())
    os.close(fd)


def test_work_that_cannot_be_told_leaves_it_idle() -> None:
    async def scene() -> None:
        worker = await _ready()
        try:
            task = Task(1, lambda _: None, lambda _: None)
            with pytest.raises(TypeError):
                worker.assign(task, {**QUESTION, "what": object()}, None, "")
            assert worker.idle
            assert (await asyncio.wait_for(_ask(worker, 2), GRACE_S)).fields["ok"]
        finally:
            worker.kill("was ended with the test")
            worker.wait_gone(GRACE_S)

    asyncio.run(scene())


def test_work_for_which_no_memfd_is_to_be_had_ends_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And not when the longest time that a job may run is over."""

    async def scene() -> None:
        worker = await _ready()
        died: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        try:
            with monkeypatch.context() as exhausted:
                exhausted.setattr(os, "memfd_create", _exhausted)
                long = {**QUESTION, "what": "x" * 70_000}
                worker.assign(Task(1, lambda _: None, died.set_result), long, None, "")
            assert "Too many open files" in await asyncio.wait_for(died, 10)
        finally:
            worker.kill("was ended with the test")
            worker.wait_gone(GRACE_S)

    asyncio.run(scene())


def test_one_that_cannot_be_watched_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        before = len(list(Path("/proc/self/fd").iterdir()))
        with monkeypatch.context() as exhausted:
            exhausted.setattr(os, "pidfd_open", _exhausted)
            with pytest.raises(OSError, match="Too many open files"):
                await _ready()
        assert len(list(Path("/proc/self/fd").iterdir())) == before

    asyncio.run(scene())


def _exhausted(*_: Any) -> int:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
