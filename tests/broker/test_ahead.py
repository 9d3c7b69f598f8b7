"""Large objects are written by a thread before their rows; rows are committed after, as ever."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import pytest
from msgspec.structs import replace

from engine.broker import Broker
from programs import ghz
from quantainer.broker import blobs
from quantainer.broker.store import Store
from quantainer.core.job import Job, JobState
from quantainer_client.connection import Connection
from quantainer_client.errors import QuantainerError

DATA = bytes(range(256)) * 100


def job(data: bytes = DATA) -> Job:
    digest = blake2b(data, digest_size=20).hexdigest()
    return Job("job1", "l", "t", "qsim", 100, payload_digest=digest)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state", inline_limit=1000)


def file_of(store: Store, name: str) -> Path:
    return store.directory / "blobs" / name


def test_add_job_takes_the_file_that_is_there(store: Store) -> None:
    new = job()
    store.payload_ahead(new.payload_digest, DATA)
    file = file_of(store, f"payload-{new.payload_digest}")
    inode = file.stat().st_ino
    assert store.job(new.id) is None, "without a row there is no job"
    store.add_job(new, DATA)
    store.release_payload(new.payload_digest)
    assert file.stat().st_ino == inode
    assert store.payload(new.payload_digest) == DATA


def test_a_refused_job_leaves_no_payload(store: Store) -> None:
    store.payload_ahead(job().payload_digest, DATA)
    store.release_payload(job().payload_digest)
    assert list((store.directory / "blobs").iterdir()) == []


def test_retention_leaves_alone_what_is_about_to_be_named(store: Store) -> None:
    new = job()
    name = f"payload-{new.payload_digest}"
    store.payload_ahead(new.payload_digest, DATA)
    store.forget([new.payload_digest], [name])
    store.add_job(new, DATA)
    store.release_payload(new.payload_digest)
    assert store.payload(new.payload_digest) == DATA


def test_a_payload_that_another_submission_lets_go_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two callers send the same; one is refused while the other's file goes to the disk."""
    store = Store(tmp_path / "state", "full", inline_limit=1000)
    new = job()
    store.payload_ahead(new.payload_digest, DATA)

    def refused_meanwhile(_: Path) -> None:
        store.release_payload(new.payload_digest)

    with monkeypatch.context() as slow_disk:
        slow_disk.setattr(blobs, "sync_directory", refused_meanwhile)
        store.payload_ahead(new.payload_digest, DATA)
    store.add_job(new, DATA)
    store.release_payload(new.payload_digest)
    assert store.payload(new.payload_digest) == DATA


def test_a_job_that_cannot_be_added_leaves_no_payload(store: Store) -> None:
    """On a full disk each refusal would take what room is left."""
    store.add_job(job(), DATA)
    with pytest.raises(QuantainerError):
        store.add_job(job(DATA[::-1]), DATA[::-1])  # there is such a job
    files = [path.name for path in (store.directory / "blobs").iterdir()]
    assert files == [f"payload-{job().payload_digest}"]


def test_a_job_that_cannot_be_added_leaves_the_payload_of_others(
    store: Store, tmp_path: Path
) -> None:
    store.add_job(job(), DATA)
    store.close()
    again = Store(tmp_path / "state", inline_limit=1000)
    with pytest.raises(QuantainerError):
        again.add_job(job(), DATA)
    assert again.payload(job().payload_digest) == DATA


def test_a_crash_before_the_row_leaves_nothing(store: Store, tmp_path: Path) -> None:
    store.payload_ahead(job().payload_digest, DATA)
    store.result_ahead("job1", DATA)
    store.close()
    again = Store(tmp_path / "state", inline_limit=1000)
    assert list((again.directory / "blobs").iterdir()) == []
    assert again.job("job1") is None


def test_a_result_that_is_committed_is_not_written_over(store: Store) -> None:
    store.add_job(job(), DATA)
    done = replace(job(), state=JobState.DONE, attempt=1, finished_at=1.0)
    store.result_ahead("job1", DATA)
    assert store.commit_result(done, {}, DATA)
    store.release_result("job1")
    store.result_ahead("job1", DATA[::-1])
    store.release_result("job1", failed=True)
    found = store.result("job1")
    assert found is not None
    assert found.data == DATA


def test_a_result_that_failed_leaves_no_file(store: Store) -> None:
    store.add_job(job(b"small"), b"small")
    store.result_ahead("job1", DATA)
    store.release_result("job1", failed=True)
    assert list((store.directory / "blobs").iterdir()) == []


@pytest.mark.parametrize("durability", ["normal", "full"])
def test_large_payloads_and_results_come_back_after_a_crash(
    make_broker: Callable[..., Broker], durability: str
) -> None:
    """40 × 104 bits × 10,000 shots are 5 MiB; with its spaces the payload is 6 MiB."""
    broker = make_broker(workers="1", durability=durability)
    batch = [ghz(104) + f"{' ' * 1000}\n" * 6200, *[ghz(104)] * 39]
    with Connection(str(broker.socket)) as connection:
        first = connection.run(batch, shots=10_000, seed=4)
        waiting = connection.submit(batch, shots=10_000, seed=4)
    assert broker.process is not None
    broker.process.kill()
    broker.process.wait()
    broker.process = None
    broker.start()
    with Connection(str(broker.socket)) as connection:
        for name in (first.job, waiting.id):
            found = connection.result(name, 120)
            assert [bytes(one.registers["c"].data) for one in found] == [
                bytes(one.registers["c"].data) for one in first
            ]
        with pytest.raises(QuantainerError):
            connection.result("0" * 24)
