"""A container as small as it comes: a Python in namespaces and control groups of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from engine.broker import Broker
from quantainer_client.channel import Channel

CGROUPS = Path("/sys/fs/cgroup")

LOOP = """
import json, sys
scope = {}
for line in sys.stdin:
    try:
        exec(json.loads(line), scope)
        said = {"answer": scope.pop("answer", None)}
    except BaseException as error:
        said = {"error": getattr(error, "code", None) or type(error).__name__, "text": str(error)}
    print(json.dumps(said), flush=True)
"""

TOOLS = """
import array, ctypes, fcntl, json, os, select, signal, socket, struct, sys, time
from quantainer_client.connection import Connection
from quantainer_client.errors import QuantainerError
from quantainer_client.payload import Payload

BELL = "OPENQASM 2.0; include \\"qelib1.inc\\"; qreg q[2]; creg c[2];" \
       "h q[0]; cx q[0],q[1]; measure q -> c;"

def dial(path):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.connect(path)
    sock.settimeout(20)
    return sock

def rights(*fds):
    return (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))

def credentials(pid, uid=None, gid=None):
    uid, gid = os.getuid() if uid is None else uid, os.getgid() if gid is None else gid
    return (socket.SOL_SOCKET, socket.SCM_CREDENTIALS, struct.pack("3i", pid, uid, gid))

def ask(sock, message, *ancillary):
    sock.sendmsg([json.dumps({"v": 1, "id": 1, **message}).encode()], ancillary)
    return json.loads(sock.recv(65536))

def code_of(reply):
    return "ok" if reply["ok"] else reply["error"]["code"]
"""


class BoxError(Exception):
    """What the code in the box raised."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


class Box:
    """A process that runs what it is told; ``answer`` is what comes back.

    Args:
        broker: The broker whose device socket it sees as ``DEVICE``, and ``HOST`` the other.
        unshare: Options of ``unshare``; a pid namespace of its own by default.
        group: A control group to live in.
        user: A host user to become once Python runs.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        unshare: tuple[str, ...] = ("--pid", "--fork", "--kill-child"),
        group: Group | None = None,
        user: int | None = None,
    ) -> None:
        self.broker = broker
        command = [sys.executable, "-c", LOOP]
        self._process = subprocess.Popen(
            ["unshare", *unshare, *command] if unshare else command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
        )
        self.pid = self._first_process() if "--fork" in unshare else self._process.pid
        if group is not None:
            group.take(self.pid)
        self(TOOLS)
        if user is not None:
            self(f"os.setgroups([]); os.setgid({user}); os.setuid({user})")
        self(f"DEVICE, HOST = {str(device_socket(broker))!r}, {str(broker.socket)!r}")

    def _first_process(self) -> int:
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if found := children.read_text().split():
                return int(found[0])
            time.sleep(0.01)
        raise AssertionError("unshare started nothing")

    def __call__(self, code: str) -> Any:
        """Run code and return its ``answer``."""
        self.say(code)
        return self.hear()

    def say(self, code: str) -> None:
        """Start code."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(code) + "\n")
        self._process.stdin.flush()

    def hear(self) -> Any:
        """Return the ``answer`` of what was started."""
        assert self._process.stdout is not None
        said = json.loads(self._process.stdout.readline() or '{"error": "ended", "text": ""}')
        if "error" in said:
            raise BoxError(said["error"], said["text"])
        return said["answer"]

    def eval(self, expression: str) -> Any:
        """Return the value of an expression."""
        return self(f"answer = {expression}")

    def code(self, message: dict[str, Any], where: str = "DEVICE") -> str:
        """Send a message over a connection of its own; ``ok`` or the code of the refusal."""
        return str(self.eval(f"code_of(ask(dial({where}), {message!r}))"))

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


class Group:
    """A control group in the trees that tell the broker where a process lives."""

    def __init__(self, name: str, parent: Group | None = None) -> None:
        above = "" if parent is None else parent.path
        self.path: str = f"{above}/quantainer-test-{uuid.uuid4().hex[:8]}-{name}"
        trees = [CGROUPS / tree for tree in ("unified", "devices", "pids")]
        self._trees = [tree for tree in trees if (tree / "cgroup.procs").exists()] or [CGROUPS]
        for tree in self._trees:
            (tree / self.path[1:]).mkdir()

    def take(self, pid: int) -> None:
        """Move a process into it."""
        for tree in self._trees:
            (tree / self.path[1:] / "cgroup.procs").write_text(str(pid))

    def expel(self, pid: int) -> None:
        """Move a process to the root."""
        for tree in self._trees:
            (tree / "cgroup.procs").write_text(str(pid))

    @property
    def files(self) -> list[str]:
        """The files that move a process into it."""
        return [str(tree / self.path[1:] / "cgroup.procs") for tree in self._trees]

    def remove(self) -> None:
        """End who lives in it and remove it."""
        for tree in self._trees:
            folder = tree / self.path[1:]
            with suppress(OSError):
                for pid in map(int, (folder / "cgroup.procs").read_text().split()):
                    os.kill(pid, signal.SIGKILL)
            remove_group(folder)


def remove_group(folder: Path) -> None:
    """Remove a control group once those who lived in it are gone."""
    deadline = time.monotonic() + 5
    while folder.exists() and time.monotonic() < deadline:
        try:
            folder.rmdir()
        except OSError:
            time.sleep(0.001)


def device_socket(broker: Broker) -> Path:
    """Return the socket that containers see."""
    return broker.home / "run" / "dev" / "qvm.sock"


@contextmanager
def operator(broker: Broker) -> Iterator[Channel]:
    """Connect as the operator."""
    channel = Channel(str(broker.socket), 30)
    try:
        yield channel
    finally:
        channel.close()


def lease(broker: Broker, container: str, **fields: Any) -> dict[str, Any]:
    """Open a lease as a hook does and return what it grants."""
    with operator(broker) as channel:
        reply, _ = channel.round_trip("lease.open", {"container": container, **fields}, None, 30)
    found: dict[str, Any] = reply["lease"]
    return found


def descriptors(broker: Broker) -> int:
    """Return how many descriptors the broker holds."""
    assert broker.process is not None
    return len(os.listdir(f"/proc/{broker.process.pid}/fd"))  # noqa: PTH208


def sockets(broker: Broker) -> int:
    """Return how many sockets the broker holds; results at hand and watched groups are none."""
    assert broker.process is not None
    folder = f"/proc/{broker.process.pid}/fd"
    links = []
    for name in os.listdir(folder):  # noqa: PTH208
        with suppress(FileNotFoundError):
            links.append(os.readlink(f"{folder}/{name}"))  # noqa: PTH115
    return sum(link.startswith("socket:") for link in links)
