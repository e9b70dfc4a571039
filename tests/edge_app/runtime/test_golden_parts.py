"""Golden parts as stories: when they are due, how they are known, what is said of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from support.history_parts import verdict

from edge_app.config.golden import GoldenPartConfig
from edge_app.errors import OrderError
from edge_app.records import AlarmEvent, EventKind, Frame, FrameReport, GoldenCheck, PartVerdict
from edge_app.runtime.golden_book import GOLDEN_FILE, GoldenBook, latest_due_ns
from edge_app.runtime.golden_parts import (
    ANNOUNCED_S,
    GoldenEffects,
    GoldenWatch,
    check_words,
)

MORNING = datetime(2026, 11, 30, 6, 0)
MIN = 60.0


def ns(at: datetime) -> int:
    return int(at.timestamp()) * 10**9


class Story:
    """One camera's line with a golden part, clocks of its own, and everything that it says."""

    def __init__(self, folder: Path, at: datetime = MORNING, **more: object) -> None:
        self.folder, self.now_s, self.wall_ns = folder, 100.0, ns(at)
        table = {"name": "scratch-7", "camera": "c", "times": ("06:05", "14:05"), **more}
        self.parts = (GoldenPartConfig.model_validate(table),)
        self.checks: list[GoldenCheck] = []
        self.told: list[AlarmEvent] = []
        self.paused: frozenset[str] = frozenset()
        self.begin()

    def begin(self) -> None:
        """Start, or start again after a kill."""
        book = GoldenBook(self.folder / GOLDEN_FILE, self.parts, self.wall_ns)
        effects = GoldenEffects(
            self.checks.append, lambda _camera, event: self.told.append(event), lambda: self.paused
        )
        self.watch = GoldenWatch(
            self.parts, book, effects, lambda: self.wall_ns, lambda: self.now_s
        )

    def wait(self, minutes: float) -> None:
        """Let time pass as on the line, with a look every half minute."""
        for _ in range(int(minutes * 2)):
            self.now_s += 30
            self.wall_ns += 30 * 10**9
            self.watch.tick()

    def pass_part(self, part: PartVerdict, *in_view: str) -> FrameReport:
        """Let a part leave with its final verdict; others may be in the picture."""
        frame = Frame("c", 1, np.zeros((4, 6, 3), np.uint8), part.captured_at_ns)
        seen = {name: replace(part, part_id=name) for name in in_view}
        event = AlarmEvent(EventKind.END, "c", "alarm", part)
        events = (event,) if part.state.value == "NG" else ()
        report = self.watch.seen(FrameReport(frame, (), {}, {}, seen, (part,), events))
        self.told += [event for event in report.events if event.golden is not None]
        return report

    def said(self) -> list[tuple[str, str]]:
        """Return (event, reason) of every golden alarm told so far."""
        return [(e.kind.value, e.verdict.reason) for e in self.told if e.verdict is not None]

    def due(self) -> float | None:
        (part,) = self.watch.figures()["parts"]
        left: float | None = part["left_min"]
        return left


def test_a_golden_part_that_is_called_bad_has_passed_and_is_no_production(tmp_path: Path) -> None:
    """Announced when it is due: its verdict and its alert are marked, and nobody is alarmed."""
    story = Story(tmp_path)
    story.wait(6)
    assert story.due() == 14.0
    story.watch.announce("scratch-7")
    report = story.pass_part(verdict(1, "NG", 3.0))
    assert [v.golden for v in report.finished] == ["scratch-7"]
    assert [e.verdict.golden for e in report.events if e.verdict] == ["scratch-7"]
    (check,) = story.checks
    assert (check.outcome, check.part_id, check.due_ns) == (
        "passed",
        "c-1",
        ns(MORNING) + 5 * 60 * 10**9,
    )
    assert story.said() == []
    assert story.due() is None
    assert story.pass_part(verdict(2, "NG", 3.0)).finished[0].golden == "", "the next is production"


@pytest.mark.parametrize(
    ("part", "outcome", "words"),
    [
        (verdict(1), "missed", "was OK, expected NG: rejects may pass"),
        (replace(verdict(1), is_suspect=True), "missed", "was OK, expected NG"),
        (verdict(1, "NOT_INSPECTED", None), "missed", "was NOT_INSPECTED, expected NG"),
        (verdict(1, "NG", 3.0), "wrong_class", "is NG as crack, expected scratch"),
    ],
    ids=["judged OK", "suspect", "not inspected", "another class"],
)
def test_a_golden_part_that_is_not_recognised_is_an_alarm_until_it_is(
    tmp_path: Path, part: PartVerdict, outcome: str, words: str
) -> None:
    """One alarm of its own, that says NOT_INSPECTED to whoever knows no golden parts; a second
    failure updates it; recognised at last, it ends."""
    story = Story(tmp_path, defect_class="scratch" if outcome == "wrong_class" else None)
    story.wait(6)
    for number in (1, 2):
        story.watch.announce("scratch-7")
        story.pass_part(replace(part, part_id=f"c-{number}"))
    assert [check.outcome for check in story.checks] == [outcome, outcome]
    assert words in check_words(story.checks[0])
    assert story.said() == [("new", f"golden_{outcome}"), ("update", f"golden_{outcome}")]
    assert {e.verdict.state.value for e in story.told if e.verdict} == {"NOT_INSPECTED"}
    good = verdict(3, "NG", 3.0)
    if outcome == "wrong_class":
        good = replace(good, defects=(replace(good.defects[0], kind="scratch"),))
    story.watch.announce("scratch-7")
    story.pass_part(good)
    assert story.said()[-1] == ("end", "golden_passed")
    assert len({event.alarm_id for event in story.told}) == 1


def test_one_that_nobody_shows_is_an_alarm_when_its_window_is_over(tmp_path: Path) -> None:
    """Not before, and once; it is due again at its next time, and shown then the alarm ends."""
    story = Story(tmp_path)
    story.wait(19)
    assert story.said() == []
    story.wait(2)
    assert story.said() == [("new", "golden_not_shown")]
    assert "was not shown in its time" in check_words(story.checks[0])
    story.wait(60)
    assert len(story.told) == 1
    story.wait(7 * 60)
    story.watch.announce("scratch-7")
    story.pass_part(verdict(1, "NG", 3.0))
    assert story.said()[-1][0] == "end"


def test_a_pause_postpones_the_end_of_a_window(tmp_path: Path) -> None:
    """While its camera is paused nobody can show it, and nobody can announce it."""
    story = Story(tmp_path)
    story.wait(10)
    left = story.due()
    story.paused = frozenset({"c"})
    story.wait(60)
    assert story.due() == left
    with pytest.raises(OrderError, match="Camera c is paused: golden part scratch-7 would not"):
        story.watch.camera_of("scratch-7")
    story.paused = frozenset()
    story.wait(12)
    assert story.said() == [("new", "golden_not_shown")]


def test_windows_and_alarms_survive_a_restart(tmp_path: Path) -> None:
    """A window goes on where it stood, a minute at most is given back; an open alarm is not told
    anew, and ends in the new process."""
    story = Story(tmp_path)
    story.wait(10)
    left = story.due()
    assert left is not None
    story.wall_ns += 30 * 60 * 10**9  # the service is stopped for half an hour
    story.begin()
    now = story.due()
    assert now is not None
    assert left <= now <= left + 1
    story.wait(16)
    assert story.said() == [("new", "golden_not_shown")]
    story.begin()
    story.wait(20)
    assert len(story.told) == 1
    story.watch.announce("scratch-7")
    story.pass_part(verdict(1, "NG", 3.0))
    assert story.told[-1].alarm_id == story.told[0].alarm_id


def test_what_was_due_while_the_device_was_off_is_asked_for_once(tmp_path: Path) -> None:
    """After days without power the latest of the missed times opens one window, with all its
    minutes."""
    story = Story(tmp_path)
    story.wait(1)
    story.wall_ns += 3 * 86_400 * 10**9 + 3600 * 10**9
    story.begin()
    story.watch.tick()
    assert story.due() == 15.0
    story.wait(16)
    story.wait(60)
    assert story.said() == [("new", "golden_not_shown")]


def test_a_clock_that_is_set_asks_for_nothing_twice(tmp_path: Path) -> None:
    """Set back by an hour, or by years: what was settled stays settled. Not set at all, nothing is
    due. The window is measured without the wall clock."""
    story = Story(tmp_path, datetime(1970, 1, 2, 6, 0))
    story.wait(30)
    assert story.due() is None
    story.wall_ns = ns(MORNING)
    story.wait(6)
    story.watch.announce("scratch-7")
    story.pass_part(verdict(1, "NG", 3.0))
    for back_days in (1 / 24, 700):
        story.wall_ns -= int(back_days * 86_400) * 10**9
        story.watch.tick()
        story.watch.tick()
        assert story.due() is None, back_days
    story.wait(24 * 60)
    assert story.said()[0] == ("new", "golden_not_shown"), "it is due again by the clock there is"


def test_a_jump_of_the_clock_ends_no_window(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.wait(6)
    left = story.due()
    story.wall_ns += 3 * 3600 * 10**9
    story.watch.tick()
    assert story.due() == left


def test_only_a_part_that_comes_after_the_word_is_taken_for_it(tmp_path: Path) -> None:
    """Parts that were in the picture before are production, and so is one that comes too late."""
    story = Story(tmp_path)
    story.pass_part(verdict(1), "c-2")
    story.watch.announce("scratch-7")
    assert story.pass_part(verdict(2, "NG", 3.0)).finished[0].golden == ""
    story.now_s += ANNOUNCED_S + 1
    assert story.pass_part(verdict(3, "NG", 3.0)).finished[0].golden == ""
    assert story.checks == []


def test_a_part_with_its_serial_needs_no_announcement(tmp_path: Path) -> None:
    """Known by its trigger id or file name, due or not; every other part is production."""
    story = Story(tmp_path, serial="GOLD")
    by_trigger = replace(verdict(1, "NG", 3.0), trigger_id="GOLD")
    by_file = replace(verdict(2), source_name="GOLD")
    assert story.pass_part(by_trigger).finished[0].golden == "scratch-7"
    assert story.pass_part(by_file).finished[0].golden == "scratch-7"
    assert story.pass_part(replace(verdict(3), trigger_id="GOLD-2")).finished[0].golden == ""
    assert [(c.outcome, c.due_ns) for c in story.checks] == [("passed", None), ("missed", None)]
    story.pass_part(replace(by_trigger, part_id="c-9", reason="paused"))
    assert len(story.checks) == 2, "one that passes in a pause is no check"


@pytest.mark.parametrize("data", [b"", b"\x00" * 90, b"{}", b'{"format":"x/9","parts":[]}'])
def test_a_damaged_file_loses_no_golden_part(tmp_path: Path, data: bytes) -> None:
    """Each is due at its next time."""
    (tmp_path / GOLDEN_FILE).write_bytes(data)
    story = Story(tmp_path)
    assert story.due() is None
    story.wait(6)
    assert story.due() == 14.0


def test_the_latest_time_is_found_over_midnight() -> None:
    at = datetime(2026, 11, 30, 0, 10)
    assert latest_due_ns(("06:05", "22:05"), ns(at)) == ns(datetime(2026, 11, 29, 22, 5))
    assert latest_due_ns(("00:10",), ns(at)) == ns(at)


def test_an_unknown_golden_part_is_named_with_those_that_are_known(tmp_path: Path) -> None:
    with pytest.raises(OrderError, match="no golden part 'dent-1'; the configuration has: scratch"):
        Story(tmp_path).watch.camera_of("dent-1")
