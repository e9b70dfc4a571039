"""Reporting the service's state to systemd: sd_notify(3), one datagram per message, no library.

Without systemd (`NOTIFY_SOCKET` unset) every call does nothing, so the caller needs no `if`.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping

from edge_app.secret_text import mask

NOTIFY_SOCKET = "NOTIFY_SOCKET"
WATCHDOG_USEC = "WATCHDOG_USEC"

FEEDS_PER_PERIOD = 3.0
"""sd_watchdog_enabled(3) advises half the period; a third leaves room for one late round."""

_log = logging.getLogger(__name__)


class ServiceNotifier:
    """Sends messages to the service manager. May be used from any thread.

    Args:
        address: `NOTIFY_SOCKET`'s value: a path, or "@name" for the abstract name space; None sends
            nothing.
        watchdog_s: within how many seconds systemd expects the next `alive`; None: no watchdog.
    """

    def __init__(self, address: str | None = None, watchdog_s: float | None = None) -> None:
        self._address = address
        self._status = ""
        self.watchdog_s = watchdog_s

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> ServiceNotifier:
        """Return the notifier systemd asked for, or a silent one."""
        address = environment.get(NOTIFY_SOCKET) or None
        told_us = environment.get(WATCHDOG_USEC, "")
        watchdog_s = int(told_us) / 1e6 if address and told_us.isdigit() else None
        return cls(address, watchdog_s or None)

    @property
    def is_heard(self) -> bool:
        """Whether there is a service manager to send to."""
        return self._address is not None

    def ready(self) -> None:
        """Report that the service runs; `systemctl start` returns."""
        self._send("READY=1")

    def stopping(self) -> None:
        """Report that the service is stopping; its watchdog is no longer checked."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Report that every loop makes progress: systemd's watchdog restarts its timer."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Show one line in `systemctl status`; the same text again is not sent."""
        line = mask(" ".join(text.split()))
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    def serve_until(self, stop: threading.Event, is_alive: Callable[[], bool]) -> None:
        """Say ready, feed the watchdog while the service is alive, and return once stopped.

        For a service whose main thread only waits; `edge-app run` has loops of its own to watch.
        """
        self.ready()
        every_s = None if self.watchdog_s is None else self.watchdog_s / FEEDS_PER_PERIOD
        while not stop.wait(every_s):
            if is_alive():
                self.alive()
        self.stopping()

    def _send(self, message: str) -> None:
        """Send one message; a service manager that does not listen is not an error."""
        if self._address is None:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(1.0)
                sender.sendto(message.encode(), address)
        except OSError as error:
            _log.warning("cannot send %r to systemd: %s", message, error)
