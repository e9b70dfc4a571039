"""Whether a systemd can boot in a container on this machine: asked in seconds, before minutes of
building a Debian system for it. Many sandboxes, CI's among them, allow no such thing."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

NSPAWN = ("systemd-nspawn", "--quiet", "--register=no", "--keep-unit")

PROBE_S = 60.0
"""A systemd takes a second to its first words, six on a machine with twenty times the load."""


def why_not_bootable() -> str:
    """Return why this machine's own systemd does not start in a container; "" when it does."""
    with tempfile.TemporaryDirectory(prefix="cropliq-probe-") as folder:
        root = Path(folder)
        _lay_out(root)
        with (root / "console.log").open("wb") as log:
            nspawn = subprocess.Popen(
                [*NSPAWN, "--directory", folder, "--bind-ro=/usr", "--boot", "--",
                 "--unit=basic.target"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
            try:
                is_up = _comes_up(nspawn)
            finally:
                _end(nspawn)
        told = (root / "console.log").read_text(errors="replace").strip().splitlines()
    return "" if is_up else " ".join(told[-3:]) or "systemd-nspawn ended without a word"


def _lay_out(root: Path) -> None:
    """Make the least that is a system: its programs are this machine's own, read-only."""
    for folder in ("usr", "etc", "var", "root"):
        (root / folder).mkdir()
    for link in ("bin", "sbin", "lib", "lib64"):
        (root / link).symlink_to(f"usr/{link}")
    (root / "etc/os-release").write_text("ID=probe\n")


def _comes_up(nspawn: subprocess.Popen[bytes]) -> bool:
    """Wait until the container's first process is a systemd that can be spoken to."""
    end_s = time.monotonic() + PROBE_S
    while nspawn.poll() is None and time.monotonic() < end_s:
        leader = _leader(nspawn.pid)
        if leader and Path(f"/proc/{leader}/root/run/systemd/private").exists():
            return True
        time.sleep(0.1)
    return False


def _end(nspawn: subprocess.Popen[bytes]) -> None:
    leader = _leader(nspawn.pid)
    if leader and nspawn.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(leader, signal.SIGKILL)
    try:
        nspawn.wait(10)
    except subprocess.TimeoutExpired:
        nspawn.kill()
        nspawn.wait()


def _leader(pid: int) -> int:
    """Return the container's first process, 0 while there is none."""
    with contextlib.suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[-1])
    return 0
