"""Orders about parts: what people say of verdicts, and what became of bad parts.

No verdict, lamp or alert changes: the audit and the history have it, nobody else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from edge_app.audit.reader import is_of_chain, records_since
from edge_app.audit.records import Head, heads_in
from edge_app.audit.schema import AUDIT_FILE
from edge_app.errors import OrderError
from edge_app.history.entries import Acceptance, Decision, ReviewEntry, Settlement
from edge_app.history.pseudonyms import Pseudonyms
from edge_app.history.reader import HistoryReader
from edge_app.history.review_rows import ACCEPTED, DECLINED, GONE, GOOD
from edge_app.ipc.order_schema import AcceptMark, Author, MarkPart, SettlePart
from edge_app.orders.desk import Prepared

DECISION, SETTLED = "decision", "settled"
LOOK_S = 1.0
TAKE_UP_S = 2.0
"""The history commits within milliseconds; an order does not wait longer than this for it."""

OUTCOMES = {"taken_out": "taken out", "good": "found good", "gone": "gone by itself"}
MARK_WORDS = {
    "right": "the verdict is right",
    "false_alarm": "a false alarm",
    "missed": "missed: it is bad",
    "unsure": "not clear",
}


class ReviewRecorder(Protocol):
    """Writes what was said into the history; see `HistoryWriter.reviewed`."""

    def reviewed(self, entry: ReviewEntry, timeout_s: float) -> bool: ...


class ReviewOrders:
    """Checks and carries out orders about parts.

    Args:
        history: the file; recorder: its writer. None: this device keeps no history.
        pseudonyms: stand for people in statistics.
        now_ns: wall clock.
    """

    def __init__(
        self,
        history: Path,
        recorder: ReviewRecorder | None,
        pseudonyms: Pseudonyms,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._reader = HistoryReader(history, LOOK_S, shows_names=True)
        self._recorder, self._pseudonyms, self._now_ns = recorder, pseudonyms, now_ns

    def prepare_mark(self, order: MarkPart) -> Prepared:
        """Check an order.

        Raises:
            OrderError: no such part, or its verdict cannot be marked so.
            HistoryError: the history cannot be read.
        """
        number = self._newest(order.part_id) if order.part is None else order.part
        part = self._part(number, order.part_id)
        verdict = _verdict_of(part)
        if part["golden"]:
            raise OrderError(
                f"{order.part_id} is golden part {part['golden']}, a test of the line: it is not "
                "marked, so that nothing is learnt from it."
            )
        allowed = marks_for(part)
        if order.mark not in allowed:
            raise OrderError(
                f"{order.part_id} is {verdict}: it can be marked {' or '.join(allowed)}, "
                f"got {order.mark}."
            )
        return Prepared(
            DECISION,
            order.part_id,
            {"verdict": verdict, "mark": _own_mark(part, order.author)},
            {
                **self._common(order),
                "part": number,
                "mark": order.mark,
                "class": order.defect_class,
                "region": None if order.region is None else [[*p] for p in order.region],
                "note": order.note,
            },
            f"{order.part_id} ({verdict}): {MARK_WORDS[order.mark]}.",
            self._act,
        )

    def prepare_settle(self, order: SettlePart) -> Prepared | str:
        """Check an order.

        Returns:
            what is to be done; or, where it was settled before, by whom and when.

        Raises:
            OrderError: no such part, or it does not wait to be taken out.
            HistoryError: the history cannot be read.
        """
        part = self._part(order.part, order.part_id)
        place = part["take_out"]
        if place is None:
            raise OrderError(
                f"{order.part_id} is {_verdict_of(part)} and does not wait to be taken out: only "
                "bad parts that came since this release was installed do."
            )
        if place["outcome"] is not None and place["outcome"] != GONE:
            return (
                f"{order.part_id} was {OUTCOMES.get(place['outcome'], place['outcome'])} by "
                f"{place['settled_by']} at {place['settled_at']}."
            )
        new = {**self._common(order), "outcome": order.outcome}
        if order.outcome == GOOD:
            new["mark"] = "false_alarm"
        return Prepared(
            SETTLED,
            order.part_id,
            {"verdict": _verdict_of(part), "outcome": place["outcome"]},
            new,
            f"{order.part_id}: {OUTCOMES[order.outcome]}.",
            self._act,
        )

    def prepare_accept(self, order: AcceptMark) -> Prepared | str:
        """Check an order.

        Returns:
            what is to be done; or, where that was said before, by whom.

        Raises:
            OrderError: no such part or mark, or its author has said something else since.
            HistoryError: the history cannot be read.
        """
        part = self._part(order.part, order.part_id)
        mark = next((d for d in part["decisions"] if d["id"] == order.decision), None)
        if mark is None:
            raise OrderError(f"{order.part_id} has no mark {order.decision}, or no longer.")
        if not mark["is_current"]:
            raise OrderError(
                f"Mark {order.decision} of {order.part_id} was replaced: {mark['author']} has said "
                "something else since. Look at the part again."
            )
        said = ACCEPTED if order.accepted else DECLINED
        words = MARK_WORDS.get(mark["mark"], mark["mark"])
        if mark["acceptance"] == said:
            return f"{order.part_id} ({words}): {said} by {mark['accepted_by']} before."
        return Prepared(
            said,
            order.part_id,
            {"verdict": _verdict_of(part), "acceptance": mark["acceptance"]},
            {
                **self._common(order),
                "decision": order.decision,
                "decision_order": self._reader.decision_order(order.decision),
                "said_of": mark["mark"],
                "note": order.note,
            },
            f"{order.part_id} ({words}): {said}.",
            self._act,
        )

    def _newest(self, part_id: str) -> int:
        self._check_history()
        number = self._reader.newest(part_id)
        if number is None:
            raise OrderError(f"There is no part {part_id} here, or no longer, or it has not left.")
        return number

    def _check_history(self) -> None:
        if self._recorder is None:
            raise OrderError(
                "This device keeps no history ([history] enabled = false), so nothing can be said "
                "of its parts."
            )

    def _part(self, number: int, part_id: str) -> dict[str, Any]:
        self._check_history()
        part = self._reader.part(number)
        if part is None:
            raise OrderError(f"Part {number} is not recorded, or no longer.")
        if part["part_id"] != part_id:
            raise OrderError(
                f"Part {number} is {part['part_id']}, the order is for {part_id}. Look at the part "
                "again, then order it anew."
            )
        if not part["is_final"]:
            raise OrderError(f"{part_id} is still in the picture. Order it once it has left.")
        return part

    def _common(self, order: MarkPart | SettlePart | AcceptMark) -> dict[str, Any]:
        return {
            "part": order.part,
            "part_id": order.part_id,
            "decided_ns": self._now_ns(),
            "pseudonym": self._pseudonyms.of(order.author.kind, order.author.name),
        }

    def _act(self, record: Mapping[str, Any]) -> str:
        entry = review_of(record)
        if entry is None or self._recorder is None:
            return ""
        if self._recorder.reviewed(entry, TAKE_UP_S):
            return ""
        return "It is recorded; the history shows it as soon as its disk takes it."


def marks_for(part: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a part's verdict can be marked."""
    if part["state"] == "NG":
        return ("right", "false_alarm", "unsure")
    if part["state"] == "OK" and part["is_suspect"]:
        return ("right", "false_alarm", "missed", "unsure")
    return ("right", "missed", "unsure")


def reviews_since(state_dir: Path, known: str) -> tuple[list[ReviewEntry], str]:
    """Return what the audit says of parts after a record; see `history.opening.ReviewsSince`."""
    path = state_dir / AUDIT_FILE
    head = next(iter(heads_in(known)), Head())
    if not is_of_chain(path, head):
        head = Head()  # another chain began: each order is taken once all the same
    records = records_since(path, head)
    entries = [entry for record in records if (entry := review_of(_from_file(record)))]
    if not records:
        return entries, known
    return entries, str(Head(records[-1]["hash"], int(records[-1]["seq"])))


def review_of(record: Mapping[str, Any]) -> ReviewEntry | None:
    """Return what a record of the audit says of a part; None where it says nothing of one.

    Args:
        record: with event, new, author, order_id, and the chain's hash and seq after it.
    """
    event = record["event"]
    if event not in (DECISION, SETTLED, ACCEPTED, DECLINED):
        return None
    new, author = record["new"], record["author"]
    head = str(Head(str(record["hash"]), int(record["seq"])))
    try:
        if event in (ACCEPTED, DECLINED):
            return ReviewEntry(head, acceptance=_acceptance(event, new, author))
        decision = _decision(new, author, record["order_id"]) if "mark" in new else None
        settlement = _settlement(new, author) if event == SETTLED else None
    except (KeyError, TypeError, ValueError):
        return None  # of a later release, or not of this one
    return ReviewEntry(head, decision, settlement)


def _decision(new: Mapping[str, Any], author: Mapping[str, Any], order_id: Any) -> Decision:
    return Decision(
        part=int(new["part"]),
        part_id=str(new["part_id"]),
        decided_ns=int(new["decided_ns"]),
        mark=str(new["mark"]),
        defect_class=str(new.get("class", "")),
        region=new.get("region"),
        note=str(new.get("note", "")),
        author_kind=str(author["kind"]),
        author_name=str(author["name"]),
        author_role=str(author.get("role", "")),
        pseudonym=str(new["pseudonym"]),
        order_id=str(order_id),
    )


def _settlement(new: Mapping[str, Any], author: Mapping[str, Any]) -> Settlement:
    return Settlement(
        part=int(new["part"]),
        part_id=str(new["part_id"]),
        settled_ns=int(new["decided_ns"]),
        outcome=str(new["outcome"]),
        settled_by=str(author["name"]),
        pseudonym=str(new["pseudonym"]),
    )


def _acceptance(event: str, new: Mapping[str, Any], author: Mapping[str, Any]) -> Acceptance:
    return Acceptance(
        part=int(new["part"]),
        part_id=str(new["part_id"]),
        decision_order=str(new["decision_order"]),
        said_ns=int(new["decided_ns"]),
        said=event,
        said_by=str(author["name"]),
        pseudonym=str(new["pseudonym"]),
    )


def _from_file(record: Mapping[str, Any]) -> dict[str, Any]:
    return {"new": None, "author": {}, "order_id": None, **record}


def _verdict_of(part: Mapping[str, Any]) -> str:
    return f"{part['state']}{', suspect' if part['is_suspect'] else ''}"


def _own_mark(part: Mapping[str, Any], author: Author) -> str | None:
    """Return what the same author said of a part before."""
    said = [d["mark"] for d in part["decisions"] if d["is_current"] and d["author"] == author.name]
    return str(said[-1]) if said else None
