"""Progress of what takes minutes: a line for each step, and one every few seconds of a long one.

This file is also the program that writes them: a library that computes without a pause, holding
Python's lock for a minute, would silence a thread.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

__all__ = ["progress"]

EVERY_S = 5.0


@contextmanager
def progress(name: str) -> Iterator[Callable[[str], None]]:
    """Yield a function that says what is done now, on standard error.

    Args:
        name: What each line begins with.
    """
    command = [sys.executable, "-I", "-S", __file__, name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as writer:
        stream = writer.stdin
        assert stream is not None

        def say(line: str) -> None:
            with suppress(BrokenPipeError):
                stream.write(f"{line}\n".encode())
                stream.flush()

        yield say


def main() -> None:
    """Write the lines of standard input, and how long the last one has been true."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # its end is that of the input
    name, since, unread = sys.argv[1], time.monotonic(), b""
    while True:
        if not select.select([0], [], [], EVERY_S)[0]:
            _write(f"{name}:   … {time.monotonic() - since:.0f} s")
            continue
        data = os.read(0, 65536)
        if not data:
            return
        *lines, unread = (unread + data).split(b"\n")
        for line in lines:
            since = time.monotonic()
            _write(f"{name}: {line.decode()}")


def _write(line: str) -> None:
    with suppress(OSError):
        os.write(2, f"{line}\n".encode())


if __name__ == "__main__":
    main()
