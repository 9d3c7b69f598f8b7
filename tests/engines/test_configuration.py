"""Editing engines' configuration loses nothing and breaks nothing."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantainer.engines import configuration
from quantainer_client.errors import QuantainerError

KNOWN = Path("/var/run/cdi")
OWN = Path("/srv/cdi")


def test_docker_without_a_file_gets_one_that_switches_cdi_on(tmp_path: Path) -> None:
    change = configuration.docker(tmp_path / "docker" / "daemon.json", KNOWN, {})
    assert change.needed
    assert change.apply() is None
    assert json.loads(change.path.read_text()) == {"features": {"cdi": True}}


def test_docker_keeps_what_it_does_not_know_and_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "daemon.json"
    before = '{"log-driver": "local", "features": {"buildkit": true}, "x": [1]}'
    path.write_text(before)
    path.chmod(0o600)
    change = configuration.docker(path, OWN, {"debug": True, "features.y": False})
    backup = change.apply()
    assert backup is not None
    assert backup.read_text() == before
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text()) == {
        "log-driver": "local",
        "features": {"buildkit": True, "cdi": True, "y": False},
        "x": [1],
        "cdi-spec-dirs": ["/etc/cdi", "/var/run/cdi", "/srv/cdi"],
        "debug": True,
    }
    assert not configuration.docker(path, OWN, {}).needed


def test_docker_with_folders_of_its_own_gets_ours_added(tmp_path: Path) -> None:
    path = tmp_path / "daemon.json"
    path.write_text('{"cdi-spec-dirs": ["/opt/cdi"]}')
    after = json.loads(configuration.docker(path, KNOWN, {}).after)
    assert after["cdi-spec-dirs"] == ["/opt/cdi", "/var/run/cdi"]


@pytest.mark.parametrize("text", ["{", "[]", '{"features": 3}', "{'a': 1}", "\xff"])
def test_docker_file_that_is_not_understood_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "daemon.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(QuantainerError, match="left as it is"):
        configuration.docker(path, KNOWN, {})


@given(st.dictionaries(st.text(max_size=6), st.integers() | st.text(max_size=6), max_size=4))
def test_docker_keys_survive(config: dict[str, object]) -> None:
    config = {key: value for key, value in config.items() if "." not in key}  # no path of keys
    config.pop("features", None)
    path = Path("/nonexistent/daemon.json")
    after = json.loads(configuration.docker(path, KNOWN, config).after)
    assert config.items() <= after.items()


def test_podman_needs_nothing_for_the_folders_it_reads(tmp_path: Path) -> None:
    assert not configuration.podman(tmp_path / "quantainer.conf", KNOWN).needed
    change = configuration.podman(tmp_path / "quantainer.conf", OWN)
    change.apply()
    assert tomllib.loads(change.path.read_text())["engine"]["cdi_spec_dirs"][-1] == "/srv/cdi"


CRI2 = """# my notes
version = 2
[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    sandbox_image = "pause:3"  # keep
    enable_cdi = false
    cdi_spec_dirs = [
      "/opt/cdi",
    ]
    [plugins."io.containerd.grpc.v1.cri".containerd]
      snapshotter = "overlayfs"
"""


def test_containerd_changes_two_lines_and_keeps_comments(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(CRI2)
    change = configuration.containerd(path, KNOWN)
    section = tomllib.loads(change.after)["plugins"]["io.containerd.grpc.v1.cri"]
    assert section["enable_cdi"] is True
    assert section["cdi_spec_dirs"] == ["/opt/cdi", "/var/run/cdi"]
    assert section["containerd"]["snapshotter"] == "overlayfs"
    assert "# my notes" in change.after
    assert "# keep" in change.after
    change.apply()
    assert not configuration.containerd(path, KNOWN).needed


def test_containerd_without_the_section_gets_one(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('version = 2\nroot = "/var/lib/containerd"\n')
    after = tomllib.loads(configuration.containerd(path, OWN).after)
    assert after["root"] == "/var/lib/containerd"
    section = after["plugins"]["io.containerd.grpc.v1.cri"]
    assert section == {
        "enable_cdi": True,
        "cdi_spec_dirs": ["/etc/cdi", "/var/run/cdi", "/srv/cdi"],
    }


def test_containerd_2_needs_nothing_for_the_folders_it_reads(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    assert not configuration.containerd(path, KNOWN).needed
    path.write_text("version = 3\n")
    assert not configuration.containerd(path, KNOWN).needed
    assert configuration.containerd(path, OWN).needed


@pytest.mark.parametrize("text", ["version = 1\n", "version =", "root = '/x'\n"])
def test_containerd_too_old_or_broken_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(QuantainerError, match="left as it is"):
        configuration.containerd(path, KNOWN)


def configure(*words: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("quantainer")
    return subprocess.run(
        [program, "runtime", "configure", *words],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


def test_command_shows_the_change_and_what_to_restart(tmp_path: Path) -> None:
    file = tmp_path / "daemon.json"
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    words = ("--engine", "docker", "--config", str(file))
    shown = configure(*words, "--dry-run", "--json", environment=environment)
    facts = json.loads(shown.stdout)["configuration"]
    assert facts["changed"] is True
    assert '+    "cdi": true' in facts["diff"]
    assert not file.exists()
    done = configure(*words, environment=environment)
    assert "systemctl restart docker" in done.stdout
    assert json.loads(file.read_text())["features"]["cdi"] is True
    again = configure(*words, environment=environment)
    assert "nothing to change" in again.stdout


def test_command_with_nothing_to_do_says_what_it_needs(tmp_path: Path) -> None:
    done = configure(environment={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"})
    assert done.returncode == 2
    assert "--engine" in done.stderr


def test_plugin_link_is_made_for_this_user(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    for _ in range(2):
        assert configure("--plugin", environment=environment).returncode == 0
    link = tmp_path / ".docker" / "cli-plugins" / "docker-quantum"
    done = subprocess.run(
        [link, "docker-cli-plugin-metadata"], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["SchemaVersion"] == "0.1.0"
