"""How long a detector trains: in cycles, until the pose on reserved pictures is good enough.

In each cycle the learning rate falls linearly to nearly nothing, so that its end tells what the
training is worth (at a constant rate the same figures jump by a factor of three from check to
check). There the moving average looks at the reserved pictures: where place, size, angle and
confidence are good, or no longer get better, the training ends, else another cycle follows. What
never gets good trains as long as release 0.1.0 did.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from export.detector.pose_errors import PoseErrors

BATCH = 8
"""Scenes in a step. On screws 160 steps of 8 found all of them, 100 steps of 16 none."""

ROUND_STEPS = 40
"""Between two states that a stopped training resumes from."""

WARM_UP_STEPS = 20
FINAL_RATE_SHARE = 0.01

FIRST_CYCLE, NEXT_CYCLE = 320, 160
NEXT_RATE = 0.5
"""Steps of the first and of every other cycle, and the rate that the others begin at."""

SLOW_STEPS = 640
SLOW_PASSES = 30
"""The longest training: so many steps, or passes through the pictures, whatever is more."""

GOOD_MISSED = 0.05
GOOD_CENTRE, GOOD_SIZE, GOOD_ANGLE_DEG = 0.04, 0.08, 3.0
GOOD_CONFIDENCE = 0.5
"""Good enough for nine in ten parts: registration reaches from three times as far."""

STILL_BETTER = 0.9
"""The mean overlap's error fell below this share of the cycle before: it still gets better."""

LEAST_LEARNT = 8
"""With fewer pictures left to learn from none is reserved."""


@dataclass(frozen=True, slots=True)
class Course:
    """What has been decided on the way.

    Attributes:
        starts: the first step of the cycle that runs.
        ends: the step after its last.
        overlaps: the mean of 1 − IoU at the end of each cycle so far.
        is_done: the training has ended.
    """

    starts: int = 0
    ends: int = 0
    overlaps: tuple[float, ...] = ()
    is_done: bool = False


@dataclass(frozen=True, slots=True)
class Schedule:
    """Learning rate and end of a training.

    Attributes:
        most_steps: it ends here at the latest.
        is_fixed: it ends exactly there, in one cycle.
    """

    most_steps: int
    is_fixed: bool

    def begin(self) -> Course:
        """Return the course before the first step."""
        return Course(0, self.most_steps if self.is_fixed else min(FIRST_CYCLE, self.most_steps))

    def round_end(self, step: int, course: Course) -> int:
        """Return the step after the last of the round that begins at `step`."""
        return min(step + ROUND_STEPS, course.ends)

    def rate_share(self, step: int, course: Course) -> float:
        """Return the learning rate of a step, as a share of the full one."""
        done = (step - course.starts) / max(1, course.ends - course.starts)
        height = NEXT_RATE if course.starts else 1.0
        warm = min(1.0, (step + 1) / WARM_UP_STEPS)
        return warm * height * (1 - (1 - FINAL_RATE_SHARE) * done)

    def is_check(self, step: int, course: Course) -> bool:
        """Return whether a cycle has just ended."""
        return step >= course.ends

    def after_cycle(self, course: Course, errors: PoseErrors | None) -> Course:
        """Return the course after a cycle: another one, or the end."""
        found = course.overlaps if errors is None else (*course.overlaps, errors.overlap)
        course = replace(course, overlaps=found)
        if course.ends >= self.most_steps or (errors is not None and _is_enough(errors, found)):
            return replace(course, is_done=True)
        ends = min(course.ends + NEXT_CYCLE, self.most_steps)
        return replace(course, starts=course.ends, ends=ends)


def schedule_for(picture_count: int, steps: int | None) -> Schedule:
    """Return the schedule: of `steps` steps, or stopped by the pose where they are None."""
    if steps is not None:
        return Schedule(steps, True)
    passes = SLOW_PASSES * math.ceil(picture_count / BATCH)
    return Schedule(max(SLOW_STEPS, passes), reserved_count(picture_count) == 0)


def reserved_count(picture_count: int) -> int:
    """Return how many pictures are kept back to stop by: about one in eight, 3 to 16."""
    count = min(16, max(3, picture_count // 8))
    return count if picture_count - count >= LEAST_LEARNT else 0


def _is_enough(errors: PoseErrors, overlaps: tuple[float, ...]) -> bool:
    is_good = (
        errors.missed <= GOOD_MISSED
        and errors.centre <= GOOD_CENTRE
        and errors.size <= GOOD_SIZE
        and errors.angle_deg <= GOOD_ANGLE_DEG
        and errors.confidence >= GOOD_CONFIDENCE
    )
    if is_good or len(overlaps) < 2 or errors.missed > GOOD_MISSED:
        return is_good
    return overlaps[-1] >= STILL_BETTER * overlaps[-2]
