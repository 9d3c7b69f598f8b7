"""Entry: where the commands begin, so that Ctrl-C ends them quietly while they are still loaded."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Load the command line and run it; exit 130 if that is interrupted."""
    try:
        from quantainer.cli.main import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)
