"""A terminal of its own for a container, so that it cannot type into the user's."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from typing import Any

__all__ = ["Terminal"]


class Terminal:
    """A pseudo-terminal whose other side is the user's terminal."""

    def __init__(self) -> None:
        self._master, self.slave = pty.openpty()
        self._resize()

    def adopt(self) -> None:
        """Make it the controlling terminal; for the child between fork and exec."""
        fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)

    def _resize(self, *_: Any) -> None:
        with contextlib.suppress(OSError):
            size = fcntl.ioctl(sys.stdin.fileno(), termios.TIOCGWINSZ, b"\0" * 8)
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    @contextlib.contextmanager
    def _raw(self) -> Iterator[None]:
        before = termios.tcgetattr(sys.stdin)
        tty.setraw(sys.stdin)
        try:
            yield
        finally:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)

    def relay(self) -> None:
        """Copy both ways until the container's side is closed."""
        os.close(self.slave)
        signal.signal(signal.SIGWINCH, self._resize)
        sources = [self._master, sys.stdin.fileno()]
        with self._raw():
            while True:
                ready, _, _ = select.select(sources, [], [])
                if self._master in ready and not _copy(self._master, sys.stdout.fileno()):
                    return
                if sys.stdin.fileno() in ready and not _copy(sys.stdin.fileno(), self._master):
                    sources.remove(sys.stdin.fileno())


def _copy(source: int, target: int) -> bool:
    """Copy what is there; False at the end."""
    try:
        data = os.read(source, 65536)
    except OSError:
        return False
    while data:
        written = os.write(target, data)
        data = data[written:]
        if not data:
            return True
    return False
