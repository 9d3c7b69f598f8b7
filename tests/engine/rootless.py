"""A rootless Docker Engine of our own: dockerd in the user namespace of an ordinary user.

The engine is the one of :mod:`engine.docker`; RootlessKit and ``newuidmap`` are Debian's. The
user's subordinate ids are shown to these processes alone, in a mount namespace, and no file of the
system is changed.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from engine import base_image, packages
from engine.docker import Docker
from engine.host import UnavailableError, cache, need_root, need_tools, run

USER = "nobody"
_FIRST_ID, _IDS = 200_000, 65_536

# What Docker's own dockerd-rootless.sh does, for one user and without a network.
_START = """
set -e
mount --make-rprivate /
mount --bind {home}/ids /etc/subuid
mount --bind {home}/ids /etc/subgid
exec setpriv --reuid {user} --regid {group} --clear-groups --inh-caps=-all \\
  rootlesskit --state-dir={home}/kit --net=host --copy-up=/etc --copy-up=/run \\
  --propagation=rslave \\
  sh -c 'rm -f /run/docker /run/containerd /run/xtables.lock; exec "$@"' sh \\
  dockerd --rootless --config-file={home}/daemon.json --host={host} --data-root={home}/data \\
  --exec-root={home}/run/exec --pidfile={home}/run/docker.pid --storage-driver=vfs \\
  --bridge=none --iptables=false --ip6tables=false --userland-proxy=false \\
  --cdi-spec-dir={home}/cdi
"""


def start() -> Docker:
    """Start a rootless engine of ``nobody``; its images and containers go when it stops.

    Raises:
        UnavailableError: If this machine can have none; the message says why.
    """
    need_root()
    need_tools("debootstrap", "runc", "newuidmap", "newgidmap", "setpriv")
    kit = _rootlesskit()
    root = packages.unpacked()
    home = Path(tempfile.mkdtemp(prefix="quantainer-rootless-"))
    user = pwd.getpwnam(USER)
    # The user may not look into the cache, so the programs are copied.
    programs = ("bin/docker", "bin/containerd", "bin/containerd-shim-runc-v2", "sbin/dockerd")
    for program in (*programs, "bin/tini-static"):
        target = home / "bin" / Path(program).name
        target.parent.mkdir(exist_ok=True)
        shutil.copy(root / "usr" / program, target)
    for tool in kit:
        shutil.copy(tool, home / "bin")
    for folder in ("run", "data", "cdi"):
        (home / folder).mkdir()
    (home / "ids").write_text(f"{USER}:{_FIRST_ID}:{_IDS}\n")
    (home / "daemon.json").write_text('{"features": {"cdi": true}}\n')
    for path in (home, *home.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid)
        path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
    host = f"unix://{home}/run/docker.sock"
    search = f"{home}/bin:{os.environ.get('PATH', '')}"
    script = _START.format(home=home, host=host, user=user.pw_uid, group=user.pw_gid)
    environment = {"HOME": str(home), "XDG_RUNTIME_DIR": f"{home}/run", "PATH": search}
    with (home / "docker.log").open("wb") as log:
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", script],
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )

    def stop() -> None:
        _end(process)
        shutil.rmtree(home, ignore_errors=True)

    engine = Docker(f"{home}/bin/docker", host, home / "cdi", search, stop)
    deadline = time.monotonic() + 60
    while engine("info", check=False).returncode:  # "version" asks RootlessKit for its network
        if process.poll() is not None or time.monotonic() > deadline:
            said = _reason((home / "docker.log").read_text(errors="replace"))
            stop()
            raise UnavailableError(f"rootless Docker did not start: {said}")
        time.sleep(0.1)
    return engine


def load_base(engine: Docker) -> str:
    """Import the base image; return its name."""
    engine("import", base_image.tarball(), base_image.NAME, timeout=300)
    return base_image.NAME


def _reason(log: str) -> str:
    """Return what the engine said before RootlessKit did."""
    lines = [line for line in log.strip().splitlines() if not line.startswith("[rootlesskit")]
    return lines[-1] if lines else "it said nothing"


def _rootlesskit() -> list[Path]:
    """Return RootlessKit's programs: the system's, or unpacked from Debian's package."""
    found = shutil.which("rootlesskit")
    if found is not None:
        return [Path(found)]
    folder = cache() / "rootlesskit"
    program = folder / "usr" / "bin" / "rootlesskit"
    with packages.locked("rootlesskit"):
        if not program.exists():
            with tempfile.TemporaryDirectory() as work:
                run("apt-get", "download", "rootlesskit", cwd=work)
                (archive,) = Path(work).glob("*.deb")
                run("dpkg", "-x", archive, folder)
    return [program]


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)  # RootlessKit hands it to dockerd
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
