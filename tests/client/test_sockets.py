"""Where callers look for a broker: the client and the commands alike, and never at a stranger's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quantainer.core.settings import platform_defaults
from quantainer_client import sockets
from quantainer_client.errors import QuantainerError

UID = 4712
STRANGER = 4711


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A user's XDG_RUNTIME_DIR with a socket in it, and no device and no broker elsewhere."""
    monkeypatch.setattr(sockets, "DEVICE_SOCKET", str(tmp_path / "dev" / "qvm.sock"))
    monkeypatch.setattr(sockets, "SYSTEM_FOLDER", str(tmp_path / "system"))
    folder = tmp_path / "quantainer"
    folder.mkdir(mode=0o755)
    (folder / "broker.sock").touch()
    return tmp_path


def find(runtime: Path, uid: int = UID, **environ: str) -> tuple[str | None, list[str], list[str]]:
    return sockets.find(uid, {"XDG_RUNTIME_DIR": str(runtime), **environ})


def own(runtime: Path) -> int:
    """Return the user whose the folder is."""
    return (runtime / "quantainer").stat().st_uid


@pytest.mark.parametrize("environ", [{}, {"XDG_RUNTIME_DIR": "/run/user/7"}])
@pytest.mark.parametrize("uid", [0, 7])
def test_a_broker_starts_where_its_user_looks_first(uid: int, environ: dict[str, str]) -> None:
    folders = sockets.runtime_folders(uid, environ)
    assert platform_defaults(uid, environ)["runtime_dir"] == folders[0]


def test_the_order(runtime: Path) -> None:
    places = [
        str(runtime / "dev" / "qvm.sock"),
        str(runtime / "quantainer" / "broker.sock"),
        f"/tmp/quantainer-{UID}/broker.sock",
        str(runtime / "system" / "broker.sock"),
    ]
    assert find(runtime, own(runtime) or UID)[0] == places[1]
    (runtime / "quantainer" / "broker.sock").unlink()
    assert find(runtime) == (None, places, [])
    for index in (3, 0):
        Path(places[index]).parent.mkdir()
        Path(places[index]).touch()
        assert find(runtime)[0] == places[index]
    assert find(runtime, QUANTAINER_RUNTIME_DIR="/r")[0] == "/r/broker.sock"
    assert find(runtime, QUANTAINER_RUNTIME_DIR="/r", QUANTAINER_SOCKET="/s")[0] == "/s"


def test_root_uses_no_users_broker(runtime: Path) -> None:
    found, looked, _ = find(runtime, 0)
    assert found is None
    assert looked == [str(runtime / "dev" / "qvm.sock"), str(runtime / "system" / "broker.sock")]


def test_a_folder_of_another_user_is_ignored(runtime: Path) -> None:
    folder = runtime / "quantainer"
    if os.geteuid() == 0:
        os.chown(folder, STRANGER, -1)
    found, _, (why,) = find(runtime)
    assert found is None
    owner = folder.stat().st_uid
    assert why == f"{folder} is ignored: it belongs to user {owner}, not to user {UID}."


def test_a_folder_that_others_may_write_to_is_ignored(runtime: Path) -> None:
    folder = runtime / "quantainer"
    folder.chmod(0o777)
    _, _, (why,) = find(runtime, own(runtime) or UID)
    assert why == f"{folder} is ignored: other users may write to it."


def test_a_link_is_ignored(runtime: Path) -> None:
    folder = runtime / "quantainer"
    folder.rename(runtime / "elsewhere")
    folder.symlink_to(runtime / "elsewhere")
    _, _, (why,) = find(runtime, own(runtime) or UID)
    assert why == f"{folder} is ignored: it is no folder."


def test_no_socket_anywhere_lists_where_was_looked(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("QUANTAINER_SOCKET", "QUANTAINER_RUNTIME_DIR", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(QuantainerError, match=r"qvm\.sock, .*broker\.sock exists") as caught:
        sockets.socket_path()
    assert caught.value.code == "broker_unavailable"
    assert "quantainer up" in str(caught.value.hint)


# --- An ordinary user without XDG_RUNTIME_DIR ---------------------------------------------------


@pytest.fixture
def planted() -> Iterator[Path]:
    """Make the folder of a user who has none, as another user could."""
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    folder = Path(f"/tmp/quantainer-{UID}")
    if folder.exists():
        pytest.skip(f"{folder} is in use")
    folder.mkdir(mode=0o755)
    (folder / "broker.sock").touch()
    yield folder
    shutil.rmtree(folder)


# Everything is imported before: the user may not be able to read where Python lies.
_AS_USER = """
import os, sys
import quantainer.cli.status, quantainer_client.__main__, quantainer_client.sockets
from quantainer.cli.main import main as commands
from quantainer_client.__main__ import main as client
os.setgroups([]); os.setgid({uid}); os.setuid({uid})
sys.argv = ["quantainer", "status"]
sys.exit({program})
"""


@pytest.mark.parametrize("program", ["commands()", "client(['hello'])"])
def test_programs_use_the_users_own_broker_and_no_planted_one(planted: Path, program: str) -> None:
    def said() -> str:
        done = subprocess.run(
            [sys.executable, "-c", _AS_USER.format(uid=UID, program=program)],
            env={"HOME": "/nowhere", "PATH": os.environ["PATH"]},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 1, done.stdout
        assert "Traceback" not in done.stderr
        return done.stderr

    os.chown(planted, STRANGER, -1)
    assert f"{planted} is ignored: it belongs to user {STRANGER}" in said()
    os.chown(planted, UID, -1)
    assert f"The broker at {planted / 'broker.sock'} cannot be reached" in said()
