"""A training ends within its share of the time: as it is, with fewer steps, or not at all."""

from __future__ import annotations

import pytest

from export.methods.time_budget import OutOfTimeError, duration_s, duration_text, train_within
from export.workspace import OnProgress


class Clock:
    """Time passes only when a training says so."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Training:
    """Takes `before_s` for features, `step_s` a step, `after_s` for densities; remembers how it was
    started."""

    def __init__(self, clock: Clock, before_s: float, step_s: float, after_s: float = 0.0) -> None:
        self.clock, self.before_s, self.step_s, self.after_s = clock, before_s, step_s, after_s
        self.started_with: list[int] = []

    def __call__(self, steps: int, show: OnProgress) -> str:
        self.started_with.append(steps)
        for part in range(4):
            self.clock.now_s += self.before_s / 4
            show("features", (part + 1) / 4)
        for step in range(steps):
            self.clock.now_s += self.step_s
            show("steps", (step + 1) / steps)
        for part in range(4):
            self.clock.now_s += self.after_s / 4
            show("densities", (part + 1) / 4)
        return "trained"


def silent(_text: str, _share: float) -> None:
    """Nobody watches."""


def test_a_training_that_fits_keeps_its_steps() -> None:
    """Nothing is cut where everything ends in time."""
    clock = Clock()
    training = Training(clock, before_s=10, step_s=0.5)
    assert train_within(training, 100, 61, silent, clock) == ("trained", 100)
    assert training.started_with == [100]


def test_a_training_that_is_too_slow_gets_fewer_steps() -> None:
    """The pace of the first steps decides how many fit; it ends before the deadline."""
    clock = Clock()
    training = Training(clock, before_s=10, step_s=1.0)
    _, steps = train_within(training, 1000, 100, silent, clock)
    assert 40 <= steps <= 70
    assert training.started_with == [1000, steps]
    assert clock.now_s <= 100


def test_a_training_without_steps_is_ended_at_its_deadline() -> None:
    """Features alone outlast the share: the error names the share and where it stood."""
    clock = Clock()
    with pytest.raises(OutOfTimeError, match=r"share of 30 s \(stopped at 'features'\)"):
        train_within(Training(clock, before_s=400, step_s=0.1), 10, 30, silent, clock)


def test_what_follows_the_steps_may_overrun_the_share() -> None:
    """A density that takes longer than thought does not throw the steps away."""
    clock = Clock()
    training = Training(clock, before_s=10, step_s=1.0, after_s=50)
    assert train_within(training, 60, 80, silent, clock) == ("trained", 60)


def test_a_training_made_shorter_twice_may_overrun_the_share() -> None:
    """On a machine that gets busier each time the third try is not thrown away."""
    clock = Clock()

    class Slower(Training):
        def __call__(self, steps: int, show: OnProgress) -> str:
            self.step_s *= 1.5
            return super().__call__(steps, show)

    training = Slower(clock, before_s=0, step_s=1.0)
    assert train_within(training, 1000, 100, silent, clock)[0] == "trained"
    assert len(training.started_with) == 3
    assert 100 < clock.now_s <= 200


def test_what_follows_the_steps_does_not_overrun_without_end() -> None:
    """As much again as the share is the limit."""
    clock = Clock()
    training = Training(clock, before_s=10, step_s=1.0, after_s=500)
    with pytest.raises(OutOfTimeError, match=r"stopped at 'densities'"):
        train_within(training, 60, 80, silent, clock)


def test_a_single_step_that_does_not_fit_is_an_error() -> None:
    """No number of steps would do: no restart is tried."""
    clock = Clock()
    training = Training(clock, before_s=1, step_s=40)
    with pytest.raises(OutOfTimeError):
        train_within(training, 10, 60, silent, clock)
    assert training.started_with == [10]


def test_no_time_at_all_is_an_error_at_the_first_report() -> None:
    """A share of nothing trains nothing."""
    clock = Clock()
    with pytest.raises(OutOfTimeError, match="share of 0 s"):
        train_within(Training(clock, before_s=1, step_s=1), 10, -5, silent, clock)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("1.5h", 5400)])
def test_durations_are_read(text: str, seconds: float) -> None:
    """Seconds, minutes and hours."""
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "m", "-3m", "0s", "3 days"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """The message says what is expected and what was got."""
    with pytest.raises(ValueError, match="90s, 30m or 2h"):
        duration_s(text)


def test_durations_are_told_in_the_unit_a_person_would_take() -> None:
    """Seconds below a minute and a half, hours above ninety minutes."""
    assert [duration_text(s) for s in (-3, 42, 600, 7200)] == ["0 s", "42 s", "10 min", "2.0 h"]
