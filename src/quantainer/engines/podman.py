"""Podman 4.1 or later, through its command line and CDI."""

from __future__ import annotations

from pathlib import Path

from quantainer.core.settings import Settings
from quantainer.engines import cli_engine
from quantainer.engines.docker import check_names
from quantainer.engines.request import Request
from quantainer_client.errors import QuantainerError

__all__ = ["Podman"]

OLDEST = (4, 1)
FOLDERS = [Path("/etc/cdi"), Path("/var/run/cdi")]


class Podman:
    """The Podman of this user."""

    name = "podman"

    def __init__(self, settings: Settings) -> None:
        self._folders = list(dict.fromkeys([*FOLDERS, Path(settings.cdi_dir)]))

    def unusable(self) -> str | None:
        """Return why Podman cannot be used here, or ``None``."""
        try:
            version = cli_engine.output("podman", "--version").strip()
        except QuantainerError as error:
            return error.message.rstrip(".")
        if cli_engine.major_minor(version) < OLDEST:
            return f"{version} is older than {OLDEST[0]}.{OLDEST[1]}"
        return None

    def lacks(self, image: str) -> str | None:
        """Return why Podman cannot have an image, where that is known without trying."""
        return cli_engine.lacks(self.name, image)

    def run(self, request: Request) -> int:
        """Become ``podman run``."""
        request = cli_engine.without_absent_terminal(request)
        if request.devices:
            check_names(request.devices, self._folders)
        return cli_engine.become("podman", *self._global_options(), "run", *request.words())

    def _global_options(self) -> list[str]:
        """Point Podman to a CDI folder of the user's own, if it is new enough for the option."""
        if self._folders == FOLDERS or "--cdi-spec-dir" not in _help():
            return []
        return [f"--cdi-spec-dir={folder}" for folder in self._folders]


def _help() -> str:
    return cli_engine.output("podman", "--help")
