"""What the host must have before an engine can start: tools, the Debian mirror, a cache folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path("/etc/apt")
_PACKAGES = {"qemu-system-x86_64": "qemu-system-x86"}


class UnavailableError(Exception):
    """This machine cannot run the engine; the message says why. Tests skip with it."""


@dataclass(frozen=True)
class Mirror:
    """A Debian mirror as the machine's own apt configuration names it."""

    uri: str
    keyring: str | None


def cache() -> Path:
    """Return the folder in which downloads and base images are kept between runs."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    path = Path(root) / "quantainer-tests"
    path.mkdir(parents=True, exist_ok=True)
    return path


def run(*command: str | Path, timeout: float = 600, **options: object) -> str:
    """Run a tool and return its output.

    Raises:
        UnavailableError: If it fails; with the last line of what it said.
    """
    done = subprocess.run(  # type: ignore[call-overload]
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        **options,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or [f"exit {done.returncode}"]
        raise UnavailableError(f"{Path(command[0]).name} {command[1]}: {said[-1]}")
    return str(done.stdout)


def need_root() -> None:
    """Skip where the tests do not run as root: an engine mounts and makes control groups."""
    if os.geteuid() != 0:
        raise UnavailableError("a Docker Engine for tests needs root")


def need_tools(*tools: str) -> None:
    """Install missing tools from the distribution (mostly the package of the same name)."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise UnavailableError(
            f"missing: {', '.join(missing)} (install it, or run as root on Debian)"
        )
    packages = [_PACKAGES.get(tool, tool) for tool in missing]
    install = ("apt-get", "install", "-y", "--no-install-recommends", *packages)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        run(*install, env=environment)
    except UnavailableError:
        run("apt-get", "update")
        run(*install, env=environment)


def debian_mirror() -> Mirror:
    """Return the Debian mirror of this machine's apt sources, in either of apt's two formats."""
    files = [SOURCES / "sources.list", *sorted((SOURCES / "sources.list.d").glob("*"))]
    for file in files:
        if file.suffix == ".sources" and file.is_file():
            found = _deb822(file.read_text())
        elif file.suffix == ".list" and file.is_file():
            found = _one_line(file.read_text())
        else:
            continue
        if found is not None:
            return found
    raise UnavailableError("apt names no Debian mirror on this machine")


def _deb822(text: str) -> Mirror | None:
    for stanza in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"^([A-Za-z-]+):[ \t]*(.*)$", stanza, re.MULTILINE))
        for uri in fields.get("URIs", "").split():
            if uri.rstrip("/").endswith("/debian"):
                return Mirror(uri, fields.get("Signed-By") or None)
    return None


def _one_line(text: str) -> Mirror | None:
    for options, uri in re.findall(r"^deb\s+(?:\[([^]]*)\]\s+)?(\S+)", text, re.MULTILINE):
        if uri.rstrip("/").endswith("/debian"):
            keyring = re.search(r"signed-by=(\S+)", options)
            return Mirror(uri, keyring and keyring[1])
    return None
