"""Whether good parts are those of the bundle: by what they look like and by what they score.

A limit set from another product's pictures lies above everything, and the bundle is deaf. So the
parts are held against what the bundle knows of its own: the upright crops of its golden pictures
(the pose), the scores its limit was set from, and the present limit.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from calibration.parts.groups import nearest_rms, thumbnail
from calibration.parts.looks import coarse_look
from edge_app.bundle.archive import Bundle
from edge_app.bundle.manifest import Thresholds
from edge_app.errors import DataError
from edge_app.model.loaded_model import LoadedModel
from edge_app.model.looks import look_at
from edge_app.records import F32Array, F64Array

FEWEST_GOLDEN = 4
"""Golden parts that can say what the product looks like."""

LOOK_MARGIN = 0.15
"""Correlation by which the median part may look less like the golden parts than they themselves.
Their own median is 0.99 (simulated), 0.92 (cubes), 0.59 (tiles), 0.57 and 0.49 (screws), on good
pictures of public sets; other products' parts reach −0.6 to 0.47. A texture without a fixed place,
such as circuit boards at random offsets (−0.03), is told by its scores alone."""

FEWEST_SCORES = 20
"""Of the old limit; fewer say nothing about how low good parts score."""

MOST_UNJUDGED = 0.5
"""Share of the parts in which no pose is found; more, and it is not the product's pose."""


@dataclass(frozen=True, slots=True, eq=False)
class GoldenLooks:
    """What the golden pictures show.

    Attributes:
        mean: float32 (576,), unit length: the mean coarse look; zeros where it says nothing.
        lowest: the correlation with `mean` that the median of the bundle's own parts keeps.
        usual_rms: (pictures, crops): by how many grey levels different parts differ at least.
    """

    mean: F32Array
    lowest: float
    usual_rms: tuple[float, float]


def golden_looks_of(bundle: Bundle, model: LoadedModel) -> GoldenLooks:
    """Return what a bundle's golden pictures show of its product; unreadable ones are left out."""
    coarse: list[tuple[bool, F32Array]] = []
    pictures, crops = [], []
    for golden in bundle.variant(model.identity.precision).golden:
        decoded = cv2.imdecode(np.frombuffer(bundle.files[golden.file], np.uint8), 1)
        if decoded is None:
            continue
        pixels = np.asarray(decoded, np.uint8)
        pictures.append(thumbnail(pixels))
        is_ok = all(part.verdict == "OK" for part in golden.parts)
        for look in look_at(model, pixels):
            coarse.append((is_ok, coarse_look(look.crop)))
            crops.append(thumbnail(look.crop))
    usual = (nearest_rms(pictures), nearest_rms(crops))
    good = [row for is_ok, row in coarse if is_ok and row.any()]
    rows = good if len(good) >= FEWEST_GOLDEN else [row for _, row in coarse if row.any()]
    if len(rows) < FEWEST_GOLDEN:
        return GoldenLooks(np.zeros(0, np.float32), -1.0, usual)
    return GoldenLooks(_unit(np.sum(rows, axis=0)), _lowest(np.stack(rows)), usual)


def check_product(
    product: str,
    golden: GoldenLooks,
    coarse: F32Array,
    scores: F64Array,
    old: Thresholds,
) -> None:
    """Refuse parts that are not the product's.

    Args:
        coarse: (n, 576) of the judged parts, see `coarse_look`.
        scores: (n,) of distinct judged parts.
        old: the limit in force and the scores it was set from.

    Raises:
        DataError: they do not look or score like the product.
    """
    wrong = _wrong_look(golden, coarse) or _wrong_scores(scores, old)
    if wrong:
        raise _not_of(product, wrong)


def check_judged(product: str, judged: int, unjudged: int, unlike: int) -> None:
    """Refuse parts of which most could not be judged: they are no views of the product.

    Args:
        unjudged: parts that were seen and not judged.
        unlike: those of them whose pictures can be none of the product.

    Raises:
        DataError: more than MOST_UNJUDGED of them.
    """
    if unjudged <= MOST_UNJUDGED * (judged + unjudged):
        return
    why = f"{unjudged} of {judged + unjudged} could not be judged, expected nearly all"
    if unlike:
        why = f"they look unlike its golden pictures ({unlike} of {judged + unjudged}; {why})"
    raise _not_of(product, why)


def _not_of(product: str, why: str) -> DataError:
    return DataError(
        f"These are not good parts of {product}: {why}. A limit from them would make the "
        "bundle deaf. Give pictures of good parts from its own station; where that has "
        "changed, build the bundle again."
    )


def _wrong_look(golden: GoldenLooks, coarse: F32Array) -> str:
    if not golden.mean.size or not len(coarse):
        return ""
    alike = float(np.median(coarse @ golden.mean))
    if alike >= golden.lowest:
        return ""
    return (
        f"they look unlike its golden pictures (median correlation {alike:.2f}, expected at least "
        f"{golden.lowest:.2f})"
    )


def _wrong_scores(scores: F64Array, old: Thresholds) -> str:
    median, limit = float(np.median(scores)), old.score_threshold
    if median >= limit:
        count = int(np.count_nonzero(scores >= limit))
        return (
            f"the present limit {limit:.4g} alarms {count} of {len(scores)} (median score "
            f"{median:.4g}), expected hardly any"
        )
    known = np.array(old.calibration_scores)
    least = 2.0 * float(known.min()) - float(np.median(known))
    if len(known) >= FEWEST_SCORES and median < least:
        return f"they score {median:.4g} in the median, its own parts never below {known.min():.4g}"
    return ""


def _lowest(rows: F32Array) -> float:
    """Return the least correlation of the rows with the mean of the others, less a margin.

    The less alike the rows are, the less a few of them say: the margin grows.
    """
    total = rows.sum(axis=0)
    own = np.array([float(row @ _unit(total - row)) for row in rows])
    usual = float(np.median(own))
    return min(float(own.min()), usual - LOOK_MARGIN) - LOOK_MARGIN * (1.0 - usual)


def _unit(row: F32Array) -> F32Array:
    length = float(np.linalg.norm(row))
    return np.asarray(row / length if length > 0 else row, np.float32)
