"""The one interface of every engine, and the rule by which one is chosen."""

from __future__ import annotations

from typing import Protocol

from quantainer.engines.request import Request
from quantainer_client.errors import QuantainerError

__all__ = ["Engine", "NotMadeError", "choose"]


class Engine(Protocol):
    """Something that runs containers."""

    name: str

    def unusable(self) -> str | None:
        """Return why the engine cannot be used here, or ``None``."""
        ...

    def lacks(self, image: str) -> str | None:
        """Return why the engine cannot have an image, where that is known without trying."""
        ...

    def run(self, request: Request) -> int:
        """Run the container and return its exit code; may not return, but become the engine.

        Raises:
            QuantainerError: If the container cannot be run, before anything was started.
        """
        ...


class NotMadeError(QuantainerError):
    """The request is right, but the container could not be made. Docker exits with 125 then."""

    exit_code = 125

    @classmethod
    def of(cls, error: QuantainerError) -> NotMadeError:
        """Return the same refusal as one of this kind."""
        return cls(
            error.code, error.message, limit=error.limit, needed=error.needed, hint=error.hint
        )


def choose(name: str, image: str, engines: list[Engine]) -> Engine:
    """Return the engine of that name, or for ``auto`` the first usable one that can have the image.

    Raises:
        QuantainerError: ``invalid_option`` with each engine's reason.
    """
    wanted = [engine for engine in engines if name in ("auto", engine.name)]
    reasons, usable = [], []
    for engine in wanted:
        reason = engine.unusable()
        if reason is None:
            usable.append(engine.name)
            reason = engine.lacks(image)
        if reason is None:
            return engine
        reasons.append(f"{engine.name}: {reason}")
    raise QuantainerError(
        "invalid_option",
        f"No container engine here can run {image!r}. {'; '.join(reasons)}.",
        hint=_way_out(name, image, usable),
    )


def _way_out(name: str, image: str, usable: list[str]) -> str:
    """Return what to do if the engines that work, if any do, cannot have the image."""
    if not usable:
        return "Install Docker 27 or later, Podman, or bubblewrap; see docs/embedded.md."
    if name in ("docker", "podman"):
        return "Name another image, or leave out --engine."
    if "embedded" not in usable:
        return "Name another image, or install bubblewrap (docs/embedded.md)."
    if _is_folder(image):
        return "Name a folder with a root file system, or an image."
    other = "another engine" if name == "embedded" else "Docker 27 or later, or Podman"
    return f"Name 'host' or a folder with a root file system (docs/embedded.md); or use {other}."


def _is_folder(image: str) -> bool:
    """Tell whether an image is written as a path."""
    return image.startswith(("/", "./", "../"))
