"""Orders about limits: checked against what judges, carried out between two parts."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from edge_app.activation.model_loader import Ready
from edge_app.activation.own_limits import SET, UNDONE, OwnLimits, limits_with, new_limit, shown
from edge_app.errors import OrderError
from edge_app.inspection.judge import Limits
from edge_app.ipc.order_schema import GoodPartsBasis, LimitState, SetLimit, UndoLimit
from edge_app.orders.desk import Prepared
from edge_app.replay.guaranteed_limit import LimitQuestion, Proposal, propose

_log = logging.getLogger(__name__)

TAKE_UP_S = 3.0
"""The line exchanges limits within a part's time; an order does not wait longer than this."""


class LimitSlots(Protocol):
    """What judges in each slot, and how limits come to the line."""

    @property
    def ready(self) -> Mapping[str, Ready | None]: ...

    def follow_limits(self, slot: str, timeout_s: float) -> bool: ...


class LimitOrders:
    """Sets limits and takes them back.

    Args:
        slots: whose models they are for.
        own: the limits in force.
        history: where the parts of a guaranteed limit are counted.
    """

    def __init__(self, slots: LimitSlots, own: OwnLimits, history: Path | None = None) -> None:
        self._slots, self._own, self._history = slots, own, history

    def prepare_set(self, order: SetLimit) -> Prepared:
        """Check an order.

        Raises:
            OrderError: no such slot or bundle, or a value out of its range.
        """
        ready = self._judging(order.slot)
        if ready.sha256 != order.for_sha256:
            raise OrderError(
                f"Slot {order.slot} judges with bundle {ready.sha256[:12]}…, the order is for "
                f"{order.for_sha256[:12]}…. Look at the limits again, then order it anew."
            )
        limit = new_limit(
            ready,
            f"limit-{order.order_id[-12:]}",
            order.score_threshold,
            order.suspect_threshold,
            order.map_threshold,
        )
        base = ready.bundle_limits or ready.model.limits
        after = limits_with(limit, base)
        words, new = _words(ready.model.limits, after), limit.model_dump(mode="json")
        if order.guaranteed is not None:
            found = self._counted_again(order, order.guaranteed, ready)
            time = {"from_ns": order.guaranteed.from_ns, "to_ns": order.guaranteed.to_ns}
            new["guaranteed"] = {**asdict(found), **time}
            words += f" Guaranteed: {guarantee_words(found)}."
        return Prepared(
            SET,
            order.slot,
            shown(ready.model.limits),
            new,
            f"Slot {order.slot}: {words}",
            lambda record: self._act(order.slot, record),
        )

    def prepare_undo(self, order: UndoLimit) -> Prepared:
        """Check an order.

        Raises:
            OrderError: no such slot, or no limit was set for its bundle.
        """
        ready = self._judging(order.slot)
        changes = self._own.changes(order.slot, ready)
        if not changes:
            raise OrderError(
                f"Slot {order.slot} judges with its bundle's own limit already: there is nothing "
                "to undo."
            )
        base = ready.bundle_limits or ready.model.limits
        after = limits_with(changes[-2], base) if len(changes) > 1 else base
        undone = changes[-1]
        return Prepared(
            UNDONE,
            order.slot,
            shown(ready.model.limits),
            {**shown(after), "sha256": undone.sha256, "precision": undone.precision},
            f"Slot {order.slot}: {_words(ready.model.limits, after)}",
            lambda record: self._act(order.slot, record),
        )

    def states(self) -> tuple[LimitState, ...]:
        """Return what every slot with a bundle judges with."""
        return tuple(
            _state(slot, ready, len(self._own.changes(slot, ready)))
            for slot, ready in self._slots.ready.items()
            if ready is not None
        )

    def _counted_again(self, order: SetLimit, basis: GoodPartsBasis, ready: Ready) -> Proposal:
        """Return what the parts carry now.

        Raises:
            OrderError: another limit than the order's.
            HistoryError: the history cannot be read.
        """
        if self._history is None:
            raise OrderError("This device keeps no history: nothing can be guaranteed here.")
        question = LimitQuestion(
            basis.source, basis.from_ns, basis.to_ns, ready.sha256,
            ready.model.identity.precision, ready.model.limits.score_threshold, basis.rate,
        )  # fmt: skip
        found = propose(self._history, question)
        seen = (order.score_threshold, basis.parts, basis.rank)
        if found.limit is None or seen != (found.limit, found.parts, found.rank):
            now = "none" if found.limit is None else f"{found.limit:g}"
            raise OrderError(
                f"These parts carry another limit by now: {now} (n = {found.parts}, k = "
                f"{found.rank}), the order says {order.score_threshold} (n = {basis.parts}, k = "
                f"{basis.rank}). Ask for the proposal again."
            )
        return found

    def _act(self, slot: str, record: Mapping[str, Any]) -> str:
        self._own.follow([record])
        if self._slots.follow_limits(slot, TAKE_UP_S):
            return ""
        _log.warning("slot %s: the line has not taken the new limit up yet", slot)
        return "The line is busy: it holds from the next part on."

    def _judging(self, slot: str) -> Ready:
        if slot not in self._slots.ready:
            known = ", ".join(self._slots.ready)
            raise OrderError(f"No camera belongs to slot {slot!r}; there are: {known}.")
        ready = self._slots.ready[slot]
        if ready is None:
            raise OrderError(f"Slot {slot} has no bundle, so there is no limit to change.")
        return ready


def guarantee_words(found: Proposal) -> str:
    """Return what a limit promises, and on what."""
    return (
        f"at most {100 * found.rate:g} % of good parts with {100 * found.confidence:g} % "
        f"confidence, from n = {found.parts} parts, k = {found.rank}"
    )


def _state(slot: str, ready: Ready, steps: int) -> LimitState:
    identity, limits = ready.model.identity, ready.model.limits
    return LimitState(
        slot=slot,
        product=identity.product,
        serial=identity.serial,
        sha256=ready.sha256,
        precision=identity.precision,
        threshold_id=limits.threshold_id,
        score_threshold=limits.score_threshold,
        suspect_threshold=limits.suspect_threshold,
        map_threshold=limits.map_threshold,
        bundle_score_threshold=(ready.bundle_limits or limits).score_threshold,
        steps=steps,
        calibration=ready.calibration,
    )


def _words(old: Limits, new: Limits) -> str:
    text = f"the limit is {new.score_threshold:g} ({new.threshold_id}), was {old.score_threshold:g}"
    if new.suspect_threshold != old.suspect_threshold:
        suspect = new.suspect_threshold
        text += f"; suspect from {suspect:g}" if suspect is not None else "; no part is suspect"
    if new.map_threshold != old.map_threshold:
        text += f"; map limit {new.map_threshold:g}, was {old.map_threshold:g}"
    return f"{text}."
