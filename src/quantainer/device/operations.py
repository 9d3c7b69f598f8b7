"""Operations: the names of the protocol, each with its request model and what it calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from quantainer.broker import requests
from quantainer.broker.broker import Broker
from quantainer.broker.reply import Deferred, Reply, Session
from quantainer.broker.requests import parse
from quantainer.device.leases import LeaseDesk
from quantainer_client.errors import QuantainerError

__all__ = ["Operation", "Operations"]

Answer = Reply | Deferred | Awaitable[Reply]
Operation = Callable[[Session, dict[str, Any], int | None], Answer]


class Operations:
    """What callers may ask on one socket.

    Args:
        broker: The broker.
        desk: Opens and closes leases; ``None`` on the device socket, where nobody may.
        node_status: Adds to ``status`` what only the daemon knows.
        shut_down: Ends the daemon.
        reload: Has the daemon look again at its backends and nodes; returns what it found.
    """

    def __init__(
        self,
        broker: Broker,
        desk: LeaseDesk | None = None,
        node_status: Callable[[], dict[str, Any]] = dict,
        shut_down: Callable[[], None] | None = None,
        reload: Callable[[], Awaitable[dict[str, Any]]] | None = None,
    ) -> None:
        self._broker = broker
        self._desk = desk
        self._node_status = node_status
        self._shut_down = shut_down
        self._reload_daemon = reload
        self._table: dict[str, Operation] = {
            "hello": self._hello,
            "backends": self._backends,
            "submit": broker.submit,
            "estimate": broker.estimate,
            "wait": self._wait,
            "result": self._result,
            "cancel": self._cancel,
            "jobs": self._jobs,
        }
        if desk is not None:
            self._table |= {
                "status": self._status,
                "lease.open": self._lease_open,
                "lease.close": self._lease_close,
                "lease.list": self._lease_list,
                "lease.pause": self._lease_pause,
                "lease.unpause": self._lease_unpause,
                "reload": self._reload,
                "shutdown": self._shutdown,
            }

    def find(self, name: str) -> Operation:
        """Return an operation.

        Raises:
            QuantainerError: ``unknown_op``.
        """
        operation = self._table.get(name)
        if operation is None:
            raise QuantainerError(
                "unknown_op",
                f"There is no operation {name[:80]!r} on this socket.",
                hint=f"Operations: {', '.join(self._table)}.",
            )
        return operation

    # For every caller

    def _hello(self, session: Session, message: dict[str, Any], fd: int | None) -> Reply:
        del fd
        parse(requests.HelloRequest, message)
        return Reply(self._broker.hello(session))

    def _backends(self, session: Session, message: dict[str, Any], fd: int | None) -> Reply:
        del fd
        request = parse(requests.BackendsRequest, message)
        if request.name is not None:
            return Reply({"target": asdict(self._broker.backend(session, request.name))})
        targets = self._broker.backends(session).values()
        return Reply({"backends": [target.summary() for target in targets]})

    def _wait(self, session: Session, message: dict[str, Any], fd: int | None) -> Awaitable[Reply]:
        del fd
        request = parse(requests.WaitRequest, message)
        return self._broker.wait(session, request.job, request.timeout)

    def _result(
        self, session: Session, message: dict[str, Any], fd: int | None
    ) -> Reply | Awaitable[Reply]:
        del fd
        request = parse(requests.ResultRequest, message)
        if request.partial:
            return self._broker.partial(session, request.job)
        return self._broker.result(
            session, request.job, counts=request.counts, timeout=request.timeout
        )

    def _cancel(self, session: Session, message: dict[str, Any], fd: int | None) -> Reply:
        del fd
        return self._broker.cancel(session, parse(requests.JobRequest, message).job)

    def _jobs(
        self, session: Session, message: dict[str, Any], fd: int | None
    ) -> Reply | Awaitable[Reply]:
        del fd
        request = parse(requests.ListRequest, message)
        if request.job is not None:
            return self._broker.show(session, request.job)
        return self._broker.jobs(session, everyone=request.all, limit=request.limit)

    # For the operator

    def _status(self, session: Session, message: dict[str, Any], fd: int | None) -> Reply:
        del fd
        parse(requests.PlainRequest, message)
        status = self._broker.status()
        if not session.operator:
            own = {"leases", "jobs"}
            status |= {
                name: [item for item in status[name] if item["tenant"] == session.tenant]
                for name in own
            }
        return Reply(status | self._node_status())

    def _operated(self, session: Session) -> LeaseDesk:
        if self._desk is None or not session.operator:
            raise QuantainerError(
                "forbidden",
                "Only root or the broker's own user may do this.",
                hint="Run the command as that user.",
            )
        return self._desk

    def _lease_open(self, session: Session, message: dict[str, Any], fd: int | None) -> Reply:
        del fd
        desk = self._operated(session)
        return Reply({"lease": desk.open(parse(requests.LeaseOpen, message)).summary()})

    def _lease_close(
        self, session: Session, message: dict[str, Any], fd: int | None
    ) -> Awaitable[Reply]:
        del fd
        desk = self._operated(session)
        return self._closed(desk, parse(requests.LeaseRequest, message))

    @staticmethod
    async def _closed(desk: LeaseDesk, request: requests.LeaseRequest) -> Reply:
        await desk.close(request)
        return Reply({})

    def _lease_list(self, session: Session, message: dict[str, Any], fd: int | None) -> Reply:
        del fd
        self._operated(session)
        parse(requests.PlainRequest, message)
        return Reply({"leases": self._broker.status()["leases"]})

    def _lease_pause(self, session: Session, message: dict[str, Any], fd: int | None) -> Reply:
        del fd
        desk = self._operated(session)
        self._broker.container_paused(desk.find(parse(requests.LeaseRequest, message)).id)
        return Reply({})

    def _lease_unpause(self, session: Session, message: dict[str, Any], fd: int | None) -> Reply:
        del fd
        desk = self._operated(session)
        self._broker.container_unpaused(desk.find(parse(requests.LeaseRequest, message)).id)
        return Reply({})

    async def _reload(self, session: Session, message: dict[str, Any], fd: int | None) -> Reply:
        del fd
        self._operated(session)
        parse(requests.PlainRequest, message)
        return Reply({} if self._reload_daemon is None else await self._reload_daemon())

    def _shutdown(self, session: Session, message: dict[str, Any], fd: int | None) -> Reply:
        del fd
        self._operated(session)
        parse(requests.PlainRequest, message)
        if self._shut_down is not None:
            self._shut_down()
        return Reply({})
