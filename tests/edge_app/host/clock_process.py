"""`edge-app` on a machine whose wall clock is set while it runs: run by test_clock_jump.py.

Use: clock_process.py OFFSET_FILE ARGUMENTS... The file holds seconds to add to the wall clock; that
clock is put in place before edge_app is imported. The monotonic clock is the machine's own.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

_OFFSET = Path(sys.argv[1])
_wall_ns = time.time_ns


def _set_ns() -> int:
    text = _OFFSET.read_text().strip()  # empty while it is being written
    return _wall_ns() + round(float(text or 0) * 1e9)


if __name__ == "__main__":
    time.time_ns = _set_ns
    time.time = lambda: _set_ns() / 1e9
    from edge_app.cli.main import main

    raise SystemExit(main(sys.argv[2:]))
