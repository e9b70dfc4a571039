"""A fetched bundle and its date: it waits for a clock that may be wrong, never for a right one."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from edge_app.agent.pull.date_gate import DateGate
from edge_app.bundle.admission_rules import Expiry
from edge_app.errors import DownloadCancelled
from edge_app.host.date_clock import DateClock

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=timezone.utc)
DAY = timedelta(days=1)
FILE = Path("main-x.partial")


class Gate:
    """A gate whose clock stands at noon until it is set, and what it told."""

    def __init__(self, is_synchronised: bool | None, ends: datetime | None) -> None:
        self.is_synchronised, self.at = is_synchronised, NOON
        self.told: list[str] = []
        self.cancel = threading.Event()
        self.reads = 0
        clock = DateClock(lambda: self.at.timestamp(), lambda: 0.0, lambda: self.is_synchronised, 0)
        self._expiry = None if ends is None else Expiry(ends, "its signature")
        self._gate = DateGate(clock, self._read, patience_s=0.05, look_s=0.01)

    def _read(self, file: Path) -> Expiry | None:
        assert file == FILE
        self.reads += 1
        return self._expiry

    def wait(self) -> None:
        self._gate.wait(FILE, self.cancel, lambda _, why: self.told.append(why))

    def begin(self) -> threading.Thread:
        thread = threading.Thread(target=self.wait, daemon=True)
        thread.start()
        return thread


@pytest.mark.parametrize(
    ("is_synchronised", "ends"),
    [(True, NOON - DAY), (True, NOON + DAY), (False, NOON + DAY), (None, None), (False, None)],
    ids=["expired, right clock", "good", "good by a wrong clock", "no date, unknown", "no date"],
)
def test_nothing_waits_where_the_date_is_final_or_not_reached(
    is_synchronised: bool | None, ends: datetime | None
) -> None:
    """It is handed over at once; a right clock costs not even a look into the file."""
    gate = Gate(is_synchronised, ends)
    gate.wait()
    assert gate.told == []
    assert gate.reads == (0 if is_synchronised else 1)


def test_an_expired_bundle_waits_for_as_long_as_the_clock_is_wrong() -> None:
    """Longer than the patience; told with both times; over once the date is not reached."""
    gate = Gate(False, NOON - DAY)
    thread = gate.begin()
    thread.join(0.3)
    assert thread.is_alive()
    assert "its signature expired on 2026-11-21 12:00 UTC, here it is 2026-11-22" in gate.told[0]
    gate.at = NOON - 2 * DAY
    thread.join(10)
    assert not thread.is_alive()


def test_it_is_handed_over_to_be_refused_once_a_time_source_confirms_the_date() -> None:
    """The clock was right all the time: nothing expired is kept waiting, or accepted."""
    gate = Gate(False, NOON - DAY)
    thread = gate.begin()
    gate.is_synchronised = True
    thread.join(10)
    assert not thread.is_alive()


def test_where_nobody_knows_it_waits_for_as_long_as_for_a_silent_server() -> None:
    """A kernel that does not say keeps no bundle for ever."""
    gate = Gate(None, NOON - DAY)
    gate.wait()
    assert "is not known here" in gate.told[0]


def test_a_newer_pointer_ends_the_waiting() -> None:
    """As it ends a download."""
    gate = Gate(False, NOON - DAY)
    gate.cancel.set()
    with pytest.raises(DownloadCancelled):
        gate.wait()
