"""One bubblewrap process tree: started, held until its lease is open, signalled, and awaited."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from quantainer.engines.embedded.control_group import ControlGroup
from quantainer.engines.embedded.terminal import Terminal
from quantainer_client.errors import QuantainerError

__all__ = ["Sandbox"]

_FORWARDED = (
    *(signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1),
    *(signal.SIGUSR2,),
)


_PATH = ("--setenv", "PATH")
_BINDS = frozenset(("--bind", "--ro-bind", "--bind-try", "--ro-bind-try", "--dev-bind"))


class Sandbox:
    """A container that waits, set up but not started, for ``release``.

    Args:
        arguments: Of ``bwrap``, without the command.
        command: What runs in it.
        files: Content of files by their path in the container.
        group: The control group it enters.
        interactive: It reads the caller's standard input.
        read_only: Its root folder is, too.
        terminal: Its terminal, if it has one.
    """

    def __init__(
        self,
        arguments: Iterable[str],
        command: Iterable[str],
        files: dict[str, str],
        group: ControlGroup,
        *,
        interactive: bool,
        read_only: bool,
        terminal: Terminal | None,
    ) -> None:
        self._terminal = terminal
        self._released = False
        info, info_child = os.pipe()
        gate_child, self._gate = os.pipe()
        contents = {path: _memory_file(text) for path, text in files.items()}
        self._status, status_child = os.pipe()
        self._command = tuple(command)
        self._missing_code = _code_of_missing(tuple(arguments), self._command[0])
        words = [*arguments, "--info-fd", str(info_child), "--block-fd", str(gate_child)]
        words += ["--json-status-fd", str(status_child)]
        for path, handle in contents.items():
            words += ["--ro-bind-data", str(handle), path]
        words += ["--remount-ro", "/"] if read_only else []
        handed = (info_child, gate_child, status_child, *contents.values())

        def before_exec() -> None:
            group.enter()
            if terminal is not None:
                terminal.adopt()

        streams: dict[str, Any] = {"stdin": None if interactive else subprocess.DEVNULL}
        if terminal is not None:
            streams = dict.fromkeys(("stdin", "stdout", "stderr"), terminal.slave)
        try:
            self._process = subprocess.Popen(
                ["bwrap", *words, "--", *self._command],
                pass_fds=handed,
                start_new_session=True,
                preexec_fn=before_exec,  # noqa: PLW1509 - this program has one thread
                env={"PATH": os.environ.get("PATH", os.defpath)},
                **streams,
            )
        finally:
            for handle in handed:
                os.close(handle)
        with open(info, "rb") as answer:  # noqa: PTH123 - a pipe
            text = answer.read()
        self.pid = self._pid(text)
        for number in _FORWARDED:
            signal.signal(number, self._forward)

    def _pid(self, info: bytes) -> int:
        """Return the container's first process as bubblewrap reports it."""
        try:
            return int(json.loads(info)["child-pid"])
        except (ValueError, KeyError):
            self._process.wait()
            raise QuantainerError(
                "backend_failed",
                f"bubblewrap could not make the container (exit {self._process.returncode}).",
                hint="Its message is above. User namespaces may be switched off on this host.",
            ) from None

    def release(self) -> None:
        """Let the command start."""
        self._released = True
        os.write(self._gate, b"1")
        os.close(self._gate)

    def wait(self) -> int:
        """Return the exit code; 128 + the signal's number if one ended the command.

        As with Docker, 127 of a command that is not there and 126 of one that cannot be executed.
        """
        if self._terminal is not None:
            self._terminal.relay()
        code = self._process.wait()
        if code < 0:
            return 128 - code
        return code if self._started() else self._missing_code

    def _started(self) -> bool:
        """Tell whether there was a command: bubblewrap states only the exit code of one."""
        with open(self._status, "rb") as said:  # noqa: PTH123 - a pipe
            return any(b"exit-code" in line for line in said)

    def kill(self) -> None:
        """End it at once; the kernel ends every process of its pid namespace.

        The container's first process goes before bubblewrap around it: one that still waits at the
        gate would take our end for its release.
        """
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()

    def _forward(self, number: int, _: object) -> None:
        """Pass a signal to the command, not to bubblewrap around it; end us while there is none."""
        if not self._released:
            raise SystemExit(128 + number)
        for pid in _children(self.pid) or [self.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _code_of_missing(arguments: tuple[str, ...], command: str) -> int:
    """Return the exit code if the command cannot be started: 127, or 126 for a file that exists."""
    mounts = [(to, what) for word, what, to in _triples(arguments) if word in _BINDS]
    if "/" in command:
        work = next((to for word, to, _ in _triples((*arguments, "")) if word == "--chdir"), "/")
        wanted = [os.path.normpath(Path(work, command))]
    else:
        named = (value for word, name, value in _triples(arguments) if (word, name) == _PATH)
        wanted = [f"{folder}/{command}" for folder in next(named, "").split(":")]
    return 126 if any(_exists(path, mounts) for path in wanted) else 127


def _triples(words: tuple[str, ...]) -> Iterable[tuple[str, str, str]]:
    return zip(words, words[1:], words[2:], strict=False)


def _exists(path: str, mounts: list[tuple[str, str]]) -> bool:
    inside = [pair for pair in mounts if Path(path).is_relative_to(pair[0])]
    if not inside:
        return False
    place, source = max(inside, key=lambda pair: len(pair[0]))
    return Path(source, Path(path).relative_to(place)).exists()


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(word) for word in text.split()]


def _memory_file(text: str) -> int:
    handle = os.memfd_create("quantainer")
    os.write(handle, text.encode())
    os.lseek(handle, 0, os.SEEK_SET)
    return handle


def unusable() -> str | None:
    """Return why bubblewrap cannot be used here, or ``None``."""
    probe = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--", "/bin/true"]
    try:
        done = subprocess.run(probe, capture_output=True, text=True, timeout=20, check=False)
    except FileNotFoundError:
        return "bubblewrap (bwrap) is not installed"
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not work ({error})"
    if done.returncode:
        return f"bubblewrap cannot make a container here ({done.stderr.strip() or 'no reason'})"
    return None if sys.platform == "linux" else "Linux only"
