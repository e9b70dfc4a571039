"""The most of a manifest that release 0.1.0 can judge with."""

from __future__ import annotations

from edge_app.bundle.manifest import Manifest, Variant, stamped
from edge_app.bundle.thresholds import CROSS_FITTED, Thresholds
from edge_app.errors import DataError


def as_format_1(manifest: Manifest) -> tuple[Manifest, tuple[str, ...]]:
    """Return the manifest in format 1, and a sentence for everything that is left out.

    Thresholds, and so the verdicts, stay as they are.

    Raises:
        DataError: 0.1.0 would judge other parts or other pixels, and nobody would notice.
    """
    if manifest.region is not None:
        raise DataError(
            "--format 1: the product fills a fixed region of the frame, and release 0.1.0 would "
            "judge the whole frame. Build it with a detector, or without --format 1 and update "
            "the devices."
        )
    if manifest.crop.whole != "box":
        raise DataError(
            "--format 1: a part is whole when its outline is in the frame, and release 0.1.0 would "
            "leave out parts whose box has a corner outside. Build it without --format 1 and "
            "update the devices, or give pictures with more room around the part."
        )
    variants = tuple(_plain(variant) for variant in manifest.variants)
    plain = manifest.model_copy(update={"variants": variants, "station": None})
    return stamped(plain), _left_out(manifest)


def at_most_format(number: int, manifest: Manifest) -> tuple[Manifest, tuple[str, ...]]:
    """Return the manifest in format 1 where that is asked for (`as_format_1`), else as it is."""
    return as_format_1(manifest) if number == 1 else (manifest, ())


def _plain(variant: Variant) -> Variant:
    t = variant.thresholds
    promise = "extrapolated, not guaranteed" if t.promise == CROSS_FITTED else t.promise
    changes = {"promise": promise, "origin": None, "suspect_threshold": None}
    return variant.model_copy(
        update={"thresholds": Thresholds.model_validate({**dict(t), **changes})}
    )


def _left_out(manifest: Manifest) -> tuple[str, ...]:
    sentences = {
        "cross_fitted_limits": "the threshold stays, but its promise is stated as "
        "extrapolated, not guaranteed, and how it was found is left out",
        "missing_product": "a station without its product is NOT_INSPECTED instead of NG",
        "suspect_limit": "the suspect threshold is left out: no part is marked suspect",
    }
    return tuple(f"format 1: {s}" for f, s in sentences.items() if f in manifest.requires)
