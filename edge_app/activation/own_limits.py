"""Limits that people have set on this device: for one bundle in one precision in one slot each.

Every change is a record of the audit first. The file in the state folder is what follows from those
records: a change that a kill cut off in between is made up for at the next start.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_app.activation.model_loader import Ready
from edge_app.audit.records import Head, heads_in
from edge_app.audit.schema import LIMITS_NAME
from edge_app.errors import OrderError
from edge_app.host.small_file import read_state
from edge_app.inspection.judge import Limits
from edge_app.store.durable_write import perform, write_durably
from edge_app.store.intent import Sha256

_log = logging.getLogger(__name__)

LIMITS_FILE = LIMITS_NAME
"""Its name in the state folder."""

FORMAT = "cropliq-limits/1"
SET, UNDONE = "limit", "limit_undone"
"""Events of the audit."""

MAX_FILE_BYTES = 4 << 20
MAX_CHANGES = 100
"""Kept of one bundle: so many steps back."""

MOST_FACTOR = 10.0
"""A limit further away than this from the bundle's own is a slip of the finger."""


class OwnLimit(BaseModel):
    """One set of thresholds.

    Attributes:
        threshold_id: names it in every message; no two orders have the same.
    """

    model_config = ConfigDict(defer_build=True, frozen=True, extra="ignore", allow_inf_nan=False)

    threshold_id: str = Field(min_length=1, max_length=80)
    score_threshold: float
    map_threshold: float
    suspect_threshold: float | None = None
    sha256: Sha256
    precision: str = Field(min_length=1, max_length=40)


class _Kept(BaseModel):
    model_config = ConfigDict(defer_build=True, frozen=True, extra="ignore")

    slot: str
    changes: tuple[OwnLimit, ...] = Field(min_length=1, max_length=MAX_CHANGES)


class _File(BaseModel):
    model_config = ConfigDict(defer_build=True, frozen=True, extra="ignore")

    format: str
    audit_head: str
    limits: tuple[_Kept, ...] = Field(max_length=10_000)


Key = tuple[str, str, str]
"""Slot, bundle's sha256, precision."""


class OwnLimits:
    """The limits in force, and the file that holds them.

    Args:
        path: the file; what is damaged is made anew from the audit.

    Attributes:
        head: the audit's record that the limits follow from.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changes: dict[Key, tuple[OwnLimit, ...]] = {}
        self.head = Head()
        self._read()

    def applied(self, slot: str, ready: Ready) -> Ready:
        """Return a model with the limit that was set for it, or with its bundle's own."""
        base = ready.model.limits if ready.bundle_limits is None else ready.bundle_limits
        own = self._changes.get(_key(slot, ready), ())
        limits = limits_with(own[-1], base) if own else base
        if limits == ready.model.limits:
            return ready
        return replace(ready, model=ready.model.with_limits(limits), bundle_limits=base)

    def changes(self, slot: str, ready: Ready) -> tuple[OwnLimit, ...]:
        """Return what was set for a model, the oldest first."""
        return self._changes.get(_key(slot, ready), ())

    def follow(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Take records of the audit in, in their order, and keep the outcome.

        A file that cannot be written is logged: the records are safe, the next start reads them.
        """
        for record in records:
            self._take(record)
        try:
            write_durably(perform, self._path, self._text(), is_private=True)
        except OSError as error:
            _log.error(
                "the limits are not written to %s, the audit has them: %s", self._path, error
            )

    def _take(self, record: Mapping[str, Any]) -> None:
        event, slot, new = record.get("event"), record.get("subject"), record.get("new")
        self.head = Head(str(record["hash"]), int(record["seq"]))
        if event not in (SET, UNDONE) or not isinstance(new, dict) or not isinstance(slot, str):
            return
        try:
            limit = OwnLimit.model_validate(new)
        except ValidationError as error:
            _log.error("record %s of the audit holds no limit: %s", record["seq"], error)
            return
        key = (slot, limit.sha256, limit.precision)
        before = self._changes.get(key, ())
        if event == SET:
            self._changes[key] = (*before, limit)[-MAX_CHANGES:]
        elif len(before) > 1:
            self._changes[key] = before[:-1]
        else:
            self._changes.pop(key, None)

    def _read(self) -> None:
        data = read_state(self._path, "limits", MAX_FILE_BYTES)
        if data is not None:
            self._changes, self.head = limits_in(data)

    def _text(self) -> bytes:
        kept = tuple(_Kept(slot=key[0], changes=own) for key, own in self._changes.items())
        file = _File(format=FORMAT, audit_head=str(self.head), limits=kept)
        return file.model_dump_json(indent=1).encode()


def limits_in(data: bytes) -> tuple[dict[Key, tuple[OwnLimit, ...]], Head]:
    """Return a file's limits and its head; nothing of a damaged one, so that all is made anew."""
    try:
        file = _File.model_validate_json(data)
    except (ValidationError, RecursionError) as error:
        _log.error("the limits' file is damaged, they are taken from the audit: %s", error)
        return {}, Head()
    heads = heads_in(file.audit_head)
    if file.format != FORMAT or not heads:
        _log.error("the limits' file is of another release, they are taken from the audit")
        return {}, Head()
    return {
        (kept.slot, kept.changes[-1].sha256, kept.changes[-1].precision): kept.changes
        for kept in file.limits
    }, heads[0]


def limits_with(own: OwnLimit, base: Limits) -> Limits:
    """Return a model's limits with a person's in their place.

    What was measured at the bundle's own limit holds for a lower one too, not for a higher.
    """
    is_lower = own.score_threshold <= base.score_threshold
    return Limits(
        own.score_threshold,
        own.map_threshold,
        own.threshold_id,
        own.suspect_threshold,
        base.clear_recall if is_lower else None,
    )


def new_limit(
    ready: Ready,
    threshold_id: str,
    score: float | None,
    suspect: float | None,
    map_threshold: float | None,
) -> OwnLimit:
    """Return the limit that an order asks for; what is None stays as it is.

    Raises:
        OrderError: nothing is asked for, or a value is out of its range.
    """
    now = ready.model.limits
    base = ready.bundle_limits or now
    if score is None and suspect is None and map_threshold is None:
        raise OrderError("No threshold is given. Expected a limit, a suspect limit or a map limit.")
    _check_range("limit", score, base.score_threshold)
    _check_range("map limit", map_threshold, base.map_threshold)
    limit = now.score_threshold if score is None else score
    if suspect is not None and suspect >= limit:
        raise OrderError(
            f"The suspect limit {suspect:g} is not below the limit {limit:g}: no part could be "
            "suspect. Give a lower one."
        )
    kept = now.suspect_threshold
    if suspect is None:
        suspect = kept if kept is not None and kept < limit else None
    return OwnLimit(
        threshold_id=threshold_id,
        score_threshold=limit,
        map_threshold=now.map_threshold if map_threshold is None else map_threshold,
        suspect_threshold=suspect,
        sha256=ready.sha256,
        precision=ready.model.identity.precision,
    )


def shown(limits: Limits) -> dict[str, Any]:
    """Return thresholds as the audit and people see them."""
    return {
        "threshold_id": limits.threshold_id,
        "score_threshold": limits.score_threshold,
        "suspect_threshold": limits.suspect_threshold,
        "map_threshold": limits.map_threshold,
    }


def _check_range(name: str, value: float | None, base: float) -> None:
    if value is None:
        return
    low, high = base / MOST_FACTOR, base * MOST_FACTOR
    if not math.isfinite(value) or (base > 0 and not low <= value <= high):
        raise OrderError(
            f"The {name} {value:g} is out of range: expected {low:g} to {high:g}, a tenth to ten "
            f"times the bundle's own {base:g}. Another scale needs another bundle."
        )


def _key(slot: str, ready: Ready) -> Key:
    return slot, ready.sha256, ready.model.identity.precision
