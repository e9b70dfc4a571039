"""When golden parts are due and what became of them; kept over restarts.

A part is due at times of day by the device's clock. From then on its window is measured on the
monotonic clock, and stands still while its camera is paused or the service is stopped: whoever
shows the part has the whole window for it, whatever the clock is set to meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_app.config.golden import GoldenPartConfig
from edge_app.host.age_clock import EPOCH_S
from edge_app.host.small_file import read_state
from edge_app.records import GoldenCheck, GoldenOutcome
from edge_app.store.durable_write import perform, write_durably

_log = logging.getLogger(__name__)

GOLDEN_FILE = "golden.json"
"""Its name in the state folder."""

FORMAT = "cropliq-golden/1"
MAX_FILE_BYTES = 1 << 20
KEEP_EVERY_S = 60.0
"""A kill gives a window back at most so much of its time."""

DAY_NS = 86_400 * 10**9


class _Kept(BaseModel):
    model_config = ConfigDict(defer_build=True, frozen=True, extra="ignore", allow_inf_nan=False)

    name: str = Field(min_length=1, max_length=64)
    settled_ns: int = Field(ge=0, lt=2**63)
    due_ns: int | None = Field(None, ge=0, lt=2**63)
    left_s: float = 0.0
    alarm_id: str = Field("", max_length=100)
    outcome: GoldenOutcome | None = None
    outcome_ns: int | None = Field(None, ge=0, lt=2**63)
    part_id: str = Field("", max_length=1000)


class _File(BaseModel):
    model_config = ConfigDict(defer_build=True, frozen=True, extra="ignore")

    format: str
    parts: tuple[_Kept, ...] = Field(max_length=1000)


@dataclass(frozen=True, slots=True)
class GoldenState:
    """Where one golden part stands.

    Attributes:
        settled_ns: what was due up to then is settled, ns since the epoch.
        due_ns: since when it is due; None: it is not.
        left_s: of its window.
        alarm_id: of the open alarm; "" while there is none.
        outcome, outcome_ns, part_id: of the last check; None and "" before the first.
    """

    settled_ns: int
    due_ns: int | None = None
    left_s: float = 0.0
    alarm_id: str = ""
    outcome: GoldenOutcome | None = None
    outcome_ns: int | None = None
    part_id: str = ""


class GoldenBook:
    """Every golden part's state, and the file that holds it. Not thread-safe: its owner locks.

    Args:
        path: the file; from a damaged one on the parts are due at their next times.
        now_ns: wall clock at the start.
    """

    def __init__(self, path: Path, parts: Sequence[GoldenPartConfig], now_ns: int) -> None:
        self._path, self._parts = path, {part.name: part for part in parts}
        known = _read(path)
        self._states = {
            name: known.get(name, GoldenState(settled_ns=now_ns)) for name in self._parts
        }
        self._is_changed = set(known) != set(self._parts)
        self._unkept_s = 0.0

    def state(self, name: str) -> GoldenState:
        """Return where a part stands."""
        return self._states[name]

    def go_on(self, now_ns: int, passed_s: float, paused: frozenset[str]) -> list[str]:
        """Let time pass; return the parts whose window is over.

        Args:
            passed_s: since the last call, monotonic.
            paused: cameras that a person has paused.
        """
        for name, part in self._parts.items():
            state = self._states[name]
            if state.due_ns is None:
                self._states[name] = self._opened(part, state, now_ns)
            elif part.camera not in paused:
                self._states[name] = replace(state, left_s=state.left_s - passed_s)
                self._unkept_s += passed_s
        return [name for name, s in self._states.items() if s.due_ns is not None and s.left_s <= 0]

    def settle(self, check: GoldenCheck, alarm_id: str) -> None:
        """Note what became of a part; it is due again at its next time.

        Args:
            alarm_id: of its alarm from now on; "" for none.
        """
        before = self._states[check.name]
        self._states[check.name] = GoldenState(
            settled_ns=before.settled_ns if before.due_ns is None else before.due_ns,
            alarm_id=alarm_id,
            outcome=check.outcome,
            outcome_ns=check.at_ns,
            part_id=check.part_id,
        )
        self._is_changed = True

    def unkept(self) -> bytes | None:
        """Return what the file is to hold; None while it holds it, or nearly."""
        if not self._is_changed and self._unkept_s < KEEP_EVERY_S:
            return None
        self._is_changed, self._unkept_s = False, 0.0
        kept = tuple(
            _Kept(
                name=name,
                settled_ns=s.settled_ns,
                due_ns=s.due_ns,
                left_s=round(s.left_s, 1),
                alarm_id=s.alarm_id,
                outcome=s.outcome,
                outcome_ns=s.outcome_ns,
                part_id=s.part_id,
            )
            for name, s in self._states.items()
        )
        return _File(format=FORMAT, parts=kept).model_dump_json(indent=1).encode()

    def keep(self, data: bytes) -> None:
        """Write the file; what the disk does not take is logged and tried with the next change."""
        try:
            write_durably(perform, self._path, data, is_private=True)
        except OSError as error:
            _log.error("golden parts are not written to %s: %s", self._path, error)

    def _opened(self, part: GoldenPartConfig, state: GoldenState, now_ns: int) -> GoldenState:
        """Return the state with a window, where one begins; it begins late where the device was off
        at its time, and only the latest of several that were missed."""
        if now_ns < EPOCH_S * 1e9:
            return state  # the clock was not set yet
        latest = latest_due_ns(part.times, now_ns)
        if state.settled_ns > now_ns + DAY_NS:  # the clock was set back since
            self._is_changed = True
            return replace(state, settled_ns=latest)
        if latest <= state.settled_ns:
            return state
        self._is_changed = True
        return replace(state, due_ns=latest, left_s=part.window_min * 60)


def latest_due_ns(times: Sequence[str], now_ns: int) -> int:
    """Return the latest moment of the given times of day, in the device's zone, that has passed.

    Args:
        times: HH:MM, at least one.
        now_ns: ns since the epoch.
    """
    now = datetime.fromtimestamp(now_ns / 1e9).replace(second=0, microsecond=0)
    found = []
    for back in (0, 1, 2):  # a time that a change to summer time leaves out is passed over
        day = now - timedelta(days=back)
        for text in times:
            hour, minute = (int(word) for word in text.split(":"))
            at = day.replace(hour=hour, minute=minute).timestamp()
            found.append(int(at) * 10**9)
    return max(at for at in found if at <= now_ns)


def _read(path: Path) -> dict[str, GoldenState]:
    data = read_state(path, "golden parts", MAX_FILE_BYTES)
    if data is None:
        return {}
    try:
        file = _File.model_validate_json(data)
    except (ValidationError, RecursionError) as error:
        _log.error("the golden parts' file is damaged: each is due at its next time: %s", error)
        return {}
    if file.format != FORMAT:
        _log.error("the golden parts' file is of another release: each is due at its next time")
        return {}
    return {
        kept.name: GoldenState(
            kept.settled_ns, kept.due_ns, kept.left_s, kept.alarm_id, kept.outcome,
            kept.outcome_ns, kept.part_id,
        )
        for kept in file.parts
    }  # fmt: skip
