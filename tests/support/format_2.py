"""Manifests with what format 1 cannot say, one per feature."""

from __future__ import annotations

from collections.abc import Callable

from edge_app.bundle.manifest import Manifest, RegionOfFrame, StationSpec, stamped
from edge_app.bundle.thresholds import LimitOrigin, OperatingPoint, Sensitivity, Thresholds
from support.small_bundles import SCORE_THRESHOLD, bright_manifest

SUSPECT_THRESHOLD = 120.0

ORIGIN = LimitOrigin(
    good_parts=99,
    groups=80,
    folds=5,
    rank=2,
    nominal_rate=0.02,
    expected_rate=0.02,
    rate_bound=0.047,
    operating_points=(
        OperatingPoint(nominal_rate=0.05, rank=5, threshold=130.0, synthetic_recall=0.95),
    ),
    sensitivity=(Sensitivity(kind="scratch", size="small", count=40, recall=0.6),),
)


def with_limits(manifest: Manifest, **changed: object) -> Manifest:
    """Return the manifest with other thresholds in every variant, checked anew."""
    variants = tuple(
        v.model_copy(
            update={"thresholds": Thresholds.model_validate({**dict(v.thresholds), **changed})}
        )
        for v in manifest.variants
    )
    return stamped(manifest.model_copy(update={"variants": variants}))


def _with(**changed: object) -> Manifest:
    return stamped(bright_manifest().model_copy(update=changed))


def station() -> StationSpec:
    """Return a station of grey pictures."""
    return StationSpec(
        missing_is_ng=True, grey_mean=(80.0, 120.0), grey_std=(0.0, 60.0), sharpness=(0.0, 5000.0)
    )


def suspect_manifest() -> Manifest:
    """Return the brightness product with a lower limit."""
    assert SUSPECT_THRESHOLD < SCORE_THRESHOLD
    return with_limits(bright_manifest(), suspect_threshold=SUSPECT_THRESHOLD)


EXAMPLES: dict[str, Callable[[], Manifest]] = {
    "cross_fitted_limits": lambda: with_limits(
        bright_manifest(), promise="cross-fitted, measured", origin=ORIGIN
    ),
    "fixed_region": lambda: _with(region=RegionOfFrame(x=0.25, y=0.25, w=0.5, h=0.5)),
    "missing_product": lambda: _with(station=station()),
    "outline_whole": lambda: _with(
        crop=bright_manifest().crop.model_copy(update={"whole": "outline"})
    ),
    "suspect_limit": suspect_manifest,
}
"""Feature → the brightness product with it."""
