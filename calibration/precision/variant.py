"""A rewritten precision becomes a variant of the bundle: thresholds, golden set, parity."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from calibration.parts.judged import JudgedParts, told_left_out
from calibration.parts.source import GoodSource
from calibration.precision.near_threshold import movement_near
from calibration.precision.parity import (
    Flip,
    PartPairs,
    figures,
    flips,
    map_threshold,
    paired_scores,
)
from calibration.precision.rewritten import Rewritten
from calibration.thresholds.golden_check import GOLDEN_MARGIN, told_blind
from calibration.thresholds.keep import WriteRules, write_changed
from calibration.thresholds.recalibrate import REFERENCE
from calibration.thresholds.report_note import with_note
from edge_app.bundle.archive import Bundle
from edge_app.bundle.manifest import (
    GoldenPart,
    GoldenPicture,
    Manifest,
    Parity,
    Thresholds,
    Variant,
)
from edge_app.errors import DataError
from edge_app.imaging.oriented_box import rotated_iou
from edge_app.model.loaded_model import LoadedModel, limits_of, load_model
from edge_app.model.looks import Look, look_at
from edge_app.records import F64Array


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Parts to compare on: a finite source, and what to call it in the manifest."""

    name: str
    parts: GoodSource


@dataclass(frozen=True, slots=True, eq=False)
class AddedVariant:
    """The bundle with its new variant, and every part that has another verdict.

    Attributes:
        sha256: of the bundle; "" on a dry run.
        told: sentences on what was left out and what the golden set cannot see.
        backup: what was replaced is kept there.
    """

    sha256: str
    variant: Variant
    calibration_flips: list[Flip]
    held_out_flips: list[Flip]
    told: tuple[str, ...]
    backup: Path | None


def add_variant(
    bundle: Bundle,
    rewritten: Rewritten,
    good_parts: Source,
    held_out: Source | None,
    out: Path,
    *,
    is_preferred: bool,
    threads: int,
    progress: Callable[[str, int], None],
    rules: WriteRules | None = None,
) -> AddedVariant:
    """Measure the rewritten graphs against fp32 and write the bundle with them.

    An older variant of the same precision is replaced. The fp32 variant stays as it is.

    Args:
        good_parts: good parts only; they set the thresholds.
        held_out: any parts; they set nothing.
        is_preferred: the new variant comes first; otherwise last.
        progress: called with (what, parts judged so far).
        rules: None: written without a backup.

    Raises:
        DataError: too few different parts, parts of another product or of the training, or a
            golden picture with another verdict than in fp32.
    """
    precision = rewritten.precision
    reference = load_model(bundle, threads, REFERENCE)
    draft = _with_variant(bundle, rewritten, _draft(bundle, rewritten), is_preferred)
    model = load_model(draft, threads, precision)
    judged = JudgedParts(bundle, reference)
    (pairs,) = paired_scores(
        reference, [model], good_parts.parts, lambda n: progress("calibration", n), judged
    )
    good_parts.parts.check_not_trained_on(bundle.manifest.provenance)
    looks = golden_looks(model, draft)
    both = _both_scores(pairs, looks)
    thresholds = _thresholds(bundle.variant(REFERENCE).thresholds, pairs, both, precision)
    model = model.with_limits(limits_of(thresholds))
    old, new = reference.limits.score_threshold, thresholds.score_threshold
    held = None
    if held_out is not None:
        (held,) = paired_scores(
            reference, [model], held_out.parts, lambda n: progress("held out", n)
        )
    parity = Parity(
        ranges=rewritten.ranges,
        int8_nodes=rewritten.int8_nodes,
        fp16_nodes=rewritten.fp16_nodes,
        weight_share=rewritten.weight_share,
        calibration=figures(pairs, old, new, good_parts.name),
        held_out=figures(held, old, new, held_out.name) if held and held_out else None,
    )
    golden = golden_of(model, looks)
    variant = draft.variant(precision).model_copy(
        update={"thresholds": thresholds, "golden": golden, "parity": parity}
    )
    done = _noted(
        _with_variant(bundle, rewritten, variant, is_preferred), variant, good_parts.parts.digests
    )
    written = write_changed(out, done.manifest, done.files, rules or WriteRules())
    blind = told_blind(golden)
    return AddedVariant(
        written.sha256,
        variant,
        flips(pairs, old, new),
        flips(held, old, new) if held else [],
        (*told_left_out(judged, len(pairs.names), good_parts.parts), *([blind] if blind else [])),
        written.backup,
    )


def _noted(bundle: Bundle, variant: Variant, digests: Sequence[str]) -> Bundle:
    """Return the bundle with what it was calibrated on, and a report that names the variant."""
    provenance = bundle.manifest.provenance
    known = provenance.calibration_sha256
    added = (*known, *sorted(set(digests) - set(known)))
    manifest = bundle.manifest.model_copy(
        update={"provenance": provenance.model_copy(update={"calibration_sha256": added})}
    )
    limits, parity = variant.thresholds, variant.parity
    count = parity.calibration.parts if parity is not None else 0
    note = (
        f"{limits.threshold_id}: variant {variant.precision} with threshold "
        f"{limits.score_threshold:.4f}, measured beside fp32 on {count} different good parts"
    )
    return replace(bundle, manifest=manifest, files=with_note(bundle.files, (note,)))


GoldenLooks = list[tuple[GoldenPicture, list[Look]]]
"""The fp32 variant's golden pictures and what another variant sees in them."""


def golden_looks(model: LoadedModel, bundle: Bundle) -> GoldenLooks:
    """Return what a model sees in every golden picture.

    Raises:
        DataError: another number of products than in fp32, or an unreadable picture.
    """
    seen = []
    for picture in bundle.variant(REFERENCE).golden:
        decoded = cv2.imdecode(np.frombuffer(bundle.files[picture.file], np.uint8), 1)
        if decoded is None:
            raise DataError(f"{picture.file} in the bundle is no readable picture; build it again.")
        looks = look_at(model, np.asarray(decoded, np.uint8))
        if len(looks) != len(picture.parts):
            raise DataError(
                f"{picture.file}: {len(looks)} products found, {len(picture.parts)} in fp32. "
                "This precision does not suit the product; leave the bundle as it is."
            )
        seen.append((picture, looks))
    return seen


def golden_of(model: LoadedModel, seen: GoldenLooks) -> tuple[GoldenPicture, ...]:
    """Return the golden pictures as this model sees them; verdicts must be those of fp32.

    Pictures whose score comes too near the threshold are left out.

    Raises:
        DataError: a verdict differs.
    """
    kept = []
    for picture, looks in seen:
        parts = tuple(_golden_part(p, looks, model, picture.file) for p in picture.parts)
        limit = model.limits.score_threshold
        if all(abs(p.score - limit) >= GOLDEN_MARGIN * abs(limit) for p in parts):
            kept.append(GoldenPicture(file=picture.file, parts=parts))
    return tuple(kept)


def _same_part(expected: GoldenPart, looks: list[Look]) -> Look:
    return max(looks, key=lambda k: rotated_iou(k.box_cxcywhr, expected.box_cxcywhr))


def _golden_part(
    expected: GoldenPart, looks: list[Look], model: LoadedModel, file: str
) -> GoldenPart:
    look = _same_part(expected, looks)
    verdict = "NG" if look.anomaly.score >= model.limits.score_threshold else "OK"
    if verdict != expected.verdict:
        raise DataError(
            f"{file}: {verdict} ({look.anomaly.score:.4g}) in {model.identity.precision}, "
            f"{expected.verdict} ({expected.score:.4g}) in fp32. This precision does not suit the "
            "product; leave the bundle as it is."
        )
    return GoldenPart(box_cxcywhr=look.box_cxcywhr, score=look.anomaly.score, verdict=verdict)


def _both_scores(pairs: PartPairs, seen: GoldenLooks) -> F64Array:
    """Return (n, 2) finite scores in fp32 and in the variant, of good parts and golden pictures.

    Good parts alone lie on one side of the threshold, most of them far from it.
    """
    golden = [(p.score, _same_part(p, looks).anomaly.score) for g, looks in seen for p in g.parts]
    both = np.array([*zip(pairs.reference, pairs.variant, strict=True), *golden], np.float64)
    return np.asarray(both[np.isfinite(both).all(axis=1)], np.float64)


def _shift(both: F64Array, threshold: float) -> float:
    """Return by how much this precision moves scores at a threshold of fp32."""
    return movement_near(both[:, 0], both[:, 1], threshold).shift


def _thresholds(old: Thresholds, pairs: PartPairs, both: F64Array, precision: str) -> Thresholds:
    """Return the fp32 variant's thresholds moved by what this precision moves scores there.

    `origin` stays: it says how the fp32 limit was found, on the scale of fp32.
    """
    shift = _shift(both, old.score_threshold)
    score_threshold = old.score_threshold + shift
    suspect = old.suspect_threshold
    if suspect is not None:
        suspect = min(suspect + _shift(both, suspect), score_threshold)
    return old.model_copy(
        update={
            "score_threshold": score_threshold,
            "suspect_threshold": suspect,
            "map_threshold": map_threshold(pairs, old.map_threshold),
            "threshold_id": f"{old.threshold_id}-{precision}",
            "normalisation": old.normalisation.model_copy(
                update={
                    "low": old.normalisation.low + shift,
                    "high": old.normalisation.high + shift,
                }
            ),
            "calibration_scores": tuple(sorted(float(s) for s in pairs.variant)),
        }
    )


def _draft(bundle: Bundle, rewritten: Rewritten) -> Variant:
    """Return the variant with the fp32 one's thresholds, to be measured."""
    names = {name: f"{name}-{rewritten.precision}.onnx" for name in rewritten.graphs}
    return bundle.variant(REFERENCE).model_copy(
        update={
            "precision": rewritten.precision,
            "detector": names.get("detector"),
            "inspector": names["inspector"],
            "golden": (),
        }
    )


def _with_variant(
    bundle: Bundle, rewritten: Rewritten, variant: Variant, is_preferred: bool
) -> Bundle:
    """Return the bundle, in memory, with this variant in place of one of the same precision."""
    others = tuple(v for v in bundle.manifest.variants if v.precision != variant.precision)
    variants = (variant, *others) if is_preferred else (*others, variant)
    manifest: Manifest = bundle.manifest.model_copy(update={"variants": variants})
    named = {f"{name}-{variant.precision}.onnx": g for name, g in rewritten.graphs.items()}
    return replace(bundle, manifest=manifest, files={**bundle.files, **named})


def flip_table(found: list[Flip]) -> str:
    """Return every flipped part on a line of its own, with its distances from the thresholds."""
    text = io.StringIO()
    for flip in found:
        text.write(
            f"  {flip.name}: {flip.reference_margin:+.2%} in fp32, "
            f"{flip.variant_margin:+.2%} here, of the threshold\n"
        )
    return text.getvalue()
