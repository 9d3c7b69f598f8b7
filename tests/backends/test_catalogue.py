"""Engines are offered only after they got known circuits right."""

from __future__ import annotations

import logging
import time
from typing import Any

import numpy as np
import pytest
from exact import run
from qiskit import QuantumCircuit

from quantainer.backends.backend import Limits, Options
from quantainer.backends.qsim import Qsim
from quantainer.backends.simulators import stim
from quantainer.backends.simulators.catalogue import ADAPTERS, Catalogue
from quantainer.backends.simulators.self_test import self_test
from quantainer.backends.simulators.simulator import Samples
from quantainer_client.errors import QuantainerError


class _Faulty(stim.Stim):
    """Stim with a fault put behind it."""

    name = "faulty"

    def prepare(self, *arguments: Any) -> Any:
        return _Bent(super().prepare(*arguments), self.bend)

    def bend(self, packed: Any, seed: int) -> Any:
        raise NotImplementedError


class _Bent:
    bytes = 1

    def __init__(self, real: Any, bend: Any) -> None:
        self._real, self._bend = real, bend

    def sample(self, shots: int, seed: int, threads: int) -> Samples:
        return Samples(self._bend(self._real.sample(shots, seed, threads).packed, seed))


class Reversed(_Faulty):
    def bend(self, packed: Any, seed: int) -> Any:
        bits = np.unpackbits(packed, axis=1, count=4, bitorder="little")
        return np.packbits(bits[:, ::-1], axis=1, bitorder="little")


class Flipping(_Faulty):
    def bend(self, packed: Any, seed: int) -> Any:
        packed = packed.copy()
        packed[::20] ^= 1  # one shot in twenty
        return packed


class Unseeded(_Faulty):
    def bend(self, packed: Any, seed: int) -> Any:
        return np.random.default_rng().permutation(packed)


class Exploding(_Faulty):
    def bend(self, packed: Any, seed: int) -> Any:
        raise ValueError("no such luck")


class Absent(_Faulty):
    module = "a_package_that_is_not_there"


class Broken(_Faulty):
    def load(self) -> None:
        raise ImportError("wrong processor")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("Reversed", "asymmetric"),
        ("Flipping", "asymmetric"),
        ("Unseeded", "same seed"),
        ("Exploding", "no such luck"),
        ("Broken", "wrong processor"),
    ],
)
def test_a_faulty_engine_is_dropped_with_a_warning(
    fault: str, words: str, caplog: pytest.LogCaptureFixture, limits: Limits
) -> None:
    catalogue = _with(fault)
    assert "faulty" in catalogue.offered
    with caplog.at_level(logging.WARNING):
        assert catalogue.ready("faulty") is None
    assert "faulty" not in catalogue.offered
    assert words in catalogue.dropped["faulty"]
    assert words in caplog.text
    assert f"faulty: {catalogue.dropped['faulty']}" in Qsim(catalogue).target(limits).description


def test_an_engine_that_is_not_installed_is_not_offered() -> None:
    catalogue = _with("Absent")
    assert catalogue.dropped["faulty"] == "not installed"
    assert catalogue.ready("faulty") is None


def _with(fault: str) -> Catalogue:
    return Catalogue({"faulty": f"{__name__}:{fault}"})


def test_every_installed_engine_is_sound(catalogue: Catalogue) -> None:
    missing = {name for name, why in catalogue.dropped.items() if why == "not installed"}
    assert set(catalogue.offered) == set(ADAPTERS) - missing
    assert {"stim", "aer", "qsimcirq", "numpy"} <= set(catalogue.offered)


def test_the_self_tests_are_quick(catalogue: Catalogue) -> None:
    started = time.process_time()
    for engine in catalogue.offered.values():
        assert self_test(engine) is None
    assert time.process_time() - started < 2.0  # one second on an idle core


def test_an_engine_that_fails_on_a_circuit_is_passed_over(
    limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    qsim = Qsim()
    run(qsim, circuit, limits)

    def explode(*arguments: Any) -> Any:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(stim._Outcomes, "sample", explode)
    result = run(qsim, circuit, limits)
    assert result.metadata["engine"] != "stim"
    assert any(
        "stim was passed over: RuntimeError: out of luck" in n for n in result.metadata["notes"]
    )
    with pytest.raises(QuantainerError, match="Engine stim failed") as failed:
        run(qsim, circuit, limits, options=Options(engine="stim"))
    assert failed.value.code == "backend_failed"


def test_nothing_heavy_is_imported_before_it_is_used() -> None:
    import subprocess
    import sys

    code = (
        "import sys\n"
        "from quantainer.backends.backend import Limits\n"
        "from quantainer.backends.registry import load_backends\n"
        "found = load_backends(Limits(1 << 30, 1))\n"
        "assert 'qsim' in found and 'fake_kolkata' in found, found\n"
        "heavy = {'qiskit_aer', 'stim', 'cirq', 'pennylane', 'panta_sim', 'prism_q',"
        " 'qiskit_ibm_runtime'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
