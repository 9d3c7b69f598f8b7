"""Box: a container without an engine: a control group of its own with one tenant's program in it.

``python -m quantainer_bench.box SOCKET SEED PROGRAMS`` is that program: it hands in circuits, some
of which it cancels, and writes one line of JSON for everything it is told.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import subprocess
import sys
import threading
import time
from collections import deque
from hashlib import sha256
from pathlib import Path
from typing import Any, TextIO

from quantainer_client.connection import Connection
from quantainer_client.errors import QuantainerError
from quantainer_client.result import Result

__all__ = ["Box", "digest_of", "hierarchies"]

SEEDS = 6
SHOTS = 200
OUTSTANDING = 6
CANCELLED = 0.05
ROOT = Path("/sys/fs/cgroup")


def digest_of(result: Result) -> str:
    """Return a name for every bit that a result holds."""
    total = sha256()
    for pub in result:
        for name, register in pub.registers.items():
            total.update(name.encode() + b"\0" + bytes(register.data))
    return total.hexdigest()


# The tenant's side


class Tenant:
    """Submits until it is told to stop, then waits for what is outstanding."""

    def __init__(self, socket: str, seed: int, programs: dict[str, str]) -> None:
        self._connection = Connection(socket)
        self._rng = random.Random(seed)
        self._programs = programs
        self._outstanding: deque[str] = deque()
        self._draining = False
        self._drained = False
        self._unread = b""

    def live(self) -> None:
        """Obey lines on standard input: ``go``, ``drain``, ``peek JOB…``, ``quit``."""
        going = False
        while True:
            for command in self._commands(wait=not going):
                if command[0] == "quit":
                    return
                if command[0] == "go":
                    going = True
                if command[0] == "drain":
                    self._draining = True
                if command[0] == "peek":
                    self._peek(command[1:])
            if not going:
                continue
            if not self._draining and len(self._outstanding) < OUTSTANDING:
                self._submit()
            elif self._outstanding:
                self._collect(self._outstanding.popleft())
            elif self._draining:
                if not self._drained:
                    _say(event="drained")
                self._drained = True
                select.select([0], [], [])

    def _commands(self, *, wait: bool) -> list[list[str]]:
        """Return the commands that have come; the end of the input is one, too."""
        if not select.select([0], [], [], None if wait else 0)[0]:
            return []
        data = os.read(0, 65536)
        if not data:
            return [["quit"]]
        *lines, self._unread = (self._unread + data).split(b"\n")
        return [line.decode().split() for line in lines if line.strip()]

    def _submit(self) -> None:
        kind = self._rng.choice(list(self._programs))
        seed = self._rng.randrange(SEEDS)
        try:
            job = self._connection.submit(self._programs[kind], shots=SHOTS, seed=seed)
        except QuantainerError as error:
            _say(event="refused", code=error.code)
            time.sleep(0.05)
            return
        _say(event="acknowledged", job=job.id, kind=kind, seed=seed)
        self._outstanding.append(job.id)
        if self._rng.random() < CANCELLED:
            with contextlib.suppress(QuantainerError):
                self._connection.cancel(job.id)

    def _collect(self, job: str) -> None:
        try:
            result = self._connection.result(job, 300)
        except QuantainerError as error:
            _say(event="ended", job=job, code=error.code, message=error.message)
            return
        _say(event="result", job=job, digest=digest_of(result))

    def _peek(self, jobs: list[str]) -> None:
        """Try to see what belongs to others, in every way there is."""
        seen: list[str] = []
        for job in jobs:
            for attempt in (
                lambda job=job: self._connection.result(job, 0),
                lambda job=job: self._connection.wait(job, 0),
                lambda job=job: self._connection.cancel(job),
            ):
                try:
                    attempt()
                except QuantainerError as error:
                    if error.code == "unknown_job":
                        continue
                seen.append(job)
        own = [entry["job"] for entry in self._connection.jobs()]
        _say(event="peeked", seen=seen, own=own)


def _say(**fields: Any) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


# The host's side


def hierarchies() -> list[Path]:
    """Return the trees in which a box needs a group: to be known by, and to be frozen by.

    Raises:
        QuantainerError: If this user cannot make groups here.
    """
    if (ROOT / "cgroup.controllers").exists():
        found = [ROOT]
    else:
        found = [ROOT / name for name in ("devices", "freezer") if (ROOT / name).is_dir()]
    probe = f"quantainer-probe-{time.monotonic_ns()}"
    try:
        for tree in found:
            (tree / probe).mkdir()
            (tree / probe).rmdir()
    except OSError as error:
        found = []
        reason = error.strerror
    else:
        reason = "there is no cgroup hierarchy"
    if not found:
        raise QuantainerError(
            "forbidden",
            f"No control group can be made in {ROOT}: {reason}.",
            hint="Run this as root on a machine with control groups.",
        )
    return found


class Box:
    """One tenant in its control group."""

    def __init__(
        self, name: str, socket: Path, seed: int, programs: Path, trees: list[Path]
    ) -> None:
        self.name = name
        self.lines: list[dict[str, Any]] = []
        self.frozen = False
        self.killed = False
        self.groups = [tree / name for tree in trees]
        for group in self.groups:
            group.mkdir()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "quantainer_bench.box", str(socket), str(seed), str(programs)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for group in self.groups:
            (group / "cgroup.procs").write_text(str(self._process.pid))
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,))
        self._reader.start()

    def _read(self, stream: TextIO) -> None:
        for line in stream:
            with contextlib.suppress(ValueError):  # the last line of a killed process
                self.lines.append(json.loads(line))

    @property
    def pid(self) -> int:
        """The first process."""
        return self._process.pid

    def heard(self, event: str) -> list[dict[str, Any]]:
        """Return what the tenant said of one kind."""
        return [line for line in list(self.lines) if line["event"] == event]

    def tell(self, *words: str) -> None:
        """Send the tenant a command."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(" ".join(words) + "\n")
            self._process.stdin.flush()

    def freeze(self, frozen: bool) -> None:
        """Pause or unpause, as an OCI runtime does."""
        self.frozen = frozen
        group = self.groups[-1]
        if (group / "cgroup.freeze").exists():
            (group / "cgroup.freeze").write_text("1" if frozen else "0")
        else:
            (group / "freezer.state").write_text("FROZEN" if frozen else "THAWED")

    def kill(self) -> None:
        """End it as ``docker kill`` does, paused or not, and remove its groups."""
        if self.killed:
            return
        self.killed = True
        self._process.kill()
        self.freeze(False)
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        for group in self.groups:
            _remove(group)


def _remove(group: Path) -> None:
    for _ in range(500):
        try:
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.01)
        else:
            return


if __name__ == "__main__":
    Tenant(sys.argv[1], int(sys.argv[2]), json.loads(Path(sys.argv[3]).read_text())).live()
