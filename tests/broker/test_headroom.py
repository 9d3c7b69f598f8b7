"""Jobs wait for memory that other programs hold, and do not fail of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import programs
from engine import broker as brokers
from engine.broker import QUANTAINER, Broker
from quantainer.broker.headroom import Headroom
from quantainer.broker.resources import MemoryGrant
from quantainer_client.connection import Connection

GIB = 2**30
ROOT = Path("/sys/fs/cgroup")
HOG = "import time; hoard = b'x' * {}; print('full', flush=True); time.sleep(600)"


def test_what_is_neither_free_nor_ours_is_elsewhere() -> None:
    free = [4 * GIB]
    headroom = Headroom(lambda: MemoryGrant(8 * GIB, free[0], free[0], "test"), lambda: [])
    assert headroom.elsewhere(0.0) == 4 * GIB
    free[0] = 8 * GIB
    assert headroom.elsewhere(0.1) == 4 * GIB  # as of a moment ago
    assert headroom.elsewhere(1.0) == 0


def test_memory_of_our_own_workers_is_not_elsewhere() -> None:
    grant = MemoryGrant(8 * GIB, 6 * GIB, 6 * GIB, "test")
    with subprocess.Popen(
        [sys.executable, "-c", HOG.format(GIB)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = Headroom(lambda: grant, lambda: [process.pid, 2**22 + 1]).elsewhere(0.0)
        process.kill()
    assert GIB <= found <= GIB + GIB // 4


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group with 3 GiB of memory."""
    v2 = (ROOT / "cgroup.controllers").exists()
    path = (ROOT if v2 else ROOT / "memory") / f"quantainer-test-{os.getpid()}"
    try:
        path.mkdir()
        (path / ("memory.max" if v2 else "memory.limit_in_bytes")).write_text(str(3 * GIB))
    except OSError as error:
        pytest.skip(f"control groups with a limit of memory cannot be made here: {error}")
    yield path
    for _ in range(200):
        try:
            path.rmdir()
        except OSError:
            time.sleep(0.05)
        else:
            return


def within(group: Path, *command: str) -> tuple[str, ...]:
    """Return a command that runs another in a control group."""
    return ("sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh", *command)


@pytest.fixture
def crowded(group: Path) -> Iterator[tuple[Broker, Callable[[], None]]]:
    """A broker in a group that another program fills, and a call that ends the other."""
    hog = subprocess.Popen(
        within(group, sys.executable, "-c", HOG.format(5 * GIB // 2)), stdout=subprocess.PIPE
    )
    broker = brokers.make(workers="1")
    broker.program = within(group, QUANTAINER)

    def leave() -> None:
        hog.kill()
        hog.wait()

    try:
        assert hog.stdout is not None
        assert hog.stdout.readline() == b"full\n"
        broker.start()
        yield broker, leave
    finally:
        leave()
        if hog.stdout is not None:
            hog.stdout.close()
        brokers.remove(broker)


def test_a_job_that_fits_the_node_waits_for_the_moment(
    crowded: tuple[Broker, Callable[[], None]],
) -> None:
    broker, leave = crowded
    with Connection(str(broker.socket)) as connection:
        job = connection.submit(programs.dense(24, 26), shots=4, seed=1)
        assert connection.run(programs.FLIPPED, shots=4).counts() == {"01": 4}
        assert job.wait(2.0) == "QUEUED"
        leave()
        assert job.wait(60.0) == "DONE"
        assert sum(job.result().counts().values()) == 4
