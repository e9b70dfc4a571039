"""How long a training may take: it ends in time with fewer steps, or is given up.

A method reports its progress; the pace is read off the first steps. A training that would not end
in time starts again with as many steps as fit, so that its learning-rate schedule still ends where
it should.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TypeVar

from edge_app.errors import DataError
from export.workspace import OnProgress

Now = Callable[[], float]
"""Seconds of a clock that never goes back."""

Result = TypeVar("Result")

PROBE_S = 2.0
"""Steps are timed for at least so long before anything is concluded from them."""

STEPS_SHARE = 0.8
"""Of the time left that steps may fill; the rest is for densities, maps and the export."""

OVERRUN = 1.0
"""Of its share that a training may take besides once its steps are done, or once it has been made
shorter twice: what takes longer than thought does not throw the steps away."""

RESTARTS = 2
"""A training made of several parts may overrun in each of them; after that it ends with OVERRUN."""

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smh])")
_UNIT_S = {"s": 1.0, "m": 60.0, "h": 3600.0}


class OutOfTimeError(DataError):
    """A training did not end within its share of the time."""


class FewerSteps(Exception):
    """A training would end too late: so many steps would end in time."""

    def __init__(self, steps: int) -> None:
        super().__init__(steps)
        self.steps = steps


def duration_s(text: str) -> float:
    """Return the seconds of "90s", "30m" or "2h".

    Raises:
        ValueError: the text is no such duration, or 0.
    """
    found = _DURATION.fullmatch(text.strip())
    seconds = float(found[1]) * _UNIT_S[found[2]] if found else 0.0
    if seconds <= 0:
        raise ValueError(f"expected a duration such as 90s, 30m or 2h, got {text!r}")
    return seconds


def duration_text(seconds: float) -> str:
    """Return seconds as a person says them."""
    if seconds < 90:
        return f"{max(0.0, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def train_within(
    train: Callable[[int, OnProgress], Result],
    steps: int,
    seconds: float,
    on_progress: OnProgress,
    now: Now = time.monotonic,
) -> tuple[Result, int]:
    """Return what `train(steps, on_progress)` returns, and with how many steps it ended in time.

    Args:
        steps: most optimiser steps; fewer are taken where these do not fit.

    Raises:
        OutOfTimeError: not even one step, or what needs no steps, ends in time; or what follows
            the steps takes longer than OVERRUN allows.
    """
    deadline = now() + seconds
    for restarts_left in range(RESTARTS, -1, -1):
        pace = Pace(steps, seconds, deadline, restarts_left > 0, on_progress, now)
        try:
            return train(steps, pace), steps
        except FewerSteps as fewer:
            steps = fewer.steps
    raise AssertionError("the last round raises no FewerSteps")


class Pace:
    """A progress callback that stops a training which would not end in time.

    Args:
        steps: that the training was given.
        seconds: its share, for the message.
        deadline: on the clock `now`.
        may_restart: whether FewerSteps may be raised.
    """

    def __init__(
        self,
        steps: int,
        seconds: float,
        deadline: float,
        may_restart: bool,
        on_progress: OnProgress,
        now: Now,
    ) -> None:
        self._steps, self._seconds, self._deadline = steps, seconds, deadline
        self._may_restart, self._show, self._now = may_restart, on_progress, now
        self._started = now()
        self._part, self._began, self._first = "", self._started, 0.0
        self._has_learnt = False

    def __call__(self, text: str, share: float) -> None:
        """Pass progress on.

        Raises:
            FewerSteps, OutOfTimeError: see the class.
        """
        self._show(text, share)
        now = self._now()
        is_last = self._has_learnt or (self._is_stepped and not self._may_restart)
        grace_s = OVERRUN * self._seconds if is_last else 0.0
        if now > self._deadline + grace_s:
            raise self._out_of_time(text)
        if text != self._part:
            self._part, self._began, self._first = text, now, share
        elif self._may_restart and self._is_stepped and now - self._began >= PROBE_S:
            self._look_ahead(text, share, now)
        self._has_learnt |= self._is_stepped and share >= 1.0

    @property
    def _is_stepped(self) -> bool:
        """The part counts the steps it was given: its first report is one of them."""
        return abs(self._first * self._steps - 1) < 1e-6

    def _look_ahead(self, text: str, share: float, now: float) -> None:
        done = (share - self._first) * self._steps
        step_s = (now - self._began) / max(done, 1.0)
        if self._began + (self._steps - 1) * step_s <= self._deadline:
            return
        before_s = self._began - self._started  # comes again after a restart
        fitting = int(STEPS_SHARE * (self._deadline - now - before_s) / step_s)
        if fitting < 1:
            raise self._out_of_time(text)
        if fitting < self._steps:
            raise FewerSteps(fitting)

    def _out_of_time(self, text: str) -> OutOfTimeError:
        return OutOfTimeError(
            f"Training did not end within its share of {duration_text(self._seconds)} (stopped at "
            f"{text!r}): give a larger budget or name fewer methods."
        )
