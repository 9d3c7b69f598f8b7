"""Backends and device nodes that come and go while the broker runs: engines are told."""

from __future__ import annotations

import json
import os
import shutil
import signal
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.broker import Broker
from programs import BELL, dense
from quantainer_client.connection import Connection
from quantainer_client.errors import QuantainerError

PLUGIN = """
    from dataclasses import replace
    from quantainer.backends.registry import load_backends
    from quantainer.backends.qsim import provide as ours

    def provide(limits):
        (backend,) = (each for each in ours(limits) if each.name == "qsim")

        class Added:
            name = "added"
            def target(self, limits):
                return replace(backend.target(limits), name="added", description="from a plugin")
            def __getattr__(self, name):
                return getattr(backend, name)
            plan = property(lambda self: backend.plan)
            run = property(lambda self: backend.run)

        yield Added()
"""

REFUSE = """
def _refuse(*_):
    from quantainer_client.errors import QuantainerError

    raise QuantainerError("too_many_qubits", "Nothing fits.")
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Install or remove somebody's backend ``added`` where the broker's workers find it."""
    place = tmp_path / "site"
    place.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(place))
    facts = place / "added_backend-1.0.dist-info"

    def install(there: bool) -> None:
        if not there:
            shutil.rmtree(facts)
            return
        (place / "added_backend.py").write_text(textwrap.dedent(PLUGIN))
        facts.mkdir()
        (facts / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: added-backend\nVersion: 1.0\n"
        )
        points = "[quantainer.backends]\nadded = added_backend:provide\n"
        (facts / "entry_points.txt").write_text(points)

    return install


def specification(broker: Broker) -> dict[str, Any]:
    spec: dict[str, Any] = yaml.safe_load((broker.cdi / "quantainer.yaml").read_text())
    return spec


def devices(broker: Broker) -> set[str]:
    return {device["name"] for device in specification(broker)["devices"]}


def seen_by_containers(broker: Broker) -> set[str]:
    facts = json.loads((broker.home / "run" / "dev" / "devices.json").read_text())
    return {device["name"] for device in facts["devices"]}


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_installed_backend_is_offered_after_a_reload(
    plugin: Callable[[bool], None], make_broker: Callable[..., Broker]
) -> None:
    broker = make_broker(workers="1")
    assert "added" not in devices(broker)
    plugin(True)
    found = json.loads(broker("reload", "--json").stdout)
    assert "added" in found["backends"]
    assert found["specification"] == str(broker.cdi / "quantainer.yaml")
    assert "added" in devices(broker) & seen_by_containers(broker)
    with Connection(str(broker.socket)) as connection:
        assert set(connection.run(BELL, backend="added", shots=50).counts()) == {"00", "11"}
    assert json.loads(broker("status", "--json").stdout)["workers"]["deaths"] == 0
    described = broker("cdi", "generate", "-o", "-", "--backend", "added").stdout
    assert "name: added" in described
    plugin(False)
    assert broker.process is not None
    broker.process.send_signal(signal.SIGHUP)
    until(lambda: "added" not in devices(broker) | seen_by_containers(broker))
    with Connection(str(broker.socket)) as connection, pytest.raises(QuantainerError) as caught:
        connection.run(BELL, backend="added", shots=50)
    assert caught.value.code == "unknown_backend"


def test_jobs_go_on_over_a_reload(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(workers="1")
    with Connection(str(broker.socket)) as connection:
        long = connection.submit(dense(24, 40), shots=10, seed=1)
        waiting = connection.submit(BELL, shots=10)
        until(lambda: connection.wait(long.id, 0)["state"] == "RUNNING")
        broker("reload")
        assert sum(connection.result(long.id, 120).counts().values()) == 10
        assert sum(connection.result(waiting.id, 120).counts().values()) == 10
        assert {job["attempt"] for job in connection.jobs()} == {1}, "none was interrupted"


def test_circuits_are_planned_anew_after_a_reload(
    plugin: Callable[[bool], None], make_broker: Callable[..., Broker], tmp_path: Path
) -> None:
    """The backend was replaced by one that refuses what the earlier one ran, then removed."""
    plugin(True)
    broker = make_broker(workers="1")
    with Connection(str(broker.socket)) as connection:
        assert set(connection.run(BELL, backend="added", shots=50).counts()) == {"00", "11"}
        module = tmp_path / "site" / "added_backend.py"
        running = module.read_text()
        module.write_text(
            running.replace("property(lambda self: backend.plan)", "staticmethod(_refuse)") + REFUSE
        )
        broker("reload")
        with pytest.raises(QuantainerError) as caught:
            connection.submit(BELL, backend="added", shots=50)
        assert caught.value.code == "too_many_qubits"
        module.write_text(running)
        broker("reload")
        connection.submit(dense(24, 20), shots=10)
        waiting = connection.submit(BELL, backend="added", shots=50)
        plugin(False)
        broker("reload")
        with pytest.raises(QuantainerError) as gone:
            connection.result(waiting.id, 120)
        assert gone.value.code == "unknown_backend"


def test_settings_that_need_a_restart_are_named(
    make_broker: Callable[..., Broker], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.toml"
    file.write_text("shots_max = 1000\n")
    monkeypatch.setenv("QUANTAINER_CONFIG", str(file))
    broker = make_broker(workers="1")
    assert json.loads(broker("reload", "--json").stdout)["warnings"] == []
    file.write_text('shots_max = 2000\n[nodes]\nqsim = ["/dev/null:/dev/qpu0:r"]\n')
    (warning,) = json.loads(broker("reload", "--json").stdout)["warnings"]
    assert "shots_max" in warning
    assert "restart" in warning
    (qsim,) = (each for each in specification(broker)["devices"] if each["name"] == "qsim")
    assert qsim["containerEdits"]["deviceNodes"] == [
        {"path": "/dev/qpu0", "hostPath": "/dev/null", "type": "c", "permissions": "r"}
    ]
    file.write_text('[nodes]\nnobody = ["/dev/null"]\n')
    said = " ".join(json.loads(broker("reload", "--json").stdout)["warnings"])
    assert "nobody" in said
    assert "stay as they were" in said
    assert "/dev/qpu0" in (broker.cdi / "quantainer.yaml").read_text()
    file.write_text("shots_max = [\n")
    refused = broker("reload", check=False)
    assert refused.returncode == 1
    assert str(file) in refused.stderr
    assert "qsim" in devices(broker)


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a link in /dev: root only")
def test_a_node_that_appears_is_followed(make_broker: Callable[..., Broker]) -> None:
    link = Path(f"/dev/quantainer-test-{os.getpid()}-qpu")
    granted = json.dumps({"qsim": [f"{link}:/dev/qpu0"]})
    broker = make_broker(workers="1", nodes=granted)

    def host_path() -> str:
        (qsim,) = (each for each in specification(broker)["devices"] if each["name"] == "qsim")
        (node,) = qsim["containerEdits"]["deviceNodes"]
        return str(node["hostPath"])

    assert host_path() == str(link)
    try:
        link.symlink_to("/dev/null")
        until(lambda: host_path() == "/dev/null", 20)
        link.unlink()
        link.symlink_to("/dev/full")
        until(lambda: host_path() == "/dev/full", 20)
    finally:
        link.unlink(missing_ok=True)


# What `cdi generate` refuses


def test_an_unknown_backend_is_refused_with_those_there_are(broker: Broker) -> None:
    refused = broker("cdi", "generate", "-o", "-", "--backend", "fake_sherbroke", check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "no backend 'fake_sherbroke'" in refused.stderr
    assert "Did you mean 'fake_sherbrooke'?" in refused.stderr
    assert "qsim" in refused.stderr


def test_without_a_broker_the_installed_backends_are_known(broker: Broker, tmp_path: Path) -> None:
    alone = {"QUANTAINER_RUNTIME_DIR": str(tmp_path / "run")}
    refused = broker("cdi", "generate", "-o", "-", "--backend", "qsin", check=False, env=alone)
    assert refused.returncode == 1
    assert "Did you mean 'qsim'?" in refused.stderr
    described = broker("cdi", "generate", "-o", "-", "--backend", "qsim", env=alone)
    assert f"{tmp_path}/run/dev" in described.stdout


def test_a_folder_is_made_only_where_its_parent_is(broker: Broker, tmp_path: Path) -> None:
    broker("cdi", "generate", "-o", tmp_path / "cdi" / "quantainer.yaml")
    assert (tmp_path / "cdi" / "quantainer.yaml").stat().st_mode & 0o777 == 0o644
    refused = broker("cdi", "generate", "-o", tmp_path / "ect" / "cdi" / "q.yaml", check=False)
    assert refused.returncode == 1
    assert f"{tmp_path}/ect does not exist" in refused.stderr
    assert f"mkdir -p {tmp_path}/ect/cdi" in refused.stderr
    assert not (tmp_path / "ect").exists()
    folder = broker("cdi", "generate", "-o", tmp_path, check=False)
    assert folder.returncode == 1
    assert f"{tmp_path} is a folder" in folder.stderr
    assert f"--output {tmp_path}/quantainer.yaml" in folder.stderr


def test_a_specification_that_could_not_be_written_is_written_when_it_can(
    make_broker: Callable[..., Broker],
) -> None:
    broker = make_broker(workers="1")
    broker.stop()
    shutil.rmtree(broker.cdi)
    broker.cdi.write_text("in the way")
    devices_json = broker.home / "run" / "dev" / "devices.json"
    devices_json.unlink()
    devices_json.mkdir()
    broker.start()
    broker.cdi.unlink()
    devices_json.rmdir()
    deadline = time.monotonic() + 25
    while not (broker.cdi / "quantainer.yaml").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "qsim" in devices(broker)
    assert "qsim" in seen_by_containers(broker)
    assert broker.log().count("engines know no quantum device") == 1
