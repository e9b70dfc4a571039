"""A signal ends a process wherever its main thread stands."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.brokers import wait_until
from support.child_processes import SCRIPT_ENVIRONMENT

import edge_app
from edge_app.host.stop_signals import handle_signals

AT_EVERY_LINE = """
import os, signal, sys, threading, time
from edge_app.host.stop_signals import stop_on_signals

def child(nth):
    '''Wait for SIGTERM, which comes at the nth line that the main thread executes in `wait`.'''
    stop, line = threading.Event(), 0
    {register}
    def at_line(frame, what, _):
        nonlocal line
        if frame.f_code.co_filename != threading.__file__:
            return None
        line += what == "line"
        if what == "line" and line == nth:
            signal.raise_signal(signal.SIGTERM)
        return at_line
    sys.settrace(at_line)
    stop.wait(0.2)
    sys.settrace(None)
    if line < nth:
        os._exit(9)  # there are no more lines
    os._exit(0 if stop.wait(5) else 1)

for nth in range(1, 100):
    pid = os.fork()
    if pid == 0:
        child(nth)
    end = time.monotonic() + 20
    status = None
    while status is None and time.monotonic() < end:
        found, code = os.waitpid(pid, os.WNOHANG)
        status = os.waitstatus_to_exitcode(code) if found else None
        time.sleep(0.01)
    if status is None:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        print("hangs at line", nth, flush=True)
        break
    if status == 9:
        print(nth - 1, "lines")
        break
    assert status == 0, (nth, status)
"""
IN_A_THREAD = "stop_on_signals(stop.set)"
IN_THE_HANDLER = "signal.signal(signal.SIGTERM, lambda *_: stop.set())"


def said(register: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", AT_EVERY_LINE.replace("{register}", register)],
        capture_output=True, text=True, check=True, timeout=180, env=SCRIPT_ENVIRONMENT,
    ).stdout  # fmt: skip


def test_a_signal_at_any_line_of_a_wait_ends_it() -> None:
    """A dozen lines at least: entering, waiting, coming back."""
    lines, what = said(IN_A_THREAD).split()
    assert what == "lines"
    assert int(lines) >= 12


@pytest.mark.slow
def test_setting_the_event_in_the_handler_hangs() -> None:
    """Why there is a thread: the way in which everybody writes it."""
    assert said(IN_THE_HANDLER).startswith("hangs at line")


def test_a_signal_that_another_thread_was_interrupted_by_counts() -> None:
    """The system chooses the thread; only the main one runs Python's handlers."""
    came = threading.Event()
    undo = handle_signals({signal.SIGUSR1: came.set})
    try:
        ask = threading.Thread(
            target=lambda: signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        )
        ask.start()
        ask.join()
        assert came.wait(20)
    finally:
        undo()


def test_an_action_that_fails_is_told_and_the_next_signal_counts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What was there before is given back at the end, and no thread is left."""
    before = signal.getsignal(signal.SIGUSR1), signal.getsignal(signal.SIGUSR2)
    came = threading.Event()

    def fail() -> None:
        raise RuntimeError("no")

    with caplog.at_level(logging.ERROR):
        undo = handle_signals({signal.SIGUSR1: fail, signal.SIGUSR2: came.set})
        os.kill(os.getpid(), signal.SIGUSR1)
        wait_until(lambda: "no" in caplog.text, 5)
        os.kill(os.getpid(), signal.SIGUSR2)
        assert came.wait(20)
        undo()
    assert (signal.getsignal(signal.SIGUSR1), signal.getsignal(signal.SIGUSR2)) == before
    assert signal.set_wakeup_fd(-1) == -1
    assert not [t for t in threading.enumerate() if t.name == "signals"]


def test_no_handler_of_the_device_does_anything() -> None:
    """What a handler may be: the system's own, or none."""
    found = [
        f"{path.name}: {handler}"
        for path in (Path(edge_app.__file__).parent).rglob("*.py")
        if path.name != "stop_signals.py"
        for handler in re.findall(r"signal\.signal\([^,]+, (.+)\)", path.read_text())
        if handler != "signal.SIG_IGN"
    ]
    assert not found
