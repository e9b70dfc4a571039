"""Runs a command beside processes that never rest: what waits for a clock fails here.

python tools/beside_load.py 5 COMMAND ...

Each of them takes a core's time as any other process would; they end with the command. The exit
code is the command's.
"""

from __future__ import annotations

import subprocess
import sys

BUSY = """
import os
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(10**6):
        pass
"""


def main() -> int:
    """Run it."""
    if len(sys.argv) < 3 or not sys.argv[1].isdigit():
        print(__doc__, file=sys.stderr)
        return 2
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(int(sys.argv[1]))]
    try:
        return subprocess.call(sys.argv[2:])
    finally:
        for process in busy:
            process.kill()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
