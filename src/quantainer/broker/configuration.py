"""Configuration: reads the file and the environment and settles every setting."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quantainer.core.settings import Resolved, platform_defaults, resolve
from quantainer_client.errors import QuantainerError

__all__ = ["file_path", "load"]


def file_path(environ: Mapping[str, str]) -> Path:
    """Return where the configuration file is looked for: root's in /etc, others' in XDG's place."""
    named = environ.get("QUANTAINER_CONFIG")
    if named:
        return Path(named)
    if os.geteuid() == 0:
        return Path("/etc/quantainer/config.toml")
    home = environ.get("XDG_CONFIG_HOME") or f"{environ.get('HOME', '')}/.config"
    return Path(home) / "quantainer" / "config.toml"


def load(
    flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> Resolved:
    """Return the settings in force for this user.

    Raises:
        QuantainerError: ``invalid_option`` for an unreadable file, an unknown key or a wrong value.
    """
    environ = os.environ if environ is None else environ
    path = file_path(environ)
    defaults = platform_defaults(os.geteuid(), environ)
    return resolve(_read(path, environ), environ, flags or {}, defaults, file_name=str(path))


def _read(path: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if "QUANTAINER_CONFIG" not in environ:
            return {}
        raise QuantainerError(
            "invalid_option", f"QUANTAINER_CONFIG names {path}, which does not exist."
        ) from None
    except OSError as error:
        raise QuantainerError("invalid_option", f"{path}: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise QuantainerError("invalid_option", f"{path} is not valid TOML: {error}.") from None
