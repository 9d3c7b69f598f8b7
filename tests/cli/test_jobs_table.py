"""The table of jobs on a terminal of 80 columns: one line each, and nothing that counts is cut."""

from __future__ import annotations

import io
import time
from typing import Any

import pytest
from rich.console import Console

from quantainer.cli.jobs import table


def job(**fields: Any) -> dict[str, Any]:
    ordinary = {
        "job": "c2e29df62a0584ccfde36f90",
        "state": "DONE",
        "backend": "qsim",
        "shots": 1024,
        "shots_done": 1024,
        "submitted_at": time.time() - 129_600,
        "tenant": "uid:0",
        "error": None,
    }
    return {**ordinary, **fields}


FAILED = job(state="FAILED", shots_done=0, error={"code": "unsupported_circuit", "message": "…"})
CANCELLED = job(state="CANCELLED", shots_done=512, backend="fake_manhattan")


def lines(jobs: list[dict[str, Any]]) -> list[str]:
    console = Console(file=io.StringIO(), width=80)
    console.print(table(jobs))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


@pytest.mark.parametrize("jobs", [[job()], [job(), FAILED], [job(), FAILED, CANCELLED]])
def test_each_job_has_one_line(jobs: list[dict[str, Any]]) -> None:
    shown = lines(jobs)
    assert len(shown) == 1 + len(jobs)
    for facts, line in zip(jobs, shown[1:], strict=True):
        assert line.split()[:3] == [facts["job"], facts["state"], facts["backend"]]
        assert "1 d" in line


def test_the_error_is_named() -> None:
    heading, *rows = lines([job(), FAILED])
    assert heading.endswith("error")
    assert rows[1].endswith("0/1024 1 d unsupported_circuit")


def test_tenants_are_told_apart_where_there_are_several() -> None:
    assert "tenant" not in lines([job(), job()])[0]
    jobs = [job(), job(tenant="containers/alice")]
    heading, *rows = lines(jobs)
    assert "tenant" in heading
    assert "containers/alice" in rows[1]
    assert "containers/" in lines([*jobs, FAILED])[2]


def test_shots_under_way_are_shown() -> None:
    assert "512/1024" in lines([CANCELLED])[1]
