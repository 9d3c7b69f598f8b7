"""Progress of long commands: lines on standard error, however busy the process is."""

from __future__ import annotations

import re
import subprocess
import sys

PROGRAM = """
import re
from quantainer.cli.progress import progress
with progress("bench") as say:
    say("counting")
    # One call of a library, with Python's lock held for some seconds.
    re.match("(a+)+b", "a" * {length})
    say("done")
print("report")
"""
LENGTH = """
import re, time
length, took = 20, 0.0
while took < 2:
    length += 1
    begun = time.perf_counter()
    re.match("(a+)+b", "a" * length)
    took = time.perf_counter() - begun
print(length + 2)
"""


def python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )


def test_a_line_every_few_seconds_though_the_lock_is_held() -> None:
    length = int(python(LENGTH).stdout)  # for about eight seconds
    done = python(PROGRAM.format(length=length))
    lines = done.stderr.splitlines()
    assert lines[0] == "bench: counting"
    assert lines[-1] == "bench: done"
    assert lines[1:-1]
    assert all(re.fullmatch(r"bench: +… \d+ s", line) for line in lines[1:-1])
    assert done.stdout == "report\n"


def test_the_report_comes_though_nobody_reads_the_progress() -> None:
    program = (
        "import os, sys; from quantainer.cli.progress import progress\n"
        "read, write = os.pipe(); os.close(read); os.dup2(write, 2)\n"
        "with progress('bench') as say:\n"
        "    [say(f'line {number}') for number in range(1000)]\n"
        "print('report')"
    )
    assert python(program).stdout == "report\n"
