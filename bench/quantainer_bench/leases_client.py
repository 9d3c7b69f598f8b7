"""One busy client: ``python -m quantainer_bench.leases_client SOCKET`` in a container of its own.

Each line of JSON on standard input is an order, each line on standard output what came of it.
"""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

from quantainer_client.connection import Connection
from quantainer_client.errors import QuantainerError

__all__ = ["work"]


def work(connection: Connection, order: dict[str, Any]) -> dict[str, Any]:
    """Run jobs until a time, some at once, then wait for those that are left.

    Args:
        connection: To the broker.
        order: ``program``, ``shots``, ``outstanding``, and ``until`` on the monotonic clock.

    Returns:
        ``ended``: when each job ended and how many seconds it took; ``failed``: error messages.
    """
    ended: list[tuple[float, float]] = []
    failed: list[str] = []
    for begun, finish in _jobs(connection, order):
        try:
            finish()
        except QuantainerError as error:
            failed.append(str(error))
            continue
        now = time.monotonic()
        ended.append((now, now - begun))
    return {"ended": ended, "failed": failed}


def _jobs(connection: Connection, order: dict[str, Any]) -> Iterator[tuple[float, Any]]:
    """Yield when each job was begun and a call that waits for its result."""
    program, shots = order["program"], order["shots"]
    if order["outstanding"] == 1:
        while time.monotonic() < order["until"]:
            yield time.monotonic(), lambda: connection.run(program, shots=shots)
        return
    waiting: deque[tuple[float, Any]] = deque()
    while (going := time.monotonic() < order["until"]) or waiting:
        while going and len(waiting) < order["outstanding"]:
            begun = time.monotonic()
            waiting.append((begun, connection.submit(program, shots=shots).result))
        yield waiting.popleft()


def main() -> None:
    """Obey until the input ends."""
    connection = Connection(sys.argv[1])
    for line in sys.stdin:
        print(json.dumps(work(connection, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
