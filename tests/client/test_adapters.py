"""The adapters under leases that are not the usual one: another backend, or mode ``local``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from engine.broker import Broker
from isolation.box import Box, BoxError, lease

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes pid namespaces")

SETUP = """
import io
os.environ["QUANTAINER_SOCKET"] = DEVICE
sys.stderr = io.StringIO()
connection = Connection(DEVICE)

"""
QISKIT = """
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from quantainer_client.qiskit import EstimatorV2, QuantainerProvider, SamplerV2
theta = Parameter("theta")
turned = QuantumCircuit(2, 2)
turned.x(0)
turned.rx(theta, 1)
turned.measure([0, 1], [0, 1])
flipped = QuantumCircuit(2, 2)
flipped.x(0)
flipped.measure([0, 1], [0, 1])
"""
CIRQ = """
import cirq, sympy
from quantainer_client.cirq import QuantainerSampler
q = cirq.LineQubit.range(2)
flipped = cirq.Circuit(cirq.X(q[0]), cirq.measure(*q, key="m"))
turned = cirq.Circuit(cirq.rx(sympy.Symbol("t"))(q[0]), cirq.measure(*q, key="m"))
"""
PENNYLANE = """
import pennylane as qml
import pennylane.numpy as np
def on(**options):
    return qml.device("quantainer.qpu", wires=2, seed=3, **options)
"""


def box(broker: Broker, name: str, **fields: Any) -> Iterator[Box]:
    made = Box(broker)
    try:
        lease(broker, name, pid=made.pid, anchor="pidns", **fields)
        made(SETUP)
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def noisy(broker: Broker) -> Iterator[Box]:
    """A container that was granted one emulated device alone."""
    yield from box(broker, "noisy", backends=["fake_lima"])


@pytest.fixture(scope="module")
def local(broker: Broker) -> Iterator[Box]:
    """A container whose circuits do not leave it."""
    yield from box(broker, "local", backends=["qsim"], mode="local")


@pytest.fixture(scope="module")
def without_aer(broker: Broker) -> Iterator[Box]:
    """The same with an image that has Qiskit alone."""
    for made in box(broker, "local without aer", backends=["all"], mode="local"):
        made("sys.modules['qiskit_aer'] = None")
        yield made


@pytest.fixture(scope="module")
def local_noisy(broker: Broker) -> Iterator[Box]:
    """The same with the device of an emulator."""
    yield from box(broker, "local noisy", backends=["fake_lima"], mode="local")


def ran_on(box: Box) -> set[str]:
    """Return the backends of every job that the container has had."""
    jobs: list[dict[str, Any]] = box.eval("connection.jobs()")
    return {job["backend"] for job in jobs}


# --- One granted device ------------------------------------------------------------------------


def test_qiskit_uses_the_only_backend(noisy: Box) -> None:
    noisy(QISKIT)
    assert noisy.eval("QuantainerProvider().backend().name") == "fake_lima"
    noisy("SamplerV2().run([flipped], shots=10).result()")
    noisy("EstimatorV2(default_precision=0.5).run([(QuantumCircuit(2), 'ZZ')]).result()")
    assert ran_on(noisy) == {"fake_lima"}


def test_cirq_uses_the_only_backend(noisy: Box) -> None:
    noisy(CIRQ)
    noisy("QuantainerSampler().run(flipped, repetitions=10)")
    assert ran_on(noisy) == {"fake_lima"}


def test_pennylane_uses_the_only_backend(noisy: Box) -> None:
    noisy(PENNYLANE)
    noisy("qml.QNode(lambda: qml.counts(), on(shots=10))()")
    assert ran_on(noisy) == {"fake_lima"}


def test_the_command_uses_the_only_backend(noisy: Box) -> None:
    noisy(
        "import contextlib, tempfile\n"
        "from quantainer_client.__main__ import main\n"
        "file = tempfile.NamedTemporaryFile('w', suffix='.qasm')\n"
        "file.write(BELL); file.flush()\n"
        "out = io.StringIO()\n"
        "with contextlib.redirect_stdout(out):\n"
        "    code = main(['run', file.name, '--shots', '10', '--json'])\n"
        "answer = [code, json.loads(out.getvalue())['backend']]"
    )
    assert noisy.eval("[code, json.loads(out.getvalue())['backend']]") == [0, "fake_lima"]


# --- Mode local --------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _nothing_leaves(request: pytest.FixtureRequest, broker: Broker) -> Iterator[None]:
    """No circuit of a container in mode local ever comes to the broker."""
    yield
    for name in {"local", "local_noisy", "without_aer"} & set(request.fixturenames):
        assert ran_on(request.getfixturevalue(name)) == set()


def test_qiskit_simulates_in_the_container(local: Box) -> None:
    local(QISKIT)
    for name in ("", "'qsim'"):
        local(f"backend = QuantainerProvider().backend({name})")
        assert "in this container" in local.eval("backend.description")
    result = "backend.run([flipped, flipped], shots=20, seed=5, memory=True).result()"
    assert local.eval(f"{result}.get_counts(1)") == {"01": 20}
    assert local.eval(f"{result}.backend_name") == "aer_simulator"
    assert "mode local: circuits run in this container, on AerSimulator of qiskit-aer" in (
        local.eval("sys.stderr.getvalue()")
    )
    sampled = "SamplerV2(seed=5).run([(turned, [[0.0], [3.141592653589793]])], shots=30)"
    local(f"data = {sampled}.result()[0].data.c")
    assert local.eval("[data.get_counts(0), data.get_counts(1)]") == [{"01": 30}, {"11": 30}]
    local("free = QuantumCircuit(1); free.ry(theta, 0)")
    local("values = EstimatorV2(backend).run([(free, 'Z', [[0.0], [1.0]])]).result()[0].data.evs")
    assert local.eval("list(values)") == pytest.approx([1.0, 0.5403023])
    assert local.eval("[each.name for each in QuantainerProvider().backends()]") == ["qsim"]


def test_qiskit_without_aer_simulates_with_its_own(without_aer: Box) -> None:
    without_aer(QISKIT)
    result = "QuantainerProvider().backend().run(flipped, shots=20, seed=5).result()"
    assert without_aer.eval(f"{result}.get_counts()") == {"01": 20}
    assert without_aer.eval(f"{result}.backend_name") == "basic_simulator"
    sampled = "SamplerV2(seed=5).run([flipped], shots=9).result()[0].data.c.get_counts()"
    assert without_aer.eval(sampled) == {"01": 9}
    assert "on BasicSimulator of qiskit" in without_aer.eval("sys.stderr.getvalue()")


def test_cirq_simulates_in_the_container(local: Box) -> None:
    local(CIRQ)
    counts = "QuantainerSampler(seed=2**62).run(flipped, repetitions=20).histogram(key='m')"
    assert local.eval(f"dict({counts})") == {"2": 20}  # Cirq's first qubit is the highest bit
    local("points = cirq.Points('t', [0.0, 3.141592653589793])")
    local("found = QuantainerSampler(seed=1).run_sweep(turned, points, repetitions=7)")
    assert local.eval("[dict(each.histogram(key='m')) for each in found]") == [{"0": 7}, {"2": 7}]
    local("half = cirq.Points('t', [1.5707963267948966])")
    drawn = "QuantainerSampler(seed=9).run_sweep(turned, half, 40)[0].measurements['m'].tolist()"
    assert local.eval(drawn) == local.eval(drawn)
    assert "on cirq.Simulator" in local.eval("sys.stderr.getvalue()")


def test_pennylane_simulates_in_the_container(local: Box) -> None:
    local(PENNYLANE)
    local(
        "def turned(x):\n    qml.RX(x, wires=0)\n    qml.CNOT([0, 1])\n"
        "    return qml.expval(qml.Z(1))\n"
        "exact = qml.QNode(turned, on())\n"
        "angle = np.array(0.4, requires_grad=True)"
    )
    assert local.eval("float(exact(angle))") == pytest.approx(0.9210610)
    assert local.eval("float(qml.grad(exact)(angle))") == pytest.approx(-0.3894183)
    local("def flipped():\n    qml.X(0)\n    return qml.counts()")
    local("counted = qml.QNode(flipped, on(shots=20))()")
    assert local.eval("{str(key): int(number) for key, number in counted.items()}") == {"10": 20}
    local(
        "def fed_forward():\n    qml.X(0)\n    qml.cond(qml.measure(0), qml.X)(1)\n"
        "    return qml.sample(wires=1), qml.expval(qml.Z(1))"
    )
    local("samples, value = qml.QNode(fed_forward, on(shots=10))()")
    assert local.eval("[samples.ravel().tolist(), float(value)]") == [[1] * 10, -1.0]
    assert "on default.qubit" in local.eval("sys.stderr.getvalue()")


@pytest.mark.parametrize(
    ("setup", "call"),
    [
        (QISKIT, "QuantainerProvider().backend('fake_lima')"),
        (QISKIT, "SamplerV2('fake_lima').run([flipped])"),
        (QISKIT, "EstimatorV2('fake_lima').run([(QuantumCircuit(1), 'Z')])"),
        (CIRQ, "QuantainerSampler('fake_lima').run(flipped)"),
        (PENNYLANE, "qml.QNode(lambda: qml.counts(), on(shots=5, backend='fake_lima'))()"),
    ],
)
def test_a_noisy_device_is_not_replaced_by_an_ideal_one(
    local: Box, local_noisy: Box, setup: str, call: str
) -> None:
    for box, code in (
        (local, call),
        (local_noisy, call),
        (local_noisy, call.replace("backend='fake_lima'", "").replace("'fake_lima'", "")),
    ):
        box(setup)
        with pytest.raises(BoxError, match="mode local, and 'fake_lima' is on the host"):
            box(code)


@pytest.mark.parametrize(
    ("setup", "call"),
    [
        (QISKIT, "QuantainerProvider().backend().run(flipped, engine='stim')"),
        (QISKIT, "SamplerV2(options={'engine': 'stim'}).run([flipped])"),
        (CIRQ, "QuantainerSampler(options={'engine': 'stim'}).run(flipped)"),
        (PENNYLANE, "qml.QNode(lambda: qml.counts(), on(shots=5, options={'engine': 'stim'}))()"),
    ],
)
def test_options_of_the_host_are_refused_by_name(local: Box, setup: str, call: str) -> None:
    local(setup)
    with pytest.raises(BoxError, match="the option 'engine' is for the host's") as caught:
        local(call)
    assert caught.value.code == "invalid_option"


def test_without_an_sdk_the_way_out_is_named(local: Box) -> None:
    with pytest.raises(BoxError, match=r"Qiskit, Cirq and PennyLane.*quantum\.mode=hybrid"):
        local("connection.run(BELL)")
