"""Connection: talks to the broker over the device socket.

A connection may be shared by threads and survives ``fork``. It writes no file and needs no home
directory.
"""

from __future__ import annotations

import os
import sys
from time import monotonic, sleep

from quantainer_client import __version__
from quantainer_client.channel import Channel, LostError
from quantainer_client.errors import QuantainerError
from quantainer_client.job import TERMINAL, Job
from quantainer_client.payload import Sealed, resolve, resolve_list
from quantainer_client.result import Result
from quantainer_client.submission import Pub, fields_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Sequence, Union, Unpack

    from quantainer_client.channel import Reply
    from quantainer_client.payload import Payload
    from quantainer_client.submission import Choices, Program

    Work = Union[Program, Pub, Sequence[Union[Program, Pub]]]

__all__ = ["Connection", "connect", "run"]

CALL_TIMEOUT = 30.0
"""Seconds for an answer that needs no execution."""
_READ_BYTES_S = 100_000
"""At least so many bytes of circuits are read in a second, even on a busy node."""
JOB_TIMEOUT = 3600.0
"""Seconds for a job, unless the caller names another number."""
_RECONNECT_FOR = 30.0
"""Seconds for which a wait outlives the broker: a restarted one takes its jobs up again."""
_WAIT_SLICE = 30.0
_KEPT_BELOW = 65_536
"""Bytes of a payload that is kept for the case that it is sent again."""


class Connection:
    """A caller's way to the broker.

    Args:
        path: The socket; by default as ``socket_path`` finds it at the first call.
        timeout: Seconds for every answer that needs no execution.
    """

    def __init__(self, path: Optional[str] = None, timeout: float = CALL_TIMEOUT) -> None:
        self.timeout = timeout
        self._channel = Channel(path, timeout)
        self._sealed: Optional[Sealed] = None
        self._lease: Optional[Dict[str, Any]] = None

    # Operations

    def hello(self) -> Dict[str, Any]:
        """Return the broker's version, its protocol and limits, and the caller's lease."""
        client = (
            f"quantainer-client/{__version__} python/{sys.version_info[0]}.{sys.version_info[1]}"
        )
        return self._ask("hello", {"client": client})

    @property
    def lease(self) -> Dict[str, Any]:
        """What the caller was granted, such as ``backends`` and ``limits``; asked once."""
        if self._lease is None:
            self._lease = dict(self.hello()["lease"])
        return self._lease

    @property
    def mode(self) -> str:
        """Where the caller's circuits run: ``local`` (in this container), ``hybrid`` or ``qpu``."""
        return str(self.lease["mode"])

    def backends(self) -> List[Dict[str, Any]]:
        """Return a summary of each backend that the lease grants."""
        reply, payload = self._call("backends", {})
        return resolve_list(reply.get("backends"), payload, "backends")

    def backend(self, name: str) -> Dict[str, Any]:
        """Return every fact of one backend.

        Raises:
            QuantainerError: ``unknown_backend``.
        """
        reply, payload = self._call("backends", {"name": name})
        target: Dict[str, Any] = resolve(reply.get("target"), payload, "target")
        return target

    def submit(
        self,
        work: Work,
        *,
        backend: Optional[str] = None,
        shots: Optional[int] = None,
        seed: Optional[int] = None,
        priority: int = 0,
        timeout: Optional[float] = None,
        options: Optional[Dict[str, Any]] = None,
    ) -> Job:
        """Hand in a job and return at once.

        Args:
            work: A circuit, the text or bytes of a program, a ``Pub``, or a sequence of these.
            backend: One that the lease grants; None: ``qsim``, or else the only one granted.
            shots: 1 to the broker's limit; None: the broker's default.
            seed: 0 to 2⁶³ − 1; the same seed gives the same bits. None: fresh entropy.
            priority: Among the jobs of the same tenant; higher is sooner.
            timeout: Seconds after which the job is failed.
            options: ``method``, ``engine``, ``precision``, ``truncation_max``, ``level``.

        Raises:
            QuantainerError: Whatever the broker refuses.
        """
        fields, payload = fields_of(
            _pubs(work),
            backend=backend,
            shots=shots,
            seed=seed,
            priority=priority,
            timeout=timeout,
            options=options,
        )
        reply, _ = self._send("submit", fields, payload, self._reading_timeout(payload))
        return Job(self, reply["job"], reply["state"])

    def run(
        self, work: Work, *, timeout: Optional[float] = None, **choices: Unpack[Choices]
    ) -> Result:
        """Run a job and return its result, in one round trip; arguments as in ``submit``.

        Raises:
            QuantainerError: Whatever the broker refuses or the job fails of.
        """
        fields, payload = fields_of(_pubs(work), timeout=timeout, **choices)
        fields["wait"] = True
        limit = JOB_TIMEOUT if timeout is None else timeout + self._reading_timeout(payload)
        deadline = monotonic() + limit
        reply, data = self._send("submit", fields, payload, limit)
        if "results" in reply:
            return Result.from_reply(reply, data)
        return self.result(reply["job"], max(0.0, deadline - monotonic()))

    def estimate(
        self,
        work: Work,
        *,
        backend: Optional[str] = None,
        shots: Optional[int] = None,
        options: Optional[Dict[str, Any]] = None,
    ) -> List[Dict[str, Any]]:
        """Return facts and plan of each circuit, or raise what ``submit`` would; nothing runs."""
        fields, payload = fields_of(_pubs(work), backend=backend, shots=shots, options=options)
        reply, data = self._send("estimate", fields, payload, self._reading_timeout(payload))
        return resolve_list(reply.get("pubs"), data, "pubs")

    def wait(self, job: str, timeout: Optional[float] = None) -> Dict[str, Any]:
        """Wait until a job ends or ``timeout`` seconds (default an hour) are over.

        A broker that goes away meanwhile is given half a minute to come back.

        Returns:
            ``job``, ``state``, ``shots_done``.
        """
        deadline = monotonic() + (JOB_TIMEOUT if timeout is None else timeout)
        while True:
            remaining = max(0.0, min(_WAIT_SLICE, deadline - monotonic()))
            fields = {"job": job, "timeout": remaining}
            reply, _ = self._persist("wait", fields, remaining)
            if reply["state"] in TERMINAL or monotonic() >= deadline:
                return reply

    def result(self, job: str, timeout: Optional[float] = None) -> Result:
        """Wait for a job as ``wait`` does and return its result.

        Raises:
            QuantainerError: What the job failed of; ``timeout`` if it has not ended in time.
        """
        limit = JOB_TIMEOUT if timeout is None else timeout
        deadline = monotonic() + limit
        while True:
            remaining = max(0.0, min(_WAIT_SLICE, deadline - monotonic()))
            reply, data = self._persist("result", {"job": job, "timeout": remaining}, remaining)
            if "results" in reply:
                return Result.from_reply(reply, data)
            if monotonic() >= deadline:
                raise QuantainerError(
                    "timeout",
                    f"Job {job} has not ended within {limit:g} s.",
                    limit=limit,
                    hint="It goes on; ask for its result again later, or cancel it.",
                )

    def partial(self, job: str) -> Result:
        """Return what a job has measured so far, or had when it was stopped.

        One entry for each circuit that was begun and has finished parts, with the shots of those.
        """
        reply, data = self._call("result", {"job": job, "partial": True})
        return Result.from_reply(reply, data)

    def cancel(self, job: str) -> Dict[str, Any]:
        """Ask for a job's end and return ``job`` and ``state``."""
        return self._ask("cancel", {"job": job})

    def jobs(self) -> List[Dict[str, Any]]:
        """Return summaries of the caller's own jobs."""
        reply, payload = self._call("jobs", {})
        return resolve_list(reply.get("jobs"), payload, "jobs")

    def close(self) -> None:
        """Close the idle sockets; the connection opens new ones when it is used again."""
        self._channel.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # Calls

    def _ask(self, op: str, fields: Dict[str, Any]) -> Dict[str, Any]:
        return self._call(op, fields)[0]

    def _call(self, op: str, fields: Dict[str, Any], timeout: Optional[float] = None) -> Reply:
        """Ask for what may safely be asked twice: a broker that restarts meanwhile does no harm."""
        try:
            return self._channel.round_trip(op, fields, None, timeout or self.timeout)
        except LostError:
            return self._channel.round_trip(op, fields, None, timeout or self.timeout)

    def _reading_timeout(self, payload: Payload) -> float:
        """Return how long the answer may take: large circuits are read before it comes."""
        return self.timeout + payload.size / _READ_BYTES_S

    def _send(self, op: str, fields: Dict[str, Any], payload: Payload, timeout: float) -> Reply:
        """Ask with a payload, and never twice; what was sent last is sealed already."""
        sealed = self._sealed
        if sealed is None or sealed.payload.parts != payload.parts:
            sealed = Sealed(payload)
            self._sealed = sealed if payload.size <= _KEPT_BELOW else None
        return self._channel.round_trip(op, fields, sealed.fd, timeout)

    def _persist(self, op: str, fields: Dict[str, Any], waiting: float) -> Reply:
        """Ask what is answered within some time, and again while the broker is away."""
        waited, pause = 0.0, 0.02
        while True:
            try:
                return self._call(op, fields, waiting + self.timeout)
            except QuantainerError as error:
                if error.code != "broker_unavailable" or waited > _RECONNECT_FOR:
                    raise
            delay = pause * (0.5 + os.urandom(1)[0] / 256)  # random: spreads many clients
            sleep(delay)
            # Not by the clock: it goes on while a paused container stands still.
            waited += delay
            pause = min(2 * pause, 1.0)


def _pubs(work: Work) -> List[Pub]:
    if isinstance(work, Pub):
        return [work]
    if isinstance(work, (list, tuple)):
        return [item if isinstance(item, Pub) else Pub(item) for item in work]
    return [Pub(work)]  # type: ignore[arg-type]


# --- The usual connection -------------------------------------------------------------------------

_usual: Dict[Optional[str], Connection] = {}


def connect(path: Optional[str] = None) -> Connection:
    """Return the process's connection to a socket, the same one each time."""
    connection = _usual.get(path)
    if connection is None:
        connection = _usual.setdefault(path, Connection(path))
    return connection


def run(
    work: Work,
    *,
    shots: Optional[int] = None,
    backend: Optional[str] = None,
    seed: Optional[int] = None,
    options: Optional[Dict[str, Any]] = None,
) -> Result:
    """Run circuits on this container's device and return the result; see ``Connection.run``."""
    return connect().run(work, backend=backend, shots=shots, seed=seed, options=options)
