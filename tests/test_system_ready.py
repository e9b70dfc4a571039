"""What `make` says of a machine on which the demo could not run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "tools" / "system_ready.py"


def said(change: str) -> subprocess.CompletedProcess[str]:
    """Run the script after a change to what it finds."""
    code = f"{change}\nimport runpy; runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_what_is_missing_is_named_in_one_line() -> None:
    """A library and a module that are not there: exit code 1; with all there: silence and 0."""
    hidden = "import ctypes\ndef gone(name): raise OSError(name)\nctypes.CDLL = gone"
    done = said(hidden)
    assert done.returncode == 1
    assert done.stderr == "Missing on this machine: libGL.so.1, libgthread-2.0.so.0.\n"
    without = "import importlib.util as u\nu.find_spec = lambda name: None"
    assert "Python's module venv, Python's module ensurepip" in said(without).stderr
    assert (said("").returncode, said("").stderr) == (0, "")
