"""Daemon: puts broker, store, workers and endpoints of one node together and runs them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import time
from pathlib import Path
from typing import Any

from quantainer.broker import configuration
from quantainer.broker.admission import NodeLimits
from quantainer.broker.alertness import event_loop
from quantainer.broker.broker import Broker
from quantainer.broker.driver import Driver
from quantainer.broker.environment import worker_environment
from quantainer.broker.headroom import Headroom
from quantainer.broker.payloads import Payloads
from quantainer.broker.queue import Bounds as QueueBounds
from quantainer.broker.queue import FairQueue, Resources
from quantainer.broker.reply import Session
from quantainer.broker.resources import CpuGrant, MemoryGrant, cpu_grant, memory_grant
from quantainer.broker.retention import Retention
from quantainer.broker.store import Store
from quantainer.broker.workers import Pool
from quantainer.cli.chores import Chore, chores, for_ever
from quantainer.cli.runtime_dir import make_runtime_dir, refuse_second
from quantainer.core import events
from quantainer.core.capacity import Capacity
from quantainer.core.lease import Lease
from quantainer.core.lifecycle import Lifecycle
from quantainer.core.settings import Resolved, Settings
from quantainer.device.endpoint import Bounds, Endpoint
from quantainer.device.identity import Peer
from quantainer.device.leases import LeaseDesk
from quantainer.device.operations import Operations
from quantainer.device.publication import Publication
from quantainer_client.errors import QuantainerError

__all__ = ["HOST_SOCKET", "Daemon", "serve"]

log = logging.getLogger("quantainer")

HOST_SOCKET = "broker.sock"
_LITTLE_MEMORY = 64 * 1024**2


class Daemon:
    """One broker process."""

    def __init__(self, resolved: Resolved) -> None:
        self._resolved = resolved
        self._settings = settings = resolved.values
        self._cpu = cpu_grant(settings.threads)
        self._workers = settings.workers or self._cpu.threads
        self._memory = self._memory_grant()
        self._runtime = Path(settings.runtime_dir)
        self._stopping = asyncio.Event()
        _warn(self._cpu, self._memory)
        make_runtime_dir(self._runtime)
        refuse_second(self._runtime / HOST_SOCKET)
        self._store = Store(Path(settings.state_dir), settings.durability)
        self._driver = Driver(
            Lifecycle(Capacity(memory_bytes=self._memory.limit_bytes)),
            self._store,
            self._queue(),
            Payloads(self._store),
            settings.job_timeout,
        )
        self._pool = Pool(
            self._workers,
            self._worker_setup(),
            worker_environment(self._cpu.threads, os.environ),
            self._driver.dispatch,
        )
        self._driver.pool = self._pool
        self._driver.headroom = Headroom(self._memory_grant, self._pool.processes)
        node = NodeLimits(self._memory.limit_bytes, settings.result_max)
        self.broker = Broker(settings, self._driver, self._pool, node, self._cpu.threads)
        self._desk = LeaseDesk(self.broker, settings)
        self._publication = Publication(settings, self.broker.targets)
        self._reloading = asyncio.Lock()
        self._endpoints: list[Endpoint] = []
        self._tasks: list[asyncio.Task[None]] = []

    def _memory_grant(self) -> MemoryGrant:
        settings = self._settings
        return memory_grant(settings.memory_limit, settings.memory_reserve, workers=self._workers)

    def _queue(self) -> FairQueue:
        capacity = Resources(self._workers, self._memory.limit_bytes)
        queue = FairQueue(capacity, QueueBounds(total=self._settings.queue_length))
        for tenant, weight in self._settings.weights.items():
            queue.set_weight(tenant, weight)
        return queue

    def _worker_setup(self) -> dict[str, Any]:
        settings = self._settings
        return {
            "memory_bytes": self._memory.limit_bytes,
            "threads": self._cpu.threads,
            "seconds": settings.job_timeout,
            "shared": f"{settings.state_dir}/compiled",
            "shots_max": settings.shots_max,
            "reading": {
                "max_bytes": settings.payload_max,
                "max_gates": settings.gates_max,
                "max_qubits": settings.qubits_max,
            },
        }

    async def run(self) -> None:
        """Serve until asked to stop.

        Raises:
            QuantainerError: If the daemon cannot start.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload_later)
        try:
            if await self._started():
                notify_systemd("READY=1")
                await self._stopping.wait()
            notify_systemd("STOPPING=1")
        finally:
            self._close()

    async def _started(self) -> bool:
        """Start; return False if it was asked to stop before it had."""
        start = asyncio.ensure_future(self._start())
        stop = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait((start, stop), return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if start.done():
            start.result()
            return True
        start.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await start
        return False

    async def _start(self) -> None:
        self._pool.start()
        await self.broker.load_targets()
        self._grant_nodes(self._settings)
        recovered = events.BrokerRestarted(
            leases=tuple(self._store.open_leases()),
            jobs=tuple(self._store.live_jobs()),
            at=time.time(),
        )
        self._driver.handle(recovered)
        self._desk.recover()
        self._listen()
        self._publication.publish()
        self._tasks = [asyncio.create_task(for_ever(chore)) for chore in self._chores()]
        # What exists by now stays; new garbage is looked for less often than after 700 objects.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 100)

    def _chores(self) -> list[Chore]:
        settings = self._settings
        retention = Retention(settings.results_age, settings.results_bytes, settings.jobs_age)
        return [self._desk.sweep, *chores(self._store, retention, self._publication)]

    def _listen(self) -> None:
        settings = self._settings
        limits = Bounds(settings.lease_connections, settings.slow_reader_timeout)
        group = settings.socket_group
        device = Endpoint(
            self._runtime / "dev" / "qvm.sock",
            mode=0o666,
            group=None,
            admit=self._admit_container,
            operations=Operations(self.broker),
            bounds=limits,
        )
        host = Endpoint(
            self._runtime / HOST_SOCKET,
            mode=0o660 if group else 0o600,
            group=group,
            admit=self._admit_host,
            operations=Operations(
                self.broker, self._desk, self._status, self._stopping.set, self.reload
            ),
            bounds=limits,
        )
        self._endpoints = [device, host]
        self._desk.on_closed = self._drop

    def _drop(self, lease: Lease) -> None:
        for endpoint in self._endpoints:
            endpoint.drop(lease.id)

    def _admit_container(self, peer: Peer) -> Session:
        lease = self._desk.lease_of(peer)
        if lease is None:
            raise QuantainerError(
                "no_lease",
                "The calling process belongs to no container with a quantum device.",
                hint="Start the container with --device quantainer.dev/qpu=qsim.",
            )
        return self.broker.session(lease)

    def _admit_host(self, peer: Peer) -> Session:
        if not self._desk.on_host(peer):
            raise QuantainerError(
                "forbidden",
                "This socket serves processes of the host; the caller is in a container.",
                hint="In a container use /dev/quantum/qvm.sock.",
            )
        return self.broker.host_session(peer.uid, operator=peer.uid in (0, os.geteuid()))

    def _status(self) -> dict[str, Any]:
        return {
            "settings": self._resolved.to_dict(),
            "cpu": {
                "threads": self._cpu.threads,
                "source": self._cpu.source,
                "warnings": list(self._cpu.warnings),
            },
            "memory": {
                "limit_bytes": self._memory.limit_bytes,
                "source": self._memory.source,
                "warnings": _memory_warnings(self._memory),
            },
            "sockets": {
                "host": str(self._runtime / HOST_SOCKET),
                "device": str(self._runtime / "dev" / "qvm.sock"),
            },
            "backends": [target.summary() for target in self.broker.targets.values()],
        }

    # What changes while it runs

    def _grant_nodes(self, settings: Settings) -> list[str]:
        missing = [
            f"device node {problem}: its containers will not start"
            for problem in self._publication.grant(settings)
        ]
        for problem in missing:
            log.warning("%s", problem)
        return missing

    def _reload_later(self) -> None:
        """Reload at SIGHUP; a fault in it is logged and changes nothing."""
        task = asyncio.get_running_loop().create_task(self._try_reload())
        self._tasks.append(task)
        task.add_done_callback(self._tasks.remove)

    async def _try_reload(self) -> None:
        try:
            await self.reload()
        except QuantainerError as error:
            log.error("not reloaded: %s", error)  # noqa: TRY400

    async def reload(self) -> dict[str, Any]:
        """Look again at configuration and backends, and tell engines and containers of them.

        Backends come and go with the packages that are installed; of the settings, ``nodes`` takes
        effect. Jobs that run are not disturbed.

        Raises:
            QuantainerError: If the configuration is wrong or no worker starts; then all stays.
        """
        async with self._reloading:
            read = configuration.load().values
            self._pool.renew()
            await self.broker.load_targets()
            warnings = [*self._regrant(read), *self._ignored(read)]
            path = self._publication.publish()
            names = sorted(self.broker.targets)
            log.info("reloaded: %d backends", len(names))
            return {
                "backends": names,
                "specification": None if path is None else str(path),
                "warnings": warnings,
            }

    def _regrant(self, read: Settings) -> list[str]:
        """Grant the nodes that are configured now; if they cannot be, those of before stay."""
        settings = self._settings.model_copy(update={"nodes": read.nodes})
        try:
            missing = self._grant_nodes(settings)
        except QuantainerError as error:
            log.warning("%s", error)
            return [f"{error} The nodes stay as they were."]
        self._settings = settings
        return missing

    def _ignored(self, read: Settings) -> list[str]:
        """Return a warning for each setting that was changed but needs a new start."""
        flags = {key for key, source in self._resolved.sources.items() if source == "flag"}
        changed = [
            key
            for key, value in read.model_dump().items()
            if key not in flags | {"nodes"} and value != getattr(self._settings, key)
        ]
        said = [f"setting {key} has changed: restart the broker for it" for key in changed]
        for text in said:
            log.warning("%s", text)
        return said

    def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for endpoint in self._endpoints:
            endpoint.close()
        self._desk.close_all()
        self._pool.close()
        self._driver.close()
        with contextlib.suppress(QuantainerError):
            self._store.close()


def _warn(cpu: CpuGrant, memory: MemoryGrant) -> None:
    log.info("threads: %d (%s)", cpu.threads, cpu.source)
    log.info("memory for jobs: %d MiB (%s)", memory.limit_bytes >> 20, memory.source)
    for warning in (*_memory_warnings(memory), *cpu.warnings):
        log.warning("%s", warning)


def _memory_warnings(memory: MemoryGrant) -> list[str]:
    if memory.limit_bytes >= _LITTLE_MEMORY:
        return []
    return [
        f"hardly any memory is left for jobs, {memory.limit_bytes >> 20} MiB ({memory.source}, "
        "less the reserve for the broker and its workers): circuits will be refused; "
        "raise memory_limit, or lower memory_reserve"
    ]


def notify_systemd(state: str) -> None:
    """Tell systemd where this service stands, if it started it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    with sender, contextlib.suppress(OSError):
        sender.sendto(state.encode(), address.replace("@", "\0", 1))


def serve(resolved: Resolved) -> None:
    """Run the daemon in this process until it is asked to stop.

    Raises:
        QuantainerError: If it cannot start.
    """
    settings: Settings = resolved.values
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with asyncio.Runner(loop_factory=event_loop) as runner:
        runner.run(_main(resolved))


async def _main(resolved: Resolved) -> None:
    await Daemon(resolved).run()
