"""A Debian system that boots its own systemd: systemd-nspawn over an overlay that is thrown away.

It shares the network with us: a broker on loopback is "a broker outside" for it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from support.brokers import wait_until
from support.nspawn_probe import NSPAWN

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
               "HOME": "/root", "LANG": "C.UTF-8"}  # fmt: skip


class Container:
    """One system over a base folder that stays as it is.

    Args:
        base: the system's files, e.g. from `debian_root`.
        folder: where everything that changes is kept; a new one per container.
    """

    def __init__(self, base: Path, folder: Path) -> None:
        self.root = folder / "root"
        self._changes, self._work = folder / "changes", folder / "work"
        for path in (self.root, self._changes, self._work):
            path.mkdir(parents=True)
        self._log = folder / "console.log"
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0
        self._mount(base)

    def _mount(self, base: Path) -> None:
        why_not = _mount_overlay(base, self._changes, self._work, self.root)
        assert not why_not, why_not

    def boot(self, timeout_s: float = 180.0) -> None:
        """Boot and wait until systemd has reached its target."""
        with self._log.open("wb") as log:
            self._nspawn = subprocess.Popen(
                [*NSPAWN, "--directory", str(self.root), "--boot"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        end_s = time.monotonic() + timeout_s
        while not self._is_up():
            if self._nspawn.poll() is not None or time.monotonic() > end_s:
                told = self._log.read_text(errors="replace")[-500:]
                raise AssertionError(f"the system did not boot within {timeout_s:g} s: {told}")
            time.sleep(0.2)

    def _is_up(self) -> bool:
        """Find the container's first process; tell whether its systemd has started everything."""
        assert self._nspawn is not None
        pid = self._nspawn.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if not children:
            return False
        self._leader = int(children[-1])
        if not Path(f"/proc/{self._leader}/root/run/systemd/private").exists():
            return False
        state = self.run("systemctl is-system-running", check=False).stdout.strip()
        return state in ("running", "degraded")

    def run(
        self, command: str, timeout_s: float = 180.0, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command inside, as root, in the directory /root."""
        done = subprocess.run(
            [shutil.which("nsenter") or "nsenter", "--target", str(self._leader), "--all",
             "/bin/sh", "-c", f"cd /root && {command}"],
            env=ENVIRONMENT, capture_output=True, text=True, timeout=timeout_s, check=False,
        )  # fmt: skip
        assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}"
        return done

    def show(self, unit: str, name: str) -> str:
        """Return one property of a unit."""
        return self.run(f"systemctl show --value --property={name} {unit}").stdout.strip()

    def journal(self, unit: str) -> str:
        """Return what the unit has written, and systemd about it, up to now.

        Without `--sync` a journald that is late, as on a busy machine, has not got to it yet.
        """
        read = f"journalctl --no-pager --output=cat --unit={unit}"
        return self.run(f"journalctl --sync && {read}").stdout

    def power_off(self) -> None:
        """End the system as a power button does, or pull the plug; drop the overlay."""
        if self._nspawn is not None:
            self._nspawn.terminate()
            try:
                self._nspawn.wait(20)
            except subprocess.TimeoutExpired:
                os.kill(self._leader, signal.SIGKILL)
                self._nspawn.kill()
                self._nspawn.wait()
        wait_until(self._unmount, 10, "unmounting")

    def _unmount(self) -> bool:
        return subprocess.run(["umount", str(self.root)], check=False).returncode == 0


def why_no_overlay() -> str:
    """Return why no overlay can be mounted where the tests keep their files; "" where it can."""
    with tempfile.TemporaryDirectory(prefix="cropliq-overlay-") as folder:
        base, changes, work, root = (Path(folder) / n for n in ("base", "changes", "work", "root"))
        for path in (base, changes, work, root):
            path.mkdir()
        why_not = _mount_overlay(base, changes, work, root)
        if not why_not:
            subprocess.run(["umount", str(root)], check=True)
    return why_not


def _mount_overlay(base: Path, changes: Path, work: Path, root: Path) -> str:
    """Mount an overlay; return why it could not be, "" where it was."""
    layers = f"lowerdir={base},upperdir={changes},workdir={work}"
    command = ["mount", "-t", "overlay", "overlay", "-o", layers, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode else ""
