"""The OCI hook: tells the broker that a container is being created, or is gone.

The engine runs this one file as ``python3 -I -S hook.py create|delete …`` on the host, as root,
with the environment that the CDI specification names and the OCI state on standard input. It talks
to the broker's host socket and touches nothing in the container. ``create`` fails closed: without
the broker's consent the container does not start, and the line on standard error is what
``docker run`` shows. ``delete`` never fails the stop.

Standard library only, and little of it: ``os``, ``json`` and ``socket`` would add some twenty
milliseconds to every container start, so the C modules below them are used directly.
"""

from __future__ import annotations

import _json
import _socket
import posix
import stat
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CREATE_TIMEOUT_S = 10.0
DELETE_TIMEOUT_S = 50.0
MESSAGE_MAX = 65536
FILE_MAX = 4 << 20
VALUE_MAX = 4096
MODES = ("local", "hybrid", "qpu")
IDENTIFIER = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-")
HANDED_OVER = ("PYTHONPATH",)


class Refused(Exception):  # noqa: N818 - it is an answer, not a fault
    """The container must not start; the message is for whoever started it."""


# --- What the engine says ----------------------------------------------------------------------


def read_state(text: str) -> dict[str, Any]:
    """Check the OCI state and return it.

    Raises:
        Refused: If it is not a container's state.
    """
    try:
        state = decode(text)
    except ValueError:
        raise Refused("the engine passed no OCI state") from None
    if not isinstance(state, dict):
        raise Refused("the engine passed no OCI state")
    container = state.get("id")
    if not isinstance(container, str) or not 0 < len(container) <= 255:
        raise Refused("the OCI state has no container id")
    if set(container) - IDENTIFIER:
        raise Refused(f"the container id {container!r} holds characters no engine uses")
    return state


def create_request(state: dict[str, Any], backend: str) -> dict[str, Any]:
    """Return the ``lease.open`` message for a container.

    Raises:
        Refused: If the state lacks the process, or an annotation has an unknown value.
    """
    pid = state.get("pid")
    if not isinstance(pid, int) or pid <= 1:
        raise Refused("the OCI state names no container process")
    request: dict[str, Any] = {
        "v": 1,
        "id": 1,
        "op": "lease.open",
        "container": state["id"],
        "pid": pid,
        "backends": [backend],
    }
    annotations = quantum_annotations(state.get("annotations"))
    mode = annotations.get("quantum.mode")
    if mode is not None and mode not in MODES:
        raise Refused(f"quantum.mode={mode!r} is unknown; use {', '.join(MODES)}")
    if mode is not None:
        request["mode"] = mode
    if annotations:
        request["annotations"] = annotations
    return request | engine_record(state)


def quantum_annotations(annotations: Any) -> dict[str, str]:
    """Return the ``quantum.*`` annotations, the only ones that mean something here."""
    if not isinstance(annotations, dict):
        return {}
    found: dict[str, str] = {}
    for key, value in annotations.items():
        if not key.startswith("quantum."):
            continue
        if not isinstance(value, str) or len(key) + len(value) > VALUE_MAX or len(found) == 64:
            raise Refused(f"annotation {key[:80]!r} is too long, or there are more than 64")
        found[key] = value
    return found


def engine_record(state: dict[str, Any]) -> dict[str, Any]:
    """Return image name and environment from the engine's own record, where it keeps one.

    The device's own ``PYTHONPATH`` replaced the container's before this hook ran; only the engine
    still knows what the image or ``--env`` gave. No record is no reason to refuse.
    """
    container, bundle = state["id"], str(state.get("bundle", ""))
    try:
        config = docker_config(container, bundle) or podman_config(container, bundle)
        variables = config.get("Env") or []
        image = config.get("Image")
        pairs = [str(entry).partition("=") for entry in variables]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    record: dict[str, Any] = {}
    environment = {name: value for name, _, value in pairs if name in HANDED_OVER and value}
    if environment and len(encode(environment)) <= VALUE_MAX:
        record["environment"] = environment
    if isinstance(image, str) and 0 < len(image) <= VALUE_MAX:
        record["image"] = image
    return record


def docker_config(container: str, bundle: str) -> dict[str, Any]:
    """Return ``Config`` of Docker's record, found beside the host name file it always mounts."""
    spec = read_json(f"{bundle}/config.json")
    for mount in spec.get("mounts") or ():
        folder, _, name = str(mount.get("source", "")).rpartition("/")
        if name in ("hostname", "resolv.conf", "hosts") and folder.endswith(f"/{container}"):
            return read_json(f"{folder}/config.v2.json").get("Config") or {}
    return {}


def podman_config(container: str, bundle: str) -> dict[str, Any]:
    """Return ``config`` of the container's image from Podman's storage.

    Podman keeps ``--env`` in a database of its own, so only the image's environment is known.
    """
    storage, _, tail = bundle.rpartition(f"-containers/{container}")
    if not storage or tail != "/userdata":
        return {}
    image = podman_image(container, f"{storage}-containers")
    if image is None:
        return {}
    from binascii import b2a_base64  # only Podman needs it

    blob = b2a_base64(f"sha256:{image}".encode(), newline=False).decode()
    config = read_json(f"{storage}-images/{image}/={blob}").get("config") or {}
    return {"Env": config.get("Env")}


def podman_image(container: str, folder: str) -> str | None:
    """Return the id of a container's image; Podman 4.4 and later list those of ``--rm`` apart."""
    for name in ("containers.json", "volatile-containers.json"):
        try:
            entries = read_json(f"{folder}/{name}")
        except FileNotFoundError:
            continue
        for entry in entries:
            if entry["id"] == container:
                return str(entry["image"])
    return None


def read_json(path: str) -> Any:
    """Return the JSON value of a regular file; never waits on a pipe or follows a final link."""
    handle = posix.open(path, posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK)
    with open(handle, encoding="utf-8") as file:  # noqa: PTH123 - by the handle, not by the path
        status = posix.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_size > FILE_MAX:
            raise ValueError(path)
        return decode(file.read())


# --- JSON without the json package -------------------------------------------------------------


class _Decoder:
    """What the C scanner asks of a JSONDecoder."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = None


def decode(text: str) -> Any:
    """Return the JSON value of ``text``.

    Raises:
        ValueError: If it is not JSON.
    """
    try:
        scan: Any = _json.make_scanner
        return scan(_Decoder())(text.strip(), 0)[0]
    except (StopIteration, RecursionError, TypeError):
        raise ValueError("not JSON") from None


def encode(value: Any) -> str:
    """Return strings, integers, and lists and dicts of them as JSON."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{encode(key)}: {encode(value[key])}" for key in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(encode, value)) + "]"
    return _json.encode_basestring_ascii(value) if isinstance(value, str) else str(value)


# --- What the broker says ----------------------------------------------------------------------


def ask(path: str, request: dict[str, Any], timeout: float) -> dict[str, Any]:
    """Send a request to the broker's host socket and return its reply.

    Raises:
        Refused: If it cannot be reached, does not answer in time, or says no.
    """
    try:
        reply = decode(exchange(path, encode(request).encode(), timeout))
    except (TimeoutError, BlockingIOError):
        raise Refused(f"the broker did not answer within {timeout:.0f} s on {path}") from None
    except OSError as error:
        raise Refused(
            f"the broker cannot be reached on {path} ({error.strerror}); "
            "start it with `quantainer up`"
        ) from None
    except ValueError:
        raise Refused(f"the broker closed the connection on {path} without an answer") from None
    if not isinstance(reply, dict) or reply.get("ok") is not True:
        raise Refused(reason(reply))
    return reply


def exchange(path: str, message: bytes, timeout: float) -> str:
    """Send one packet and return the next, all within the time.

    A Python timeout would not do: it makes the socket non-blocking, and such a ``connect`` fails at
    once where the broker's backlog is full. With the kernel's timeouts it waits its turn.
    """
    deadline = time.monotonic() + timeout
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        limit(connection, _socket.SO_SNDTIMEO, deadline)
        connection.connect(path)
        connection.send(message)
        limit(connection, _socket.SO_RCVTIMEO, deadline)
        return connection.recv(MESSAGE_MAX).decode()
    finally:
        connection.close()


def limit(connection: _socket.socket, option: int, deadline: float) -> None:
    """Have the kernel end a wait at the deadline; a timeout of 0 would mean none."""
    remaining = max(0.001, deadline - time.monotonic())
    seconds, microseconds = int(remaining), int(remaining % 1 * 1e6)
    size = 8 if sys.maxsize > 1 << 32 else 4
    pair = (number.to_bytes(size, sys.byteorder) for number in (seconds, microseconds))
    connection.setsockopt(_socket.SOL_SOCKET, option, b"".join(pair))


def reason(reply: Any) -> str:
    """Return the broker's refusal as one line."""
    error = reply.get("error") if isinstance(reply, dict) else None
    if not isinstance(error, dict):
        return "the broker gave an answer that is no answer"
    parts = [error.get("message") or "the broker refused", error.get("hint")]
    return " ".join(" ".join(str(part).split()) for part in parts if part)


# --- The command -------------------------------------------------------------------------------


def options(words: list[str]) -> dict[str, str]:
    """Return ``--name value`` pairs."""
    names = [word.removeprefix("--") for word in words[::2]]
    if len(words) % 2 or set(names) - {"socket", "backend"}:
        raise Refused(f"hook.py does not know {' '.join(words)!r}; run `quantainer cdi generate`")
    return dict(zip(names, words[1::2], strict=True))


def create(state: dict[str, Any], given: dict[str, str]) -> None:
    """Open the lease, or refuse the start."""
    ask(given["socket"], create_request(state, given["backend"]), CREATE_TIMEOUT_S)


def delete(state: dict[str, Any], given: dict[str, str]) -> None:
    """Close the lease; returns when what was measured is durable."""
    request = {"v": 1, "id": 1, "op": "lease.close", "container": state["id"]}
    ask(given["socket"], request, DELETE_TIMEOUT_S)


def main(words: list[str]) -> int:
    """Run one hook; 1 refuses the container."""
    posix.chdir("/")
    action = words[0] if words else ""
    try:
        given = options(words[1:])
        state = read_state(sys.stdin.buffer.read(FILE_MAX).decode())
        {"create": create, "delete": delete}[action](state, given)
    except Exception as error:
        sys.stderr.write(f"quantainer: {describe(error)}\n")
        return 0 if action == "delete" else 1
    return 0


def describe(error: Exception) -> str:
    """Return one line for whoever reads the engine's message."""
    if isinstance(error, Refused):
        return str(error).rstrip(".") + "."
    return f"internal error in the hook: {type(error).__name__}: {error}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
