"""Takes orders from the socket: who may, recorded first, then carried out, once.

check the author → was it carried out before? → check the order → audit → do it → answer
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from edge_app.audit.log import AuditLog, Recorded
from edge_app.audit.records import AuditEntry
from edge_app.device_state import SubjectHealth
from edge_app.errors import OrderError
from edge_app.ipc.order_schema import (
    AcceptMark,
    AnyOrder,
    Author,
    HealthState,
    LimitState,
    MarkPart,
    NoteHead,
    OrderAnswer,
    Pause,
    Record,
    Resume,
    SetLimit,
    SettlePart,
    ShowGolden,
    ShowHealth,
    ShowLimits,
    UndoLimit,
)
from edge_app.ipc.peers import ACCOUNTS, ROOT_UID, Peer, Role, is_agent, uid_of

_log = logging.getLogger(__name__)

MAY: dict[type, frozenset[str]] = {
    SetLimit: frozenset({"engineer"}),
    UndoLimit: frozenset({"engineer"}),
    Pause: frozenset({"operator", "engineer"}),
    Resume: frozenset({"operator", "engineer"}),
    MarkPart: frozenset({"operator", "engineer"}),
    SettlePart: frozenset({"operator", "engineer"}),
    AcceptMark: frozenset({"engineer"}),
    ShowGolden: frozenset({"operator", "engineer"}),
}
"""Roles that may give an order; root may give all. What is not here changes nothing."""

OF_KEYS = (MarkPart,)
"""What an operator's key may sign; the agent has verified it."""

OWN_EVENTS = frozenset(
    {
        "limit", "limit_undone", "pause", "resumed", "pause_ended", "configuration", "model",
        "product", "restore", "numbering", "audit_begun", "audit_changed", "notes_lost",
        "decision", "settled", "accepted", "declined", "golden_announced", "golden_check",
    }
)  # fmt: skip
"""Of this process: what follows from some of them is done at the next start, so that nobody else
may record them."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """An order that has been checked.

    Attributes:
        event, subject, old, new: of its record.
        done: the sentence for people when it is carried out.
        act: carries it out, given its record; returns what else is to be said, or "".
    """

    event: str
    subject: str
    old: Any
    new: Any
    done: str
    act: Callable[[Mapping[str, Any]], str]


class LimitDesk(Protocol):
    """Orders about limits."""

    def prepare_set(self, order: SetLimit) -> Prepared: ...

    def prepare_undo(self, order: UndoLimit) -> Prepared: ...

    def states(self) -> tuple[LimitState, ...]: ...


class PauseDesk(Protocol):
    """Orders about pauses."""

    def prepare_pause(self, order: Pause) -> Prepared: ...

    def prepare_resume(self, order: Resume) -> Prepared: ...


class ReviewDesk(Protocol):
    """Orders about parts."""

    def prepare_mark(self, order: MarkPart) -> Prepared: ...

    def prepare_settle(self, order: SettlePart) -> Prepared | str: ...

    def prepare_accept(self, order: AcceptMark) -> Prepared | str: ...


class GoldenDesk(Protocol):
    """Orders about golden parts."""

    def prepare_show(self, order: ShowGolden) -> Prepared: ...


class OrderDesk:
    """Carries orders out; see `edge_app.ipc.order_server.Execute`.

    Args:
        device: site/line/device.
        audit: has every order before it is carried out.
        health: returns how the device is, subject by subject.
    """

    def __init__(
        self,
        device: str,
        audit: AuditLog,
        limits: LimitDesk,
        pauses: PauseDesk,
        reviews: ReviewDesk,
        health: Callable[[], Iterable[SubjectHealth]] = tuple,
        golden: GoldenDesk | None = None,
    ) -> None:
        self._device, self._audit, self._golden = device, audit, golden
        self._limits, self._pauses, self._reviews = limits, pauses, reviews
        self._health = health

    def execute(self, order: AnyOrder, peer: Peer) -> OrderAnswer:
        """Return what became of an order.

        Raises:
            OrderError: it is refused; nothing has changed.
            AuditError: it cannot be recorded; nothing has changed.
        """
        if order.device not in ("", self._device):
            raise OrderError(f"This device is {self._device}, the order is for {order.device}.")
        _check_author(order, peer)
        if isinstance(order, NoteHead | ShowLimits | ShowHealth):
            return self._shown(order)
        known = self._audit.known(order.order_id)
        if known is not None:
            return _answer(known, str((known.answer or {}).get("text", "")) or "Done before.")
        prepared = self._prepare(order)
        if isinstance(prepared, str):
            return OrderAnswer(
                is_done=True, text=prepared, audit_head=str(self._audit.health().head)
            )
        entry = _entry(order, prepared, peer)
        recorded = self._audit.record(entry, {"text": prepared.done})
        more = prepared.act(
            {
                "event": entry.event,
                "subject": entry.subject,
                "new": entry.new,
                "author": order.author.model_dump(),
                "order_id": order.order_id,
                "hash": recorded.head.hash,
                "seq": recorded.seq,
            }
        )
        return _answer(recorded, f"{prepared.done} {more}".rstrip())

    def _shown(self, order: NoteHead | ShowLimits | ShowHealth) -> OrderAnswer:
        head = str(self._audit.health().head)
        asks_health = isinstance(order, ShowHealth)
        return OrderAnswer(
            is_done=True,
            text=head,
            audit_head=head,
            limits=self._limits.states() if isinstance(order, ShowLimits) else (),
            health=tuple(map(_health_state, self._health())) if asks_health else (),
        )

    def _prepare(self, order: AnyOrder) -> Prepared | str:
        """Return what is to be done; or what was done before, by whomever, and is not repeated."""
        if isinstance(order, SetLimit):
            return self._limits.prepare_set(order)
        if isinstance(order, UndoLimit):
            return self._limits.prepare_undo(order)
        if isinstance(order, Pause):
            return self._pauses.prepare_pause(order)
        if isinstance(order, Resume):
            return self._pauses.prepare_resume(order)
        if isinstance(order, MarkPart):
            return self._reviews.prepare_mark(order)
        if isinstance(order, SettlePart):
            return self._reviews.prepare_settle(order)
        if isinstance(order, AcceptMark):
            return self._reviews.prepare_accept(order)
        if isinstance(order, ShowGolden) and self._golden is not None:
            return self._golden.prepare_show(order)
        if isinstance(order, Record):
            if order.event in OWN_EVENTS:
                raise OrderError(f"{order.event!r} is recorded by inspection itself only.")
            return Prepared(order.event, "", order.old, order.new, "Recorded.", lambda _record: "")
        raise OrderError(f"{type(order).__name__} is no order that is recorded.")


def _health_state(subject: SubjectHealth) -> HealthState:
    return HealthState.model_validate(subject.as_json())


def _check_author(order: AnyOrder, peer: Peer) -> None:
    """Refuse an author that this peer cannot speak for, and one whose role does not allow it."""
    author = order.author
    is_own = peer.uid in (ROOT_UID, os.geteuid())
    if author.kind == "root" and not is_own:
        raise OrderError("Only root, and the account that inspects, may order as root.")
    if author.kind == "key" and not (is_own or is_agent(peer.uid)):
        raise OrderError("Only the agent, which verifies signatures, may order in a key's name.")
    if is_agent(peer.uid) and not is_own and author.kind != "key":
        raise OrderError("The agent orders only what an operator's key has signed.")
    if author.kind == "key":
        if not isinstance(order, OF_KEYS):
            raise OrderError(f"{author.name} may not do that: a key signs marks of parts only.")
        return
    allowed = MAY.get(type(order))
    if allowed is not None and author.kind != "root" and author.role not in allowed:
        raise OrderError(
            f"{author.name} may not do that: it takes the role {' or '.join(sorted(allowed))}, "
            f"got {author.role or 'none'}."
        )


def _entry(order: AnyOrder, prepared: Prepared, peer: Peer) -> AuditEntry:
    author: Author = order.author
    return AuditEntry(
        event=prepared.event,
        author_kind=author.kind,
        author_name=author.name,
        author_role=author.role,
        subject=prepared.subject,
        old=prepared.old,
        new=prepared.new,
        why=getattr(order, "why", "") or getattr(order, "note", ""),
        via=_via(author, peer),
        order_id=order.order_id,
    )


def _via(author: Author, peer: Peer) -> str:
    if author.kind == "key":
        return "mqtt"
    return "page" if peer.uid == uid_of(ACCOUNTS[Role.PAGE]) else f"uid {peer.uid}"


def _answer(recorded: Recorded, text: str) -> OrderAnswer:
    return OrderAnswer(
        is_done=True, text=text[:4000], audit_seq=recorded.seq, audit_head=str(recorded.head)
    )
