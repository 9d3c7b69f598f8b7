"""Last words: what a worker process wrote to its standard error, passed on and kept a moment.

A library that cannot go on without memory it was refused says so and aborts: the status that is
left, SIGABRT, is that of any fault. So the broker reads along.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Iterator
from typing import Final

__all__ = ["LastWords"]

_KEPT = 128  # what may be the first half of a phrase
_CHUNK = 65536
_STDERR = 2
_REFUSED_MEMORY: Final = re.compile(
    rb"memory allocation of \d+ bytes failed"  # Rust: alloc::handle_alloc_error
    rb"|std::bad_alloc"  # C++: an exception that nobody caught
    rb"|libgomp: Out of memory"
)


class LastWords:
    """The standard error of one worker process.

    Attributes:
        fd: For the process, within ``handed_over``.
        memory_was_refused: An allocation failed, by what was written since ``forget``.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._kept = b""
        self.memory_was_refused = False
        self._end, self.fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._end, False)
        loop.add_reader(self._end, self._read)

    @contextlib.contextmanager
    def handed_over(self) -> Iterator[None]:
        """Close the process's end afterwards, when it has been inherited; all if it was not."""
        try:
            yield
        except BaseException:
            self.close()
            raise
        finally:
            os.close(self.fd)

    def forget(self) -> None:
        """Forget what was written: it concerns work that is over."""
        self._kept = b""
        self.memory_was_refused = False

    def _read(self) -> bool:
        """Pass on what there is; return whether there may be more."""
        try:
            words = os.read(self._end, _CHUNK)
        except BlockingIOError:
            return False
        if not words:
            self._loop.remove_reader(self._end)
            return False
        heard = self._kept + words
        self.memory_was_refused |= _REFUSED_MEMORY.search(heard) is not None
        self._kept = heard[-_KEPT:]
        with contextlib.suppress(OSError):
            os.write(_STDERR, words)
        return True

    def close(self) -> None:
        """Read what is left of a process that has ended; what it wrote stays known."""
        while self._read():
            pass
        self._loop.remove_reader(self._end)
        os.close(self._end)
