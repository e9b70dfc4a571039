"""Alerts that are told from memory while the disk takes nothing, in a numbering of their own.

The disk's numbers cannot be given out then: nothing would keep them from being given out again.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from edge_app.mqtt.outbox_rows import NUMBERING, StoredAlert
from edge_app.mqtt.part_messages import AlertDraft
from edge_app.records import JsonObject

MEMORY_BASE = 2**62
"""Above every stored number: in the order of delivery, what is in memory comes after the disk."""


@dataclass(slots=True)
class _Told:
    draft: AlertDraft
    number: int = 0  # from 1, once it was handed out
    has_arrived: bool = False


class MemoryBlock:
    """The alerts of one process that wait for the disk. Any thread may call.

    Args:
        store_id: of this numbering; never used by another process or for the disk's.
    """

    def __init__(self, store_id: str) -> None:
        self.store_id = store_id
        self._told: dict[str, _Told] = {}  # by message_id, in order
        self._stored_as: dict[int, int] = {}  # number → seq, of alerts stored while on their way
        self._last = 0
        self._lock = threading.Lock()

    def tell(self, drafts: Sequence[AlertDraft]) -> None:
        """Have alerts told; those that are told already are passed over."""
        with self._lock:
            for draft in drafts:
                self._told.setdefault(draft.message_id, _Told(draft))

    def batch(self, count: int, after: int, session: int) -> list[StoredAlert]:
        """Return up to `count` alerts above a place in the order; numbers new ones."""
        with self._lock:
            batch: list[StoredAlert] = []
            for told in self._told.values():
                if len(batch) >= count:
                    break
                if told.has_arrived or (told.number and MEMORY_BASE + told.number <= after):
                    continue
                if not told.number:
                    self._last += 1
                    told.number = self._last
                batch.append(self._alert(told, session))
            return batch

    def delete(self, keys: Collection[int]) -> list[int]:
        """Note what has arrived; return the numbers of those that were stored meanwhile."""
        numbers = {key - MEMORY_BASE for key in keys if key > MEMORY_BASE}
        with self._lock:
            for told in self._told.values():
                told.has_arrived |= told.number in numbers
            return [self._stored_as.pop(n) for n in numbers if n in self._stored_as]

    def look(self, draft: AlertDraft) -> tuple[bool, JsonObject]:
        """Return whether an alert has arrived, and the number it was told under, if any."""
        with self._lock:
            told = self._told.get(draft.message_id)
            if told is None or not told.number:
                return False, {}
            number = {"store_id": self.store_id, "seq": told.number}
            return told.has_arrived, {"told_as": number}

    def forget(self, drafts: Sequence[AlertDraft], seqs: Sequence[int]) -> None:
        """The alerts are stored, under these numbers: the disk tells them from now on."""
        with self._lock:
            for draft, seq in zip(drafts, seqs, strict=False):
                self._settle(draft, seq)
            for draft in drafts[len(seqs) :]:
                self._told.pop(draft.message_id, None)

    def _settle(self, draft: AlertDraft, seq: int) -> None:
        told = self._told.pop(draft.message_id, None)
        if told is not None and told.number and not told.has_arrived and seq:
            self._stored_as[told.number] = seq

    def has_any(self, keys: Collection[int]) -> bool:
        """Tell whether an alert at one of these places is in memory only and has not arrived."""
        numbers = {key - MEMORY_BASE for key in keys}
        with self._lock:
            return any(t.number in numbers and not t.has_arrived for t in self._told.values())

    @property
    def waiting(self) -> int:
        """How many alerts are in memory only and have not arrived."""
        with self._lock:
            return sum(not told.has_arrived for told in self._told.values())

    def _alert(self, told: _Told, session: int) -> StoredAlert:
        numbering = NUMBERING | {
            "store_id": self.store_id, "seq": told.number, "is_from_memory": True
        }  # fmt: skip
        body = told.draft.model_dump_json()
        return StoredAlert(MEMORY_BASE + told.number, session, told.draft.camera, body, numbering)
