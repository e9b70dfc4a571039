"""A device's part as its API describes it, as far as a pull needs it; later releases may add."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Point = tuple[
    Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)],
    Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)],
]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Text = Annotated[str, Field(max_length=4000)]
MOST_POINTS = 10_000


class _Described(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class DeviceDecision(_Described):
    """What one person said of a part.

    Attributes:
        is_current: no later mark of the same person has replaced it.
        accepted_at: when an engineer accepted it; None: it is a proposal.
        acceptance: declined: an engineer said that it is wrong.
    """

    mark: Literal["right", "false_alarm", "missed", "unsure"]
    author: Text = ""
    is_current: bool = True
    accepted_at: Text | None = None
    acceptance: Text | None = None
    defect_class: Text = Field("", alias="class")
    region: tuple[Point, ...] | None = Field(None, max_length=MOST_POINTS)
    note: Text = ""


class DeviceDefect(_Described):
    """Where the device saw a defect, in frame pixels."""

    defect_class: Text | None = Field(None, alias="class")
    polygon: tuple[Point, ...] | None = Field(None, max_length=MOST_POINTS)


class DevicePart(_Described):
    """One part; names and meanings as in the API's `Part`."""

    part_id: str = Field(min_length=1, max_length=1024)
    camera: Text
    captured_at: Text
    state: Literal["OK", "NG", "NOT_INSPECTED"]
    is_suspect: bool = False
    score: Finite | None = None
    threshold: Finite | None = None
    threshold_id: Text = ""
    product: Text | None = None
    serial: int | None = None
    bundle_sha256: Text | None = None
    evidence_url: Text | None = None
    evidence_sha256: Text | None = None
    corners: tuple[Point, ...] = Field((), max_length=MOST_POINTS)
    defects: tuple[DeviceDefect, ...] = Field((), max_length=MOST_POINTS)
    kept_for: tuple[Text, ...] = Field((), max_length=20)
    decisions: tuple[DeviceDecision, ...] = Field((), max_length=1000)
