"""Say what of the operating system is missing for `make demo`; the standard library is enough."""

from __future__ import annotations

import ctypes
import sys
from importlib.util import find_spec

LIBRARIES = ("libGL.so.1", "libgthread-2.0.so.0")
"""What the wheel of opencv-python links to and does not bring."""


def missing() -> list[str]:
    """Return what is missing, in a few words each."""
    found = [] if sys.version_info >= (3, 10) else ["Python 3.10 or newer"]
    found += [f"Python's module {m}" for m in ("venv", "ensurepip") if find_spec(m) is None]
    for library in LIBRARIES if sys.platform == "linux" else ():
        try:
            ctypes.CDLL(library)
        except OSError:
            found.append(library)
    return found


if __name__ == "__main__":
    lacking = missing()
    if lacking:
        print(f"Missing on this machine: {', '.join(lacking)}.", file=sys.stderr)
    sys.exit(bool(lacking))
