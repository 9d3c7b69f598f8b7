"""Docker Engine 27 or later, through its command line and CDI."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from quantainer.core.spelling import guess, listed
from quantainer.device import cdi
from quantainer.engines import cli_engine
from quantainer.engines.request import Request
from quantainer_client.errors import QuantainerError

__all__ = ["Docker"]

OLDEST = 27


class Docker:
    """The engine that ``docker`` reaches: ``DOCKER_HOST``, its contexts, or the local socket."""

    name = "docker"

    def __init__(self) -> None:
        self._known: dict[str, Any] | None = None

    def unusable(self) -> str | None:
        """Return why Docker cannot be used here, or ``None``."""
        try:
            version = str(self._info()["version"])
        except QuantainerError as error:
            return error.message.rstrip(".")
        if cli_engine.major_minor(version)[0] < OLDEST:
            return f"Docker Engine {version} is older than {OLDEST}"
        return None

    def lacks(self, image: str) -> str | None:
        """Return why Docker cannot have an image, where that is known without trying."""
        return cli_engine.lacks(self.name, image)

    def run(self, request: Request) -> int:
        """Become ``docker run``."""
        request = cli_engine.without_absent_terminal(request)
        if request.devices:
            self._check_devices(request.devices)
        return cli_engine.become("docker", "run", *request.words())

    def _info(self) -> dict[str, Any]:
        if self._known is None:
            form = '{"version": {{json .ServerVersion}}, "cdi": {{json .CDISpecDirs}}}'
            self._known = json.loads(cli_engine.output("docker", "info", "--format", form))
        if not self._known.get("version"):
            raise QuantainerError("backend_failed", "the Docker daemon does not answer")
        return self._known

    def _check_devices(self, devices: tuple[str, ...]) -> None:
        """Tell apart what Docker itself reports in one breath: feature, folders, name."""
        info = self._info()
        folders = [Path(folder) for folder in info.get("cdi") or ()]
        if not folders:
            raise QuantainerError(
                "invalid_option",
                f"Docker Engine {info['version']} has CDI switched off.",
                hint="Run `quantainer runtime configure --engine docker` and restart Docker.",
            )
        check_names(devices, folders)


def check_names(devices: tuple[str, ...], folders: list[Path]) -> None:
    """Refuse devices that no specification in the engine's folders names.

    An engine on another machine or in another mount namespace has folders that are not ours to
    look into: where none is visible, the engine decides.

    Raises:
        QuantainerError: ``unknown_backend`` with the devices there are, or how to get some.
    """
    visible = [folder for folder in folders if os.access(folder, os.R_OK | os.X_OK)]
    if not visible:
        return
    ours = cdi.known_devices(visible)
    where = ", ".join(str(folder) for folder in folders)
    if not ours:
        raise QuantainerError(
            "unknown_backend",
            f"No quantum device is described where the engine looks ({where}).",
            hint="Start the broker with `quantainer up`, or run `quantainer cdi generate`.",
        )
    for device in devices:
        if device not in ours:
            raise QuantainerError(
                "unknown_backend",
                f"This node has no quantum device {device!r}.",
                hint=f"{guess(device, ours)}It has {listed(set(ours) - {'all'})}, or all of them "
                "as 'all'.",
            )
