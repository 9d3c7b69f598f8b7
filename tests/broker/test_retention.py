"""What is kept of ended jobs, for how long, and what is never removed."""

import errno
import os
from hashlib import blake2b
from pathlib import Path

import pytest
from msgspec.structs import replace

from quantainer.broker import retention
from quantainer.broker.retention import Retention, prune, prune_by_clock
from quantainer.broker.store import Store
from quantainer.broker.wallclock import WallClock
from quantainer.core.job import Job, JobState
from quantainer.core.lease import Anchor, Lease, LeaseState
from quantainer_client.errors import QuantainerError

NOW = 2e9
DAY = 86_400.0


def job(name, payload, **fields):
    digest = blake2b(payload, digest_size=20).hexdigest()
    return Job(name, "l", "t", "qsim", 10, payload_digest=digest, **fields)


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr("quantainer.broker.store.time.time", lambda: NOW)
    store = Store(tmp_path, inline_limit=100)
    yield store
    store.close()


def add(store, name, payload=b"p", data=None, age=0.0, state=JobState.DONE):
    new = job(name, payload)
    store.add_job(new, payload)
    ended = replace(new, state=state, finished_at=NOW - age)
    if data is not None:
        store.commit_result(ended, {}, data)
    elif state is not JobState.QUEUED:
        store.save_job(ended)
    return new


def all_of(store, retention, now=NOW):
    rounds = 1
    while prune(store, retention, now):
        rounds += 1
    return rounds


def files(store):
    return sorted(path.name for path in (store.directory / "blobs").iterdir())


def test_results_go_by_age_and_their_jobs_later(store):
    add(store, "j", data=b"x" * 200)
    all_of(store, Retention())
    assert store.result("j").data == b"x" * 200
    all_of(store, Retention(), NOW + 7.5 * DAY)
    assert store.result("j") is None
    assert files(store) == []
    assert store.job("j").state is JobState.DONE, "its owner is told that the result is gone"
    all_of(store, Retention(), NOW + 31 * DAY)
    assert store.job("j") is None


def test_the_oldest_results_go_when_there_are_too_many(store):
    for index in range(250):
        add(store, f"j{index}", data=b"x" * 1000)
    rounds = all_of(store, Retention(results_bytes=50_200))
    kept = [index for index in range(250) if store.result(f"j{index}") is not None]
    assert kept == list(range(200, 250))
    assert len(files(store)) == 50
    assert rounds >= 2, "a batch at a time"


def test_nothing_of_a_job_that_has_not_ended_is_removed(store):
    add(store, "queued", b"q" * 500, state=JobState.QUEUED)
    held = add(store, "held", b"h" * 500, state=JobState.QUEUED)
    store.keep_result(replace(held, state=JobState.PAUSED, result_kept=True), {}, b"kept" * 100)
    store.chunks.save(job("queued", b"q" * 500), 0, 5, "[]", b"chunk" * 100)
    before = files(store)
    all_of(store, Retention(results_age=1, results_bytes=0, jobs_age=1), NOW + 1000 * DAY)
    assert files(store) == before
    assert {found.id for found in store.live_jobs()} == {"queued", "held"}
    assert store.payload(held.payload_digest) == b"h" * 500
    assert store.commit_kept(replace(held, state=JobState.DONE, finished_at=NOW))
    assert store.result("held").data == b"kept" * 100


def test_payloads_go_when_no_job_needs_them_and_may_come_back(store):
    add(store, "a", b"same" * 100, data=b"")
    assert len(files(store)) == 1
    all_of(store, Retention())
    assert files(store) == []
    again = add(store, "b", b"same" * 100, state=JobState.QUEUED)
    assert store.payload(again.payload_digest) == b"same" * 100
    all_of(store, Retention())
    assert store.payload(again.payload_digest) == b"same" * 100


def test_shots_of_a_cancelled_job_go_like_results(store):
    new = add(store, "c", state=JobState.QUEUED)
    store.chunks.save(new, 0, 5, "[]", b"chunk" * 100)
    store.save_job(replace(new, state=JobState.CANCELLED, finished_at=NOW))
    all_of(store, Retention(), NOW + 6 * DAY)
    assert store.chunks.of("c")
    all_of(store, Retention(), NOW + 8 * DAY)
    assert store.chunks.of("c") == []
    assert files(store) == []


def test_ended_leases_go_and_open_ones_stay(store):
    for name, state in (("open", LeaseState.PAUSED), ("ended", LeaseState.ENDED)):
        store.save_lease(Lease(name, "t", Anchor("uid", name), state=state, created_at=NOW))
    all_of(store, Retention(), NOW + 31 * DAY)
    assert [lease.id for lease in store.open_leases()] == ["open"]
    rows = store.database._connection.execute("SELECT id FROM leases").fetchall()
    assert rows == [("open",)]


def test_the_total_is_that_of_all_results_however_their_jobs_ended(store):
    """One was kept for a paused container and could not be committed: its job failed."""
    add(store, "done", data=b"d" * 100)
    new = add(store, "failed", state=JobState.QUEUED)
    kept = replace(new, state=JobState.PAUSED, attempt=1, result_kept=True)
    assert store.keep_result(kept, {}, b"k" * 100)
    store.save_job(replace(kept, state=JobState.FAILED, finished_at=NOW, result_kept=False))
    all_of(store, Retention(), NOW + 8 * DAY)
    (total,) = store.database.rows(retention._TOTAL, {"total": "result_bytes"})
    assert total["value"] == 0


def test_it_goes_on_though_a_file_cannot_be_deleted(store, monkeypatch):
    """The file goes at the next start; all else is removed."""
    add(store, "old", data=b"d" * 1000)
    assert files(store)

    def unlink(*_, **__):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as broken:
        broken.setattr(Path, "unlink", unlink)
        all_of(store, Retention(), NOW + 8 * DAY)
    assert store.result("old") is None


def test_what_is_known_of_parts_goes_with_their_job(store):
    """Or the broker would grow with each job that was cancelled after its first part."""
    new = add(store, "cut", state=JobState.QUEUED)
    store.chunks.save(new, 0, 5, "[]", b"part")
    assert store.chunks.has("cut")
    store.save_job(replace(new, state=JobState.CANCELLED, finished_at=NOW))
    assert not store.chunks.has("cut")
    assert store.chunks.of("cut")


class Times:
    """A clock that can be set, and one that cannot."""

    def __init__(self):
        self.set_by, self.passed = 0.0, 0.0
        self.clock = WallClock(lambda: NOW + self.set_by + self.passed, lambda: self.passed)

    def prune_all(self, store):
        while prune_by_clock(store, Retention(), self.clock):
            pass


@pytest.mark.parametrize("by", [400 * DAY, -400 * DAY])
def test_a_clock_set_forward_or_back_removes_nothing_too_early(store, by):
    times = Times()
    add(store, "j", data=b"x", age=DAY)
    times.set_by = by
    times.prune_all(store)
    times.passed = 6.9 * DAY
    times.prune_all(store)
    assert store.result("j").data == b"x"
    times.passed = 29 * DAY
    times.prune_all(store)
    assert store.job("j") is not None


def test_a_clock_set_forward_removes_in_the_end(store):
    times = Times()
    add(store, "j", data=b"x", age=DAY)
    times.set_by = 400 * DAY
    times.prune_all(store)
    times.passed = 7.1 * DAY
    times.prune_all(store)
    assert store.result("j") is None
    assert store.job("j") is not None
    times.passed = 30.1 * DAY
    times.prune_all(store)
    assert store.job("j") is None


def test_a_clock_that_is_corrected_a_little_removes_as_ever(store):
    times = Times()
    add(store, "j", data=b"x")
    times.set_by, times.passed = 600.0, 7.1 * DAY
    times.prune_all(store)
    assert store.result("j") is None


def test_too_many_bytes_go_even_then(store):
    times = Times()
    add(store, "j", data=b"x" * 50)
    times.set_by = 400 * DAY
    assert not prune_by_clock(store, Retention(results_bytes=10), times.clock)
    assert store.result("j") is None


def test_a_clock_that_was_set_is_remembered_until_that_is_written(store, monkeypatch):
    times = Times()
    add(store, "j", data=b"x", age=DAY)
    times.set_by = 400 * DAY

    def full():
        raise QuantainerError("storage", "No space left on device.")

    with monkeypatch.context() as broken:
        broken.setattr(store, "flush", full)
        with pytest.raises(QuantainerError):
            times.prune_all(store)
    times.prune_all(store)
    assert store.result("j").data == b"x"


def test_a_clock_set_back_while_no_broker_was_there_removes_in_the_end(store):
    """An earlier one had seen it set to a day that comes in years."""
    times = Times()
    add(store, "j", data=b"x", age=DAY)
    times.set_by = 4000 * DAY
    times.prune_all(store)
    later = Times()
    later.prune_all(store)
    later.passed = 6.9 * DAY
    later.prune_all(store)
    assert store.result("j").data == b"x"
    later.passed = 30.1 * DAY
    later.prune_all(store)
    assert store.job("j") is None
