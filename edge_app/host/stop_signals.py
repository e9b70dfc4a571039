"""What a signal causes, done in a thread of its own.

A handler of Python's runs in the main thread between two of its instructions, which hangs a service
in two ways. A signal that comes after the last instruction before a wait without end, or through
another thread, runs no handler until something else ends the wait. And `Event.set` in a handler
that came while the main thread was entering `Event.wait` of the same event takes a lock that this
very thread holds. So a handler does nothing here; the number comes through `signal.set_wakeup_fd`,
which the system's own handler writes to, whichever thread it interrupted.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Mapping

_log = logging.getLogger(__name__)


def handle_signals(actions: Mapping[signal.Signals, Callable[[], object]]) -> Callable[[], None]:
    """Call an action whenever its signal comes, in a thread of its own, in order.

    To be called in the main thread. Children that are executed start with the system's handlers.

    Returns:
        Gives the signals back to those who had them before.
    """
    read, write = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(write, False)
    thread = threading.Thread(
        target=_act, args=(read, {int(n): act for n, act in actions.items()}), name="signals",
        daemon=True,
    )  # fmt: skip
    thread.start()
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    handlers = {number: signal.signal(number, _pass_over) for number in actions}

    def undo() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before)
        os.close(write)  # the thread ends at it
        thread.join()

    return undo


def stop_on_signals(stop: Callable[[], object]) -> Callable[[], None]:
    """Call `stop` at Ctrl-C and at SIGTERM; see `handle_signals`."""
    return handle_signals({signal.SIGINT: stop, signal.SIGTERM: stop})


def _pass_over(*_: object) -> None:
    """Be a handler, for without one no number is written."""


def _act(read: int, actions: Mapping[int, Callable[[], object]]) -> None:
    with os.fdopen(read, "rb", buffering=0) as numbers:
        while number := numbers.read(1):
            act = actions.get(number[0])
            try:
                if act is not None:
                    act()
            except Exception:  # the thread must outlive any action: the next signal may be the end
                _log.exception("signal %d", number[0])
