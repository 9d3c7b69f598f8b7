"""The channel against a server that misbehaves on purpose: every failure ends and is named."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from quantainer_client import wire
from quantainer_client.channel import Channel, LostError
from quantainer_client.connection import Connection
from quantainer_client.errors import QuantainerError
from quantainer_client.payload import Payload

Answer = Callable[[socket.socket, dict[str, Any]], None]


class Server:
    """Answers each request by a function; it may close the socket, or say nothing."""

    def __init__(self, path: Path, answer: Answer) -> None:
        self.answer = answer
        self.connections = 0
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            while True:
                try:
                    packet, fd = wire.receive(sock)
                    if fd is not None:
                        os.close(fd)
                    if not packet:
                        return
                    self.answer(sock, wire.decode_request(packet))
                except OSError:
                    return

    def drop(self) -> None:
        """Close every connection, as a broker that stops does."""
        while self._open:
            sock = self._open.pop()
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def close(self) -> None:
        if self._listener.fileno() >= 0:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        self.drop()


def echo(sock: socket.socket, request: dict[str, Any]) -> None:
    wire.send(sock, wire.encode_reply(request["id"], {"op": request["op"], "pid": os.getpid()}))


@pytest.fixture
def path() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="qs-"))
    yield folder / "s"
    shutil.rmtree(folder)


@pytest.fixture
def serve(path: Path) -> Iterator[Callable[[Answer], Server]]:
    servers = []

    def start(answer: Answer) -> Server:
        path.unlink(missing_ok=True)
        servers.append(Server(path, answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def ask(channel: Channel, op: str = "hello", timeout: float = 5.0) -> dict[str, Any]:
    return channel.round_trip(op, {}, None, timeout)[0]


def test_one_socket_serves_call_after_call(path: Path, serve: Any) -> None:
    server = serve(echo)
    channel = Channel(str(path), 5.0)
    for _ in range(10):
        assert ask(channel)["op"] == "hello"
    assert server.connections == 1


def test_a_missing_socket_is_named_with_the_way_out(path: Path) -> None:
    with pytest.raises(QuantainerError, match=str(path)) as caught:
        ask(Channel(str(path), 5.0))
    assert caught.value.code == "broker_unavailable"
    assert "--device quantainer.dev/qpu=qsim" in str(caught.value.hint)


def test_a_socket_that_nobody_serves_is_named(path: Path) -> None:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.bind(str(path))
    sock.close()
    with pytest.raises(QuantainerError, match="nothing listens") as caught:
        ask(Channel(str(path), 5.0))
    assert caught.value.code == "broker_unavailable"


def test_a_socket_without_permission_is_named(path: Path, serve: Any) -> None:
    serve(echo)
    path.chmod(0)
    if os.getuid() == 0:
        assert _as_user(65534, path) == "broker_unavailable: user 65534 may not use it"
    else:
        with pytest.raises(QuantainerError, match="may not use it"):
            ask(Channel(str(path), 5.0))


def _as_user(uid: int, path: Path) -> str:
    """Return what a call is refused with in a process of another user."""
    path.parent.chmod(0o755)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setuid(uid)
        try:
            ask(Channel(str(path), 5.0))
        except QuantainerError as error:
            text = f"{error.code}: {error.message.rsplit(': ', 1)[1].rstrip('.')}"
            os.write(writer, text.encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    with os.fdopen(reader) as file:
        return file.read()


def test_the_environment_names_the_socket(
    path: Path, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(echo)
    monkeypatch.setenv("QUANTAINER_SOCKET", str(path))
    assert Connection().hello()["op"] == "hello"


@pytest.mark.report(16)
def test_a_broker_that_says_nothing_ends_in_a_timeout(path: Path, serve: Any) -> None:
    serve(lambda sock, request: None)
    channel = Channel(str(path), 5.0)
    start = time.monotonic()
    with pytest.raises(QuantainerError, match="did not answer 'hello'") as caught:
        ask(channel, timeout=0.2)
    assert caught.value.code == "timeout"
    assert time.monotonic() - start < 3


def test_an_answer_that_comes_late_meets_no_other_request(path: Path, serve: Any) -> None:
    def late(sock: socket.socket, request: dict[str, Any]) -> None:
        if request["op"] == "slow":
            time.sleep(0.5)
        echo(sock, request)

    serve(late)
    channel = Channel(str(path), 5.0)
    with pytest.raises(QuantainerError):
        ask(channel, "slow", timeout=0.1)
    for _ in range(3):
        assert ask(channel, "quick")["op"] == "quick"
        time.sleep(0.2)


def test_a_restarted_broker_is_found_again(path: Path, serve: Any) -> None:
    first = serve(echo)
    channel = Channel(str(path), 5.0)
    ask(channel)
    first.close()
    serve(echo)
    assert ask(channel, "submit")["op"] == "submit"


def test_a_broker_lost_before_its_answer_is_reported_and_not_asked_twice(
    path: Path, serve: Any
) -> None:
    asked = []

    def vanish(sock: socket.socket, request: dict[str, Any]) -> None:
        asked.append(request["op"])
        sock.shutdown(socket.SHUT_RDWR)

    serve(vanish)
    channel = Channel(str(path), 5.0)
    with pytest.raises(LostError, match="closed the connection") as caught:
        ask(channel, "submit")
    assert caught.value.code == "broker_unavailable"
    assert "jobs" in str(caught.value.hint)
    assert asked == ["submit"]


def test_a_harmless_question_is_asked_again_when_the_broker_vanished(
    path: Path, serve: Any
) -> None:
    asked = []

    def vanish_once(sock: socket.socket, request: dict[str, Any]) -> None:
        asked.append(request["op"])
        if len(asked) == 1:
            sock.shutdown(socket.SHUT_RDWR)
        else:
            echo(sock, request)

    serve(vanish_once)
    assert Connection(str(path)).hello()["op"] == "hello"
    assert asked == ["hello", "hello"]


@pytest.mark.report(14)
def test_a_wait_outlives_connections_that_drop(path: Path, serve: Any) -> None:
    asked = []

    def drop_twice(sock: socket.socket, request: dict[str, Any]) -> None:
        asked.append(request["job"])
        if len(asked) < 3:
            sock.shutdown(socket.SHUT_RDWR)
            return
        wire.send(sock, wire.encode_reply(request["id"], {"job": "j", "state": "DONE"}))

    serve(drop_twice)
    assert Connection(str(path)).wait("j", 20)["state"] == "DONE"
    assert asked == ["j", "j", "j"]


@pytest.mark.report(14)
def test_a_wait_outlives_a_broker_that_is_away(path: Path, serve: Any) -> None:
    def running(sock: socket.socket, request: dict[str, Any]) -> None:
        sock.shutdown(socket.SHUT_RDWR)

    def ended(sock: socket.socket, request: dict[str, Any]) -> None:
        wire.send(sock, wire.encode_reply(request["id"], {"job": "j", "state": "DONE"}))

    first = serve(running)
    threading.Timer(0.5, lambda: (first.close(), path.unlink(), serve(ended))).start()
    assert Connection(str(path)).wait("j", 20)["state"] == "DONE"


def test_a_job_that_does_not_end_is_a_timeout_that_names_it(path: Path, serve: Any) -> None:
    def running(sock: socket.socket, request: dict[str, Any]) -> None:
        time.sleep(request["timeout"])
        wire.send(sock, wire.encode_reply(request["id"], {"job": "j7", "state": "RUNNING"}))

    serve(running)
    connection = Connection(str(path))
    assert connection.wait("j7", 0.1)["state"] == "RUNNING"
    with pytest.raises(QuantainerError, match="j7") as caught:
        connection.result("j7", 0.2)
    assert caught.value.code == "timeout"


def test_a_broker_may_answer_before_the_job_ends(path: Path, serve: Any) -> None:
    payload = Payload()
    payload.append(b"\x01\x01\x00")
    entry = {
        "shots": 3,
        "rows": 1,
        "clbits": 1,
        "registers": [{"name": "c", "bits": 1, "offset": 0, "bytes": 1}],
        "metadata": {},
    }

    def early(sock: socket.socket, request: dict[str, Any]) -> None:
        fields: dict[str, Any] = {"job": "j", "state": "RUNNING"}
        if request["op"] == "result":
            fields = {"job": "j", "state": "DONE", "results": [entry]}
        fd = payload.seal()
        wire.send(sock, wire.encode_reply(request["id"], fields), fd)
        os.close(fd)

    serve(early)
    assert Connection(str(path)).run("OPENQASM 3;").counts() == {"1": 2, "0": 1}


@pytest.mark.parametrize(
    "packet",
    [
        b"junk",
        b"[]",
        b'{"v": 1, "id": 999, "ok": true}',
        b'{"v": 1, "id": 1}',
        b'{"v": 9, "id": 1, "ok": true}',
        b'{"v": 1, "id": null, "ok": true}',
    ],
)
def test_an_answer_that_makes_no_sense_is_an_error(path: Path, serve: Any, packet: bytes) -> None:
    serve(lambda sock, request: wire.send(sock, packet))
    with pytest.raises(QuantainerError) as caught:
        ask(Channel(str(path), 5.0))
    assert caught.value.code in ("bad_request", "internal")


@pytest.mark.parametrize(
    "reply",
    [
        {},
        {"job": "j"},
        {"job": "j", "results": [{}, 3]},
        {"job": "j", "results": {"offset": 0, "length": 99}},
        {"job": "j", "results": [{"shots": 9, "registers": [{"name": "c", "bits": 1}]}]},
        {
            "job": "j",
            "results": [{"shots": 9, "registers": [{"name": "c", "bits": 1, "offset": 0}]}],
        },
    ],
)
def test_a_result_that_does_not_hold_together_is_an_error(
    path: Path, serve: Any, reply: dict[str, Any]
) -> None:
    fields = {"state": "DONE", "results": None, **reply}
    serve(lambda sock, request: wire.send(sock, wire.encode_reply(request["id"], fields)))
    with pytest.raises(QuantainerError, match="cannot be read") as caught:
        Connection(str(path)).run("OPENQASM 3;")
    assert caught.value.code == "internal"


def test_an_error_of_a_newer_broker_is_still_an_error(path: Path, serve: Any) -> None:
    error = {"code": "from_the_future", "message": "Something new."}
    packet = {"v": 1, "ok": False, "error": error}
    serve(
        lambda sock, request: wire.send(sock, json.dumps(packet | {"id": request["id"]}).encode())
    )
    with pytest.raises(QuantainerError, match="Something new") as caught:
        ask(Channel(str(path), 5.0))
    assert caught.value.code == "internal"


def test_threads_share_a_connection_without_waiting_for_each_other(path: Path, serve: Any) -> None:
    barrier = threading.Barrier(8, timeout=10)

    def together(sock: socket.socket, request: dict[str, Any]) -> None:
        barrier.wait()  # answers nobody before all eight have asked
        echo(sock, request)

    server = serve(together)
    channel = Channel(str(path), 5.0)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            ops = [f"op{number}" for number in range(8)]
            assert list(pool.map(lambda op: ask(channel, op, 10.0)["op"], ops)) == ops
    assert server.connections <= 16


def test_a_forked_child_opens_a_socket_of_its_own(path: Path, serve: Any) -> None:
    server = serve(echo)
    channel = Channel(str(path), 5.0)
    ask(channel)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=lambda: queue.put([ask(channel)["op"] for _ in range(3)]))
    child.start()
    assert queue.get(timeout=20) == ["hello"] * 3
    child.join(20)
    assert ask(channel)["op"] == "hello"
    assert server.connections == 2


def test_an_interrupted_call_closes_its_socket(path: Path, serve: Any) -> None:
    serve(
        lambda sock, request: (
            os.kill(os.getpid(), 2) if request["op"] == "stop" else echo(sock, request)
        )
    )
    channel = Channel(str(path), 5.0)
    with pytest.raises(KeyboardInterrupt):
        ask(channel, "stop", 10.0)
    assert channel._idle == []
    assert ask(channel)["op"] == "hello"
