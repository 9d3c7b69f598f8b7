"""What each durability mode survives: killed processes, lost power, full and read-only disks."""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

import pytest
from msgspec.structs import replace

from quantainer.broker.store import Store
from quantainer.core.job import Job, JobState
from quantainer_client.errors import QuantainerError

WRITER = textwrap.dedent(
    """
    import sys
    from msgspec.structs import replace
    from pathlib import Path
    from quantainer.broker.store import Store
    from quantainer.core.job import Job, JobState

    directory, durability, first = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    sys.path.insert(0, sys.argv[4])
    from test_durability import content, job

    store = Store(directory, durability, inline_limit=2000)
    for number in range(first, first + 1_000_000):
        payload = content(number % 7)
        store.add_job(job(number), payload)
        print("added", number, flush=True)
        done = replace(job(number), state=JobState.DONE, attempt=1, finished_at=1.0)
        if number % 5:
            store.save_job(replace(job(number), state=JobState.RUNNING, attempt=1), lazy=True)
            store.chunks.save(job(number), 0, 10, "[]", content(number + 1))
            print("chunk", number, flush=True)
        if number % 3:
            store.commit_result(done, {"number": number}, content(number))
            print("committed", number, flush=True)
    """
)


def content(number):
    return random.Random(number).randbytes(100 if number % 2 else 5000)


def job(number):
    digest = blake2b(content(number % 7), digest_size=20).hexdigest()
    return Job(f"job{number}", "l", "t", "qsim", 100, payload_digest=digest)


def writer(directory, durability, first):
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            WRITER,
            str(directory),
            durability,
            str(first),
            str(Path(__file__).parent),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )


def acknowledged(process, count):
    """Return what the writer said until it was killed after so many lines."""
    said = {"added": set(), "chunk": set(), "committed": set()}
    for line in process.stdout:
        if not line.endswith("\n"):
            break  # the kill tore it, so nobody heard it
        kind, number = line.split()
        said[kind].add(int(number))
        count -= 1
        if count == 0:
            process.kill()
    process.wait()
    process.stdout.close()
    return said


def check(store, said):
    """All that was acknowledged is there, and all that is there is whole."""
    for number in said["added"]:
        found = store.job(f"job{number}")
        assert found is not None, f"job {number} was acknowledged and is lost"
        assert store.payload(found.payload_digest) == content(number % 7)
    for number in said["committed"]:
        assert store.job(f"job{number}").state is JobState.DONE
        assert store.result(f"job{number}").header == {"number": number}
        assert store.result(f"job{number}").data == content(number)
    for number in said["chunk"] - said["committed"]:
        if store.job(f"job{number}").state is not JobState.DONE:
            assert store.chunks.of(f"job{number}")[0].data == content(number + 1)
    for found in store.jobs(limit=10**6):
        assert (found.state is JobState.DONE) == (store.result(found.id) is not None)


@pytest.mark.parametrize("durability", ["normal", "full"])
def test_kill_9_at_any_moment_loses_nothing(tmp_path, durability):
    rng = random.Random(durability)
    everything = {"added": set(), "chunk": set(), "committed": set()}
    for turn in range(5):
        process = writer(tmp_path / "state", durability, 1_000_000 * turn)
        said = acknowledged(process, rng.randint(1, 600))
        assert process.returncode == -signal.SIGKILL
        for kind, numbers in said.items():
            everything[kind] |= numbers
        store = Store(tmp_path / "state", durability, inline_limit=2000)
        check(store, everything)
        store.close()
    assert len(everything["committed"]) > 50


# Loss of power: what a second kernel would find on the disk at this very moment


needs_loop = pytest.mark.skipif(
    os.geteuid() != 0
    or shutil.which("mkfs.ext4") is None
    or not Path("/dev/loop-control").exists(),
    reason="mounts a disk image: root, mkfs.ext4 and loop devices",
)


@contextmanager
def mounted(image, at):
    at.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", "-o", "loop,commit=300", str(image), str(at)],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        pytest.skip(f"a disk image cannot be mounted here: {done.stderr.strip()}")
    try:
        yield at
    finally:
        subprocess.run(["umount", str(at)], check=True)


@needs_loop
@pytest.mark.parametrize("durability", ["full", "normal"])
def test_loss_of_power(tmp_path, durability):
    """The image is copied while the writer still runs: unwritten pages are not in the copy."""
    image, copy = tmp_path / "disk", tmp_path / "after"
    with image.open("wb") as file:
        file.truncate(96 * 2**20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    with mounted(image, tmp_path / "before") as disk:
        store = Store(disk / "state", durability, inline_limit=2000)
        subprocess.run(["sync"], check=True)  # the empty store has reached the disk
        for number in range(40):
            store.add_job(job(number), content(number % 7))
            if number % 2:
                done = replace(job(number), state=JobState.DONE, attempt=1, finished_at=1.0)
                store.commit_result(done, {"number": number}, content(number))
            elif number % 3:
                store.chunks.save(job(number), 0, 10, "[]", content(number + 1))
        shutil.copyfile(image, copy)
        store.close()
    with mounted(copy, tmp_path / "again") as disk:
        store = Store(disk / "state", durability, inline_limit=2000)
        there = {int(found.id[3:]) for found in store.jobs(limit=1000)}
        said = set(range(40)) if durability == "full" else set()
        odd = {number for number in said if number % 2}
        chunked = {number for number in said - odd if number % 3}
        check(store, {"added": said, "committed": odd, "chunk": chunked})
        store.close()
    if durability == "normal":
        # Else this test would not notice a missing fsync in the other mode.
        assert len(there) < 40, "the copy held pages that nobody had asked to be written"
        assert there == set(range(len(there))), "what is lost is the end, never the middle"


# Disks that cannot be written


needs_mount = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system: root only")


@contextmanager
def small_disk(at, size):
    at.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(at)],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
    try:
        yield at
    finally:
        subprocess.run(["umount", str(at)], check=True)


@needs_mount
@pytest.mark.parametrize("inline_limit", [2000, 10**6], ids=["files", "rows"])
def test_a_full_disk_refuses_and_recovers(tmp_path, inline_limit):
    with small_disk(tmp_path / "disk", "4m") as disk:
        ballast = disk / "ballast"
        ballast.write_bytes(b"x" * 2**20)
        store = Store(disk / "state", inline_limit=inline_limit)
        accepted = []
        error = None
        while error is None:
            data = len(accepted).to_bytes(8, "big") * 700
            digest = blake2b(data, digest_size=20).hexdigest()
            new = Job(f"job{len(accepted)}", "l", "t", "qsim", 1, payload_digest=digest)
            try:
                store.add_job(new, data)
                accepted.append(new)
            except QuantainerError as refusal:
                error = refusal
        assert error.code == "storage"
        assert str(disk / "state") in error.message
        assert "Free some space" in error.hint
        refused = new
        assert store.job(refused.id) is None, "refused means that it is not there"
        # An end that cannot be written is kept, and written when there is room again.
        error = {"code": "timeout", "message": "x" * 100_000}
        ended = replace(accepted[0], state=JobState.FAILED, error=error, finished_at=1.0)
        with pytest.raises(QuantainerError):
            store.save_job(ended)
        assert store.job(ended.id).state is JobState.FAILED
        ballast.unlink()
        store.flush()
        store.add_job(refused, data)
        store.close()
        store = Store(disk / "state", inline_limit=inline_limit)
        assert store.job(ended.id).state is JobState.FAILED
        for number, known in enumerate(accepted):
            assert store.payload(known.payload_digest) == number.to_bytes(8, "big") * 700
        assert store.job(refused.id) == refused
        store.close()


def fill(path):
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)


@needs_mount
def test_a_full_disk_keeps_a_job_whose_result_cannot_be_written(tmp_path):
    with small_disk(tmp_path / "disk", "2m") as disk:
        store = Store(disk / "state")
        store.add_job(job(1), content(1))
        done = replace(job(1), state=JobState.DONE, finished_at=1.0)
        for size in (10**5, 10**7):  # as a row, as a file
            data = os.urandom(size)
            fill(disk / "ballast")
            with pytest.raises(QuantainerError) as caught:
                store.commit_result(done, {}, data)
            assert caught.value.code == "storage"
            assert store.job("job1").state is JobState.QUEUED
            assert not list((disk / "state" / "blobs").iterdir())
        (disk / "ballast").unlink()
        assert store.commit_result(done, {}, b"fits")
        store.close()


@needs_mount
def test_a_read_only_directory_is_named(tmp_path):
    with small_disk(tmp_path / "disk", "4m") as disk:
        Store(disk / "state").close()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(QuantainerError) as caught:
            Store(disk / "state")
        assert caught.value.code == "storage"
        assert str(disk / "state") in caught.value.message
        assert "set state_dir" in caught.value.hint
        with pytest.raises(QuantainerError, match="Read-only file system"):
            Store(disk / "elsewhere")


def test_a_directory_of_another_user_is_refused():
    if os.geteuid() != 0:
        pytest.skip("becomes another user: root only")
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o755)
    reader, teller = os.pipe()
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        try:
            Store(directory)
        except QuantainerError as error:
            os.write(teller, str(error).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(teller)
    with open(reader, "rb") as said:  # noqa: PTH123 - a pipe has no path
        message = said.read().decode()
    shutil.rmtree(directory)
    assert message.startswith(f"The state directory {directory} cannot be written: Permission")
    assert "set state_dir" in message


# One writer


def test_another_process_is_refused_while_the_writer_lives(tmp_path):
    process = writer(tmp_path, "normal", 0)
    assert process.stdout.readline()
    with pytest.raises(QuantainerError) as caught:
        Store(tmp_path)
    assert f"process {process.pid}" in caught.value.message
    process.kill()
    process.wait()
    process.stdout.close()
    Store(tmp_path).close()


def test_a_forked_worker_that_outlives_its_broker_holds_no_lock(tmp_path):
    program = WRITER.replace("store = Store(", "import os, time\nstore = Store(").replace(
        "for number in",
        "child = os.fork()\nif child == 0: time.sleep(30); os._exit(0)\nprint(child, flush=True)\n"
        "for number in",
        1,
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path), "normal", "0", str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
        text=True,
    )
    child = int(process.stdout.readline())
    process.kill()
    process.wait()
    process.stdout.close()
    try:
        deadline = time.monotonic() + 5
        store = Store(tmp_path)
        assert time.monotonic() < deadline
        store.close()
    finally:
        os.kill(child, signal.SIGKILL)
