"""Runtime directory: made for this broker alone, and not taken from another that runs."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from quantainer_client.errors import QuantainerError

__all__ = ["make_runtime_dir", "refuse_second"]


def make_runtime_dir(runtime: Path) -> None:
    """Make the runtime directory, and refuse one that another user could have planted.

    Raises:
        QuantainerError: ``invalid_option``.
    """
    with _as_refusal(runtime, "runtime_dir"):
        runtime.mkdir(mode=0o755, parents=True, exist_ok=True)
        status = runtime.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid not in (0, os.geteuid()):
            raise QuantainerError(
                "invalid_option",
                f"{runtime} belongs to another user.",
                hint="Set runtime_dir to a directory of your own.",
            )
        if status.st_uid == os.geteuid():
            runtime.chmod(0o755)
        (runtime / "dev").mkdir(mode=0o755, exist_ok=True)
        (runtime / "dev").chmod(0o755)


@contextlib.contextmanager
def _as_refusal(path: Path, setting: str) -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        raise QuantainerError(
            "invalid_option", f"{path} is no folder.", hint=f"Set {setting} to one."
        ) from None
    except OSError as error:
        raise QuantainerError(
            "invalid_option",
            f"{error.filename or path}: {error.strerror}.",
            hint=f"Set {setting} to a directory that this user can write.",
        ) from None


def refuse_second(path: Path) -> None:
    """Refuse to take the sockets of a broker that runs.

    Raises:
        QuantainerError: ``invalid_option``.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return
    raise QuantainerError(
        "invalid_option",
        f"A broker answers on {path} already.",
        hint="Stop it with 'quantainer down', or set runtime_dir to another directory.",
    )
