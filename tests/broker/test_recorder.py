"""Results that cannot be written at once, while their container is paused; parts of no use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from quantainer.broker import recorder as recorders
from quantainer.broker import statements
from quantainer.broker.database import Statement
from quantainer.broker.outcomes import Outcome, Outcomes
from quantainer.broker.process import Answer
from quantainer.broker.recorder import Recorder
from quantainer.broker.store import Store
from quantainer.core.events import Event, ResultCommitted
from quantainer.core.job import Job, JobState
from quantainer_client.errors import QuantainerError
from quantainer_client.payload import Payload

RESULTS = '[{"shots":5}]'
JOB = Job(
    id="j",
    lease="l",
    tenant="t",
    backend="qsim",
    shots=5,
    request={},
    payload_digest="d",
    attempt=1,
)
PAUSED = replace(JOB, state=JobState.PAUSED, result_kept=True, shots_done=5)
DONE = replace(JOB, state=JobState.DONE, shots_done=5, finished_at=1.0)


@pytest.fixture
def scene(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[Recorder, Store, list[Event]], Coroutine[Any, Any, None]]], None]:
    """Play a scene with a recorder whose store cannot keep results until it is ``room``."""
    monkeypatch.setattr(recorders, "_COMMIT_TRIES", (0.01, 0.01))

    def play(act: Callable[[Recorder, Store, list[Event]], Coroutine[Any, Any, None]]) -> None:
        async def scene() -> None:
            store = Store(tmp_path)
            store.add_job(JOB, memoryview(b"circuit"))
            handled: list[Event] = []
            recorder = Recorder(store, Outcomes(store), lambda _: JOB, handled.append)
            recorder.take(JOB, Outcome(RESULTS, None, 0))
            with monkeypatch.context() as full:
                full.setattr(store, "keep_result", _disk_full)
                await act(recorder, store, handled)
            store.close()

        asyncio.run(scene())
        again = Store(tmp_path)
        assert again.result("j").header == {"results": [{"shots": 5}]}
        assert again.job("j").state is JobState.DONE
        assert again.live_jobs() == []
        again.close()

    return play


def _disk_full(*_: Any) -> bool:
    raise QuantainerError("storage", "No space is left.")


def test_one_that_was_not_kept_yet_is_committed_when_its_container_goes_on(scene):
    async def act(recorder: Recorder, store: Store, handled: list[Event]) -> None:
        recorder.write_result(PAUSED, keep=True)
        recorder.write_result(DONE, kept=True)
        assert [type(event) for event in handled] == [ResultCommitted]
        await asyncio.sleep(0.1)  # a second try to keep it is due and has nothing to do
        assert len(handled) == 1

    scene(act)


def test_one_that_can_never_be_kept_waits_in_memory(scene):
    async def act(recorder: Recorder, store: Store, handled: list[Event]) -> None:
        recorder.write_result(PAUSED, keep=True)
        await asyncio.sleep(0.2)
        assert handled == []
        recorder.write_result(DONE, kept=True)
        assert [type(event) for event in handled] == [ResultCommitted]

    scene(act)


def _part(data: bytes) -> Answer:
    payload = Payload()
    payload.append(data)
    return Answer({"part": 0, "shots": 5, "results": RESULTS}, payload.seal())


def _files(store: Store) -> list[str]:
    return [path.name for path in (store.directory / "blobs").iterdir()]


def test_a_large_part_of_a_job_that_has_ended_leaves_no_file(tmp_path: Path) -> None:
    """It was being written when the job was cancelled; the file would stay until a restart."""

    async def scene() -> None:
        store = Store(tmp_path)
        store.add_job(JOB, memoryview(b"circuit"))
        recorder = Recorder(store, Outcomes(store), lambda _: None, lambda _: None)
        recorder.save_part(JOB, _part(bytes(5 * 2**20)))
        await asyncio.get_running_loop().shutdown_default_executor()
        await asyncio.sleep(0)
        assert _files(store) == []
        store.close()

    asyncio.run(scene())


def test_a_part_that_cannot_be_saved_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path, inline_limit=10)
    store.add_job(JOB, memoryview(b"circuit"))
    handled: list[Event] = []
    recorder = Recorder(store, Outcomes(store), lambda _: JOB, handled.append)
    execute = store.database.execute

    def full(statement: Statement, values: dict[str, Any]) -> int:
        if statement is statements.SAVE_CHUNK:
            raise QuantainerError("storage", "No space is left.")
        return execute(statement, values)

    with monkeypatch.context() as disk:
        disk.setattr(store.database, "execute", full)
        recorder.save_part(JOB, _part(bytes(1000)))
    assert handled == []
    assert _files(store) == []
    recorder.save_part(JOB, _part(bytes(1000)))
    assert len(handled) == len(_files(store)) == 1
    store.close()


def test_a_large_result_is_committed_though_no_thread_is_to_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the others wait a moment while it is written."""

    async def scene() -> None:
        store = Store(tmp_path)
        store.add_job(JOB, memoryview(b"circuit"))
        handled: list[Event] = []
        recorder = Recorder(store, Outcomes(store), lambda _: JOB, handled.append)
        payload = Payload()
        payload.append(bytes(5 * 2**20))
        recorder.take(JOB, Outcome(RESULTS, payload.seal(), payload.size))
        loop = asyncio.get_running_loop()
        with monkeypatch.context() as limited:
            limited.setattr(loop, "run_in_executor", _no_thread)
            recorder.write_result(DONE)
        assert [type(event) for event in handled] == [ResultCommitted]
        found = store.result("j")
        assert found is not None
        assert found.data == bytes(5 * 2**20)
        store.close()

    asyncio.run(scene())


def _no_thread(*_: Any) -> None:
    raise RuntimeError("can't start new thread")
