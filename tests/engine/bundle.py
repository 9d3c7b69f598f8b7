"""OCI bundles by hand: a container as an engine has runc or crun make it, without the engine.

What a CDI specification grants is put into the bundle as engines do: numbers, owner and mode of
``hostPath`` are read now, a node is listed in ``linux.devices`` and its permissions in the device
rules. Source: ContainerEdits.Apply and DeviceNode.toOCI of cncf-tags/container-device-interface.

Runs in a guest too, so it needs the standard library alone.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path
from typing import Any

from engine.container import Container, said

__all__ = ["BundleContainer"]

_CAPABILITIES = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
]
"""Docker's defaults: with MKNOD, so that a container may make nodes of its own."""


class BundleContainer(Container):
    """A container of the OCI runtime alone; its name is the last part of its control group."""

    @property
    def cgroup(self) -> str:
        return f"{self.parent}/{self.name}"

    def run(self, *command: str) -> str:
        return self._call("run", "--bundle", str(self._bundle(command)), self.name)

    def start(self, *command: str) -> int:
        # Its output stays open as long as it lives, so it is not awaited.
        words = [*self._words("run"), "--detach", "--bundle", str(self._bundle(command)), self.name]
        with (self.home / "log").open("wb") as log:
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=60, check=False
            )
        if done.returncode:
            raise RuntimeError((self.home / "log").read_text())
        pid: int = json.loads(self._call("state", self.name))["pid"]
        return pid

    def pause(self) -> None:
        self._call("pause", self.name)

    def resume(self) -> None:
        self._call("resume", self.name)

    def delete(self) -> None:
        self._call("delete", "--force", self.name)

    def _words(self, action: str) -> list[str]:
        return [self.runtime, f"--root={self.home}/state", action]

    def _call(self, action: str, *words: str) -> str:
        return said(f"{self.runtime} {action}", *self._words(action), *words)

    def _bundle(self, command: tuple[str, ...]) -> Path:
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "config.json").write_text(json.dumps(self._specification(command)))
        return self.home

    def _specification(self, command: tuple[str, ...]) -> dict[str, Any]:
        granted = [_device(node) for node in self.nodes]
        rules = [_rule(node, device) for node, device in zip(self.nodes, granted, strict=True)]
        kinds = ("pid", "mount", "ipc", "uts", "network")
        return {
            "ociVersion": "1.0.0",
            "process": {
                "terminal": False,
                "user": {"uid": 0, "gid": 0},
                "args": list(command),
                "env": ["PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8"],
                "cwd": "/",
                "capabilities": dict.fromkeys(
                    ("bounding", "effective", "permitted"), _CAPABILITIES
                ),
                "noNewPrivileges": True,
            },
            "root": {"path": str(self.root), "readonly": True},
            "mounts": [*_mounts(), *(_bind(*pair) for pair in self.binds.items())],
            "linux": {
                "namespaces": [{"type": kind} for kind in kinds],
                "cgroupsPath": self.cgroup,
                "devices": granted,
                "resources": {"devices": [{"allow": False, "access": "rwm"}, *rules]},
            },
        }


def _device(node: dict[str, Any]) -> dict[str, Any]:
    status = os.stat(node.get("hostPath", node["path"]))  # noqa: PTH116
    if not stat.S_ISCHR(status.st_mode):
        raise ValueError(f"{node} is no character device")
    return {
        "path": node["path"],
        "type": node["type"],
        "major": os.major(status.st_rdev),
        "minor": os.minor(status.st_rdev),
        "fileMode": stat.S_IMODE(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
    }


def _rule(node: dict[str, Any], device: dict[str, Any]) -> dict[str, Any]:
    numbers = {key: device[key] for key in ("type", "major", "minor")}
    return {"allow": True, **numbers, "access": node["permissions"]}


def _mounts() -> list[dict[str, Any]]:
    strict = ["nosuid", "noexec", "nodev"]
    return [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": strict},
        {
            "destination": "/dev",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
        },
        # Nodes that are made here would open, were it not for the device rules.
        {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]},
    ]


def _bind(target: str, source: Path) -> dict[str, Any]:
    options = ["rbind", "ro", "nosuid", "nodev"]
    return {"destination": target, "type": "bind", "source": str(source), "options": options}
