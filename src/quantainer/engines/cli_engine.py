"""What Docker and Podman have in common: a command line program that this process becomes."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from quantainer.engines.request import Request
from quantainer_client.errors import QuantainerError

__all__ = ["become", "lacks", "major_minor", "output", "without_absent_terminal"]

ANSWER_S = 20.0
QUANTUM_SIM = "python:3.11-quantum-sim"
LOCAL_FOLDERS = ("host",)


def output(*command: str) -> str:
    """Return what a program prints.

    Raises:
        QuantainerError: ``backend_failed`` with the last line of what it said.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=ANSWER_S, check=False
        )
    except FileNotFoundError:
        raise QuantainerError("backend_failed", f"{command[0]} is not installed") from None
    except (OSError, subprocess.TimeoutExpired):
        reason = f"{command[0]} does not answer within {ANSWER_S:.0f} s"
        raise QuantainerError("backend_failed", reason) from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or [f"exit {done.returncode}"]
        raise QuantainerError("backend_failed", said[-1])
    return done.stdout


def major_minor(text: str) -> tuple[int, int]:
    """Return the first ``major.minor`` in a text; ``(0, 0)`` if there is none."""
    match = re.search(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def lacks(program: str, image: str) -> str | None:
    """Return why ``program`` cannot have an image: ours is in no registry, others may be."""
    if image in LOCAL_FOLDERS or image.startswith(("/", "./", "../")):
        return f"{image} is no image"
    if image != QUANTUM_SIM:
        return None
    try:
        output(program, "image", "inspect", "--format", "{{.Id}}", image)
    except QuantainerError:
        return f"{image} is not built there (images/quantum-sim/build)"
    return None


def without_absent_terminal(request: Request) -> Request:
    """Leave ``--tty`` out where standard input is no terminal: engines would refuse to start."""
    if not request.flag("tty") or sys.stdin.isatty():
        return request
    sys.stderr.write("quantainer: standard input is no terminal, so -t is left out.\n")
    return request.without("tty")


def become(*command: str) -> int:
    """Replace this process by the program, so that signals, terminal and exit code are its own."""
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise QuantainerError(
            "backend_failed", f"{command[0]} cannot be started: {error.strerror}."
        ) from None
