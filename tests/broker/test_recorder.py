"""Results that cannot be written at once, while their container is paused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from quantainer.broker import recorder as recorders
from quantainer.broker.outcomes import Outcome, Outcomes
from quantainer.broker.recorder import Recorder
from quantainer.broker.store import Store
from quantainer.core.events import Event, ResultCommitted
from quantainer.core.job import Job, JobState
from quantainer_client.errors import QuantainerError

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
