"""Where threads stand: told by the watchdog while it can, and at SIGABRT where it cannot."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from edge_app.host.log_limit import limit_handler
from edge_app.host.logging_setup import MAX_MESSAGE_CHARS, MaskedFormatter
from edge_app.host.thread_stacks import log_stacks
from edge_app.host.watchdog import Loop, Watchdog

BUSY = """
import threading
from edge_app.host.logging_setup import start_logging

def step(n):
    return n and step(n - 1)

def busy():
    while True:
        step(900)

def standing_main_loop():
    print("up", flush=True)
    threading.Event().wait()

start_logging("INFO")
for _ in range(8):
    threading.Thread(target=busy, daemon=True).start()
standing_main_loop()
"""
"""Frames come and go, and with them the memory in which they lie."""

DUMPS = 3
"""Each ended early before in 1 of 2 runs; in any the other threads' stacks came first."""


def dump_of_a_busy_process() -> str:
    """Return what a process with eight busy threads writes at SIGABRT.

    It is read byte by byte out of the smallest pipe: the writer waits in the middle of a stack,
    as for a journal that is late, and other threads run on.
    """
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    command = [sys.executable, "-c", BUSY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=write) as process:
        os.close(write)
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGABRT)
        dump = b"".join(iter(lambda: os.read(read, 1), b""))
        assert process.wait(60) == -signal.SIGABRT, dump.decode()
    os.close(read)
    return dump.decode()


def test_an_abort_tells_where_the_main_thread_stood_however_busy_the_others() -> None:
    """Its whole stack, and nothing before it that could end the dump."""
    for _ in range(DUMPS):
        dump = dump_of_a_busy_process()
        assert dump.startswith("Fatal Python error: Aborted\n")
        assert "in standing_main_loop" in dump
        assert "in <module>" in dump
        assert "in step" not in dump


@pytest.fixture
def door() -> Iterator[threading.Event]:
    """Eight threads that stand before a door, which opens at the end."""
    door = threading.Event()

    def stands_here() -> None:
        door.wait()

    threads = [threading.Thread(target=stands_here, name=f"stands-{i}") for i in range(8)]
    for thread in threads:
        thread.start()
    yield door
    door.set()
    for thread in threads:
        thread.join()


class Lines(logging.Handler):
    """Keeps what is written, as the journal's handler formats and limits it."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.setFormatter(MaskedFormatter("%(message)s"))
        limit_handler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def written() -> Iterator[list[str]]:
    """What the log says meanwhile."""
    handler = Lines()
    logger = logging.getLogger("edge_app.host")
    logger.addHandler(handler)
    yield handler.lines
    logger.removeHandler(handler)


def test_the_watchdog_tells_all_stacks_once_the_standing_loops_first(
    door: threading.Event, written: list[str]
) -> None:
    """One record per thread, the rest of the log's limits notwithstanding."""
    now_ns = 10**9
    loop = Loop("camera", 0.5, lambda: 0, lambda: True, thread="stands-5")
    watchdog = Watchdog([loop], lambda: None, 3.0, lambda: now_ns)
    for _ in range(5):
        now_ns += 10**9
        watchdog.tend()
    assert "camera has not moved" in written[0]
    assert written[1].startswith("thread stands-5 (most recent call first):\n")
    assert "in stands_here" in written[1]
    threads = [line.split()[1] for line in written[1:]]  # others', which earlier tests left, too
    own = [name for name in threads if name.startswith("stands-")]
    assert sorted(own) == sorted(t.name for t in threading.enumerate() if t.name in own)
    assert len(own) == 8
    assert "MainThread" in threads
    assert {"MainThread", *(f"stands-{i}" for i in range(8))} <= set(threads)
    main = next(line for line in written if line.startswith("thread MainThread "))
    assert "in tend\n" in main


def test_a_stack_without_end_fits_into_the_journal_and_a_password_does_not(
    written: list[str],
) -> None:
    """The innermost calls are told; what a thread's name or a path gives away is masked."""
    threading.current_thread().name, before = (
        "rtsp://user:secret@camera/1",
        threading.current_thread().name,
    )

    def deeper(n: int) -> None:
        if n:
            deeper(n - 1)
        else:
            log_stacks()

    try:
        deeper(500)
    finally:
        threading.current_thread().name = before
    text = next(line for line in written if "rtsp://" in line)
    assert "secret" not in text
    assert len(text) < MAX_MESSAGE_CHARS
    assert text.index("in log_stacks") < text.index("in deeper")
