"""The golden pictures under another limit: which keep their verdict, which must not lose it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_app.bundle.manifest import GoldenPicture
from edge_app.errors import DataError

GOLDEN_MARGIN = 0.05
"""A golden score keeps this distance from the threshold, as a fraction of it."""


@dataclass(frozen=True, slots=True)
class Rejudged:
    """What becomes of the golden pictures.

    Attributes:
        kept: with their verdicts under the new limit; a score too near it is left out, so that
            rounding flips no verdict.
        now_ok: files with a part that was NG and no longer is.
        now_ng: files with a part that was OK and no longer is.
        too_near: files left out.
        was: how many there were.
    """

    kept: tuple[GoldenPicture, ...]
    now_ok: tuple[str, ...]
    now_ng: tuple[str, ...]
    too_near: tuple[str, ...]
    was: int


def rejudged(golden: Sequence[GoldenPicture], threshold: float) -> Rejudged:
    """Return the golden pictures under a new threshold."""
    kept, near = [], []
    for picture in golden:
        if any(abs(p.score - threshold) < GOLDEN_MARGIN * abs(threshold) for p in picture.parts):
            near.append(picture.file)
            continue
        parts = tuple(
            p.model_copy(update={"verdict": "NG" if p.score >= threshold else "OK"})
            for p in picture.parts
        )
        kept.append(picture.model_copy(update={"parts": parts}))
    return Rejudged(
        tuple(kept),
        _flipped(golden, "NG", threshold),
        _flipped(golden, "OK", threshold),
        tuple(near),
        len(golden),
    )


def check_rejudged(found: Rejudged, threshold: float, is_accepted: bool) -> None:
    """Refuse a limit that the golden set speaks against.

    Args:
        is_accepted: a person accepts that golden defects are no longer found.

    Raises:
        DataError: a golden NG becomes OK, or every golden picture lies too near the limit.
    """
    if found.now_ok and not is_accepted:
        raise DataError(
            f"At the limit {threshold:.4g} {len(found.now_ok)} of {found.was} golden pictures with "
            f"a defect would be OK ({_some(found.now_ok)}): the bundle would no longer see what it "
            "was built to see. Are these good parts of this product, without a bad one among them? "
            "Nothing is written; --accept writes it all the same."
        )
    if found.was and not found.kept:
        raise DataError(
            f"All {found.was} golden pictures score within {GOLDEN_MARGIN:.0%} of the limit "
            f"{threshold:.4f}: no device could check the bundle by them. Choose another rate, or "
            "build again with this --false-alarm-rate."
        )


def told_golden(found: Rejudged) -> tuple[str, ...]:
    """Return a sentence for everything that a person must know of the golden set."""
    told = []
    if found.now_ok:
        told.append(
            f"{len(found.now_ok)} golden pictures with a defect are OK now ({_some(found.now_ok)})"
        )
    if found.now_ng:
        told.append(f"{len(found.now_ng)} good golden pictures are NG now ({_some(found.now_ng)})")
    if found.too_near:
        told.append(f"{len(found.too_near)} golden pictures lie too near the new limit: left out")
    blind = told_blind(found.kept)
    return (*told, blind) if blind else tuple(told)


def told_blind(golden: Sequence[GoldenPicture]) -> str:
    """Return what a golden set without an NG cannot do; "" for one with an NG, or without
    pictures: that is refused by every device."""
    if not golden or any(part.verdict == "NG" for picture in golden for part in picture.parts):
        return ""
    return (
        f"none of the {len(golden)} golden pictures is NG: a device's self-check cannot see a deaf "
        "model, one that scores everything low. Build the bundle again for a golden set with "
        "defects."
    )


def _flipped(golden: Sequence[GoldenPicture], verdict: str, threshold: float) -> tuple[str, ...]:
    return tuple(
        picture.file
        for picture in golden
        if any(
            p.verdict == verdict and (p.score >= threshold) != (verdict == "NG")
            for p in picture.parts
        )
    )


def _some(files: Sequence[str]) -> str:
    return ", ".join(files[:3]) + (", ..." if len(files) > 3 else "")
