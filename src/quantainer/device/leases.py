"""Leases: opened when a container is created, tied to it by the kernel, ended when it is gone."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from quantainer.broker.broker import Broker
from quantainer.broker.freezer import CgroupState, Freezer
from quantainer.broker.requests import LeaseOpen, LeaseRequest
from quantainer.broker.resources import Memberships
from quantainer.broker.shortage import refuse_shortage
from quantainer.core.lease import Anchor, Lease, LeaseLimits, LeaseState
from quantainer.core.settings import Settings
from quantainer.device.identity import (
    Namespaces,
    Peer,
    anchors_of,
    container_cgroup,
    has_ended,
    root_of,
)
from quantainer.device.residents import (
    birth,
    inspect,
    is_shared,
    resident_of_group,
    residents,
    was_there,
)
from quantainer_client.errors import QuantainerError

__all__ = ["LeaseDesk"]

log = logging.getLogger("quantainer.leases")

_SWEEP_SECONDS = 5.0


class LeaseDesk:
    """Opens and closes leases, and watches the first process of each container."""

    def __init__(self, broker: Broker, settings: Settings) -> None:
        self._broker = broker
        self._settings = settings
        self._own = Namespaces.of("self")
        self._own_root = root_of("self")
        own_groups = Memberships.parse(Path("/proc/self/cgroup").read_text(encoding="utf-8"))
        self._own_cgroup = container_cgroup(own_groups)
        self._freezer = Freezer()
        self._watches: dict[str, int] = {}
        self._groups: set[str] = set()
        self._orphans: set[str] = set()
        self._endings: dict[str, asyncio.Future[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        broker.driver.lease_closed = self._lease_closed
        self.on_closed: Callable[[Lease], None] = lambda _: None

    # Who belongs to which lease

    def lease_of(self, peer: Peer) -> Lease | None:
        """Return the lease of the container a process lives in.

        Who moved into the container's control group from elsewhere is not of the container.
        """
        for anchor in anchors_of(peer):
            lease = self._broker.driver.lifecycle.lease_at(anchor)
            if lease is not None and _lives_with(peer, lease):
                return lease
        return None

    def on_host(self, peer: Peer) -> bool:
        """Tell whether a process lives in the broker's own namespaces and in no container."""
        if self.lease_of(peer) is not None:
            return False
        return peer.on_host(self._own) or self._is_rootless_engine(peer)

    def _is_rootless_engine(self, peer: Peer) -> bool:
        """Tell whether a process may be the hook of this user's own rootless engine.

        Such engines live in a user and a mount namespace of their own, but in the host's pid
        namespace and with its root directory, unlike their containers. A broker of root's has no
        such engine.
        """
        if peer.namespaces is None or os.geteuid() == 0 or peer.root != self._own_root:
            return False
        return peer.uid == os.geteuid() and peer.namespaces.pid == self._own.pid

    # Open and close

    def open(self, request: LeaseOpen) -> Lease:
        """Open a lease for a container that is being created.

        Raises:
            QuantainerError: ``bad_request`` if nothing tells the container from the host, or as
                the broker refuses.
        """
        peer = None if request.pid is None else inspect(request.pid)
        limits = request.limits
        anchor = self._anchor(request, peer)
        lease = Lease(
            id=secrets.token_hex(8),
            tenant=request.tenant or request.container,
            anchor=anchor,
            backends=self._backends(request, anchor),
            mode=request.mode,
            limits=LeaseLimits(
                qubits=limits.qubits,
                memory_bytes=limits.memory_bytes,
                concurrent_jobs=limits.concurrent_jobs or self._settings.lease_concurrent_jobs,
                queued_jobs=limits.queued_jobs or self._settings.lease_queued_jobs,
                shots_per_second=limits.shots_per_second,
            ),
            container=request.container,
            image=request.image,
            annotations=dict(request.annotations),
            environment=dict(request.environment),
            pid_namespace=self._pid_namespace(peer),
            born=None if peer is None else birth(peer.pid),
            created_at=time.time(),
        )
        self._broker.open_lease(lease)
        try:
            self._watch_group(lease)
            lives = request.pid is None or self._watch(lease.id, request.pid)
        except QuantainerError:  # its pauses and its end would not be seen
            self._spawn(self._end(lease.id, drain=False))
            raise
        if not lives:
            self._spawn(self._end(lease.id, drain=True))  # it ended while the row was written
        return lease

    def _backends(self, request: LeaseOpen, anchor: Anchor) -> tuple[str, ...]:
        """Return the devices of a container: each of several has a request of its own."""
        earlier = self._broker.driver.lifecycle.lease_at(anchor)
        if earlier is None or earlier.container != request.container:
            return tuple(request.backends)
        return tuple(dict.fromkeys([*earlier.backends, *request.backends]))

    def _anchor(self, request: LeaseOpen, peer: Peer | None) -> Anchor:
        cgroup = request.cgroup if peer is None else peer.cgroup
        if (
            request.anchor == "cgroup"
            and cgroup is not None
            and self._is_own_group(request.container, cgroup, peer)
        ):
            return Anchor("cgroup", cgroup)
        namespace = self._pid_namespace(peer)
        if namespace is None:
            raise QuantainerError(
                "bad_request",
                "Nothing tells this container's processes from those of the host: it has neither a "
                "control group nor a pid namespace of its own.",
                hint="Start it without --pid host, or with a control group of its own.",
            )
        self._refuse_shared_namespace(request.container, namespace)
        return Anchor("pidns", str(namespace))

    def _is_own_group(self, container: str, cgroup: str, peer: Peer | None) -> bool:
        """Tell whether a control group was made for the container.

        One that bears its name was, whoever else lives there: bubblewrap stays beside the
        container that it made.
        """
        if self._is_ours(cgroup):
            return False
        named = cgroup.rsplit("/", 1)[-1] == container
        return named or peer is None or not is_shared(peer)

    def _refuse_shared_namespace(self, container: str, namespace: int) -> None:
        """Refuse to tell a container by a pid namespace that is another's as well.

        Raises:
            QuantainerError: ``bad_request``.
        """
        for lease in self._broker.driver.lifecycle.leases.values():
            if lease.pid_namespace != namespace or lease.container == container:
                continue
            watch = self._watches.get(lease.id)
            if watch is None or has_ended(watch):
                continue  # the namespace went with it, and its number is in use again
            raise QuantainerError(
                "bad_request",
                "Nothing tells this container's processes from those of another container, whose "
                "pid namespace it shares: it has no control group of its own.",
                hint="Start it without --pid container:…, or with a control group of its own.",
            )

    def _pid_namespace(self, peer: Peer | None) -> int | None:
        """Return the pid namespace that only this container's processes live in, if it has one."""
        if peer is None or not peer.pid_namespaces or peer.pid_namespaces[0] == self._own.pid:
            return None
        return peer.pid_namespaces[0]

    def _is_ours(self, cgroup: str) -> bool:
        """Tell whether the broker itself lives in or below a control group."""
        return cgroup == "/" or f"{self._own_cgroup}/".startswith(f"{cgroup}/")

    def find(self, request: LeaseRequest) -> Lease:
        """Return the open lease that is meant.

        Raises:
            QuantainerError: ``no_lease``.
        """
        leases = self._broker.driver.lifecycle.leases
        if request.lease is not None and request.lease in leases:
            return leases[request.lease]
        if request.container is not None:
            # The newest: an earlier one of a container that was restarted may still be draining.
            for lease in reversed(list(leases.values())):
                if lease.container == request.container:
                    return lease
        raise QuantainerError("no_lease", "There is no such lease.")

    async def close(self, request: LeaseRequest) -> None:
        """End a lease; returns when nothing of it runs and all it measured is durable.

        A lease that has ended already is no error: the container's end is seen in several ways.
        """
        try:
            lease = self.find(request)
        except QuantainerError:
            return
        await self._end(lease.id, drain=request.drain)

    async def _end(self, lease_id: str, *, drain: bool) -> None:
        if lease_id not in self._broker.driver.lifecycle.leases:
            return  # of several who saw the container's end another was first
        ending = self._endings.setdefault(lease_id, asyncio.get_running_loop().create_future())
        self._broker.container_stopping(lease_id, drain=drain)
        try:
            await asyncio.wait_for(asyncio.shield(ending), self._settings.stop_grace)
        except TimeoutError:
            self._broker.container_stopped(lease_id)
            await ending

    def _lease_closed(self, lease: Lease) -> None:
        self._unwatch(lease.id)
        if self._broker.driver.lifecycle.lease_at(lease.anchor) is None:
            self._freezer.unwatch(lease.anchor.value)
            self._groups.discard(lease.anchor.value)
        ending = self._endings.pop(lease.id, None)
        if ending is not None and not ending.done():
            ending.set_result(None)
        self.on_closed(lease)

    # Watching

    def _watch(self, lease_id: str, pid: int) -> bool:
        """Hold a process and learn of its end.

        Returns:
            False if it has ended.

        Raises:
            QuantainerError: ``queue_full`` if it cannot be held now.
        """
        try:
            pidfd = os.pidfd_open(pid)
        except OSError as error:
            refuse_shortage(error)
            return False
        self._watches[lease_id] = pidfd
        asyncio.get_running_loop().add_reader(pidfd, self._first_process_ended, lease_id)
        return True

    def _unwatch(self, lease_id: str) -> None:
        pidfd = self._watches.pop(lease_id, None)
        if pidfd is not None:
            asyncio.get_running_loop().remove_reader(pidfd)
            os.close(pidfd)

    def _watch_group(self, lease: Lease) -> None:
        """Learn from the kernel when the container is paused, unpaused or gone."""
        if lease.anchor.kind != "cgroup":
            return
        anchor = lease.anchor
        state = self._freezer.watch(anchor.value, lambda now: self._group_changed(anchor, now))
        if state is not CgroupState.UNSEEN:
            self._groups.add(anchor.value)
            self._group_changed(anchor, state)

    def _group_changed(self, anchor: Anchor, state: CgroupState) -> None:
        lease = self._broker.driver.lifecycle.lease_at(anchor)
        if lease is None:
            return
        if state is CgroupState.FROZEN:
            self._broker.container_paused(lease.id)
        elif state is CgroupState.RUNNING:
            self._broker.container_unpaused(lease.id)
        else:
            log.info("the control group of lease %s is gone", lease.id)
            self._spawn(self._end(lease.id, drain=True))

    def _first_process_ended(self, lease_id: str) -> None:
        self._unwatch(lease_id)
        lease = self._broker.driver.lifecycle.leases.get(lease_id)
        if lease is None:
            return
        if lease.anchor.value in self._groups:
            with _again_later():
                self._watch_another(lease, resident_of_group(lease.anchor))
            return
        if not self._orphans:
            asyncio.get_running_loop().call_soon(self._look_for_others)
        self._orphans.add(lease_id)

    def _look_for_others(self) -> None:
        """Look once for other processes of all containers whose first one has just ended."""
        orphans, self._orphans = self._orphans, set()
        leases = self._broker.driver.lifecycle.leases.values()
        self._watch_others([lease for lease in leases if lease.id in orphans])

    def _watch_others(self, leases: list[Lease]) -> None:
        with _again_later():
            living = residents()
            for lease in leases:
                self._watch_another(lease, living.get(lease.anchor))

    def _watch_another(self, lease: Lease, pid: int | None) -> None:
        if pid is None or not _is_of(pid, lease) or not self._watch(lease.id, pid):
            log.info("container of lease %s has ended", lease.id)
            self._spawn(self._end(lease.id, drain=True))

    def recover(self) -> None:
        """After a restart: watch containers that still run, end the leases of those that do not."""
        for lease in list(self._broker.driver.lifecycle.leases.values()):
            with _again_later():
                self._watch_group(lease)
        self._sweep(set())

    async def sweep(self) -> None:
        """End leases whose container vanished without anyone saying so; runs for ever."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            fresh = {
                lease.id
                for lease in self._broker.driver.lifecycle.leases.values()
                if lease.state is LeaseState.CREATED
            }
            self._sweep(fresh)

    def _sweep(self, spared: set[str]) -> None:
        unwatched = [
            lease
            for lease in self._broker.driver.lifecycle.leases.values()
            if lease.anchor.kind != "uid"
            and lease.id not in self._watches
            and lease.id not in spared
            and lease.state is not LeaseState.STOPPING
        ]
        if unwatched:
            self._watch_others(unwatched)

    def _spawn(self, ending: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(ending)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close_all(self) -> None:
        """Stop watching; leases stay open for the next broker."""
        self._freezer.close()
        for lease_id in list(self._watches):
            self._unwatch(lease_id)


@contextmanager
def _again_later() -> Iterator[None]:
    """Leave it to the next sweep if nobody can be looked at now."""
    try:
        yield
    except (QuantainerError, OSError) as error:
        log.warning("containers are looked at again later: %s", error)


def _is_of(pid: int, lease: Lease) -> bool:
    """Tell whether the oldest process at a lease's anchor can be of its container.

    A pid namespace ends with its first process, and its number goes to the next that is made,
    unless a broker holds that process's descriptor. One that was down finds a namespace whose
    oldest process is younger than the container.
    """
    return lease.anchor.kind != "pidns" or lease.born is None or was_there(pid, lease.born)


def _lives_with(peer: Peer, lease: Lease) -> bool:
    return lease.pid_namespace is None or lease.pid_namespace in peer.pid_namespaces
