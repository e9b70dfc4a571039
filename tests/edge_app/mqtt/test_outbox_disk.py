"""A disk that is really full: a small tmpfs in a mount namespace of its own."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.child_processes import SCRIPT_ENVIRONMENT

SCRIPT = Path(__file__).with_name("full_disk.py")
NAMESPACE = ["unshare", "--map-root-user", "--mount"]


def run_on_small_disk(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command with a 8 MiB disk mounted at `folder`."""
    mount = f"mount -t tmpfs -o size=8M none {shlex.quote(str(folder))}"
    return subprocess.run(
        [*NAMESPACE, "sh", "-c", f"{mount} && exec {shlex.join(command)}"],
        capture_output=True,
        text=True,
        timeout=120,
        env=SCRIPT_ENVIRONMENT,
    )


@pytest.mark.needs("a disk of its own in a namespace")
def test_a_full_disk_releases_the_reserve_and_alerts_go_on(tmp_path: Path) -> None:
    """Alerts are stored from the reserve, then refused in clear words; nothing stored is lost."""
    done = run_on_small_disk(tmp_path, sys.executable, str(SCRIPT), str(tmp_path))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert 0 < said["released_at"] < 20
    assert said["refused_at"] > said["released_at"] + 100
    assert "free some space; the reserve is used up" in said["refusal"]
    assert said["last_finished_when_refused"] == said["refused_at"] - 1
    assert said["stored"] == list(range(1, said["refused_at"] + 2))
    assert said["kept"] == said["stored"][1:]
    assert said["is_reserve_back"]
