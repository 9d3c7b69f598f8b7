"""The store: rows, payloads, chunks and results, each written once and found again."""

import sqlite3
import threading
import time
from hashlib import blake2b
from shutil import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from quantainer.broker import database, schema
from quantainer.broker.chunks import Chunk
from quantainer.broker.store import Store
from quantainer.core.job import Job, JobState
from quantainer.core.lease import Anchor, Lease, LeaseLimits, LeaseState
from quantainer_client.errors import QuantainerError

PAYLOAD = b"OPENQASM 3.0;"
ENTRY = '[{"pub": 0}]'
BIG = bytes(range(256)) * 4096


def job(name="j", payload=PAYLOAD, **fields):
    return Job(
        id=name,
        lease="l",
        tenant=fields.pop("tenant", "t"),
        backend="qsim",
        shots=1000,
        request={"op": "submit", "options": {"method": None}, "seed": 2**63 - 1},
        payload_digest=blake2b(payload, digest_size=20).hexdigest(),
        submitted_at=12.5,
        **fields,
    )


def done(of, **fields):
    return replace(of, state=JobState.DONE, finished_at=20.0, shots_done=of.shots, **fields)


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "state")
    yield store
    store.close()


@pytest.fixture
def again(tmp_path):
    """Close a store and open what it left."""

    def reopen(store):
        store.close()
        return Store(tmp_path / "state")

    return reopen


def counts(store):
    connection = sqlite3.connect(store.directory / "quantainer.db")
    tables = ("jobs", "payloads", "results", "chunks", "leases")
    found = {
        table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables
    }
    connection.close()
    return found


class TestRows:
    def test_a_job_comes_back_as_it_was(self, tmp_path):
        first = job(
            priority=-3,
            timeout=1.5,
            memory_bytes=2**40,
            attempt=4,
            worker_deaths=1,
            error={"code": "timeout", "limit": 1.5},
        )
        with_all = Store(tmp_path)
        with_all.add_job(first, PAYLOAD)
        with_all.close()
        store = Store(tmp_path)
        assert store.job("j") == first
        assert store.live_jobs() == [first]
        assert store.payload(first.payload_digest) == PAYLOAD
        store.close()

    def test_a_lease_comes_back_as_it_was(self, store):
        lease = Lease(
            "l",
            "team",
            Anchor("cgroup", "/docker/ab"),
            backends=("qsim", "fake_kyiv"),
            mode="qpu",
            limits=LeaseLimits(qubits=5, shots_per_second=10, memory_bytes=7),
            container="ab",
            image="img",
            created_at=3.0,
        )
        store.save_lease(lease)
        assert store.open_leases() == [lease]
        paused = replace(lease, state=LeaseState.PAUSED)
        store.save_lease(paused)
        assert store.open_leases() == [paused]
        store.save_lease(replace(lease, state=LeaseState.ENDED))
        assert store.open_leases() == []

    def test_live_jobs_come_oldest_first_and_lists_newest_first(self, store):
        for index in range(5):
            store.add_job(job(f"j{index}", tenant=f"t{index % 2}"), PAYLOAD)
        assert [found.id for found in store.live_jobs()] == ["j0", "j1", "j2", "j3", "j4"]
        assert [found.id for found in store.jobs(limit=3)] == ["j4", "j3", "j2"]
        assert [found.id for found in store.jobs("t1")] == ["j3", "j1"]
        assert store.jobs("nobody") == []

    def test_a_job_is_added_once(self, store):
        store.add_job(job(), PAYLOAD)
        with pytest.raises(QuantainerError) as caught:
            store.add_job(job(), PAYLOAD)
        assert caught.value.code == "storage"
        assert counts(store)["jobs"] == 1

    def test_lazy_rows_are_seen_at_once_and_written_at_the_flush(self, store, again):
        store.add_job(job(), PAYLOAD)
        running = job(state=JobState.RUNNING, attempt=1)
        store.save_job(running, lazy=True)
        assert store.pending == 1
        assert store.job("j") == running
        assert store.jobs() == [running]
        store.flush()
        assert store.pending == 0
        assert store.live_jobs() == [running]
        later = job(state=JobState.RUNNING, attempt=2)
        store.save_job(later, lazy=True)
        reopened = again(store)
        assert reopened.live_jobs() == [later], "closing flushes"
        reopened.close()

    @pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED, JobState.DONE])
    def test_an_ended_job_never_changes(self, store, state):
        store.add_job(job(), PAYLOAD)
        ended = job(state=state, finished_at=9.0)
        store.save_job(ended)
        store.save_job(job(state=JobState.RUNNING, attempt=2))
        store.save_job(job(state=JobState.FAILED, finished_at=10.0), lazy=True)
        store.flush()
        assert store.job("j") == ended
        assert not store.commit_result(done(job()), {}, b"late")
        assert store.result("j") is None
        assert store.live_jobs() == []


class TestPayloads:
    def test_equal_payloads_are_stored_once(self, store):
        for index in range(10):
            store.add_job(job(f"j{index}"), PAYLOAD)
        store.add_job(job("other", b"other"), b"other")
        assert counts(store)["payloads"] == 2

    def test_after_a_restart_too(self, store, again):
        store.add_job(job("a"), PAYLOAD)
        reopened = again(store)
        reopened.add_job(job("b"), PAYLOAD)
        assert counts(reopened)["payloads"] == 1
        reopened.close()

    def test_a_large_one_lies_in_a_file(self, store, again):
        store.add_job(job(payload=BIG), memoryview(BIG))
        files = list((store.directory / "blobs").iterdir())
        assert [file.name for file in files] == [f"payload-{job(payload=BIG).payload_digest}"]
        reopened = again(store)
        assert reopened.payload(job(payload=BIG).payload_digest) == BIG
        reopened.close()

    def test_one_that_is_not_there_is_named(self, store):
        with pytest.raises(QuantainerError, match="Payload 1234 is not in"):
            store.payload("1234")


class TestResults:
    def test_a_result_comes_back_and_its_job_is_done(self, store, again):
        store.add_job(job(), PAYLOAD)
        assert store.commit_result(done(job(), attempt=1), {"results": [{"shots": 1}]}, b"\x01\x02")
        reopened = again(store)
        found = reopened.result("j")
        assert found.header == {"results": [{"shots": 1}]}
        assert found.data == b"\x01\x02"
        assert reopened.job("j") == done(job(), attempt=1)
        reopened.close()

    def test_it_is_committed_once(self, store):
        store.add_job(job(), PAYLOAD)
        assert store.commit_result(done(job(), attempt=1), {"first": True}, b"1")
        for attempt in (1, 2):
            assert not store.commit_result(done(job(), attempt=attempt), {"first": False}, BIG)
        assert store.result("j").header == {"first": True}
        assert store.result("j").data == b"1"
        assert list((store.directory / "blobs").iterdir()) == []

    def test_an_answer_of_an_earlier_attempt_changes_nothing(self, store):
        store.add_job(job(), PAYLOAD)
        store.save_job(job(state=JobState.RUNNING, attempt=2))
        assert not store.commit_result(done(job(), attempt=1), {}, b"")
        assert store.job("j").state is JobState.RUNNING
        assert store.commit_result(done(job(), attempt=2), {}, b"")

    def test_what_is_pending_does_not_undo_a_commit(self, store):
        store.add_job(job(), PAYLOAD)
        store.save_job(job(state=JobState.RUNNING, attempt=1), lazy=True)
        assert store.commit_result(done(job(), attempt=1), {}, b"x")
        store.flush()
        assert store.job("j").state is JobState.DONE

    def test_a_commit_ends_the_job_before_its_row_is_written(self, store):
        store.add_job(job(), PAYLOAD)
        store.save_job(job(state=JobState.RUNNING, attempt=1))
        assert store.commit_result(done(job(), attempt=1), {}, b"x")
        assert counts(store)["results"] == 1
        assert store.pending == 1
        assert store.live_jobs() == []
        assert store.job("j").state is JobState.DONE
        assert store.result("j").data == b"x"
        store.save_job(job(state=JobState.FAILED, finished_at=1.0, attempt=1))
        assert not store.commit_result(done(job(), attempt=1), {}, b"y")
        store.flush()
        assert store.result("j").data == b"x"
        assert not store.commit_result(done(job(), attempt=1), {}, b"y")

    def test_a_crash_before_the_row_was_written_leaves_the_job_done(self, store, tmp_path):
        for name in ("j", "waits"):
            store.add_job(job(name), PAYLOAD)
            store.save_job(job(name, state=JobState.RUNNING, attempt=1))
        assert store.commit_result(done(job(), attempt=2), {}, b"x")
        for file in store.directory.glob("quantainer.db*"):
            copy(file, tmp_path / file.name)  # what a kill at this moment leaves
        after = Store(tmp_path)
        assert [live.id for live in after.live_jobs()] == ["waits"]
        ended = after.job("j")
        assert (ended.state, ended.attempt, ended.shots_done) == (JobState.DONE, 2, ended.shots)
        assert ended.finished_at == pytest.approx(time.time(), abs=60)
        assert after.result("j").data == b"x"
        after.close()

    def test_rows_are_written_in_batches(self, store):
        for number in range(5):
            store.add_job(job(f"j{number}"), PAYLOAD)
            store.commit_result(done(job(f"j{number}")), {}, b"")
        for left in (3, 1, 0, 0):
            store.flush(2)
            assert store.pending == left

    def test_only_done_is_committed(self, store):
        store.add_job(job(), PAYLOAD)
        with pytest.raises(ValueError, match="committed as QUEUED"):
            store.commit_result(job(), {}, b"")
        assert store.job("j").state is JobState.QUEUED

    def test_an_unknown_job_has_no_result(self, store):
        assert not store.commit_result(done(job("nobody")), {}, b"")
        assert store.result("nobody") is None
        assert store.job("nobody") is None

    def test_a_large_one_lies_in_a_file(self, store, again):
        store.add_job(job(), PAYLOAD)
        store.commit_result(done(job()), {}, memoryview(BIG).toreadonly())
        reopened = again(store)
        assert reopened.result("j").data == BIG
        (reopened.directory / "blobs" / "result-j").unlink()
        with pytest.raises(QuantainerError, match="result-j: No such file"):
            reopened.result("j")
        reopened.close()

    def test_a_kept_result_waits_and_is_committed_later(self, store, again):
        store.add_job(job(), PAYLOAD)
        kept = job(state=JobState.PAUSED, attempt=1, result_kept=True)
        assert store.keep_result(kept, {"n": 1}, BIG)
        assert store.result("j") is None, "the job has not ended"
        reopened = again(store)
        assert reopened.live_jobs() == [kept]
        assert reopened.commit_kept(done(job(), attempt=1))
        assert not reopened.commit_kept(done(job(), attempt=1))
        assert reopened.result("j").data == BIG
        reopened.close()

    def test_without_a_kept_result_nothing_is_committed(self, store):
        store.add_job(job(), PAYLOAD)
        assert not store.commit_kept(done(job()))
        assert store.job("j").state is JobState.QUEUED

    @settings(max_examples=50, deadline=None)
    @given(st.binary(max_size=3000), st.integers(0, 4096))
    def test_any_bytes_on_either_side_of_the_limit(self, tmp_path_factory, data, limit):
        store = Store(tmp_path_factory.mktemp("state"), inline_limit=limit)
        store.add_job(job(payload=data), data)
        assert store.payload(job(payload=data).payload_digest) == data
        store.commit_result(done(job()), {}, data)
        assert store.result("j").data == data
        store.close()


class TestChunks:
    def test_chunks_are_durable_and_counted(self, store, again):
        store.add_job(job(), PAYLOAD)
        running = job(state=JobState.RUNNING, attempt=1)
        assert store.chunks.save(running, 1, 200, ENTRY, b"second") == 200
        assert store.chunks.save(running, 0, 300, ENTRY, BIG) == 500
        assert store.chunks.save(running, 1, 200, ENTRY, b"again") == 500, "of another attempt"
        reopened = again(store)
        assert reopened.chunks.of("j") == [
            Chunk(0, 300, [{"pub": 0}], BIG),
            Chunk(1, 200, [{"pub": 0}], b"again"),
        ]
        assert reopened.job("j").shots_done == 500
        reopened.close()

    def test_they_outlive_a_cancel_and_go_with_the_result(self, store, again):
        for name in ("cancelled", "done"):
            store.add_job(job(name), PAYLOAD)
            store.chunks.save(job(name), 0, 10, ENTRY, BIG)
        store.save_job(job("cancelled", state=JobState.CANCELLED, finished_at=5.0, shots_done=10))
        reopened = again(store)
        reopened.commit_result(done(job("done")), {}, b"")
        assert reopened.chunks.of("done") == []
        assert reopened.chunks.of("cancelled") == [Chunk(0, 10, [{"pub": 0}], BIG)]
        files = [file.name for file in (reopened.directory / "blobs").iterdir()]
        assert files == ["chunk-cancelled-0"]
        reopened.close()


class TestOpening:
    def test_what_a_crash_left_between_file_and_row_is_swept(self, store, again):
        store.add_job(job(payload=BIG), BIG)
        for name in ("result-orphan", "payload-x.part"):
            (store.directory / "blobs" / name).write_bytes(b"x")
        reopened = again(store)
        names = [file.name for file in (reopened.directory / "blobs").iterdir()]
        assert names == [f"payload-{job(payload=BIG).payload_digest}"]
        reopened.close()

    def test_private_to_its_user(self, store):
        assert store.directory.stat().st_mode & 0o077 == 0
        assert (store.directory / "blobs").stat().st_mode & 0o077 == 0

    def test_a_second_one_is_refused(self, store):
        with pytest.raises(QuantainerError, match="Another broker") as caught:
            Store(store.directory)
        assert caught.value.code == "storage"
        assert "quantainer down" in caught.value.hint

    def test_a_newer_schema_is_refused(self, tmp_path):
        Store(tmp_path).close()
        path = tmp_path / "quantainer.db"
        connection = sqlite3.connect(path)
        connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
        connection.close()
        with pytest.raises(QuantainerError, match="newer Quantainer") as caught:
            Store(tmp_path)
        assert str(path) in caught.value.message

    def test_an_older_schema_is_brought_forward(self, tmp_path, monkeypatch):
        store = Store(tmp_path)
        store.add_job(job(), PAYLOAD)
        store.close()
        step = ("ALTER TABLE jobs ADD COLUMN colour TEXT", "UPDATE jobs SET colour = 'red'")
        monkeypatch.setattr(database, "VERSION", schema.VERSION + 1)
        monkeypatch.setitem(database.MIGRATIONS, schema.VERSION, step)
        Store(tmp_path).close()
        connection = sqlite3.connect(tmp_path / "quantainer.db")
        assert connection.execute("SELECT colour FROM jobs").fetchall() == [("red",)]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        connection.close()
        assert version == schema.VERSION + 1

    def test_results_of_the_second_schema_are_kept(self, tmp_path):
        store = Store(tmp_path)
        for name in ("j", "k"):
            store.add_job(job(name), PAYLOAD)
        store.commit_result(done(job(), attempt=1), {"old": True}, b"12345")
        store.close()
        connection = sqlite3.connect(tmp_path / "quantainer.db")
        connection.executescript("""
            CREATE TABLE second (sequence INTEGER PRIMARY KEY, job TEXT NOT NULL UNIQUE,
                size INTEGER NOT NULL, stored_at FLOAT NOT NULL, header TEXT NOT NULL, data BLOB,
                file TEXT);
            INSERT INTO second SELECT NULL, id, size, stored_at, header, data, file
                FROM results JOIN jobs ON jobs.sequence = results.job;
            DROP TABLE results; DROP TABLE totals;
            ALTER TABLE second RENAME TO results;
            CREATE INDEX result_sizes ON results (size);
            ALTER TABLE leases DROP COLUMN born;
            PRAGMA user_version = 2;
        """)
        connection.close()
        store = Store(tmp_path)
        assert store.result("j").header == {"old": True}
        assert store.result("j").data == b"12345"
        rows = store.database._connection.execute("SELECT name, value FROM totals").fetchall()
        assert rows == [("result_bytes", len('{"old":true}') + 5)]
        assert store.commit_result(done(job("k")), {}, b"new")
        store.close()

    def test_a_failed_step_leaves_the_old_one_whole(self, tmp_path, monkeypatch):
        Store(tmp_path).close()
        monkeypatch.setattr(database, "VERSION", schema.VERSION + 1)
        step = ("ALTER TABLE jobs ADD COLUMN colour TEXT", "UPDATE missing SET x = 1")
        monkeypatch.setitem(database.MIGRATIONS, schema.VERSION, step)
        with pytest.raises(QuantainerError, match="no such table"):
            Store(tmp_path)
        connection = sqlite3.connect(tmp_path / "quantainer.db")
        columns = [row[1] for row in connection.execute("PRAGMA table_info(jobs)")]
        assert connection.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
        connection.close()
        assert "colour" not in columns

    @pytest.mark.parametrize(
        "damage", [b"this is no database at all" * 50, b"SQLite format 3\x00" + b"\xff" * 8000]
    )
    def test_a_damaged_file_is_named_with_the_way_out(self, tmp_path, damage):
        (tmp_path / "quantainer.db").write_bytes(damage)
        with pytest.raises(QuantainerError) as caught:
            Store(tmp_path)
        assert caught.value.code == "storage"
        assert str(tmp_path / "quantainer.db") in caught.value.message
        assert "Move it away" in caught.value.hint
        (tmp_path / "quantainer.db").unlink()
        Store(tmp_path).close()  # nothing holds the directory

    def test_damage_that_shows_later_is_an_error_too(self, tmp_path):
        store = Store(tmp_path)
        for index in range(200):
            store.add_job(job(f"j{index}"), PAYLOAD)
        store.close()
        path = tmp_path / "quantainer.db"
        data = bytearray(path.read_bytes())
        data[8192:] = b"\xee" * (len(data) - 8192)
        path.write_bytes(data)
        with pytest.raises(QuantainerError) as caught:
            Store(tmp_path).live_jobs()
        assert caught.value.code == "storage"


def test_a_checkpoint_under_way_ends_before_the_store_closes(store, monkeypatch):
    """A connection that is closed while another thread uses it ends the process by SIGSEGV."""
    order = []
    is_under_way = threading.Event()

    class Slow:
        def execute(self, statement):
            is_under_way.set()
            time.sleep(0.2)
            order.append("checkpoint")
            return sqlite3.connect(":memory:").execute("SELECT 0, 0, 0")

        def close(self):
            order.append("close")

    store.database._checkpoints.close()
    monkeypatch.setattr(store.database, "_checkpoints", Slow())
    thread = threading.Thread(target=store.checkpoint)
    thread.start()
    assert is_under_way.wait(10)
    store.close()
    thread.join()
    assert order == ["checkpoint", "close"]
