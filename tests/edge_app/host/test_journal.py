"""What a real datagram socket in the journal's place receives."""

from __future__ import annotations

import logging
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_app.host.logging_setup import (
    MAX_MESSAGE_CHARS,
    JournalHandler,
    priority_of,
    stderr_is_journal,
)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    """Return a socket bound where the journal's would be."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "journal"))
        heard.settimeout(2)
        yield heard


@pytest.fixture
def logger(journal: socket.socket) -> Iterator[logging.Logger]:
    """Return a logger that writes into it."""
    logger = logging.Logger("edge_app.cameras.grabber")
    handler = JournalHandler(journal.getsockname())
    logger.addHandler(handler)
    yield logger
    handler.close()


def fields_of(raw: bytes) -> dict[str, str]:
    """Read a datagram as the journal does."""
    found = {}
    while raw:
        line, raw = raw.split(b"\n", 1)
        if b"=" in line:
            name, value = line.split(b"=", 1)
        else:
            name, (length,) = line, struct.unpack("<Q", raw[:8])
            value, raw = raw[8 : 8 + length], raw[8 + length + 1 :]
        found[name.decode()] = value.decode()
    return found


def test_a_warning_keeps_its_level_and_its_place(
    journal: socket.socket, logger: logging.Logger
) -> None:
    """Level, logger, thread and source line are fields of their own."""
    thread = threading.Thread(
        name="grab-cam1", target=lambda: logger.warning("camera %s: no frame = stalled", "cam1")
    )
    thread.start()
    thread.join()
    fields = fields_of(journal.recv(65536))
    assert fields["MESSAGE"] == "camera cam1: no frame = stalled"
    assert (fields["PRIORITY"], fields["THREAD"]) == ("4", "grab-cam1")
    assert fields["LOGGER"] == "edge_app.cameras.grabber"
    assert fields["CODE_FILE"] == __file__


def test_a_traceback_stays_one_entry(journal: socket.socket, logger: logging.Logger) -> None:
    """A message of many lines arrives whole, with its level."""
    try:
        raise ValueError("odd frame")
    except ValueError:
        logger.exception("frame 7 not inspected")
    fields = fields_of(journal.recv(65536))
    assert fields["MESSAGE"].splitlines()[0] == "frame 7 not inspected"
    assert fields["MESSAGE"].splitlines()[-1] == "ValueError: odd frame"
    assert fields["PRIORITY"] == "3"


def test_an_endless_line_is_cut(journal: socket.socket, logger: logging.Logger) -> None:
    """A line that no datagram could hold is shortened, not lost."""
    logger.error("x" * 10_000_000)
    assert len(fields_of(journal.recv(1 << 20))["MESSAGE"]) == MAX_MESSAGE_CHARS


def test_a_journal_that_is_gone_is_replaced_by_stderr(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The line reaches stderr with its priority in front, as sd-daemon(3) spells it."""
    handler = JournalHandler(str(tmp_path / "nobody"))
    handler.handle(logging.LogRecord("edge_app", logging.ERROR, "f", 1, "still told", (), None))
    handler.close()
    assert capfd.readouterr().err == "<3>edge_app: still told\n"


@pytest.mark.parametrize(
    ("level", "priority"),
    [(logging.CRITICAL, 3), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6),
     (logging.DEBUG, 7)],
)  # fmt: skip
def test_levels_become_syslog_priorities(level: int, priority: int) -> None:
    """Each level of Python's logging has its priority in the journal."""
    assert priority_of(level) == priority


def test_the_journal_is_known_by_device_and_inode(tmp_path: Path) -> None:
    """Only the very stream that systemd names counts: a redirected stderr gets text."""
    with (tmp_path / "stream").open("w") as stream:
        stat = os.fstat(stream.fileno())
        named = {"JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}"}
        assert stderr_is_journal(named, stream.fileno())
        assert not stderr_is_journal({"JOURNAL_STREAM": "1:1"}, stream.fileno())
        assert not stderr_is_journal({}, stream.fileno())
    assert not stderr_is_journal(named, 4242)


def test_an_abort_leaves_the_stack_behind() -> None:
    """SIGABRT, which systemd's watchdog sends, writes where the thread that takes it stood."""
    program = (
        "import logging, os\nfrom edge_app.host.logging_setup import start_logging\n"
        "start_logging('INFO')\nlogging.info('hello')\n"
        "def hung_in_driver():\n    os.kill(os.getpid(), 6)\nhung_in_driver()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == -6
    assert "INFO root: hello" in done.stderr
    assert "in hung_in_driver" in done.stderr
