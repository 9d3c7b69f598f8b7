"""The folder of an engine's devices, lent to a benchmark."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import broker as brokers
from quantainer_client.errors import QuantainerError

described = pytest.importorskip("quantainer_bench.described")


def test_folder_of_a_broker_that_has_ended_is_borrowed_and_one_that_runs_keeps_its_own(
    tmp_path: Path,
) -> None:
    file = tmp_path / "quantainer.yaml"
    other = brokers.make(tmp_path)
    try:
        other.start()
        with pytest.raises(QuantainerError, match=str(other.home)) as refusal:
            described.refuse_if_in_use(str(tmp_path))
        assert "quantainer down" in str(refusal.value)
        before = file.read_bytes()
        other.stop()
        with described.broker_in(str(tmp_path)) as own:
            assert str(own.runtime_dir) in file.read_text()
            assert str(other.home) not in file.read_text()
    finally:
        brokers.remove(other)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    assert file.read_bytes() == before


def test_empty_folder_is_empty_again(tmp_path: Path) -> None:
    with described.broker_in(str(tmp_path)):
        assert (tmp_path / "quantainer.yaml").exists()
    assert not list(tmp_path.iterdir())
