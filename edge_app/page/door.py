"""How the page's process comes to inspection: by the service's socket, or as a child.

A unit of its own is connected by `PageListener`. Run by hand there is none: `PageChild` starts the
process with limits, starts it again when it ends, and it ends with this one.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Protocol

from edge_app.errors import ConfigError
from edge_app.ipc.peers import SOCKET_MODES, Role, listen, may_play, peer_of
from edge_app.ipc.unix_socket import stop_listening
from edge_app.page.feed import PageFeed

_log = logging.getLogger(__name__)

BACKLOG = 4

EXPECTED_S = 60.0
"""The page's service is there by now, or something is wrong with it."""

REFUSAL_PAUSE_S = 0.05
"""After a stranger's connection: at most 20 of them a second cost anything."""

RESTART_S, RESTART_MAX_S = 1.0, 30.0
"""A child that ends at once is started again after 1, 2, 4 … 30 s."""

STEADY_S = 60.0
"""A child that has run for so long begins with the short pause again."""

POLL_S = 0.2

END_S = 3.0
"""A child that is asked to end has this long; then it is killed."""

_PROGRAM = (
    "import sys; sys.path[:] = {path!r}; "
    "from edge_app.page.process import child_main; sys.exit(child_main({fd}, {level!r}))"
)


class PageDoor(Protocol):
    """What inspection starts and stops."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


class PageListener:
    """Lets the page's service in; everybody else is refused.

    Args:
        path: the socket; a stale file in its place is removed.
        feed: serves the connection.
    """

    def __init__(self, path: Path, feed: PageFeed) -> None:
        self._path = path
        self._feed = feed
        self._listener: socket.socket | None = None
        self._thread = threading.Thread(target=self._accept, name="page-socket", daemon=True)
        self._refused = 0

    def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: the socket cannot be made.
        """
        try:
            self._listener = listen(self._path, SOCKET_MODES[Role.PAGE], BACKLOG)
        except OSError as error:
            raise ConfigError(
                f"The socket {self._path} for the page's service cannot be made: "
                f"{error.strerror or error}. Its folder is RuntimeDirectory= of edge-app.service."
            ) from error
        self._listener.settimeout(EXPECTED_S if self._feed.is_wanted else None)
        self._thread.start()

    def stop(self) -> None:
        """Listen no more."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        stop_listening(listener, self._thread, self._path)

    def _accept(self) -> None:
        while (listener := self._listener) is not None:
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                listener.settimeout(None)
                _log.warning(
                    "no live page yet: edge-app-page.service has not come in; see its journal"
                )
                continue
            except OSError as error:
                if self._listener is None:
                    return
                _log.warning("the page's service cannot be let in: %s", error)
                time.sleep(1.0)  # no descriptor is free: alarms need them first
                continue
            who = peer_of(connection)
            if may_play(Role.PAGE, who.uid):
                listener.settimeout(None)
                _log.info("the page's process %d is connected", who.pid)
                self._feed.adopt(connection)
                continue
            connection.close()
            self._say_refused(who.pid, who.uid)
            time.sleep(REFUSAL_PAUSE_S)

    def _say_refused(self, pid: int, uid: int) -> None:
        self._refused += 1
        level = logging.WARNING if self._refused == 1 else logging.DEBUG
        _log.log(level, "process %d of user %d is not the page's service: refused", pid, uid)


class PageChild:
    """Runs the page's process as a child of this one.

    Args:
        feed: serves the connection.
        log_level: the child's.
    """

    def __init__(self, feed: PageFeed, log_level: str) -> None:
        self._feed = feed
        self._log_level = log_level
        self._stop = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="page-child", daemon=True)

    @property
    def pid(self) -> int | None:
        """The child's process number; None while there is none."""
        process = self._process
        return None if process is None else process.pid

    def start(self) -> None:
        """Start the child; inspection does not wait for it."""
        self._thread.start()

    def stop(self) -> None:
        """End the child. The feed hangs up first, by which the child ends by itself."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(2 * END_S)

    def _run(self) -> None:
        pause_s = RESTART_S
        while not self._stop.is_set():
            started_s = time.monotonic()
            try:
                self._process = self._spawn()
            except OSError as error:
                _log.warning("the page's process cannot be started: %s", error)
            else:
                self._watch(self._process)
                self._process = None
            pause_s = RESTART_S if time.monotonic() - started_s > STEADY_S else pause_s
            self._stop.wait(pause_s)
            pause_s = min(2 * pause_s, RESTART_MAX_S)

    def _spawn(self) -> subprocess.Popen[bytes]:
        ours, theirs = socket.socketpair()
        path = [str(Path(entry or ".").resolve()) for entry in sys.path]
        program = _PROGRAM.format(path=path, fd=theirs.fileno(), level=self._log_level)
        try:
            process = subprocess.Popen(
                [sys.executable, "-c", program],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=2,  # our own output may be JSON that a program reads
                start_new_session=True,  # Ctrl-C is for inspection, which tells the page
                env={**os.environ, "MALLOC_ARENA_MAX": "2"},
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._feed.adopt(ours)
        return process

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the child's end, or for the order to end it."""
        while not self._stop.wait(POLL_S):
            code = process.poll()
            if code is not None:
                how = f"signal {-code}" if code < 0 else f"exit code {code}"
                _log.warning("the page's process has ended (%s); inspection goes on", how)
                return
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
