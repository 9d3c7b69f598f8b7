"""Process: one worker process as the broker sees it: what it does, and how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from quantainer.broker.encoding import decode, encode_plain
from quantainer.broker.lastwords import LastWords
from quantainer.broker.parts import Packed
from quantainer_client import wire
from quantainer_client.errors import QuantainerError
from quantainer_client.payload import Payload

__all__ = ["LARGE", "Answer", "Task", "WorkerProcess"]

log = logging.getLogger("quantainer.workers")

_WARM_CIRCUITS = 256
_READY_S = 300.0
LARGE = b"\0"
"""Stands for a message whose text lies in the first descriptor; no JSON begins with it."""
_DONTWAIT = int(socket.MSG_DONTWAIT)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker sent: its fields, and a descriptor that the receiver must close."""

    fields: dict[str, Any]
    fd: int | None


@dataclass(slots=True)
class Task:
    """One request to a worker.

    Exactly one of ``answered`` and ``died`` is called at its end; ``progressed`` before it, for
    each part that is finished earlier.
    """

    number: int
    answered: Callable[[Answer], None]
    died: Callable[[str], None]
    seconds: float = 3600.0
    progressed: Callable[[Answer], None] | None = None


class WorkerProcess:
    """A child process with a socket; tells its pool when it is idle and when it is gone.

    Attributes:
        was_gone: It had ended when it was given its last work, which has no part in that.
    """

    def __init__(
        self,
        setup: Mapping[str, Any],
        environ: Mapping[str, str],
        on_idle: Callable[[WorkerProcess], None],
        on_gone: Callable[[WorkerProcess], None],
    ) -> None:
        """Start the process.

        Raises:
            OSError: If it cannot be started.
        """
        self._loop = asyncio.get_running_loop()
        self._on_idle = on_idle
        self._on_gone = on_gone
        self.task: Task | None = None
        self.ready = False
        self.frozen = False
        self.executing = False
        self.overdue = False
        self.retired = False
        self.was_gone = False
        self.kill_reason: str | None = None
        self.exit_reason = ""
        self._warm: OrderedDict[str, None] = OrderedDict()
        self._closing: asyncio.TimerHandle | None = None
        self._gone = False
        self._ended_alone = False
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._words = LastWords(self._loop)
        with theirs, self._words.handed_over():
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "quantainer.broker.worker",
                    str(theirs.fileno()),
                    str(os.getpid()),
                    json.dumps(setup),
                ],
                pass_fds=[theirs.fileno()],
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stderr=self._words.fd,
                cwd="/",
                process_group=0,  # what a terminal sends (Ctrl-C) is for the broker alone
            )
        self._connection = ours
        self._connection.setblocking(False)
        self._pidfd = self._opened()
        self._waits = _open_waits(self._process.pid)
        self._account = 0.0, 0.0
        self._loop.add_reader(self._connection, self._receive)
        self._loop.add_reader(self._pidfd, self._reap)
        self._timer = self._loop.call_later(_READY_S, self.kill, "was not ready in time")

    def _opened(self) -> int:
        """Return a descriptor of the process; without one it cannot be watched, and must not be."""
        try:
            return os.pidfd_open(self._process.pid)
        except OSError:
            self._process.kill()
            self._process.wait()
            self._connection.close()
            self._words.close()
            raise

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def idle(self) -> bool:
        """Ready and without a task."""
        ending = self._gone or self.retired or self.kill_reason is not None
        return self.ready and self.task is None and not ending

    @property
    def memory_was_refused(self) -> bool:
        """Ended on its own because an allocation failed, as far as it could say."""
        return self._ended_alone and self._words.memory_was_refused

    def account(self) -> tuple[float, float]:
        """Return how many seconds its threads have computed, and its first waited for a core."""
        with contextlib.suppress(OSError):
            if not self._gone:  # then what is known stands: the number may be another's
                computed = time.clock_gettime(_cpu_clock(self._process.pid))
                waited = 0.0 if self._waits is None else _waited(self._waits)
                self._account = computed, waited
        return self._account

    def knows(self, digest: str) -> bool:
        """Tell whether the worker has met a payload lately."""
        return digest in self._warm

    def assign(
        self,
        task: Task,
        message: dict[str, Any],
        fd: int | None,
        digest: str,
        parts: asyncio.Future[Packed] | None = None,
    ) -> None:
        """Give an idle worker something to do; after the task's ``seconds`` it is killed.

        Args:
            task: Who hears of it.
            message: The request.
            fd: The payload; it may be closed when this returns.
            digest: Of the payload.
            parts: What is durable of the job already. The worker is taken, and told what to do once
                that is there; if it cannot be had, the job starts anew.

        Raises:
            OSError: If there is no descriptor to spare; then the worker is idle still.
        """
        message["task"] = task.number
        packet = encode_plain(message)
        held = [] if parts is None or fd is None else [os.dup(fd)]
        self.task = task
        self._words.forget()
        self.executing = message["op"] == "execute"
        if digest:
            self._warm[digest] = None
            self._warm.move_to_end(digest)
            if len(self._warm) > _WARM_CIRCUITS:
                self._warm.popitem(last=False)
        self._timer = self._loop.call_later(task.seconds, self._overdue)
        if parts is None:
            self._send(packet, [] if fd is None else [fd])
            return
        parts.add_done_callback(lambda _: self._go_on(task, message, held, parts))

    def _go_on(
        self,
        task: Task,
        message: dict[str, Any],
        fds: list[int],
        parts: asyncio.Future[Packed],
    ) -> None:
        """Send the work of a task for which parts were fetched, if it is still this worker's."""
        try:
            if not parts.cancelled() and parts.exception() is None:
                packed = parts.result()
                fds.append(packed.fd)
                message["parts"] = packed.place
            if self.task is task:
                self._send(encode_plain(message), fds)
        finally:
            for fd in fds:
                os.close(fd)

    def _send(self, packet: bytes, fds: list[int]) -> None:
        try:
            if len(packet) > wire.MAX_MESSAGE:
                self._send_large(packet, fds)
            elif len(fds) > 1:
                socket.send_fds(self._connection, [packet], fds)
            else:
                wire.send(self._connection, packet, fds[0] if fds else None)
        except ConnectionError:
            self.was_gone = True
            self.kill("had ended before it was given work")
        except (OSError, QuantainerError) as error:
            self.kill(f"was not given its work ({error})")

    def _send_large(self, packet: bytes, fds: list[int]) -> None:
        """Send a message that grew too large for a packet as a memfd before the payload."""
        payload = Payload()
        payload.append(packet)
        large = payload.seal("quantainer-message")
        try:
            socket.send_fds(self._connection, [LARGE], [large, *fds])
        finally:
            os.close(large)

    def kill(self, reason: str) -> None:
        """End the process at once, frozen or not; its pool hears of it when it is gone."""
        if self.kill_reason is None:
            self.kill_reason = reason
        self._signal(signal.SIGKILL)

    def retire(self) -> None:
        """End the process when it has nothing more to do: another takes its place."""
        self.retired = True
        if self.task is None:
            self.kill("was replaced by a fresh one")

    def freeze(self) -> None:
        """Stop the process where it stands; its timer stops with it."""
        self.frozen = True
        self._signal(signal.SIGSTOP)
        if self.task is not None:
            self.task.seconds = max(0.0, self._timer.when() - self._loop.time())
            self._timer.cancel()

    def thaw(self) -> None:
        """Let the process go on."""
        self.frozen = False
        self._signal(signal.SIGCONT)
        if self.task is not None:
            self._timer = self._loop.call_later(self.task.seconds, self._overdue)

    def _signal(self, number: int) -> None:
        if self._gone:
            return  # the descriptor may be someone else's by now
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def _overdue(self) -> None:
        self.overdue = True
        self.kill("ran longer than its limit")

    def _receive(self) -> bool:
        """Take what came from the worker; return whether there may be more."""
        try:
            packet, fd = wire.receive(self._connection, _DONTWAIT)
        except BlockingIOError:
            return False
        except (OSError, QuantainerError):
            packet, fd = b"", None
        if not packet:
            self._loop.remove_reader(self._connection)
            # It ends right now, and its status tells why; one that lives on must not.
            if not self._gone:
                self._closing = self._loop.call_later(1.0, self.kill, "closed its socket")
            return False
        try:
            self._take(_fields(packet), fd)
        except (ValueError, TypeError, KeyError, AttributeError):
            if fd is not None:
                with contextlib.suppress(OSError):
                    os.close(fd)
            self.kill("sent a malformed answer")
        return self.kill_reason is None

    def _take(self, fields: dict[str, Any], fd: int | None) -> None:
        if not self.ready and fields["op"] == "ready":
            self.ready = True
            self._timer.cancel()
            self._on_idle(self)
            return
        task = self.task
        if task is None or fields["task"] != task.number:
            raise ValueError("an answer to nothing")
        if fields["op"] == "part":
            if task.progressed is None:
                raise ValueError("a part of nothing")
            task.progressed(Answer(fields, fd))
            return
        self._end_task()
        self._hand_over(task, Answer(fields, fd))
        if self.retired:
            self.retire()
        else:
            self._on_idle(self)

    def _hand_over(self, task: Task, answer: Answer) -> None:
        """Hand an answer to whoever waits for it; one that they cannot use is the worker's end."""
        try:
            task.answered(answer)
        except (ValueError, TypeError, KeyError, AttributeError):
            log.exception("an answer of worker %d is of no use", self.pid)
            self.kill("sent a malformed answer")
            task.died(self.kill_reason or "")

    def _end_task(self) -> None:
        self._timer.cancel()
        self.task = None
        self.executing = False
        if self.frozen:
            # It had answered when it was stopped; nobody is going to thaw a job that has ended.
            self.thaw()

    def _reap(self) -> None:
        status = self._process.wait()
        self._gone = True
        if self.kill_reason is None and self._closing is None:
            while self._receive():
                pass  # parts and an answer sent just before the end count
        if self._closing is not None:
            self._closing.cancel()
        self._loop.remove_reader(self._pidfd)
        self._loop.remove_reader(self._connection)
        os.close(self._pidfd)
        if self._waits is not None:
            os.close(self._waits)
            self._waits = None
        self._connection.close()
        self._words.close()
        self._ended_alone = self.kill_reason is None
        self.exit_reason = self.kill_reason or _describe(status)
        self.kill_reason = self.exit_reason
        task = self.task
        self._end_task()
        self._on_gone(self)
        if task is not None:
            task.died(self.exit_reason)

    def wait_gone(self, timeout: float) -> None:
        """Wait for the end of a killed process, at shutdown, when no loop runs any more."""
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        poll.poll(timeout * 1000)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=0.1)


def _fields(packet: bytes) -> dict[str, Any]:
    """Return a worker's message: an object, then the texts of the lists that it names, by line.

    Lists stay text, which is stored and sent on as it is.

    Raises:
        ValueError: If it is none; also TypeError or KeyError.
    """
    head, *texts = packet.split(b"\n")
    fields: dict[str, Any] = decode(head)
    for name, text in zip(fields.pop("lists", ()), texts, strict=True):
        fields[name] = text.decode("ascii")
    return fields


def _cpu_clock(pid: int) -> int:
    """Return the clock of the processor time of all threads of a process, as Linux numbers it."""
    return (~pid << 3) | 2


def _waited(account: int) -> float:
    return int(os.pread(account, 64, 0).split()[1]) / 1e9


def _open_waits(pid: int) -> int | None:
    """Open the kernel's account of what a process waited for cores; None where it keeps none."""
    try:
        return os.open(f"/proc/{pid}/schedstat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def _describe(status: int) -> str:
    if status >= 0:
        return f"exited with status {status}"
    number = -status
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    hint = " (possibly out of memory)" if number == signal.SIGKILL else ""
    return f"was killed by {name}{hint}"
