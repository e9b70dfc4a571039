"""Stories of loops over time: who keeps the watchdog fed, and who does not."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import pytest

from edge_app.host.watchdog import Loop, Watchdog


@dataclass
class Hall:
    """A clock, two loops, and the feeding that systemd sees."""

    now_s: float = 100.0
    beats: dict[str, float] = field(default_factory=lambda: {"camera": 100.0, "inspection": 100.0})
    ended: set[str] = field(default_factory=set)
    fed_s: list[float] = field(default_factory=list)

    def watchdog(self, period_s: float | None = 3.0) -> Watchdog:
        loops = [self._loop("camera", 2.0), self._loop("inspection", 5.0)]
        return Watchdog(loops, lambda: self.fed_s.append(self.now_s), period_s, self._now_ns)

    def _now_ns(self) -> int:
        return round(self.now_s * 1e9)

    def _loop(self, name: str, deadline_s: float) -> Loop:
        return Loop(
            name,
            deadline_s,
            lambda: round(self.beats[name] * 1e9),
            lambda: name not in self.ended,
        )

    def pass_time(self, watchdog: Watchdog, seconds: float, beating: set[str]) -> None:
        """Let time pass in steps of 0.1 s; the named loops go round in each."""
        for _ in range(round(seconds / 0.1)):
            self.now_s = round(self.now_s + 0.1, 3)
            for name in beating:
                self.beats[name] = self.now_s
            watchdog.tend()


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the levels of what the watchdog itself has said."""
    return [r.levelname for r in caplog.records if r.name == "edge_app.host.watchdog"]


def test_all_loops_going_round_keep_it_fed() -> None:
    """Fed three times per period for as long as both loops beat."""
    hall = Hall()
    hall.pass_time(hall.watchdog(), 9.0, {"camera", "inspection"})
    assert len(hall.fed_s) == 9


def test_one_loop_standing_still_ends_the_feeding(caplog: pytest.LogCaptureFixture) -> None:
    """The camera's loop hangs: feeding ends at its deadline, and the journal names it once."""
    hall = Hall()
    watchdog = hall.watchdog()
    hall.pass_time(watchdog, 1.0, {"camera", "inspection"})
    hung_at_s = hall.now_s
    with caplog.at_level(logging.INFO):
        hall.pass_time(watchdog, 20.0, {"inspection"})
    assert hall.fed_s[-1] <= hung_at_s + 2.0
    assert told(caplog) == ["ERROR"]
    assert "camera has not moved for" in caplog.messages[0]
    assert "inspection" not in caplog.messages[0]


def test_a_loop_that_moves_again_in_time_prevents_the_restart(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Late, but back before systemd acts: it is fed again at once, and the journal says so."""
    hall = Hall()
    watchdog = hall.watchdog()
    with caplog.at_level(logging.INFO):
        hall.pass_time(watchdog, 3.5, {"inspection"})
        back_at_s = hall.now_s + 0.1
        hall.pass_time(watchdog, 1.0, {"camera", "inspection"})
    assert back_at_s in hall.fed_s
    assert told(caplog) == ["ERROR", "INFO"]


def test_a_loop_at_its_deadline_is_still_in_time() -> None:
    """Exactly the deadline is allowed; a moment more is not."""
    hall = Hall()
    watchdog = hall.watchdog()
    hall.now_s = 102.0
    assert watchdog.standing_still() == ()
    hall.now_s = 102.001
    assert [loop.name for loop in watchdog.standing_still()] == ["camera"]


def test_a_source_that_has_ended_needs_no_beat() -> None:
    """A folder shown to its end stops beating; the others keep the service alive."""
    hall = Hall(ended={"camera"})
    hall.pass_time(hall.watchdog(), 9.0, {"inspection"})
    assert len(hall.fed_s) == 9


def test_without_a_watchdog_nobody_is_fed() -> None:
    """A unit without WatchdogSec gets no messages."""
    hall = Hall()
    hall.pass_time(hall.watchdog(period_s=None), 5.0, {"camera", "inspection"})
    assert hall.fed_s == []
