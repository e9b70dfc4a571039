"""For how long the clock has proved itself, kept over restarts of the service."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
from pathlib import Path

from edge_app.host.age_clock import AgeClock, ClockRecord
from edge_app.host.boot import boot_id
from edge_app.store.durable_write import perform, write_durably

NAME = "clock.json"

_log = logging.getLogger(__name__)


def machine_clock(state_dir: Path) -> AgeClock:
    """Return the machine's clock, which goes on proving itself where an earlier start left it."""
    path = state_dir / NAME

    def keep(record: ClockRecord) -> None:
        try:
            write_durably(perform, path, json.dumps(dataclasses.asdict(record)).encode())
        except OSError as error:  # the hold begins anew with the next start
            _log.debug("%s cannot be written: %s", path, error)

    return AgeClock(boot=boot_id(), known=read_record(path), keep=keep)


def read_record(path: Path) -> ClockRecord | None:
    """Return what was kept; None if there is nothing, or it is damaged."""
    try:
        entry = json.loads(path.read_bytes())
        record = ClockRecord(
            str(entry["boot"]), float(entry["offset_s"]), float(entry["steady_since_s"])
        )
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError, MemoryError):
        return None
    is_finite = math.isfinite(record.offset_s) and math.isfinite(record.steady_since_s)
    return record if is_finite else None
