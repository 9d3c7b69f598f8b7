"""The CDI specification: valid by the rules, readable by everyone, whole or absent."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from quantainer.core.settings import Settings
from quantainer.device import cdi, cdi_rules
from quantainer_client.errors import QuantainerError

CORPUS = Path(__file__).parents[2] / ".." / "shared" / "deploy" / "cdi"
EDITS = {"env": ["A=1"]}


def spec_with(**fields: Any) -> dict[str, Any]:
    device = {"name": "q", "containerEdits": EDITS}
    return {"cdiVersion": "0.3.0", "kind": "example.com/qpu", "devices": [device]} | fields


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        runtime_dir=str(tmp_path / "run"),
        state_dir=str(tmp_path / "state"),
        cdi_dir=str(tmp_path / "var" / "cdi"),
    )


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_publish_names_qsim_every_backend_and_all(settings: Settings) -> None:
    path = cdi.publish(settings, ["fake_sherbrooke", "qsim"])
    spec = yaml.safe_load(path.read_text())
    assert [device["name"] for device in spec["devices"]] == ["qsim", "fake_sherbrooke", "all"]
    assert cdi_rules.problems(spec) == []
    assert spec["cdiVersion"] == "0.3.0"  # the lowest that has mounts, env and hooks


def test_hooks_run_isolated_with_an_environment_of_their_own(settings: Settings) -> None:
    spec = yaml.safe_load(cdi.publish(settings, ["qsim"]).read_text())
    hooks = [*spec["containerEdits"]["hooks"]]
    for device in spec["devices"]:
        hooks += device["containerEdits"]["hooks"]
    for hook in hooks:
        assert hook["args"][1:3] == ["-I", "-S"]
        assert Path(hook["path"]).is_absolute()
        assert Path(hook["path"]).exists()
        # An empty list would let the runtime's or the image's environment through.
        assert hook["env"]
        assert hook["timeout"] > 0
    create = spec["devices"][0]["containerEdits"]["hooks"][0]
    assert create["args"][create["args"].index("--backend") + 1] == "qsim"


def test_hooks_work_as_they_are_written(settings: Settings) -> None:
    spec = yaml.safe_load(cdi.publish(settings, ["qsim"]).read_text())
    (delete,) = spec["containerEdits"]["hooks"]
    create = spec["devices"][0]["containerEdits"]["hooks"][0]
    state = json.dumps({"id": "f00d", "pid": 4242, "bundle": "/none"})
    for hook, code in ((create, 1), (delete, 0)):
        done = subprocess.run(
            hook["args"],
            executable=hook["path"],
            env=dict(entry.split("=", 1) for entry in hook["env"]),
            input=state,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code
        assert "start it with `quantainer up`" in done.stderr


@pytest.mark.report(24)
def test_umask_does_not_hide_the_specification(settings: Settings) -> None:
    old = os.umask(0o077)
    try:
        path = cdi.publish(settings, ["qsim"])
    finally:
        os.umask(old)
    assert mode(path) == 0o644
    assert mode(path.parent) == mode(path.parent.parent) == 0o755
    client = next(Path(settings.runtime_dir, "client").iterdir())
    for part in (client, *client.rglob("*")):
        assert mode(part) == (0o755 if part.is_dir() else 0o644)


@pytest.mark.report(23)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes the engines' own folders")
def test_dynamic_folder_comes_with_the_static_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    static = tmp_path / "etc" / "cdi"
    dynamic = tmp_path / "var" / "cdi"
    monkeypatch.setattr(cdi, "STATIC_DIR", static)
    monkeypatch.setattr(cdi, "DYNAMIC_DIRS", (dynamic,))
    cdi.write(spec_with(), dynamic / "quantainer.yaml")
    assert mode(static) == 0o755


def test_writing_again_replaces_and_leaves_no_twin(settings: Settings, tmp_path: Path) -> None:
    path = cdi.publish(settings, ["qsim"])
    spec = yaml.safe_load(path.read_text())
    cdi.write(spec, path.with_suffix(".json"))
    # A device named in two files of one folder cannot be resolved from either.
    assert [file.name for file in path.parent.iterdir()] == ["quantainer.json"]
    cdi.publish(settings, ["qsim", "b"])
    assert [file.name for file in path.parent.iterdir()] == ["quantainer.yaml"]
    assert len(yaml.safe_load(path.read_text())["devices"]) == 3


def test_a_foreign_twin_stays(tmp_path: Path) -> None:
    other = tmp_path / "quantainer.json"
    other.write_text(json.dumps(spec_with(kind="example.com/gpu")))
    cdi.write(spec_with(), tmp_path / "quantainer.yaml")
    assert other.exists()


def test_a_backend_no_engine_could_name_is_not_published(settings: Settings) -> None:
    with pytest.raises(QuantainerError, match="not made of letters"):
        cdi.publish(settings, ["ibm fez"])
    assert not Path(settings.cdi_dir).exists()


@pytest.mark.report(25)
def test_unread_file_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(QuantainerError, match=r"quantainer\.yml"):
        cdi.write(spec_with(), tmp_path / "quantainer.yml")


def test_unwritable_folder_names_path_and_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = Settings(
        runtime_dir=str(tmp_path / "run"), state_dir="/", cdi_dir=str(tmp_path / "file")
    )
    with pytest.raises(QuantainerError, match="file") as caught:
        cdi.publish(settings, ["qsim"])
    assert "QUANTAINER_CDI_DIR" in str(caught.value)


def test_devices_of_a_broker_that_runs_are_not_displaced(
    settings: Settings, tmp_path: Path
) -> None:
    path = cdi.publish(settings, ["qsim"])
    second = settings.model_copy(update={"runtime_dir": str(tmp_path / "second")})
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(f"{settings.runtime_dir}/broker.sock")
        listener.listen()
        with pytest.raises(QuantainerError, match="another broker"):
            cdi.publish(second, ["qsim"])
        cdi.publish(settings, ["qsim"])
    cdi.publish(second, ["qsim"])
    assert str(tmp_path / "second") in path.read_text()


def test_client_folder_is_stable_and_complete(settings: Settings) -> None:
    cdi.publish(settings, ["qsim"])
    cdi.publish(settings, ["qsim"])
    (client,) = Path(settings.runtime_dir, "client").iterdir()
    code = (
        "import importlib.metadata as m, quantainer_client;"
        "print(quantainer_client.__file__,"
        " [e.name for e in m.entry_points(group='pennylane.plugins')])"
    )
    environment = {"PYTHONPATH": str(client), "QUANTAINER_PYTHONPATH": ""}
    python = os.path.realpath(sys.executable)
    done = subprocess.run(
        [python, "-c", code], env=environment, capture_output=True, text=True, check=True, cwd="/"
    )
    assert done.stdout.split()[0] == f"{client}/quantainer_client/__init__.py"
    assert "quantainer.qpu" in done.stdout
    assert done.stderr == ""


# --- Rules -------------------------------------------------------------------------------------


@pytest.mark.report(25)
@pytest.mark.parametrize(
    ("edits", "version"),
    [
        ({"env": ["A=1"]}, "0.3.0"),
        ({"mounts": [{"hostPath": "/a", "containerPath": "/a"}]}, "0.3.0"),
        ({"mounts": [{"hostPath": "/a", "containerPath": "/a", "type": "bind"}]}, "0.4.0"),
        ({"deviceNodes": [{"path": "/dev/q"}]}, "0.3.0"),
        ({"deviceNodes": [{"path": "/dev/q", "hostPath": "/dev/q0"}]}, "0.5.0"),
        ({"additionalGids": [5]}, "0.7.0"),
        ({"intelRdt": {"closID": "a"}}, "0.7.0"),
        ({"netDevices": [{"hostInterfaceName": "eth0", "name": "q0"}]}, "1.1.0"),
    ],
)
def test_lowest_version_of_the_fields(edits: dict[str, Any], version: str) -> None:
    spec = spec_with(devices=[{"name": "q", "containerEdits": edits}], cdiVersion=version)
    assert cdi_rules.minimum_version(spec) == version
    assert cdi_rules.problems(spec) == []
    position = cdi_rules.VERSIONS.index(version)
    if position:
        older = spec | {"cdiVersion": cdi_rules.VERSIONS[position - 1]}
        assert cdi_rules.problems(older)[0].endswith(f"need {version}")


def test_lowest_version_of_names_and_annotations() -> None:
    digit = spec_with(devices=[{"name": "0", "containerEdits": EDITS}])
    assert cdi_rules.minimum_version(digit) == "0.5.0"
    assert cdi_rules.minimum_version(spec_with(annotations={"a": "b"})) == "0.6.0"
    assert cdi_rules.minimum_version(spec_with(kind="example.com/q.p")) == "0.6.0"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ([], "object"),
        (spec_with(cdiVersion="0.9.0"), "0.9.0"),
        (spec_with(kind="qpu"), "vendor.domain/class"),
        (spec_with(devices=[]), "at least one device"),
        (spec_with(surprise=1), "unknown field 'surprise'"),
        (spec_with(devices=[{"name": "q"}]), "cannot resolve"),
        (spec_with(devices=[{"name": "q", "containerEdits": EDITS}] * 2), "twice"),
        (spec_with(devices=["q"]), "devices[0]: not an object"),
        (spec_with(containerEdits={"env": ["=1"]}), "NAME=value"),
        (spec_with(containerEdits={"mounts": [{"hostPath": "/a"}]}), "containerPath: missing"),
        (spec_with(containerEdits={"hooks": [{"hookName": "stop", "path": "/h"}]}), "hookName"),
        (
            spec_with(containerEdits={"hooks": [{"hookName": "poststop", "path": "h"}]}),
            "not absolute",
        ),
        (
            spec_with(
                containerEdits={"hooks": [{"hookName": "poststop", "path": "/h", "timeout": 0}]}
            ),
            "above 0",
        ),
        (
            spec_with(containerEdits={"deviceNodes": [{"path": "/dev/q", "permissions": "rwx"}]}),
            "more than r, w, m",
        ),
    ],
)
def test_broken_rules_are_named(spec: Any, said: str) -> None:
    assert any(said in problem for problem in cdi_rules.problems(spec))


@pytest.mark.report(25)
@pytest.mark.parametrize("file", ["bad-env", "device-name-digit", "no-edits"])
def test_public_mistakes_are_found(file: str) -> None:
    if not CORPUS.is_dir():
        pytest.skip("the corpus of public CDI files is not beside this checkout")
    path = next(CORPUS.glob(f"{file}.*"))
    assert cdi_rules.problems(yaml.safe_load(path.read_text()))


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just([[]])


def objects(*fields: str, **known: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Objects of which any field may be missing, right, or of the wrong type."""
    values = dict.fromkeys(fields, SCALARS) | {k: v | SCALARS for k, v in known.items()}
    return st.fixed_dictionaries({}, optional=values)


def lists(entry: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(entry | SCALARS, max_size=3)


EDIT_FIELDS = objects(
    "additionalGids",
    env=lists(st.just("A=1")),
    mounts=lists(objects("hostPath", "containerPath", "options", "type")),
    hooks=lists(objects("hookName", "path", "args", "env", "timeout")),
    deviceNodes=lists(objects("path", "hostPath", "type", "permissions")),
    netDevices=lists(objects("hostInterfaceName", "name")),
    intelRdt=objects("closID", "schemata"),
)
DEVICES = lists(objects("name", containerEdits=EDIT_FIELDS))
SPECS = objects("cdiVersion", "kind", "annotations", devices=DEVICES, containerEdits=EDIT_FIELDS)


@given(SPECS | SCALARS)
def test_any_value_is_judged_without_a_fault(value: Any) -> None:
    assert isinstance(cdi_rules.problems(value), list)


# --- Reading -----------------------------------------------------------------------------------


def test_reading_reports_overlooked_and_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "good.json").write_text(json.dumps(spec_with()))
    (tmp_path / "overlooked.yml").write_text(json.dumps(spec_with()))
    (tmp_path / "torn.yaml").write_text("{")
    (tmp_path / "secret.yaml").write_text(json.dumps(spec_with()))
    (tmp_path / "secret.yaml").chmod(0o600)
    found = {entry.path.name: entry for entry in cdi.read(tmp_path)}
    assert found["good.json"].devices == ("example.com/qpu=q",)
    assert not found["good.json"].problems
    assert "overlook .yml" in found["overlooked.yml"].problems[0]
    assert "cannot be read" in found["torn.yaml"].problems[0]
    assert "other users" in found["secret.yaml"].problems[0]


def test_a_missing_folder_holds_nothing(tmp_path: Path) -> None:
    assert cdi.read(tmp_path / "none") == []


FOREIGN = [
    *("", "5", "[]", "devices: all", "devices: [qsim]", "devices: 5", "devices: {qsim: 1}"),
    *("a: 2024-13-45", "a: !!timestamp x", "a: !!int x", "a: !!bool x", "a: " + "[" * 3000),
    *("\0", "kind: [1]\ndevices: [[name]]"),
]


@pytest.mark.parametrize("text", FOREIGN)
def test_a_file_that_someone_broke_breaks_no_other(settings: Settings, text: str) -> None:
    path = cdi.publish(settings, ["qsim"])
    (path.parent / "other.yaml").write_text(text)
    path.with_suffix(".json").write_text(text)
    cdi.publish(settings, ["qsim"])
    assert cdi.known_devices([path.parent]) == ["qsim", "all"]
    assert all(found.problems for found in cdi.read(path.parent) if found.path != path)
    path.write_text(text)
    cdi.publish(settings, ["qsim"])
    assert cdi.read(path.parent)[-1].problems == ()


def test_processes_that_install_the_client_at_once_agree(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys; from quantainer.device import guest;"
        "print(guest.install(pathlib.Path(sys.argv[1])))"
    )
    many = [
        subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    said = {process.communicate(timeout=60)[0] for process in many}
    assert [process.returncode for process in many] == [0] * 4
    assert said == {f"{next(tmp_path.iterdir())}\n".encode()}
