"""``docker run``'s options as the embedded engine understands them: a subset, the rest refused."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from quantainer.engines.request import Request
from quantainer_client.errors import QuantainerError

__all__ = ["Limits", "Wishes", "refuse_unknown", "understand"]

# Without meaning here, and without harm.
_IGNORED = frozenset(
    {
        *("annotation", "cap-drop", "init", "label", "name", "pull", "quiet", "rm", "sig-proxy"),
        *("interactive", "tty", "read-only", "no-healthcheck", "stop-timeout"),
    }
)
_TAKEN = frozenset(
    {
        *("entrypoint", "env", "env-file", "hostname", "mount", "tmpfs", "user", "volume"),
        *("workdir", "memory", "cpus", "pids-limit", "network", "net", "security-opt"),
    }
)


_BYTES_MAX, _CPUS_MAX, _PIDS_MAX = 1 << 62, 8192, 4 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Resources of the control group; ``None``: no limit."""

    memory_bytes: int | None = None
    cpus: float | None = None
    pids: int | None = None

    @property
    def any(self) -> bool:
        """Tell whether there is a limit at all."""
        return self != Limits()


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user asked of the container.

    Attributes:
        mounts: Arguments of ``bwrap`` for volumes.
        environment: Variables as given.
        user: Numeric user and group inside.
    """

    mounts: tuple[str, ...]
    environment: dict[str, str]
    command: tuple[str, ...]
    workdir: str
    hostname: str | None
    user: tuple[int, int]
    limits: Limits
    interactive: bool
    terminal: bool
    read_only: bool


def understand(request: Request, default_command: tuple[str, ...]) -> Wishes:
    """Read the options.

    Raises:
        QuantainerError: ``bad_request`` naming an option this engine does not have.
    """
    refuse_unknown(request)
    for network in request.values("network") + request.values("net"):
        if network != "none":
            raise _unsupported(f"--network {network}")
    for security in request.values("security-opt"):
        if not security.startswith("no-new-privileges"):
            raise _unsupported(f"--security-opt {security}")
    return Wishes(
        mounts=tuple(_mounts(request)),
        environment=_environment(request),
        command=_command(request, default_command),
        workdir=_last(request, "workdir") or "/",
        hostname=_last(request, "hostname"),
        user=_user(_last(request, "user")),
        limits=_limits(request),
        interactive=request.flag("interactive"),
        terminal=request.flag("tty"),
        read_only=request.flag("read-only"),
    )


def refuse_unknown(request: Request) -> None:
    """Refuse options that this engine does not have; what follows one may not be its value.

    Raises:
        QuantainerError: ``bad_request``.
    """
    for option in request.options:
        if option.name not in _IGNORED | _TAKEN:
            raise _unsupported(option.words[0].partition("=")[0])


def _unsupported(what: str) -> QuantainerError:
    return QuantainerError(
        "bad_request",
        f"The embedded engine does not have {what}.",
        hint="Leave it out, or use --engine docker or --engine podman.",
    )


def _last(request: Request, name: str) -> str | None:
    values = request.values(name)
    return values[-1] if values else None


def _environment(request: Request) -> dict[str, str]:
    found = {}
    for entry in request.environment():
        name, equals, value = entry.partition("=")
        if equals:
            found[name] = value
        elif name in os.environ:
            found[name] = os.environ[name]
    return found


def _command(request: Request, default: tuple[str, ...]) -> tuple[str, ...]:
    entrypoint = _last(request, "entrypoint")
    if entrypoint:
        return (*shlex.split(entrypoint), *request.command)
    return request.command or default


def _mounts(request: Request) -> list[str]:
    words: list[str] = []
    for volume in request.values("volume"):
        words += _volume(volume)
    for mount in request.values("mount"):
        words += _mount(mount)
    for tmpfs in request.values("tmpfs"):
        words += ["--tmpfs", _absolute(tmpfs.partition(":")[0], f"--tmpfs {tmpfs}")]
    return words


def _volume(text: str) -> list[str]:
    source, _, rest = text.partition(":")
    target, _, flags = rest.partition(":")
    if not target:
        return ["--tmpfs", _absolute(source, f"-v {text}")]
    unknown = set(filter(None, flags.split(","))) - {"ro", "rw", "z", "Z"}
    if unknown:
        raise _unsupported(f"-v option {sorted(unknown)[0]!r}")
    return _bind(source, target, f"-v {text}", read_only="ro" in flags.split(","))


def _mount(text: str) -> list[str]:
    fields = dict(part.partition("=")[::2] for part in text.split(","))
    kind = fields.get("type", "volume")
    target = fields.get("target") or fields.get("dst") or fields.get("destination") or ""
    if kind == "tmpfs":
        return ["--tmpfs", _absolute(target, f"--mount {text}")]
    if kind != "bind":
        raise _unsupported(f"--mount type={kind}")
    source = fields.get("source") or fields.get("src") or ""
    read_only = fields.get("readonly", fields.get("ro", "false")) in ("", "true", "1")
    return _bind(source, target, f"--mount {text}", read_only=read_only)


def _bind(source: str, target: str, what: str, *, read_only: bool) -> list[str]:
    path = Path(source).resolve() if source.startswith(("/", ".")) else None
    if path is None:
        raise _unsupported(f"named volumes ({what})")
    if not path.exists():
        raise QuantainerError("bad_request", f"{what}: {path} does not exist.")
    return ["--ro-bind" if read_only else "--bind", str(path), _absolute(target, what)]


def _absolute(target: str, what: str) -> str:
    if not target.startswith("/"):
        raise QuantainerError("bad_request", f"{what}: the path in the container is not absolute.")
    return target


def _user(text: str | None) -> tuple[int, int]:
    """Return the ids; without ``--user`` root inside, as in any container."""
    user, _, group = (text or "0:0").partition(":")
    if not user.isdecimal() or not (group or user).isdecimal():
        raise QuantainerError(
            "bad_request", f"--user {text}: the embedded engine takes numeric ids only."
        )
    return int(user), int(group or (user if text else 0))


def _limits(request: Request) -> Limits:
    """Read the limits; as with Docker, 0 is none, and -1 processes are none, too."""
    memory, cpus, pids = (_last(request, name) for name in ("memory", "cpus", "pids-limit"))
    try:
        return Limits(
            memory_bytes=int(_within(_BYTES_MAX, _bytes(memory or "0"))) or None,
            cpus=_within(_CPUS_MAX, float(cpus or "0")) or None,
            pids=int(_within(_PIDS_MAX, max(0, int(pids or "0")))) or None,
        )
    except ValueError as error:
        raise QuantainerError(
            "bad_request", f"--memory, --cpus or --pids-limit: {error}."
        ) from None


def _bytes(text: str) -> int:
    """Read Docker's sizes: 512m, 1.5g, 1024."""
    match = re.fullmatch(r"(\d{1,18}(?:\.\d+)?)([bkmg]?)b?", text.lower())
    if match is None:
        raise ValueError(f"{text!r} is not a size such as 512m or 4g")
    return int(float(match[1]) * 1024 ** "bkmg".index(match[2] or "b"))


def _within(most: float, value: float) -> float:
    if not 0 <= value <= most:
        raise ValueError(f"{value:g} does not lie between 0 and {most:g}")
    return value
