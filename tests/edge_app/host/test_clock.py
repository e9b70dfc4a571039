"""Two clocks: one that people set, and one that nobody sets."""

from __future__ import annotations

from edge_app.host.clock import SteadyWall, wall_at_ns

HOUR_S = 3600.0


def test_a_corrected_clock_corrects_what_was_captured_before() -> None:
    """Captured 2 s ago, and meanwhile the clock was set an hour ahead: the new clock's time."""
    assert wall_at_ns(98, wall_ns=lambda: 3_600_000, now_ns=lambda: 100) == 3_599_998


def test_a_schedule_does_not_jump_with_the_wall_clock() -> None:
    """Set an hour ahead or back, the schedule's time goes on by what really passed."""
    now = {"wall": 1000.0, "monotonic": 50.0}
    steady = SteadyWall(lambda: now["wall"], lambda: now["monotonic"])
    for jump_s in (HOUR_S, -2 * HOUR_S):
        before_s = steady()
        now["wall"] += jump_s
        now["monotonic"] += 3
        assert steady() - before_s == 3
    assert steady.monotonic_ns(steady()) == round(now["monotonic"] * 1e9)
