"""What became of the workstation's pointers, slot by slot, kept on disk.

The broker sends a retained pointer again at every connection, and anyone with its login may send an
old one: the ids of pointers that were carried out are remembered here.
"""

from __future__ import annotations

import logging
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from edge_app.errors import DownloadError
from edge_app.mqtt.deploy_messages import FINAL_STATES, Desired, Reported
from edge_app.store.durable_write import perform, write_durably

MAX_REMEMBERED = 256
"""Pointers remembered per slot: years of weekly pushes in about 10 KB. An older one that comes back
starts a download, and the bundle's serial decides."""
MAX_POINTER_BYTES = 16 << 10
"""A pointer has about 500 bytes."""

_log = logging.getLogger(__name__)


def parse_pointer(payload: bytes) -> Desired:
    """Return the pointer that a payload is.

    Raises:
        DownloadError: it is none, or endless.
    """
    if len(payload) > MAX_POINTER_BYTES:
        raise DownloadError(f"Pointer refused: longer than {MAX_POINTER_BYTES} bytes.")
    try:
        return Desired.model_validate_json(payload)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "it"
        raise DownloadError(f"Pointer refused: {place}: {first['msg']}.") from error


class SlotRecord(BaseModel):
    """One slot's memory.

    Attributes:
        handled: ids of pointers that came to an end, oldest first.
        current: the newest pointer that was begun.
        starts: how often its bundle was handed over for installation.
        last_report: what was last said about the slot.
        orders: id → digest of the pointers whose bundles were handed over, until they end.
        joined: id of such an order → id of a newer pointer to the same bundle, which it serves.
        file_for: id of a pointer to a bundle that is being installed from a person's file.
    """

    model_config = ConfigDict(defer_build=True)

    handled: list[str] = []
    current: Desired | None = None
    starts: int = 0
    last_report: Reported | None = None
    orders: dict[str, str] = {}
    joined: dict[str, str] = {}
    file_for: str | None = None


class PointerJournal:
    """The records of all slots, one JSON file each. Not thread-safe.

    Args:
        folder: the store's `state` folder; the agent alone writes there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._records: dict[str, SlotRecord] = {}

    def record(self, slot: str) -> SlotRecord:
        """Return what is known of a slot; an unreadable file counts as nothing and is replaced."""
        if slot not in self._records:
            self._records[slot] = self._read(slot)
        return self._records[slot]

    def is_handled(self, slot: str, message_id: str) -> bool:
        return message_id in self.record(slot).handled

    def is_newest(self, slot: str, message_id: str) -> bool:
        """Tell whether this pointer is the one that came to its end last."""
        return self.record(slot).handled[-1:] == [message_id]

    def take_up(self, slot: str, desired: Desired) -> None:
        """Remember a pointer as the slot's current one; the one before it has had its turn."""
        record = self.record(slot)
        if record.current is not None and record.current.message_id != desired.message_id:
            self.end(slot, record.current.message_id)
        if record.current is None:
            record.current, record.starts = desired, 0
            self._write(slot)

    def count_start(self, slot: str, desired: Desired) -> int:
        """Return how often this pointer's bundle was handed over, this time included."""
        record = self.record(slot)
        record.starts += 1
        record.orders[desired.message_id] = desired.sha256
        self._write(slot)
        return record.starts

    def forget_lost(self, slot: str, resumed: str | None) -> None:
        """At a start: forget the orders whose installation has ended with the process before.

        Args:
            resumed: digest of the bundle whose installation is resumed; None: none is.
        """
        record = self.record(slot)
        kept = {i: digest for i, digest in record.orders.items() if digest == resumed}
        if kept != record.orders:
            record.orders = kept
            record.joined = {i: newer for i, newer in record.joined.items() if i in kept}
            self._write(slot)

    def order_of(self, slot: str, sha256: str) -> str | None:
        """Return the pointer by which a bundle is being installed, from before a restart too."""
        record = self.record(slot)
        ids = [i for i, digest in record.orders.items() if digest == sha256]
        if ids:
            return ids[-1]
        current = record.current
        is_current = current is not None and current.sha256 == sha256
        return current.message_id if is_current and current is not None else None

    def join(self, slot: str, desired: Desired) -> Reported | None:
        """Let the order that is installing this very bundle serve a newer pointer too.

        Returns:
            The slot's last report, under the newer pointer's id; None: no order installs it.
        """
        record = self.record(slot)
        ids = [i for i, digest in record.orders.items() if digest == desired.sha256]
        if not ids:
            return None
        record.joined.update(dict.fromkeys(ids, desired.message_id))
        self._write(slot)
        last = record.last_report
        is_about_it = last is not None and last.sha256 == desired.sha256
        if last is None or not is_about_it or last.state in FINAL_STATES:
            return None
        return last.model_copy(update={"desired_id": desired.message_id})

    def serve_file(self, slot: str, desired: Desired) -> None:
        """Let a person's installation of this very bundle serve a pointer too."""
        self.record(slot).file_for = desired.message_id
        self._write(slot)

    def is_in_hand(self, slot: str, sha256: str) -> bool:
        """Tell whether a pointer's bundle was handed over, and has not come to its end."""
        return sha256 in self.record(slot).orders.values()

    def end(self, slot: str, message_id: str) -> None:
        """Remember a pointer as carried out, refused or overtaken, and as the newest of these."""
        record = self.record(slot)
        others = [handled for handled in record.handled if handled != message_id]
        record.handled = [*others, message_id][-MAX_REMEMBERED:]
        if record.current is not None and record.current.message_id == message_id:
            record.current = None
        self._write(slot)

    def note(self, report: Reported) -> Reported:
        """Return a report with the id of the pointer it belongs to, and remember it."""
        record = self.record(report.slot)
        own = report.desired_id
        report = report.model_copy(update={"desired_id": self._served_by(record, report)})
        previous, record.last_report = record.last_report, report
        if report.state in FINAL_STATES and report.desired_id is not None:
            for ended in (own, report.desired_id):
                record.orders.pop(ended or "", None)
                record.joined.pop(ended or "", None)
            record.file_for = None if record.file_for == report.desired_id else record.file_for
            self.end(report.slot, report.desired_id)
        elif previous is None or previous.state != report.state:
            self._write(report.slot)
        return report

    def _served_by(self, record: SlotRecord, report: Reported) -> str | None:
        """Return the id of the newest pointer that the report's order serves."""
        if report.desired_id is not None:
            return record.joined.get(report.desired_id, report.desired_id)
        current = record.current
        is_served = current is not None and record.file_for == current.message_id
        if is_served and current is not None and current.sha256 == report.sha256:
            return current.message_id
        return None

    def _path(self, slot: str) -> Path:
        return self._folder / f"pointer-{slot}.json"

    def _read(self, slot: str) -> SlotRecord:
        try:
            return SlotRecord.model_validate_json(self._path(slot).read_bytes())
        except FileNotFoundError:
            return SlotRecord()
        except (OSError, ValidationError) as error:
            _log.warning("%s cannot be read and starts empty: %s", self._path(slot), error)
            return SlotRecord()

    def _write(self, slot: str) -> None:
        path = self._path(slot)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_durably(perform, path, self._records[slot].model_dump_json().encode())
        except OSError as error:
            _log.error("%s not written, pointers may be carried out twice: %s", path, error)
