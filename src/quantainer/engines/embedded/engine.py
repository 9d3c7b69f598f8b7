"""The embedded engine: makes the container, opens its lease, waits for it, closes the lease."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from pathlib import Path
from typing import Any

from quantainer.core.settings import Settings
from quantainer.device import cdi
from quantainer.engines.cli_engine import without_absent_terminal
from quantainer.engines.embedded import sandbox, tree
from quantainer.engines.embedded.control_group import ControlGroup
from quantainer.engines.embedded.options import Wishes, understand
from quantainer.engines.embedded.sandbox import Sandbox
from quantainer.engines.embedded.terminal import Terminal
from quantainer.engines.engine import NotMadeError
from quantainer.engines.request import Request
from quantainer_client.channel import Channel
from quantainer_client.errors import QuantainerError

__all__ = ["Embedded"]

_OPEN_S = 10.0
_CLOSE_S = 60.0
_HOME = "/root"


class Embedded:
    """Runs containers by bubblewrap; needs neither a daemon nor root."""

    name = "embedded"

    def __init__(self, settings: Settings) -> None:
        self._runtime = Path(settings.runtime_dir)

    def unusable(self) -> str | None:
        """Return why the engine cannot be used here, or ``None``."""
        return sandbox.unusable()

    def lacks(self, image: str) -> str | None:
        """Return why an image name means nothing to this engine."""
        try:
            tree.resolve(image)
        except QuantainerError as error:
            return error.message.rstrip(".")
        return None

    def run(self, request: Request) -> int:
        """Run the container and return its exit code."""
        image = tree.resolve(request.image)
        wishes = understand(without_absent_terminal(request), image.command)
        if image.note:
            sys.stderr.write(image.note)
        name = f"embedded-{secrets.token_hex(8)}"
        group = ControlGroup(name, wishes.limits)
        try:
            return self._run(request, wishes, image, name, group)
        except QuantainerError as error:
            raise NotMadeError.of(error) from None
        finally:
            group.remove()

    def _run(
        self, request: Request, wishes: Wishes, image: tree.Tree, name: str, group: ControlGroup
    ) -> int:
        container = Sandbox(
            self._arguments(request, wishes, image, name),
            wishes.command,
            _accounts(wishes) if image.accounts else {},
            group,
            interactive=wishes.interactive,
            read_only=wishes.read_only,
            terminal=Terminal() if wishes.terminal else None,
        )
        try:
            anchor = "cgroup" if group.folders else "pidns"
            lease = self._open_lease(request, name, container.pid, anchor)
        except BaseException:
            container.kill()
            raise
        container.release()
        try:
            return container.wait()
        finally:
            if lease:
                self._close_lease(name)

    # The container

    def _arguments(
        self, request: Request, wishes: Wishes, image: tree.Tree, name: str
    ) -> list[str]:
        uid, gid = wishes.user
        words = ["--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net"]
        words += ["--unshare-uts", "--unshare-cgroup-try", "--die-with-parent"]
        words += ["--uid", str(uid), "--gid", str(gid), "--disable-userns"]
        words += ["--hostname", wishes.hostname or name[-12:]]
        empty = "--dir" if wishes.read_only else "--tmpfs"
        # Before the mounts: the host's Python may itself lie below /tmp.
        words += [empty, "/tmp", *image.mounts, empty, "/var/tmp"]
        words += ["--proc", "/proc", "--dev", "/dev", "--dir", "/run"]
        if request.devices:
            words += self._device(image.client)
        words += wishes.mounts
        words += ["--dir", wishes.workdir, "--chdir", wishes.workdir]
        words.append("--clearenv")
        for key, value in self._environment(request, wishes, image).items():
            words += ["--setenv", key, value]
        return words

    def _device(self, place: str) -> list[str]:
        if not (self._runtime / "dev").is_dir():
            raise QuantainerError(
                "broker_unavailable",
                f"There is no broker: {self._runtime}/dev does not exist.",
                hint="Start it with `quantainer up`.",
            )
        client = cdi.Places.install(self._runtime).client
        return [
            *("--ro-bind", str(self._runtime / "dev"), cdi.DEVICE_FOLDER),
            *("--ro-bind", str(client), place),
        ]

    @staticmethod
    def _environment(request: Request, wishes: Wishes, image: tree.Tree) -> dict[str, str]:
        variables = {"PATH": image.path, "HOME": _HOME, "LANG": "C.UTF-8"}
        if wishes.terminal:
            variables["TERM"] = os.environ.get("TERM", "xterm")
        variables |= wishes.environment
        if request.devices:
            own = variables.get("PYTHONPATH", "")
            variables["PYTHONPATH"] = f"{image.client}:{own}" if own else image.client
            variables["QUANTAINER_PYTHONPATH"] = own
        return variables

    # Its lease

    def _open_lease(self, request: Request, name: str, pid: int, anchor: str) -> bool:
        if not request.devices:
            return False
        fields: dict[str, Any] = {
            "container": name,
            "pid": pid,
            # Without a control group of its own the container is known by its pid namespace.
            "anchor": anchor,
            "backends": list(request.devices),
            "image": request.image,
            "annotations": request.annotations,
        }
        if "quantum.mode" in request.annotations:
            fields["mode"] = request.annotations["quantum.mode"]
        self._ask("lease.open", fields, _OPEN_S)
        return True

    def _close_lease(self, name: str) -> None:
        # A broker that is gone has no lease to close, and the exit code is the container's.
        with contextlib.suppress(QuantainerError):
            self._ask("lease.close", {"container": name}, _CLOSE_S)

    def _ask(self, operation: str, fields: dict[str, Any], timeout: float) -> None:
        channel = Channel(str(self._runtime / "broker.sock"), timeout)
        try:
            channel.round_trip(operation, fields, None, timeout)
        finally:
            channel.close()


def _accounts(wishes: Wishes) -> dict[str, str]:
    """Return the user database: root, and whoever the container runs as."""
    uid, gid = wishes.user
    users, groups = [f"root:x:0:0:root:{_HOME}:/bin/sh"], ["root:x:0:"]
    if uid:
        users.append(f"user:x:{uid}:{gid}::/:/bin/sh")
    if gid:
        groups.append(f"user:x:{gid}:")
    switch = "passwd: files\ngroup: files\nhosts: files\n"
    hosts = "127.0.0.1 localhost\n::1 localhost\n"
    return {
        "/etc/passwd": "\n".join(users) + "\n",
        "/etc/group": "\n".join(groups) + "\n",
        "/etc/nsswitch.conf": switch,
        "/etc/hosts": hosts,
    }
