"""Who may order what; recorded first, then done, once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.order_makers import OWN, ROOT, order, person

from edge_app.audit.log import AuditLog
from edge_app.audit.reader import every_record
from edge_app.errors import AuditError, OrderError
from edge_app.ipc.order_schema import (
    AcceptMark,
    LimitState,
    MarkPart,
    Pause,
    Resume,
    SetLimit,
    SettlePart,
    UndoLimit,
)
from edge_app.ipc.peers import Peer
from edge_app.orders.desk import OWN_EVENTS, OrderDesk, Prepared

STRANGER = Peer(1, 64_999, 64_999)


class Desks:
    """Writes down what was carried out."""

    def __init__(self) -> None:
        self.done: list[Mapping[str, Any]] = []

    def _prepared(self, event: str) -> Prepared:
        return Prepared(event, "main", "old", "new", "It is done.", self._act)

    def _act(self, record: Mapping[str, Any]) -> str:
        self.done.append(record)
        return "Really."

    def prepare_set(self, order: SetLimit) -> Prepared:
        return self._prepared("limit")

    def prepare_undo(self, order: UndoLimit) -> Prepared:
        return self._prepared("limit_undone")

    def states(self) -> tuple[LimitState, ...]:
        return ()

    def prepare_pause(self, order: Pause) -> Prepared:
        if order.camera == "none":
            raise OrderError("There is no camera 'none'.")
        return self._prepared("pause")

    def prepare_resume(self, order: Resume) -> Prepared:
        return self._prepared("resumed")

    def prepare_mark(self, order: MarkPart) -> Prepared:
        return self._prepared("marked")

    def prepare_settle(self, order: SettlePart) -> Prepared:
        return self._prepared("settled")

    def prepare_accept(self, order: AcceptMark) -> Prepared:
        return self._prepared("accepted")


def a_desk(folder: Path) -> tuple[OrderDesk, AuditLog, Desks]:
    log, desks = AuditLog(folder / "audit.sqlite"), Desks()
    return OrderDesk("graz/l2/d3", log, desks, desks, desks), log, desks


VALUES: dict[str, dict[str, Any]] = {
    "set_limit": {"for_sha256": "a" * 64, "score_threshold": 1.0},
    "undo_limit": {},
    "pause": {"minutes": 5},
    "resume": {},
    "record": {"event": "user_added", "new": "bob"},
    "note_head": {},
    "show_limits": {},
    "show_health": {},
}
MAY = {
    "viewer": {"record", "note_head", "show_limits", "show_health"},
    "operator": {"record", "note_head", "show_limits", "show_health", "pause", "resume"},
    "engineer": set(VALUES),
    "": {"record", "note_head", "show_limits", "show_health"},
}


@pytest.mark.parametrize("role", MAY)
@pytest.mark.parametrize("kind", VALUES)
def test_roles(tmp_path: Path, kind: str, role: str) -> None:
    """A viewer changes nothing, an operator pauses, an engineer changes limits too; what is refused
    is neither done nor recorded."""
    desk, log, desks = a_desk(tmp_path)
    for author in (person(role), {"kind": "machine", "name": "plc", "role": role}):
        given = order(kind, author, **VALUES[kind])
        if kind in MAY[role]:
            assert desk.execute(given, OWN).is_done
        else:
            with pytest.raises(OrderError, match="may not do that"):
                desk.execute(given, OWN)
            assert desks.done == []
            assert log.health().head.count == 0
    assert desk.execute(order(kind, ROOT, **VALUES[kind]), OWN).is_done
    log.close()


def test_the_page_cannot_order_as_root(tmp_path: Path) -> None:
    """The kernel says who connected; whoever takes the page over is not root by that."""
    desk, log, desks = a_desk(tmp_path)
    with pytest.raises(OrderError, match="as root"):
        desk.execute(order("pause", minutes=5), STRANGER)
    assert desks.done == []
    assert desk.execute(order("pause", person(), minutes=5), STRANGER).is_done
    log.close()
    assert list(every_record(tmp_path / "audit.sqlite"))[-1]["via"] == "uid 64999"


@pytest.mark.parametrize("event", sorted(OWN_EVENTS))
def test_nobody_records_what_inspection_follows(tmp_path: Path, event: str) -> None:
    """A record of a limit is carried out at the next start: only an order makes one."""
    desk, log, _ = a_desk(tmp_path)
    with pytest.raises(OrderError, match="by inspection itself"):
        desk.execute(order("record", person(), event=event, new="x"), OWN)
    log.close()


def test_it_is_recorded_before_it_is_done(tmp_path: Path) -> None:
    """The record is there when the deed begins, and the answer names it."""
    desk, log, desks = a_desk(tmp_path)
    answer = desk.execute(order("pause", person("operator"), minutes=5), OWN)
    (record,) = desks.done
    assert answer.text == "It is done. Really."
    assert (answer.audit_seq, answer.audit_head) == (record["seq"], f"{record['hash']}:2")
    stored = list(every_record(tmp_path / "audit.sqlite"))[-1]
    log.close()
    assert stored["hash"] == record["hash"]
    assert stored["author"] == {"kind": "person", "name": "anna", "role": "operator"}
    assert (stored["event"], stored["old"], stored["new"], stored["why"]) == (
        "pause", "old", "new", "a test"
    )  # fmt: skip


def test_an_order_is_carried_out_once(tmp_path: Path) -> None:
    """Given again: the same answer, and nothing happens."""
    desk, log, desks = a_desk(tmp_path)
    given = order("pause", minutes=5)
    first, second = desk.execute(given, OWN), desk.execute(given, OWN)
    log.close()
    assert len(desks.done) == 1
    assert first.audit_seq == second.audit_seq
    assert second.is_done


def test_what_cannot_be_recorded_is_not_done(tmp_path: Path) -> None:
    """No audit, no change."""
    (tmp_path / "state").write_text("no folder")
    desk, log, desks = a_desk(tmp_path / "state")
    with pytest.raises(AuditError):
        desk.execute(order("pause", minutes=5), OWN)
    assert desks.done == []
    log.close()


def test_another_devices_order_is_refused(tmp_path: Path) -> None:
    """Two inspections on one machine: a command that finds the wrong socket changes nothing."""
    desk, log, _ = a_desk(tmp_path)
    with pytest.raises(OrderError, match="This device is graz/l2/d3"):
        desk.execute(order("pause", minutes=5, device="graz/l2/d4"), OWN)
    assert desk.execute(order("pause", minutes=5, device="graz/l2/d3"), OWN).is_done
    with pytest.raises(OrderError, match="no camera"):
        desk.execute(order("pause", minutes=5, camera="none"), OWN)
    log.close()
