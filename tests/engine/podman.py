"""Podman's containers: the same as those of :mod:`engine.bundle`, made by a real engine.

It reads the CDI specification itself. Runs in a guest too, so it needs the standard library alone.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["PodmanContainer"]

# Podman before 5 reads only the system's folders.
_CDI = Path("/etc/cdi")
_KIND = "probe.quantainer.dev/qpu"


@dataclass
class PodmanContainer:
    """A container of Podman; the attributes are those of ``Container``."""

    runtime: str
    name: str
    home: Path
    root: Path
    parent: str
    nodes: list[dict[str, Any]] = field(default_factory=list)
    binds: dict[str, Path] = field(default_factory=dict)

    @property
    def cgroup(self) -> str:
        """Its control group, from the root of the hierarchies."""
        return f"{self.parent}/libpod-{self._inspect('{{.Id}}')}"

    def run(self, *command: str) -> str:
        """Run a command in a new container to its end; return what it printed.

        Raises:
            RuntimeError: If it fails; with what it said.
        """
        return self._call("run", "--rm", *self._options(), str(self.root), *command)

    def start(self, *command: str) -> int:
        """Start a command in a new container; return the number of its process."""
        self._call("run", "--detach", *self._options(), str(self.root), *command)
        return int(self._inspect("{{.State.Pid}}"))

    def pause(self) -> None:
        """Freeze it."""
        self._call("pause", self.name)

    def resume(self) -> None:
        """Thaw it."""
        self._call("unpause", self.name)

    def delete(self) -> None:
        """Kill it and remove its control group."""
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
        done = subprocess.run(
            ["podman", *own, *managed, f"--runtime={self.runtime}", action, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"podman {action}: {done.stderr.strip() or done.stdout}")
        return done.stdout
