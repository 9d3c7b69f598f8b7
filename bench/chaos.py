"""Run the chaos: ``python bench/chaos.py --seconds 120 --json``. Exit 1 if a promise was broken."""

from __future__ import annotations

import argparse
import json
import sys

from quantainer_bench.chaos import run
from quantainer_client.errors import QuantainerError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of chaos; calm comes on top")
    parser.add_argument("--tenants", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1, help="of the chaos itself")
    parser.add_argument("--durability", choices=("normal", "full"), default="normal")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args()
    try:
        report = run(
            lambda line: print(f"chaos: {line}", file=sys.stderr, flush=True),
            seconds=asked.seconds,
            tenants=asked.tenants,
            seed=asked.seed,
            durability=asked.durability,
        )
    except QuantainerError as error:
        print(f"chaos: {error}", file=sys.stderr)
        return 1
    if asked.json:
        print(json.dumps(report, indent=1))
    else:
        for section, figures in report.items():
            print(f"{section}: {json.dumps(figures)}")
    return 1 if report["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
