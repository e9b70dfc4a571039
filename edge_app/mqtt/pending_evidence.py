"""Stored alerts that wait for their evidence: which are held back, and until when.

Sending goes by what is in memory: a full disk must not hold an alert back. The side table only says
after a kill which alerts never got their picture. It is a table of its own because release 0.1.0
inserts into `alerts` by position; it passes the table over and sends every row as it stands.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Sequence

from edge_app.mqtt.messages import AlertDraft
from edge_app.mqtt.outbox_rows import replace_body

EVIDENCE_WAIT_S = 0.5
"""How long after its commit an alert waits for its evidence before it is sent without: writing a
picture takes some 10 to 50 ms, and people at the line must not wait for a slow disk."""


class PendingEvidence:
    """The waiting alerts of one outbox, which calls everything here under its lock.

    Args:
        now_ns: monotonic clock.
    """

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._due_ns: dict[int, int] = {}  # seq → until when it waits, both ascending
        self._last_sent = 0

    def hold(
        self,
        connection: sqlite3.Connection,
        numbers: Sequence[int],
        alerts: Sequence[AlertDraft],
        awaiting: Collection[str],
    ) -> None:
        """Hold stored alerts back; those that were only counted have no number, or 0."""
        due_ns = self._now_ns() + round(EVIDENCE_WAIT_S * 1e9)
        pairs = zip(numbers, alerts, strict=False)
        held = [n for n, a in pairs if n and a.message_id in awaiting]
        connection.executemany("INSERT INTO pending_evidence VALUES (?)", [(n,) for n in held])
        self._due_ns |= dict.fromkeys(held, due_ns)

    def undo_from(self, seq: int) -> None:
        """Forget alerts from a number on: their transaction was undone."""
        self._due_ns = {s: due_ns for s, due_ns in self._due_ns.items() if s < seq}

    def release(self, seqs: Collection[int]) -> None:
        """Let alerts go as they are."""
        for seq in seqs:
            self._due_ns.pop(seq, None)

    def first(self) -> int | None:
        """Return the lowest number that still waits."""
        while self._due_ns:
            seq, due_ns = next(iter(self._due_ns.items()))
            if due_ns > self._now_ns():
                return seq
            del self._due_ns[seq]
        return None

    def wait_s(self, at_most_s: float) -> float:
        """Return how long until the first waiting alert goes without."""
        seq = self.first()
        if seq is None:
            return at_most_s
        return min(at_most_s, max(0.0, (self._due_ns[seq] - self._now_ns()) / 1e9))

    def sent(self, seqs: Collection[int]) -> None:
        """Note what goes out: whatever is sent again is sent in the same words."""
        self._last_sent = max([self._last_sent, *seqs])

    def add(
        self, connection: sqlite3.Connection, seqs: Collection[int], url: str, sha256: str
    ) -> bool:
        """Put a picture into the alerts that were not sent yet; return whether there was one."""
        unsent = [seq for seq in seqs if seq > self._last_sent]
        return sum(_add_to_row(connection, seq, url, sha256) for seq in unsent) > 0


def clear_pending(connection: sqlite3.Connection) -> int:
    """Let everything go after a start; return how many alerts have to go without evidence."""
    query = "SELECT count(*) FROM pending_evidence JOIN alerts USING (seq)"
    without = int(connection.execute(query).fetchone()[0])
    connection.execute("DELETE FROM pending_evidence")
    return without


def _add_to_row(connection: sqlite3.Connection, seq: int, url: str, sha256: str) -> bool:
    if not replace_body(connection, seq, {"evidence": {"url": url, "sha256": sha256}}):
        return False
    connection.execute("DELETE FROM pending_evidence WHERE seq = ?", (seq,))
    return True
