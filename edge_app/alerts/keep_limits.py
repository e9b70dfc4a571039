"""How much is kept of which pictures: shares of the space, numbers an hour and a day, and ages.

A kind has a share of the space, so that a flood of one kind takes no other kind's place. Alerts'
pictures have no limit of their own: those beyond their numbers are kept too, but go first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from edge_app.records import KeepReason

PER_HOUR: Mapping[KeepReason, int] = MappingProxyType(
    {"ng": 600, "suspect": 60, "near_miss": 30, "not_inspected": 60, "random": 60}
)
PER_DAY: Mapping[KeepReason, int] = MappingProxyType(
    {"ng": 5000, "suspect": 300, "near_miss": 150, "not_inspected": 300, "random": 300}
)
"""Defaults of the configuration."""

SHARES: Mapping[KeepReason, float] = MappingProxyType(
    {"suspect": 0.07, "near_miss": 0.04, "not_inspected": 0.07, "random": 0.07}
)
"""Of the space, at most, each; what they and the crops leave is the alerts' alone."""

CROP_SHARE = 0.21
"""Of the space, at most, for crops whose frames have gone."""

ALERT_SHARE = 1 - CROP_SHARE - sum(SHARES.values())
"""Of the space, at least."""

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class KeepLimits:
    """What limits the pictures that are kept, beside age and size of the whole.

    Attributes:
        per_hour, per_day: pictures of a kind in any hour and any day; 0: none is kept (of bad
            parts: each is one of those that go first).
        crop_max_age_h: crops stay this long, their frames as long as the store says.
        sample_share: share of all parts that are drawn at random; stands in the sidecars.
    """

    per_hour: Mapping[KeepReason, int] = field(default_factory=lambda: PER_HOUR)
    per_day: Mapping[KeepReason, int] = field(default_factory=lambda: PER_DAY)
    crop_max_age_h: float = 672.0
    sample_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of one kept part: the demo's camera, JPEG quality 90; see docs/page.md."""

    frame: float = 112_000.0
    crop: float = 10_000.0
    sidecar: float = 2_500.0
    map: float = 2_000.0

    @property
    def beside(self) -> float:
        """What lies beside the frame."""
        return self.crop + self.sidecar + self.map


@dataclass(frozen=True, slots=True)
class Reach:
    """How far back pictures go, in days.

    Attributes:
        frames: of bad parts, whole pictures.
        crops: of all that is kept, crops.
    """

    frames: float
    crops: float


def reach(
    max_bytes: int,
    max_age_h: float,
    limits: KeepLimits,
    bad_a_second: float,
    sizes: Sizes | None = None,
) -> Reach:
    """Return how far back pictures go on a line where every other kind is kept up to its number.

    Args:
        max_bytes: space for all.
        max_age_h: of frames.
        bad_a_second: NG parts.
    """
    of = sizes or Sizes()
    whole = of.frame + of.beside
    bad_a_day = bad_a_second * DAY_S
    others_a_day = float(sum(limits.per_day[kind] for kind in SHARES))
    frames = ALERT_SHARE * max_bytes / (bad_a_day * whole) if bad_a_day else float("inf")
    frames = min(frames, max_age_h / 24)
    a_day = (bad_a_day + others_a_day) * of.beside
    crops = frames + CROP_SHARE * max_bytes / a_day if a_day else float("inf")
    return Reach(frames, max(frames, min(crops, limits.crop_max_age_h / 24)))
