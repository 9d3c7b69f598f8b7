"""The CDI specification: what an engine adds to a container that asks for a quantum device.

Kind ``quantainer.dev/qpu``; one device a backend, ``qsim`` (the automatic simulator) and ``all``.
A device is a mount of the socket's folder, the client package, and two OCI hooks; device nodes only
where the operator configured some, and no secret.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import yaml

from quantainer.core.settings import Settings
from quantainer.device import cdi_rules, guest, hook, nodes
from quantainer_client.errors import QuantainerError

__all__ = [
    "DEVICE_FOLDER",
    "FILE_NAME",
    "KIND",
    "STATIC_DIR",
    "Format",
    "Found",
    "Places",
    "device_names",
    "dump",
    "known_devices",
    "owner",
    "publish",
    "qualified",
    "read",
    "search_path",
    "specification",
    "write",
]

KIND = "quantainer.dev/qpu"
FILE_NAME = "quantainer.yaml"
STATIC_DIR = Path("/etc/cdi")
DYNAMIC_DIRS = (Path("/var/run/cdi"), Path("/run/cdi"))
DEVICE_FOLDER = "/dev/quantum"
Format = Literal["yaml", "json"]

CREATE_TIMEOUT_S = 15
POSTSTOP_TIMEOUT_S = 60
"""The broker uses this time to make every measured shot durable."""

# Hooks run as root before the image's process: nothing of the image's environment may reach them.
_HOOK_ENV = ["PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8"]
_BIND = ["bind", "ro", "nosuid", "nodev"]
_NO_NODES: Mapping[str, Iterable[str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Places:
    """Where the device's parts lie on the host."""

    runtime: Path
    client: Path
    python: str

    @classmethod
    def install(cls, runtime: Path) -> Places:
        """Put hook and client package below the runtime folder.

        The hook runs as root, so it lies where only the broker's user writes, and not in a
        checkout or a virtual environment that someone else may own.

        Raises:
            OSError: If the folder cannot be written.
        """
        client = guest.install(runtime / "client")
        _replace(runtime / "hook.py", Path(hook.__file__).read_text(encoding="utf-8"))
        return cls(runtime, client, os.path.realpath(sys.executable))


def device_names(backends: Iterable[str]) -> list[str]:
    """Return the devices of a node: ``qsim`` first, then the other backends, ``all`` last."""
    others = sorted(set(backends) - {"qsim", "all"})
    return ["qsim", *others, "all"]


def qualified(device: str) -> str:
    """Return the name by which engines know a device."""
    return f"{KIND}={device}"


def specification(
    backends: Iterable[str], places: Places, granted: Mapping[str, Iterable[str]] = _NO_NODES
) -> dict[str, Any]:
    """Return the specification for these backends.

    Args:
        backends: Names.
        places: Where the device's parts lie.
        granted: Device nodes of each backend as configured.

    Raises:
        QuantainerError: ``internal`` if it breaks a rule of CDI, so that it is never written;
            ``invalid_option`` for text that is no device node.
    """
    spec: dict[str, Any] = {
        "cdiVersion": "",
        "kind": KIND,
        "devices": [
            {"name": name, "containerEdits": _device_edits(name, places, granted)}
            for name in device_names(backends)
        ],
        "containerEdits": {
            "env": [f"PYTHONPATH={guest.FOLDER}"],
            "mounts": [
                _mount(places.runtime / "dev", DEVICE_FOLDER, "noexec"),
                _mount(places.client, guest.FOLDER),
            ],
            "hooks": [_hook("poststop", POSTSTOP_TIMEOUT_S, places, "delete")],
        },
    }
    spec["cdiVersion"] = cdi_rules.minimum_version(spec)
    found = cdi_rules.problems(spec)
    if found:
        raise QuantainerError("internal", f"The CDI specification is not valid: {found[0]}.")
    return spec


def _device_edits(
    device: str, places: Places, granted: Mapping[str, Iterable[str]]
) -> dict[str, Any]:
    found = nodes.edits(granted, device)
    hooks = {"hooks": [_create_hook(device, places)]}
    return {"deviceNodes": found, **hooks} if found else hooks


def _create_hook(device: str, places: Places) -> dict[str, Any]:
    return _hook("createRuntime", CREATE_TIMEOUT_S, places, "create", "--backend", device)


def _hook(name: str, timeout: int, places: Places, *arguments: str) -> dict[str, Any]:
    # Python finds its library by its own name: the whole path, not "python3".
    command = [places.python, "-I", "-S", f"{places.runtime}/hook.py", *arguments]
    return {
        "hookName": name,
        "path": places.python,
        "args": [*command, "--socket", f"{places.runtime}/broker.sock"],
        "env": list(_HOOK_ENV),
        "timeout": timeout,
    }


def _mount(source: Path, target: str, *options: str) -> dict[str, Any]:
    return {"hostPath": str(source), "containerPath": target, "options": [*_BIND, *options]}


def publish(settings: Settings, backends: Iterable[str]) -> Path:
    """Install hook and client, write the specification, and return its path.

    The broker calls this when it starts and whenever its backends change. It leaves the file when
    it stops: then the hook refuses containers and says why, which no engine would.

    Raises:
        QuantainerError: ``invalid_option`` naming the folder that cannot be written, or another
            broker that runs and describes its devices there.
    """
    runtime = Path(settings.runtime_dir)
    target = Path(settings.cdi_dir) / FILE_NAME
    _refuse_to_displace(target, runtime)
    try:
        (runtime / "dev").mkdir(parents=True, exist_ok=True)
        spec = specification(backends, Places.install(runtime), settings.nodes)
        return write(spec, target)
    except OSError as error:
        raise _unwritable(error, target) from None


def _refuse_to_displace(target: Path, runtime: Path) -> None:
    other = owner(target)
    if other in (None, runtime):
        return
    raise QuantainerError(
        "invalid_option",
        f"{target} describes the devices of another broker, which runs in {other}.",
        hint="Set cdi_dir (QUANTAINER_CDI_DIR) to another folder.",
    )


def owner(target: Path) -> Path | None:
    """Return the runtime folder of the broker that a specification describes; None if none runs."""
    runtime = _runtime_of(target)
    return runtime if runtime and _answers(runtime / "broker.sock") else None


def _runtime_of(target: Path) -> Path | None:
    """Return the runtime folder that a specification of ours mounts."""
    with suppress(ValueError, AttributeError, KeyError, TypeError):
        spec = _load(target)
        for mount in spec["containerEdits"]["mounts"]:
            if mount["containerPath"] == DEVICE_FOLDER:
                return Path(mount["hostPath"]).parent
    return None


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        probe.settimeout(2)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def write(spec: dict[str, Any], target: Path, form: Format | None = None) -> Path:
    """Write a specification whole or not at all: mode 0644 in folders of mode 0755.

    Old engines resolve nothing while one of their two folders is missing, so writing to a dynamic
    folder as root also makes the static one.

    Raises:
        QuantainerError: ``invalid_option`` for a file name that engines do not read.
        OSError: If the file cannot be written.
    """
    if target.suffix not in (".yaml", ".json"):
        raise QuantainerError(
            "invalid_option",
            f"Engines read no CDI specification from {target.name}.",
            hint="Name it .yaml or .json.",
        )
    form = form or ("json" if target.suffix == ".json" else "yaml")
    _replace(target, dump(spec, form))
    if os.geteuid() == 0 and target.parent in DYNAMIC_DIRS:
        _make_folder(STATIC_DIR)
    _remove_twin(target, spec)
    return target


def dump(spec: dict[str, Any], form: Format) -> str:
    """Return a specification as text."""
    if form == "json":
        return json.dumps(spec, indent=2) + "\n"
    return str(yaml.safe_dump(spec, sort_keys=False, width=100))


def _remove_twin(target: Path, spec: dict[str, Any]) -> None:
    """Remove our file of the other format: a device in two files of a folder is in none."""
    twin = target.with_suffix(".json" if target.suffix == ".yaml" else ".yaml")
    with suppress(OSError, ValueError):
        found = _load(twin)
        if isinstance(found, dict) and found.get("kind") == spec["kind"]:
            twin.unlink()


def _replace(target: Path, text: str) -> None:
    _make_folder(target.parent)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
    except OSError as error:  # of a name that nobody knows
        raise OSError(error.errno, error.strerror, str(target)) from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(text)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _make_folder(folder: Path) -> None:
    """Make a folder that every user may read, whatever the umask."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        path.chmod(0o755)


def _unwritable(error: OSError, target: Path) -> QuantainerError:
    return QuantainerError(
        "invalid_option",
        f"{error.filename or target} cannot be written: {error.strerror}.",
        hint="Run as root, or set cdi_dir (QUANTAINER_CDI_DIR) to a folder that your engine reads.",
    )


# --- Reading what is there ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """One file of a CDI folder.

    Attributes:
        devices: Qualified names.
        problems: Why engines refuse or overlook the file; empty if they read it.
    """

    path: Path
    devices: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as JSON fields."""
        return {
            "path": str(self.path),
            "devices": list(self.devices),
            "problems": list(self.problems),
        }


def search_path(settings: Settings) -> list[Path]:
    """Return the folders to look into: those of every engine, then the configured one."""
    folders = [STATIC_DIR, Path("/var/run/cdi"), Path(settings.cdi_dir)]
    return list(dict.fromkeys(folders))


def read(folder: Path) -> list[Found]:
    """Return what a CDI folder holds, files that engines overlook included."""
    try:
        paths = sorted(folder.iterdir())
    except OSError:
        return []
    return [_inspect(path) for path in paths if path.suffix in (".yaml", ".json", ".yml")]


def known_devices(folders: Iterable[Path]) -> list[str]:
    """Return the names of our devices that specifications in these folders describe."""
    found = [name for folder in folders for file in read(folder) for name in file.devices]
    ours = [name.partition("=")[2] for name in found if name.startswith(f"{KIND}=")]
    return list(dict.fromkeys(ours))


def _inspect(path: Path) -> Found:
    try:
        spec = _load(path)
    except ValueError as error:
        return Found(path, problems=(f"cannot be read: {error}",))
    found = cdi_rules.problems(spec)
    if path.suffix == ".yml":
        found.insert(0, "engines overlook .yml; name it .yaml")
    if not path.stat().st_mode & 0o004:
        found.append("not readable for other users, so rootless engines cannot use it")
    return Found(path, tuple(_names(spec)), tuple(found))


def _names(spec: Any) -> Iterator[str]:
    devices = spec.get("devices") if isinstance(spec, dict) else None
    for device in devices if isinstance(devices, list) else ():
        if isinstance(device, dict):
            yield f"{spec.get('kind')}={device.get('name')}"


def _load(path: Path) -> Any:
    """Return what a YAML or JSON file holds, whoever wrote it.

    Raises:
        ValueError: With the reason if it cannot be read.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except Exception as error:  # for values that are none, each of YAML's types raises its own
        reason = str(error).splitlines() or [type(error).__name__]
        raise ValueError(reason[0]) from None
