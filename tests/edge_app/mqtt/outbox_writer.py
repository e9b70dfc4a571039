"""Processes that append numbered alerts until they kill themselves; run by test_outbox_kill.py.

Usage: outbox_writer.py FILE STATEMENTS
One process after the other opens the outbox and goes on after the last finished part; the n-th
sends itself SIGKILL at the n-th SQL statement of storing parts and adding their evidence. Prints
each part that was stored.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from pathlib import Path

import pytest
from support.alert_drafts import draft

import edge_app.mqtt.outbox_start as outbox_module
from edge_app.mqtt.outbox import Outbox
from edge_app.mqtt.outbox_file import open_file


def append_until_killed(path: Path, kill_at: int) -> None:
    """Append two alerts per part and then their picture; die at the given statement."""
    count = [-1]

    def die_in_time(_statement: str) -> None:
        if count[0] >= 0:
            count[0] += 1
        if count[0] == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def open_traced(path: Path) -> sqlite3.Connection:
        connection = open_file(path)
        connection.set_trace_callback(die_in_time)
        return connection

    pytest.MonkeyPatch().setattr(outbox_module, "open_file", open_traced)
    outbox = Outbox(path, reserve_bytes=0)
    last = outbox.last_finished("cam1")
    number = 0 if last is None else last + 1
    count[0] = 0
    while True:
        alerts = [draft(number), draft(number)]
        seqs = outbox.append(alerts, "cam1", number, [a.message_id for a in alerts])
        outbox.add_evidence(seqs, "http://x/a.jpg", "00" * 32)
        print(number, flush=True)
        number += 1


def main(path: Path, statements: int) -> int:
    """Run one process per statement; return 0 if each ended by SIGKILL."""
    for statement in range(1, statements + 1):
        process = os.fork()
        if process == 0:
            append_until_killed(path, statement)
        _, status = os.waitpid(process, 0)
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
