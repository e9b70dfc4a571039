"""A device's ear for orders about parts: audit, history and desk, without a line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_app.audit.log import AuditLog
from edge_app.history.entries import ReviewEntry
from edge_app.history.opening import LeftOver
from edge_app.history.pseudonyms import KEY_FILE, Pseudonyms
from edge_app.history.reader import HistoryReader
from edge_app.history.retention import Retention
from edge_app.history.schema import HISTORY_FILE
from edge_app.history.writer import HistoryWriter
from edge_app.ipc.order_schema import OrderAnswer
from edge_app.orders.desk import OrderDesk
from edge_app.orders.review_orders import ReviewOrders, reviews_since
from edge_app.records import PartVerdict
from support.brokers import wait_until
from support.history_parts import verdict
from support.order_makers import OWN, order


def author(name: str = "anna", role: str = "operator") -> dict[str, str]:
    return {"kind": "person", "name": name, "role": role}


class Killed:
    """A history that a kill keeps from everything that is said."""

    def reviewed(self, entry: ReviewEntry, timeout_s: float) -> bool:
        return False


class ReviewRig:
    """From its making to `close` a device that takes orders about its parts."""

    def __init__(
        self, folder: Path, retention: Retention | None = None, is_killed: bool = False
    ) -> None:
        self.folder, self.path = folder, folder / HISTORY_FILE
        self.audit = AuditLog(folder / "audit.sqlite")
        self.writer = HistoryWriter(
            self.path,
            {"c": "main", "d": "other"},
            retention or Retention(90, 64),
            {},
            left_over=LeftOver(reviews=lambda head: reviews_since(folder, head)),
        )
        self.writer.start()
        self.names = Pseudonyms(folder / KEY_FILE)
        recorder = Killed() if is_killed else self.writer
        reviews = ReviewOrders(self.path, recorder, self.names)
        self.desk = OrderDesk("a/b/c", self.audit, None, None, reviews)  # type: ignore[arg-type]

    def close(self) -> None:
        self.writer.close()
        self.audit.close()

    def judge(self, parts: Sequence[PartVerdict]) -> None:
        """Let parts leave, and wait for their rows."""
        before = self.writer.health().parts
        self.writer.finished(parts)
        wait_until(lambda: self.writer.health().parts >= before + len(parts), 10, "rows")

    def give(self, kind: str, number: int, who: dict[str, str], **values: Any) -> OrderAnswer:
        """Say something of the part with that id; it is called c-NUMBER unless told otherwise."""
        part_id = values.pop("part_id", f"c-{number}")
        return self.desk.execute(order(kind, who, part=number, part_id=part_id, **values), OWN)

    def part(self, number: int, shows_names: bool = True) -> dict[str, Any]:
        found = HistoryReader(self.path, shows_names=shows_names).part(number)
        assert found is not None
        return found

    def marks(self, number: int) -> list[tuple[str, str, bool]]:
        said = self.part(number)["decisions"]
        return [(d["author"], d["mark"], d["is_current"]) for d in said]


def four_parts() -> list[PartVerdict]:
    """Return one OK, one NG, one suspect and one that was not inspected: ids 1 to 4."""
    from dataclasses import replace

    suspect = replace(verdict(3, score=1.9), is_suspect=True)
    return [verdict(1), verdict(2, "NG", 3.0), suspect, verdict(4, "NOT_INSPECTED", None)]
