"""``quantainer bench compile`` measures what it says, under the keys that others read."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from quantainer.cli.bench import app

bench = pytest.importorskip("quantainer_bench.compile")


@pytest.mark.timeout(300)
def test_the_keys_of_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"LAYERS": 30, "ORDINARY": (20,), "_HITS": 20, "_ORDINARY_ROUNDS": 2}
    for name, value in small.items():
        monkeypatch.setattr(bench, name, value)
    monkeypatch.setattr(bench, "_ROUNDS", dict.fromkeys(bench.WIDTHS, 2))
    result = CliRunner().invoke(app, ["compile", "--json", "--no-peers"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["hit"]["per_s"] > 0
    assert report["hit"]["p95_us"] > 0
    assert report["qasm3"]["speedup"] > 0
    assert set(report["miss"]) == {"4", "10", "20"}
    for found in (*report["miss"].values(), *(by["20"] for by in report["ordinary"].values())):
        with_template = found.get("ours_with_template_per_s", found["ours_per_s"])
        assert found["ours_first_job_per_s"] >= with_template
        assert found["ours_per_s"] > 0
        assert found["qiskit_per_s"] > 0
        assert found["speedup"]["p50"] > 0


@pytest.mark.timeout(300)
def test_the_keys_of_the_report_on_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = pytest.importorskip("quantainer_bench.compile_devices")
    kept = ("ghz_5", "su2_4")
    circuits = {name: devices.CIRCUITS[name] for name in kept}
    small = {"DEVICES": ("heavy_hex_27", "fake_manila"), "CIRCUITS": circuits, "ROUNDS": 2}
    for name, value in {**small, "LEVELS": (0, 1)}.items():
        monkeypatch.setattr(devices, name, value)
    result = CliRunner().invoke(app, ["compile", "--devices", "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert set(report) == {"heavy_hex_27", "fake_manila"}
    for found in report.values():
        assert found["gates"]
        for level in ("0", "1"):
            assert set(found[level]) == set(kept)
            for circuit in found[level].values():
                assert circuit["answer_ms"] > 0
                for ratio in ("answer", "with_after", "processor"):
                    assert 0 < circuit[ratio]["min"] <= circuit[ratio]["p50"]
                assert circuit["two_qubit_gates"]["ours"] <= circuit["two_qubit_gates"]["qiskit"]
