"""Alarms that wait in the outbox, as verdicts: the history takes in those that have no row yet."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from pydantic import ValidationError

from edge_app.history.entries import PartEntry
from edge_app.mqtt.messages import AlertDraft
from edge_app.mqtt.outbox import Outbox
from edge_app.mqtt.timestamps import epoch_ns
from edge_app.records import Defect, ModelIdentity, PartVerdict, VerdictState

_log = logging.getLogger(__name__)


def waiting_alarms(outbox: Outbox) -> Iterator[PartEntry]:
    """Yield the parts of all alerts that wait from earlier starts, in order, as last known.

    Raises:
        OutboxError: the outbox cannot be read.
    """
    for stored in outbox.waiting():
        if stored.session == outbox.session:
            continue  # this start records its own
        entry = alarm_of(stored.body)
        if entry is not None:
            yield entry


def alarm_of(body: str) -> PartEntry | None:
    """Return the part that a stored alert is about; None if there is none, or it is no alert."""
    try:
        return _entry_of(AlertDraft.model_validate_json(body))
    except (ValidationError, ValueError) as error:
        _log.debug("a waiting alert is no part of the history: %s", error)
        return None


def _entry_of(draft: AlertDraft) -> PartEntry | None:
    if draft.event not in ("new", "update") or not (draft.part_id and draft.captured_at):
        return None
    if draft.golden_check is not None:
        return None  # the part that it names has a row, or an alert, of its own
    model = draft.model
    verdict = PartVerdict(
        camera=draft.camera,
        part_id=draft.part_id,
        state=VerdictState(draft.verdict or "NG"),
        reason=draft.reason,
        score=draft.score,
        threshold=draft.threshold or 0.0,
        threshold_id=draft.threshold_id or "",
        frame_id=draft.frame_id or 0,
        frame_hw=draft.frame_hw or (0, 0),
        captured_at_ns=epoch_ns(draft.captured_at),
        model=None
        if model is None
        else ModelIdentity(model.product, model.serial, model.bundle_sha256, model.precision),
        product_corners_xy=draft.product_corners_xy,
        defects=tuple(
            Defect(d.polygon_xy, d.box_xyxy, d.peak or 0.0, d.kind, d.weak_localisation)
            for d in draft.defects
        ),
        views_judged=draft.views_judged,
        trigger_id=draft.trigger_id,
        source_number=draft.source_number,
        source_name=draft.source_name,
        latency_ms=draft.latency_ms or 0.0,
        golden=draft.golden or "",
    )
    return PartEntry(verdict, draft.alarm_id)
