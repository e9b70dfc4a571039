"""Minimal Debian systems in folders, built once with debootstrap and kept between runs.

They lie in ${XDG_CACHE_HOME:-~/.cache}/cropliq-edge; removing that folder is always safe.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

SUITE = "bookworm"
OPTIONS = ("--variant=minbase", "--include=systemd,systemd-sysv,dbus,python3,python3-venv")
"""What a Debian server has and a minbase lacks: an init with its bus, and the README's package."""

BINFMT = Path("/proc/sys/fs/binfmt_misc")
QEMU = "/usr/bin/qemu-aarch64-static"
QEMU_CONF = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")


def debian_root(arch: str) -> Path:
    """Return a Debian system of that architecture, untouched since it was built.

    Raises:
        OSError: there can be none here; says why.
    """
    if arch == "arm64":
        emulate_arm64()
    recipe = hashlib.sha256(" ".join((SUITE, *OPTIONS)).encode()).hexdigest()[:8]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cropliq-edge"
    root = cache / f"{SUITE}-{arch}-{recipe}"
    if not root.is_dir():
        _build(arch, root)
    return root


def why_no_debian(arch: str) -> str:
    """Return why this machine can build no Debian system of that architecture; "" where it can."""
    try:
        debian_root(arch)
    except OSError as error:
        return str(error)
    return ""


def _build(arch: str, root: Path) -> None:
    partial = root.with_name(f"{root.name}.{os.getpid()}")
    partial.mkdir(parents=True)
    command = ["debootstrap", f"--arch={arch}", *OPTIONS, SUITE, str(partial)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(partial)
        raise OSError(f"debootstrap could not build a Debian system: {done.stdout[-300:]}")
    for package in (partial / "var/cache/apt/archives").glob("*.deb"):
        package.unlink()
    partial.rename(root)


def emulate_arm64() -> None:
    """Have the kernel run arm64 programs through QEMU, or raise OSError, saying why."""
    entry = BINFMT / "qemu-aarch64"
    try:
        if not (BINFMT / "register").exists():
            subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(BINFMT)], check=True)
        if not entry.exists():
            # F: QEMU is opened now, so it need not be inside; C: setuid programs work
            magic = QEMU_CONF.read_text().strip().rsplit(":", 2)[0]
            (BINFMT / "register").write_text(f"{magic}:{QEMU}:OCF")
        entry_text = entry.read_text()
    except (OSError, subprocess.CalledProcessError) as error:
        raise OSError(f"this kernel runs no arm64 programs (binfmt_misc): {error}") from error
    if not entry_text.startswith("enabled") or "F" not in entry_text.split("flags:")[1][:6]:
        raise OSError(f"{entry} is set up without the flag F: QEMU is not found inside a container")
