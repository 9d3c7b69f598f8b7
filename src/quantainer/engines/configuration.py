"""Configuration files of engines: what must stand in them so that they know the devices.

Nothing that stands there is lost: unknown keys stay, the old file is kept beside the new one, and
a file that cannot be read as it should is not touched.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantainer.device.cdi import DYNAMIC_DIRS, STATIC_DIR
from quantainer_client.errors import QuantainerError

__all__ = ["Change", "containerd", "docker", "podman"]


@dataclass(frozen=True, slots=True)
class Change:
    """A file as it is and as it should be.

    Attributes:
        restart: What the engine needs to notice.
    """

    path: Path
    before: str | None
    after: str
    restart: str

    @property
    def needed(self) -> bool:
        """Tell whether anything changes."""
        return self.before != self.after

    def diff(self) -> str:
        """Return the change as a unified diff."""
        old, new = (self.before or "").splitlines(True), self.after.splitlines(True)
        return "".join(difflib.unified_diff(old, new, str(self.path), str(self.path)))

    def apply(self) -> Path | None:
        """Write the file; return where the old one is kept.

        Raises:
            QuantainerError: ``invalid_option`` if it cannot be written.
        """
        try:
            return self._replace()
        except OSError as error:
            raise QuantainerError(
                "invalid_option",
                f"{error.filename or self.path} cannot be written: {error.strerror}.",
                hint="Run as root, or name another file with --config.",
            ) from None

    def _replace(self) -> Path | None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        mode, backup = 0o644, None
        if self.before is not None:
            mode = self.path.stat().st_mode & 0o777
            backup = self.path.with_name(f"{self.path.name}.before-quantainer")
            if not backup.exists():  # the first one is what the administrator wrote
                _write(backup, self.before, mode)
        _write(self.path.resolve(), self.after, mode)
        return backup

    def to_dict(self) -> dict[str, Any]:
        """Return the change as JSON fields."""
        return {
            "path": str(self.path),
            "changed": self.needed,
            "diff": self.diff(),
            "restart": self.restart if self.needed else None,
        }


def docker(path: Path, cdi_dir: Path, extra: Mapping[str, Any]) -> Change:
    """Return the change of ``daemon.json`` that switches CDI on and adds the folder.

    Raises:
        QuantainerError: ``invalid_option`` if the file is not what Docker reads.
    """
    before = _read(path)
    try:
        config = json.loads(before) if before and before.strip() else {}
    except json.JSONDecodeError as error:
        raise _unreadable(path, f"line {error.lineno}: {error.msg}") from None
    if not isinstance(config, dict) or not isinstance(config.get("features", {}), dict):
        raise _unreadable(path, "it does not hold the object that Docker expects")
    wanted = json.loads(json.dumps(config))
    wanted.setdefault("features", {})["cdi"] = True
    folders = wanted.get("cdi-spec-dirs")
    if folders is not None or not _is_known(cdi_dir):
        wanted["cdi-spec-dirs"] = _with_folder(folders, cdi_dir)
    for key, value in extra.items():
        _set(wanted, key.split("."), value)
    after = before if wanted == config and before else json.dumps(wanted, indent=2) + "\n"
    rootless = "" if os.geteuid() == 0 else "--user "
    return Change(path, before, after, f"systemctl {rootless}restart docker")


def podman(path: Path, cdi_dir: Path) -> Change:
    """Return the change of a drop-in of ``containers.conf``; none for the folders Podman reads."""
    before = _read(path)
    after = before or ""
    if not _is_known(cdi_dir):
        folders = json.dumps(_with_folder(None, cdi_dir))
        after = f"# Read by Podman 5 and later.\n[engine]\ncdi_spec_dirs = {folders}\n"
    return Change(path, before if after else "", after, "nothing: Podman reads it at each start")


def containerd(path: Path, cdi_dir: Path) -> Change:
    """Return the change of containerd's ``config.toml`` that switches CDI on for Kubernetes.

    containerd 2 does so by itself; then nothing changes.

    Raises:
        QuantainerError: ``invalid_option`` if the file is no TOML, or of a version without CDI.
    """
    before = _read(path)
    try:
        config = tomllib.loads(before or "")
    except tomllib.TOMLDecodeError as error:
        raise _unreadable(path, str(error)) from None
    version = config.get("version", 1 if before else 3)
    plugins = {
        2: "io.containerd.grpc.v1.cri",
        3: "io.containerd.cri.v1.runtime",
    }
    if version not in plugins:
        raise _unreadable(path, f"its version is {version}, and CDI needs version 2 or later")
    name = plugins[version]
    section = config.get("plugins", {}).get(name, {})
    folders = section.get("cdi_spec_dirs")
    enabled = section.get("enable_cdi", version == 3)
    found = enabled and (_is_known(cdi_dir) if folders is None else str(cdi_dir) in folders)
    if found:
        return Change(path, before or "", before or "", "")
    values = {
        "enable_cdi": "true",
        "cdi_spec_dirs": json.dumps(_with_folder(folders, cdi_dir)),
    }
    after = _with_values(before or f"version = {version}\n", name, section, values)
    if not _says(after, name, str(cdi_dir)):
        raise _unreadable(path, f"the section of {name} is written in a way not understood here")
    return Change(path, before, after, "systemctl restart containerd")


def _with_values(text: str, name: str, section: Mapping[str, Any], values: dict[str, str]) -> str:
    """Set keys of a plugin's section by changing only their lines."""
    quote = r"""["']"""
    header = re.search(
        rf"^[ \t]*\[plugins\.{quote}{re.escape(name)}{quote}\][^\n]*\n", text, re.MULTILINE
    )
    if header is None:
        lines = "".join(f"  {key} = {value}\n" for key, value in values.items())
        return f'{text.rstrip()}\n\n[plugins."{name}"]\n{lines}'
    head, body = text[: header.end()], text[header.end() :]
    for key, value in values.items():
        line = rf"^([ \t]*){key}[ \t]*=[ \t]*(?:\[[^\]]*\]|[^\n]*)"
        if key in section:
            body = re.sub(line, rf"\g<1>{key} = {value}", body, count=1, flags=re.MULTILINE)
        else:
            body = f"    {key} = {value}\n{body}"
    return head + body


def _says(text: str, name: str, folder: str) -> bool:
    try:
        section = tomllib.loads(text)["plugins"][name]
    except (tomllib.TOMLDecodeError, KeyError):
        return False
    return section.get("enable_cdi") is True and folder in section.get("cdi_spec_dirs", ())


def _is_known(folder: Path) -> bool:
    return folder == STATIC_DIR or folder in DYNAMIC_DIRS


def _with_folder(folders: Any, folder: Path) -> list[str]:
    known = list(folders) if folders else [str(STATIC_DIR), str(DYNAMIC_DIRS[0])]
    covered = str(folder) in known or (folder in DYNAMIC_DIRS and str(DYNAMIC_DIRS[0]) in known)
    return known if covered else [*known, str(folder)]


def _set(config: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        inner = config.setdefault(key, {})
        if not isinstance(inner, dict):
            raise QuantainerError("invalid_option", f"--set {'.'.join(keys)}: {key} is a value.")
        config = inner
    config[keys[-1]] = value


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise _unreadable(path, str(reason)) from None


def _unreadable(path: Path, reason: str) -> QuantainerError:
    return QuantainerError(
        "invalid_option",
        f"{path} is left as it is: {reason}.",
        hint="Mend it, or name another file with --config.",
    )


def _write(path: Path, text: str, mode: int) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
