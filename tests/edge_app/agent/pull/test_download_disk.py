"""A disk that runs full during a download: a small tmpfs in a mount namespace of its own."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.child_processes import SCRIPT_ENVIRONMENT

SCRIPT = Path(__file__).with_name("full_disk_download.py")


def run_on_small_disk(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    mount = f"mount -t tmpfs -o size=8M none {shlex.quote(str(folder))}"
    script = f"{mount} && exec {shlex.join(command)}"
    return subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        env=SCRIPT_ENVIRONMENT,
    )


@pytest.mark.needs("a disk of its own in a namespace")
def test_a_disk_that_runs_full_during_a_download_is_told_and_left_empty(tmp_path: Path) -> None:
    """The bundle is refused for want of room, nothing of it stays, and a later push succeeds."""
    done = run_on_small_disk(tmp_path, sys.executable, str(SCRIPT), str(tmp_path))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert "No space left on device" in said["refusal"]
    assert said["left"] == []
    assert said["is_whole"]
