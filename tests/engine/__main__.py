"""Start a Docker Engine by hand: ``cd tests && python -m engine``; Ctrl-C stops it."""

from __future__ import annotations

import signal
import sys

from engine.docker import start
from engine.host import UnavailableError


def main() -> int:
    try:
        engine = start()
    except UnavailableError as reason:
        print(f"no engine: {reason}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        print(f"export DOCKER_HOST={engine.host} PATH={engine.path}", flush=True)
        print(f"# base image: {engine.load_base()}; CDI folder: {engine.cdi}", flush=True)
        signal.pause()
    except KeyboardInterrupt:
        return 0
    finally:
        engine.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
