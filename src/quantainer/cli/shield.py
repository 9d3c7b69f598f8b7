"""Shield: reads files of strangers in a child process, so that a crash of a parser is an answer."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Callable

from quantainer.cli.refusal import MisuseError, said_of
from quantainer_client.errors import QuantainerError

__all__ = ["MEMORY_BYTES", "shielded"]


MEMORY_BYTES = 4 << 30
"""What reading, measuring and compiling one file may take."""


def shielded(what: str, work: Callable[[], None], memory_bytes: int = MEMORY_BYTES) -> None:
    """Do the work in a child process that may use so much memory and no more.

    What the child prints is printed; what it refuses is refused here; its death becomes a refusal.

    Raises:
        QuantainerError: What the work raised, or ``invalid_circuit`` if the child died of it.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receiver)
        _limit(memory_bytes)
        os._exit(_report(sender, work))
    os.close(sender)
    with os.fdopen(receiver, "rb") as file:
        report = file.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        raise QuantainerError(
            "invalid_circuit",
            f"{what}: reading it ended the reader ({name}).",
            hint=f"The file is broken, or needs more than {memory_bytes >> 20} MiB.",
        )
    if report:
        fields = json.loads(report)
        raise (MisuseError if fields["misuse"] else QuantainerError).from_dict(fields["error"])


def _limit(memory_bytes: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    bound = memory_bytes if hard == resource.RLIM_INFINITY else min(memory_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (bound, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _report(sender: int, work: Callable[[], None]) -> int:
    """Do the work in the child and return its exit status."""
    try:
        work()
        sys.stdout.flush()
    except BrokenPipeError:
        return 0
    except QuantainerError as error:
        _send(sender, error)
    except MemoryError:
        _send(
            sender, QuantainerError("out_of_memory", "The circuit needs more memory than there is.")
        )
    except OSError as error:  # of this machine: a full disk
        _send(sender, QuantainerError("internal", said_of(error)))
    except Exception as error:
        if os.environ.get("QUANTAINER_DEBUG"):
            import traceback

            traceback.print_exc()
        _send(sender, QuantainerError("internal", f"{type(error).__name__}: {error}"))
    return 0


def _send(sender: int, error: QuantainerError) -> None:
    sys.stdout.flush()
    with os.fdopen(sender, "wb") as file:
        report = {"error": error.to_dict(), "misuse": isinstance(error, MisuseError)}
        file.write(json.dumps(report, default=str).encode())
