"""The OCI hook, run as engines run it, against a real host socket."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantainer.device import cdi, hook

PYTHON = os.path.realpath(sys.executable)
ID = "f00d" * 16


class HostSocket:
    """The broker's host socket, reduced to one answer; keeps what was asked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answer: dict[str, Any] | bytes | None = {"v": 1, "id": 1, "ok": True}
        self.requests: list[dict[str, Any]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.bind(str(path))
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                self.requests.append(json.loads(connection.recv(65536)))
                if isinstance(self.answer, bytes):
                    connection.send(self.answer)
                elif self.answer is not None:
                    connection.send(json.dumps(self.answer).encode())

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[HostSocket]:
    served = HostSocket(tmp_path / "broker.sock")
    yield served
    served.close()


def state(**fields: Any) -> dict[str, Any]:
    known = {"ociVersion": "1.0.2", "id": ID, "status": "creating", "pid": 4242, "bundle": "/none"}
    return known | fields


def run(
    path: Path,
    action: str,
    given: Any,
    *,
    environment: dict[str, str] | None = None,
    cwd: str = "/",
) -> subprocess.CompletedProcess[str]:
    command = [PYTHON, "-I", "-S", hook.__file__, action, "--socket", str(path)]
    command += ["--backend", "qsim"] if action == "create" else []
    return subprocess.run(
        command,
        input=given if isinstance(given, str) else json.dumps(given),
        capture_output=True,
        text=True,
        env=environment or {"PATH": "/usr/bin:/bin"},
        timeout=30,
        check=False,
        cwd=cwd,
    )


def test_create_asks_for_a_lease(host: HostSocket) -> None:
    done = run(host.path, "create", state(annotations={"quantum.mode": "qpu", "other": "x"}))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert host.requests == [
        {
            "v": 1,
            "id": 1,
            "op": "lease.open",
            "container": ID,
            "pid": 4242,
            "backends": ["qsim"],
            "mode": "qpu",
            "annotations": {"quantum.mode": "qpu"},
        }
    ]


def test_delete_closes_the_lease(host: HostSocket) -> None:
    done = run(host.path, "delete", state(status="stopped", pid=0))
    assert done.returncode == 0
    assert host.requests == [{"v": 1, "id": 1, "op": "lease.close", "container": ID}]


def test_create_shows_the_refusal_in_one_line(host: HostSocket) -> None:
    error = {"code": "unknown_backend", "message": "No backend\nqsim.", "hint": "Ask for another."}
    host.answer = {"v": 1, "id": 1, "ok": False, "error": error}
    done = run(host.path, "create", state())
    assert done.returncode == 1
    assert done.stderr == "quantainer: No backend qsim. Ask for another.\n"


def test_create_without_a_broker_fails_closed_and_says_how_to_start_it(tmp_path: Path) -> None:
    done = run(tmp_path / "broker.sock", "create", state())
    assert done.returncode == 1
    assert "quantainer up" in done.stderr
    assert str(tmp_path / "broker.sock") in done.stderr
    assert done.stderr.count("\n") == 1


# --- A broker that is busy ------------------------------------------------------------------------


@pytest.fixture
def crowded(tmp_path: Path) -> Iterator[socket.socket]:
    """A host socket whose backlog is full."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(tmp_path / "broker.sock"))
    listener.listen(0)
    waiting = []
    with listener:
        while True:
            client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            client.setblocking(False)
            waiting.append(client)
            try:
                client.connect(listener.getsockname())
            except BlockingIOError:
                break
        yield listener
    for client in waiting:
        client.close()


def start(path: str, action: str) -> subprocess.Popen[str]:
    command = [PYTHON, "-I", "-S", hook.__file__, action, "--socket", path]
    command += ["--backend", "qsim"] if action == "create" else []
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(state()))
    process.stdin.close()
    process.stdin = None
    return process


def answer_next(listener: socket.socket) -> dict[str, Any]:
    """Take connections until one asks something; say yes to it."""
    while True:
        connection, _ = listener.accept()
        with connection:
            if asked := connection.recv(65536):
                connection.send(b'{"v": 1, "id": 1, "ok": true}')
                found: dict[str, Any] = json.loads(asked)
                return found


def test_create_waits_its_turn_at_a_crowded_socket(crowded: socket.socket) -> None:
    process = start(crowded.getsockname(), "create")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1.0)
    first, _ = crowded.accept()
    first.close()  # it asked nothing
    assert answer_next(crowded)["container"] == ID
    _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (0, "")


@pytest.mark.parametrize("reached", [False, True], ids=["backlog", "no answer"])
def test_create_is_refused_in_time_by_a_broker_that_says_nothing(
    crowded: socket.socket, reached: bool
) -> None:
    began = time.monotonic()
    process = start(crowded.getsockname(), "create")
    taken = [crowded.accept()[0] for _ in range(2 if reached else 0)]
    _, said = process.communicate(timeout=30)
    lasted = time.monotonic() - began
    assert process.returncode == 1, "it fails closed"
    assert "did not answer within 10 s" in said
    assert hook.CREATE_TIMEOUT_S <= lasted + 0.1 < cdi.CREATE_TIMEOUT_S - 1, "before the engine's"
    for connection in taken:
        connection.close()


def test_delete_without_a_broker_does_not_fail_the_stop(tmp_path: Path) -> None:
    assert run(tmp_path / "broker.sock", "delete", state()).returncode == 0


@pytest.mark.parametrize("answer", [None, b"", b"nonsense", b"[]", b'{"ok": 1}', b"\xff\xfe"])
def test_any_other_answer_is_a_refusal(host: HostSocket, answer: bytes | None) -> None:
    host.answer = answer
    done = run(host.path, "create", state())
    assert done.returncode == 1
    assert done.stderr.startswith("quantainer: ")
    assert "internal error" not in done.stderr


@pytest.mark.parametrize(
    "given",
    [
        "",
        "[]",
        "{",
        "[" * 100_000,
        state(id="../../etc"),
        state(id="a/b"),
        state(id=""),
        state(id=7),
        state(pid=0),
        state(pid="1; reboot"),
        state(pid=None),
        state(annotations={"quantum.mode": "gpu"}),
        state(annotations={"quantum.mode": ["qpu"]}),
        state(annotations={"quantum.x": "y" * 5000}),
        state(annotations={f"quantum.{i}": "" for i in range(65)}),
    ],
)
def test_bad_state_never_reaches_the_broker(host: HostSocket, given: Any) -> None:
    done = run(host.path, "create", given)
    assert done.returncode == 1
    assert done.stderr.startswith("quantainer: ")
    assert "Traceback" not in done.stderr
    assert host.requests == []


def test_nothing_of_an_image_names_a_tenant(host: HostSocket, tmp_path: Path) -> None:
    """Engines hand labels of the image, and Podman its annotations, on to the container."""
    named = {"com.docker.compose.project": "shop", "quantum.tenant": "shop", "tenant": "shop"}
    bundle, store = tmp_path / "bundle", tmp_path / "containers" / ID
    bundle.mkdir()
    store.mkdir(parents=True)
    mounts = [{"source": str(store / "hostname")}]
    (bundle / "config.json").write_text(json.dumps({"mounts": mounts}))
    (store / "config.v2.json").write_text(json.dumps({"Config": {"Labels": named, "Image": "i"}}))
    assert run(host.path, "create", state(annotations=named, bundle=str(bundle))).returncode == 0
    assert host.requests[0]["image"] == "i"
    assert "tenant" not in host.requests[0]


def test_annotations_that_are_not_ours_are_left_alone(host: HostSocket) -> None:
    done = run(host.path, "create", state(annotations={"a" * 9000: "b" * 9000, "x": 1}))
    assert done.returncode == 0
    assert "annotations" not in host.requests[0]


def test_planted_modules_and_variables_are_not_used(host: HostSocket, tmp_path: Path) -> None:
    # What a hostile image could plant: a module in the working folder, PYTHON* variables.
    for name in ("_json", "stat", "json", "sitecustomize", "usercustomize"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('planted')")
    environment = {
        "PYTHONPATH": str(tmp_path),
        "PYTHONSTARTUP": str(tmp_path / "json.py"),
        "PYTHONHOME": "/nonexistent",
        "PYTHONUSERBASE": str(tmp_path),
    }
    done = run(host.path, "create", state(), environment=environment, cwd=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")


def test_only_cheap_modules_are_imported() -> None:
    """What the hook imports is paid at every container start; ``json`` alone costs 10 ms."""
    costly = {"os", "json", "re", "socket", "typing", "enum", "collections"}
    code = (
        f"import sys; exec(open({hook.__file__!r}).read(), {{'__name__': 'hook'}});"
        f"print(sorted({costly} & set(sys.modules)))"
    )
    done = subprocess.run(
        [PYTHON, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


# --- The engine's own record ---------------------------------------------------------------------


def docker_bundle(folder: Path, environment: list[str], **config: Any) -> Path:
    bundle, record = folder / "bundle", folder / "containers" / ID
    bundle.mkdir()
    record.mkdir(parents=True)
    mounts = [{"destination": "/etc/hostname", "source": str(record / "hostname")}]
    (bundle / "config.json").write_text(json.dumps({"mounts": mounts}))
    content = {"Config": {"Env": environment, "Image": "python:3.11"} | config}
    (record / "config.v2.json").write_text(json.dumps(content))
    return bundle


def test_docker_record_gives_back_what_the_device_replaced(
    host: HostSocket, tmp_path: Path
) -> None:
    bundle = docker_bundle(tmp_path, ["PATH=/bin", "PYTHONPATH=/app:/lib", "SECRET=1"])
    assert run(host.path, "create", state(bundle=str(bundle))).returncode == 0
    assert host.requests[0]["environment"] == {"PYTHONPATH": "/app:/lib"}
    assert host.requests[0]["image"] == "python:3.11"


def podman_bundle(folder: Path, **lists: list[dict[str, str]]) -> Path:
    bundle = folder / "overlay-containers" / ID / "userdata"
    bundle.mkdir(parents=True)
    (bundle / "config.json").write_text('{"mounts": []}')
    for name, containers in lists.items():
        path = folder / "overlay-containers" / f"{name.replace('_', '-')}.json"
        path.write_text(json.dumps(containers))
    image = folder / "overlay-images" / "abc"
    image.mkdir(parents=True)
    blob = "=" + base64.b64encode(b"sha256:abc").decode()
    (image / blob).write_text(json.dumps({"config": {"Env": ["PYTHONPATH=/app"]}}))
    return bundle


OTHER, OURS = {"id": "other", "image": "x"}, {"id": ID, "image": "abc"}


@pytest.mark.parametrize(
    "lists",
    [
        {"containers": [OTHER, OURS]},
        {"containers": [OTHER], "volatile_containers": [OURS]},
        {"volatile_containers": [OTHER, OURS]},
    ],
)
def test_podman_record_gives_the_environment_of_the_image(
    host: HostSocket, tmp_path: Path, lists: dict[str, list[dict[str, str]]]
) -> None:
    bundle = podman_bundle(tmp_path, **lists)
    assert run(host.path, "create", state(bundle=str(bundle))).returncode == 0
    assert host.requests[0]["environment"] == {"PYTHONPATH": "/app"}


def test_a_container_that_podman_lists_nowhere_starts(host: HostSocket, tmp_path: Path) -> None:
    bundle = podman_bundle(tmp_path, containers=[OTHER])
    done = run(host.path, "create", state(bundle=str(bundle)))
    assert (done.returncode, done.stderr) == (0, "")
    assert "environment" not in host.requests[0]


def test_a_record_that_is_no_plain_file_is_not_read(host: HostSocket, tmp_path: Path) -> None:
    bundle = docker_bundle(tmp_path, [])
    record = tmp_path / "containers" / ID / "config.v2.json"
    for plant in (lambda: os.mkfifo(record), lambda: record.symlink_to("/etc/passwd")):
        record.unlink(missing_ok=True)
        plant()
        assert run(host.path, "create", state(bundle=str(bundle))).returncode == 0
        assert "environment" not in host.requests[-1]


def test_a_mount_of_the_users_own_is_not_taken_for_the_engines(
    host: HostSocket, tmp_path: Path
) -> None:
    bundle = docker_bundle(tmp_path, ["PYTHONPATH=/app"])
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "config.v2.json").write_text(json.dumps({"Config": {"Env": ["PYTHONPATH=/evil"]}}))
    mounts = [{"destination": "/etc/hostname", "source": str(mine / "hostname")}]
    (bundle / "config.json").write_text(json.dumps({"mounts": mounts}))
    assert run(host.path, "create", state(bundle=str(bundle))).returncode == 0
    assert "environment" not in host.requests[0]


# --- JSON --------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.text() | st.integers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_json_is_read_and_written_as_the_json_package_does(value: Any) -> None:
    assert json.loads(hook.encode(value)) == value
    assert hook.decode(json.dumps(value)) == value


@given(st.text())
def test_text_that_is_no_json_is_a_value_error(text: str) -> None:
    try:
        hook.decode(text)
    except ValueError:
        return
