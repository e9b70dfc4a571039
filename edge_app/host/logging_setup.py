"""Where log lines go: a terminal gets text, systemd's journal gets fields.

In the journal an entry keeps its level: `journalctl -u edge-app -p warning` shows what went wrong,
and `journalctl LOGGER=edge_app.mqtt.publisher` or `THREAD=grab-cam1` the log of one part of the
app. Protocol: https://systemd.io/JOURNAL_NATIVE_PROTOCOL, one datagram per line, no library."""

from __future__ import annotations

import faulthandler
import logging
import os
import socket
import struct
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from edge_app.host.log_limit import LogLimit, limit_handler
from edge_app.host.plain_text import indented_lines
from edge_app.secret_text import mask

JOURNAL_SOCKET = "/run/systemd/journal/socket"
JOURNAL_STREAM = "JOURNAL_STREAM"
MAX_MESSAGE_CHARS = 32_000
"""A datagram may hold about 200 kB (net.core.wmem_default); longer lines are cut."""

TEXT_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
"""In the foreground; the journal adds the time by itself."""

_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""syslog(3): 3 error, 4 warning, 6 informational; below INFO it is 7, debug."""


def start_logging(level: str) -> LogLimit:
    """Send log lines to the journal if stderr goes there, else to stderr as text.

    They are limited per cause (`log_limit.py`): nobody outside fills the log, or hides in it.

    A crash writes the Python stack of the thread in which it happened to stderr, and the SIGABRT by
    which systemd's watchdog ends the service that of the main thread, which Linux has take it. Not
    of every thread: the others run on while their stacks are walked, and where that stumbles the
    one that matters, which is the last, is not written. Where a loop outside the main thread is
    stuck the watchdog logs them all (watchdog.py).
    """
    faulthandler.enable(all_threads=False)
    text: logging.Formatter = MaskedFormatter(TEXT_FORMAT)
    handler: logging.Handler = logging.StreamHandler()
    if stderr_is_journal():
        handler, text = JournalHandler(), MaskedFormatter("%(message)s")
    handler.setFormatter(text)
    logging.basicConfig(level=level, handlers=[handler])
    mask_tracebacks()
    return limit_handler(handler)


class MaskedFormatter(logging.Formatter):
    """Leaves passwords out of every line, tracebacks and texts of libraries included.

    What a message holds from outside (a part's name, a picture's) breaks no line and is obeyed by
    no terminal.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        """Return the line without what follows it, such as a traceback."""
        record.message = indented_lines(record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return mask(super().format(record))


def mask_tracebacks() -> None:
    """Leave passwords out of the tracebacks of defects, in the main thread and in others."""

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        print(mask("".join(traceback.format_exception(kind, error, trace))), file=sys.stderr)

    def show_of_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            name = args.thread.name if args.thread else "?"
            print(f"Exception in thread {name}:", file=sys.stderr)
            show(args.exc_type, args.exc_value, args.exc_traceback)

    if sys.excepthook is sys.__excepthook__:  # not where a program has put its own in place
        sys.excepthook = show
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = show_of_thread


def stderr_is_journal(environment: Mapping[str, str] = os.environ, stderr_fd: int = 2) -> bool:
    """Tell whether stderr is the stream systemd connected to the journal (systemd.exec(5))."""
    try:
        stat = os.fstat(stderr_fd)
    except OSError:
        return False
    return environment.get(JOURNAL_STREAM) == f"{stat.st_dev}:{stat.st_ino}"


class JournalHandler(logging.Handler):
    """Writes log records into the journal; what it does not accept goes to stderr.

    Args:
        address: the journal's socket.
    """

    def __init__(self, address: str = JOURNAL_SOCKET) -> None:
        super().__init__()
        self._address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record; never raises."""
        text = self.format(record)[:MAX_MESSAGE_CHARS]
        fields = {
            "MESSAGE": text,
            "PRIORITY": str(priority_of(record.levelno)),
            "SYSLOG_IDENTIFIER": Path(sys.argv[0]).name,
            "LOGGER": record.name,
            "THREAD": str(record.threadName),
            "CODE_FILE": record.pathname,
            "CODE_LINE": str(record.lineno),
            "CODE_FUNC": record.funcName or "",
        }
        try:
            self._socket.sendto(datagram(fields), self._address)
        except OSError:
            print(f"<{priority_of(record.levelno)}>{record.name}: {text}", file=sys.stderr)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        super().close()


def priority_of(level: int) -> int:
    """Return the syslog priority of a logging level."""
    return next((priority for least, priority in _PRIORITIES if level >= least), 7)


def datagram(fields: Mapping[str, str]) -> bytes:
    """Return the fields as the journal reads them; one that spans lines is written by length."""
    return b"".join(_field(name.encode(), text.encode()) for name, text in fields.items())


def _field(name: bytes, value: bytes) -> bytes:
    if b"\n" in value:
        return name + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"
    return name + b"=" + value + b"\n"
