"""A golden part's table in the configuration: a known reject that is shown by schedule."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, field_validator

from edge_app.config.fields import Table, TopicLevel

_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
MOST_TIMES = 48


class GoldenPartConfig(Table):
    """One known reject, `[[golden_part]]`; see docs/golden_parts.md."""

    name: TopicLevel
    camera: TopicLevel
    times: Annotated[tuple[str, ...], Field(strict=False)]
    window_min: float = Field(15.0, ge=1, le=480)
    defect_class: str | None = Field(None, min_length=1, max_length=64)
    serial: str | None = Field(None, min_length=1, max_length=200)

    @field_validator("times")
    @classmethod
    def _are_times(cls, times: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [text for text in times if not _TIME.fullmatch(text)]
        if wrong:
            raise ValueError(
                f"{wrong[0]!r} is no time of day; expected HH:MM of the device's clock, 00:00 to "
                '23:59, e.g. "06:05"'
            )
        if not 1 <= len(set(times)) <= MOST_TIMES:
            raise ValueError(
                f"expected 1 to {MOST_TIMES} times of day, got {len(set(times))}; without one the "
                "part would never be due"
            )
        return tuple(sorted(set(times)))


def check_golden_parts(parts: Sequence[GoldenPartConfig], cameras: Sequence[str]) -> None:
    """Refuse golden parts that share a name or a camera's serial, or that no camera sees.

    Raises:
        ValueError: with the sentence for whoever wrote the file.
    """
    names = [part.name for part in parts]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"golden parts' names must differ; used twice: {', '.join(twice)}")
    for part in parts:
        if part.camera not in cameras:
            raise ValueError(
                f"golden part {part.name} is for camera {part.camera}, and there is none; there "
                f"are: {', '.join(cameras)}"
            )
    known = [(part.camera, part.serial) for part in parts if part.serial is not None]
    if same := sorted({pair for pair in known if known.count(pair) > 1}):
        camera, serial = same[0]
        raise ValueError(
            f"two golden parts of camera {camera} have the serial {serial!r}; give each its own"
        )
