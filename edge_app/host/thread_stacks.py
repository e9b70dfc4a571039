"""Where every thread stands, as log lines.

Read by Python's own means, under the GIL: a frame stays while it is looked at. A signal's handler
(`faulthandler`) walks the stacks of other threads while they change, and now and then stumbles
(python/cpython, issue 116008). No file is read: the disk may be why a thread stands.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Collection
from itertools import islice
from types import FrameType

_log = logging.getLogger(__name__)

MAX_FRAMES = 100
"""Of one stack, the innermost; `faulthandler` has the same limit."""


def log_stacks(first: Collection[str] = ()) -> None:
    """Log the stack of every Python thread, one record of level ERROR each.

    Args:
        first: names of the threads that come before the others.
    """
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    stacks = [
        (names.get(ident, f"unnamed {ident}"), _text(frame))
        for ident, frame in sys._current_frames().items()
    ]
    for name, text in sorted(stacks, key=lambda named: (named[0] not in first, named[0])):
        # each thread is a cause of its own: all are written, however many there are (log_limit.py)
        cause = f"stack of {name}"
        _log.error("thread %s (most recent call first):\n%s", name, text, extra={"cause": cause})


def _text(frame: FrameType) -> str:
    """Return a stack as `faulthandler` writes it, innermost first: what is cut is the beginning."""
    return "\n".join(
        f'File "{f.f_code.co_filename}", line {line} in {f.f_code.co_name}'
        for f, line in islice(traceback.walk_stack(frame), MAX_FRAMES)
    )
