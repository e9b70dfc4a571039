"""`edge-app` on a machine whose wall clock is set while it runs: run by test_clock_jump.py.

Use: clock_process.py CLOCK_FILE ARGUMENTS... The file holds "SECONDS SOURCE ZONE": seconds to add
to the wall clock, whether a time source sets it (yes, no), and the machine's time zone. That clock
is put in place before edge_app's other modules are imported. The monotonic clock is the machine's.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

_CLOCK = Path(sys.argv[1])
_wall_ns = time.time_ns


def _told() -> tuple[float, bool]:
    seconds, source, zone = [*_CLOCK.read_text().split(), "0", "yes", "UTC"][:3]
    if os.environ.get("TZ") != zone:
        os.environ["TZ"] = zone
        time.tzset()
    return float(seconds), source == "yes"


def _set_ns() -> int:
    return _wall_ns() + round(_told()[0] * 1e9)


if __name__ == "__main__":
    from edge_app.host import clock

    time.time_ns = _set_ns
    time.time = lambda: _set_ns() / 1e9
    clock.clock_is_synchronised = lambda: _told()[1]
    from edge_app.cli.main import main

    raise SystemExit(main(sys.argv[2:]))
