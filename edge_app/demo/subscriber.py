"""A real subscriber for the demo: `edge-deploy watch` in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

from edge_app.records import JsonObject

WATCH = Path(sys.executable).with_name("edge-deploy")


COUNTS, SHOWS = "demo-count", "demo-table"
"""The two watchers' client ids."""

TABLE_S = 0.5
"""The table's process may be a moment behind the one that counts."""
LAST_ALERTS_S = 5.0
"""So long the last alerts may take from the broker to the watchers."""


class WatchProcess:
    """`edge-deploy watch` on the demo's broker; counts the alarms it received.

    Args:
        port: the broker's, on loopback.
        shows_table: a second instance prints its table to this terminal.

    Attributes:
        clients: their client ids at the broker; empty where edge-deploy is not installed.
    """

    def __init__(self, port: int, shows_table: bool) -> None:
        self._port = port
        self._shows_table = shows_table
        self._alarm_ids: set[str] = set()
        self._messages = 0
        self._processes: list[subprocess.Popen[str]] = []
        self._reader: threading.Thread | None = None
        ids = (COUNTS, SHOWS) if shows_table else (COUNTS,)
        self.clients = ids if self.is_available else ()

    @property
    def is_available(self) -> bool:
        """False on a device, which has edge_app only."""
        return WATCH.is_file()

    def start(self) -> None:
        """Start watching, if edge-deploy is installed."""
        if not self.is_available:
            return
        counting = self._open("--json", "--client-id", COUNTS, piped=True)
        self._reader = threading.Thread(target=self._read, args=(counting,), daemon=True)
        self._reader.start()
        if self._shows_table:
            self._open("--client-id", SHOWS, piped=False)

    def wait_for(self, alarms: int) -> None:
        """Wait, a moment at most, until so many alarms have arrived."""
        end_s = time.monotonic() + LAST_ALERTS_S
        while self.is_available and len(self._alarm_ids) < alarms and time.monotonic() < end_s:
            time.sleep(0.05)
        if self._shows_table and alarms:
            time.sleep(TABLE_S)

    def stop(self) -> JsonObject:
        """End the processes and return what arrived."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
        if self._reader:
            self._reader.join(5)
        for process in self._processes:
            if process.stdout is not None:
                process.stdout.close()
        if not self.is_available:
            return {"alerts_received": None, "messages_received": None}
        return {"alerts_received": len(self._alarm_ids), "messages_received": self._messages}

    def _open(self, *extra: str, piped: bool) -> subprocess.Popen[str]:
        command = [str(WATCH), "watch", "--broker", f"127.0.0.1:{self._port}", *extra]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if piped else None,
            stderr=subprocess.DEVNULL if piped else None,
            text=True,
        )
        self._processes.append(process)
        return process

    def _read(self, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            try:
                alert: JsonObject = json.loads(line)
            except (ValueError, RecursionError):
                continue
            self._messages += 1
            if alert.get("event") == "new" and alert.get("verdict") == "NG":
                self._alarm_ids.add(str(alert["alarm_id"]))
