"""The code of release 0.1.0, run beside ours: what devices in the field do with our files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.child_processes import SCRIPT_ENVIRONMENT
from support.needs import RELEASE_COMMIT, ROOT


def unpack_release(folder: Path, commit: str = RELEASE_COMMIT) -> Path:
    """Put its `edge_app` into a folder and return that; tests need "the repository's history"."""
    folder.mkdir(parents=True, exist_ok=True)
    archive = subprocess.run(
        ["git", "-C", str(ROOT), "archive", commit, "edge_app"],
        capture_output=True,
        check=True,
    )
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder


def run_on_release(release: Path, script: str, *arguments: str, timeout_s: float = 60) -> str:
    """Run a Python script with the release's `edge_app`; return what it prints."""
    guard = f"import edge_app; assert edge_app.__file__.startswith({str(release)!r})\n"
    done = subprocess.run(
        [sys.executable, "-c", guard + script, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        cwd=release,  # `-c` looks there first
        env={**SCRIPT_ENVIRONMENT, "PYTHONPATH": str(release)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
