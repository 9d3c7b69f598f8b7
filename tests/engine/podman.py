"""Podman's containers: the same as those of :mod:`engine.bundle`, made by a real engine.

It reads the CDI specification itself. Runs in a guest too, so it needs the standard library alone.
"""

from __future__ import annotations

import json
from pathlib import Path

from engine.container import Container, said

__all__ = ["PodmanContainer"]

# Podman before 5 reads only the system's folders.
_CDI = Path("/etc/cdi")
_KIND = "probe.quantainer.dev/qpu"


class PodmanContainer(Container):
    """A container of Podman."""

    @property
    def cgroup(self) -> str:
        return f"{self.parent}/libpod-{self._inspect('{{.Id}}')}"

    def run(self, *command: str) -> str:
        return self._call("run", "--rm", *self._options(), str(self.root), *command)

    def start(self, *command: str) -> int:
        self._call("run", "--detach", *self._options(), str(self.root), *command)
        return int(self._inspect("{{.State.Pid}}"))

    def pause(self) -> None:
        self._call("pause", self.name)

    def resume(self) -> None:
        self._call("unpause", self.name)

    def delete(self) -> None:
        self._call("rm", "--force", "--time=0", self.name)

    def _options(self) -> list[str]:
        binds = [f"--volume={source}:{target}:ro" for target, source in self.binds.items()]
        return [
            f"--name={self.name}",
            f"--cgroup-parent={self.parent}",
            "--network=none",
            "--cap-add=MKNOD",
            "--tmpfs=/tmp:rw,dev",
            *binds,
            *self._devices(),
            "--rootfs",
        ]

    def _devices(self) -> list[str]:
        if not self.nodes:
            return []
        device = {"name": "qsim", "containerEdits": {"deviceNodes": self.nodes}}
        spec = {"cdiVersion": "0.5.0", "kind": _KIND, "devices": [device]}
        _CDI.mkdir(exist_ok=True)
        (_CDI / "quantainer-probe.json").write_text(json.dumps(spec))
        return [f"--device={_KIND}=qsim"]

    def _inspect(self, form: str) -> str:
        return self._call("inspect", "--format", form, self.name).strip()

    def _call(self, action: str, *words: str) -> str:
        store = self.home.parent / "podman"
        own = (f"--root={store}/root", f"--runroot={store}/run", "--storage-driver=vfs")
        managed = ("--cgroup-manager=cgroupfs", "--events-backend=none")
        program = ("podman", *own, *managed, f"--runtime={self.runtime}")
        return said(f"podman {action}", *program, action, *words)
