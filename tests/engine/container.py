"""What the probe asks of a container, whoever makes it.

Runs in a guest too, so it needs the standard library alone.
"""

from __future__ import annotations

import subprocess
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["OPEN", "Container", "said"]

OPEN = """
import errno, json, os, stat, sys
answers = {}
for name, path, number, flags in json.loads(sys.argv[1]):
    try:
        if number:
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(*number))
        handle = os.open(path, getattr(os, flags))
        answers[name] = "opened"
        if name == "full":
            os.write(handle, b"x")
    except OSError as error:
        answers[name] = errno.errorcode[error.errno]
print(json.dumps(answers))
"""
"""A program for a container: opens device nodes, made by number first where one is given.

Its argument is JSON: ``[[name, path, [major, minor] or null, flags], …]``. It prints for each name
``opened`` or the error; of ``full`` also what writing to it says.
"""


@dataclass
class Container(ABC):
    """A container of one OCI runtime.

    Attributes:
        runtime: ``runc`` or ``crun``.
        name: Its name for whoever makes it.
        home: An empty folder for what its making needs.
        root: Its root file system, read-only.
        parent: The control group above its own.
        nodes: ``deviceNodes`` of CDI.
        binds: Folders of the host, by their path in the container.
    """

    runtime: str
    name: str
    home: Path
    root: Path
    parent: str
    nodes: list[dict[str, Any]] = field(default_factory=list)
    binds: dict[str, Path] = field(default_factory=dict)

    @property
    @abstractmethod
    def cgroup(self) -> str:
        """Its control group, from the root of the hierarchies."""

    @abstractmethod
    def run(self, *command: str) -> str:
        """Run a command in a new container to its end; return what it printed.

        Raises:
            RuntimeError: If it fails; with what it said.
        """

    @abstractmethod
    def start(self, *command: str) -> int:
        """Start a command in a new container; return the number of its process."""

    @abstractmethod
    def pause(self) -> None:
        """Freeze it."""

    @abstractmethod
    def resume(self) -> None:
        """Thaw it."""

    @abstractmethod
    def delete(self) -> None:
        """Kill it and remove its control group."""


def said(what: str, *command: str) -> str:
    """Return what a program prints.

    Raises:
        RuntimeError: If it fails; with what it said of ``what``.
    """
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{what}: {done.stderr.strip() or done.stdout}")
    return done.stdout
