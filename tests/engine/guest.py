"""A guest: Debian's kernel under QEMU, for what the kernel of this machine does not have.

It is emulated (TCG), so that it runs wherever QEMU does, and has control groups of version 2 alone,
no network, no disk and no init system: it runs one command and is gone.
"""

from __future__ import annotations

import platform
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from engine import base_image, packages
from engine.host import UnavailableError, cache, need_root, need_tools, run
from engine.initramfs import Initramfs

__all__ = ["LIBRARY", "run_in_guest"]

LIBRARY = "guest/lib"
"""Where Python in the guest finds modules, below its root."""

_PACKAGES = ("runc", "crun", "podman", "netavark")
_KERNEL = "linux-image-cloud-amd64"

# The root of an initramfs cannot be pivoted away from, as OCI runtimes do: it is mounted once more.
_INIT = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root PYTHONPATH=/{library} LC_ALL=C.UTF-8
mount --rbind / /mnt && cd /mnt && mount --move . / && exec chroot . /bin/sh -c '
mkdir -p /proc /sys /dev /run /tmp
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
stty -F /dev/ttyS1 raw
. /guest/command > /dev/ttyS1
echo $? > /run/status
stty -F /dev/ttyS2 raw
cat /run/status > /dev/ttyS2
sync
echo b > /proc/sysrq-trigger
sleep 10'
"""


def run_in_guest(
    *command: str, fill: Callable[[Initramfs], None], timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Boot a guest with Python 3.11, runc, crun and Podman; run one command in it as root.

    Args:
        command: Its words.
        fill: Adds files to the guest's root file system.
        timeout: Seconds, boot included.

    Returns:
        Exit status and output; ``stderr`` is the guest's console.

    Raises:
        UnavailableError: If this machine can have no guest; the message says why.
        TimeoutError: If it did not end in time; with the end of what the console showed.
    """
    kernel = _kernel()
    root = base_image.tarball(*_PACKAGES)
    with tempfile.TemporaryDirectory(prefix="quantainer-guest-") as folder:
        home = Path(folder)
        with Initramfs(home / "initramfs") as image:
            image.add_tar(root)
            image.add("guest/init", _INIT.format(library=LIBRARY).encode(), 0o755)
            image.add("guest/command", f"{shlex.join(command)}\n".encode())
            fill(image)
        _boot(home, kernel, timeout)
        console = (home / "console").read_text(errors="replace")
        status = (home / "status").read_text().strip()
        if not status.isdigit():
            raise TimeoutError(f"the guest ended without a word: {console[-2000:]}")
        output = (home / "output").read_text(errors="replace")
        return subprocess.CompletedProcess(command, int(status), output, console)


def _boot(home: Path, kernel: Path, timeout: float) -> None:
    serial = [f"-serial=file:{home}/{name}" for name in ("console", "output", "status")]
    command = [
        "qemu-system-x86_64",
        "-nodefaults",
        "-no-user-config",
        "-no-reboot",
        "-display=none",
        "-accel=tcg",
        "-cpu=max",
        "-smp=2",
        "-m=1024",
        *serial,
        f"-kernel={kernel}",
        f"-initrd={home}/initramfs",
        "-append=console=ttyS0 loglevel=4 panic=-1 mitigations=off rdinit=/guest/init",
    ]
    words = [word for option in command for word in option.split("=", 1)]
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,  # QEMU sets up a terminal, which stops it in the background
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        console = (home / "console").read_text(errors="replace")
        raise TimeoutError(f"no end after {timeout:g} s: {console[-2000:]}") from None
    if done.returncode:
        raise UnavailableError(f"QEMU does not start: {done.stderr.strip()}")


def _kernel() -> Path:
    """Return Debian's kernel for virtual machines, unpacked from its package, not installed."""
    if platform.machine() != "x86_64":
        raise UnavailableError(f"a guest is x86_64, this machine is {platform.machine()}")
    need_root()
    need_tools("qemu-system-x86_64", "debootstrap")
    path = cache() / "linux" / "vmlinuz"
    with packages.locked("linux"):
        if not path.exists():
            _fetch_kernel(path)
    return path


def _fetch_kernel(path: Path) -> None:
    need_tools("apt-get", "apt-cache", "dpkg-deb")
    named = re.search(r"Depends: (linux-image-\S+)", run("apt-cache", "depends", _KERNEL))
    if named is None:
        raise UnavailableError(f"this machine's apt has no {_KERNEL}")
    path.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        try:
            run("apt-get", "download", named[1], cwd=work)
        except UnavailableError:  # the lists are older than the mirror
            run("apt-get", "update")
            run("apt-get", "download", named[1], cwd=work)
        (archive,) = Path(work).glob("*.deb")
        run("dpkg-deb", "-x", archive, Path(work) / "root")
        (kernel,) = (Path(work) / "root" / "boot").glob("vmlinuz-*")
        partial = path.with_suffix(".partial")
        shutil.copy(kernel, partial)
        partial.replace(path)
