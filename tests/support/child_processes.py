"""Running our own scripts as processes of their own."""

from __future__ import annotations

import os
import signal
from pathlib import Path

_TESTS = Path(__file__).parents[1]
SCRIPT_ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{_TESTS.parent}{os.pathsep}{_TESTS}"}
"""For a script below tests/: it finds the product's packages and the package `support`."""


def takes_ctrl_c() -> None:
    """Let SIGINT through as in a terminal (a `preexec_fn`): what a script starts in the background
    ignores it, and so would the command under test."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
