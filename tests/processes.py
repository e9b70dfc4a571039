"""Running our own scripts as processes of their own."""

from __future__ import annotations

import os
from pathlib import Path

_TESTS = Path(__file__).parent
SCRIPT_ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{_TESTS.parent}{os.pathsep}{_TESTS}"}
"""For a script below tests/: it finds the product's packages and the modules beside this one."""
