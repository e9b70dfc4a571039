"""From a bundle and a stream of good parts to the bundle with one more precision."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from calibration.parts.source import GoodSource, check_ends, check_not_trained_on
from calibration.precision.int8_choice import PICTURES, int8_graphs
from calibration.precision.rewritten import Rewritten, fp16_graphs
from calibration.precision.variant import AddedVariant, Source, add_variant, flip_table
from calibration.thresholds.keep import WriteRules, check_out
from edge_app.bundle.archive import Bundle, read_bundle
from edge_app.bundle.manifest import ParityFigures
from edge_app.cameras.registry import open_camera
from edge_app.cameras.source_url import parse_source_url
from edge_app.errors import DataError
from edge_app.records import U8Array


@dataclass(frozen=True, slots=True)
class VariantOptions:
    """What a person can choose.

    Attributes:
        source: address of good parts; held_out: of any parts.
        is_preferred: devices take the new variant first.
        threads: per graph run; 0 leaves it to ONNX Runtime.
        rules: how it is written; its `is_accepted` changes nothing here.
        most_parts: read so many parts of each source; None: all.
    """

    bundle: Path
    precision: Literal["fp16", "int8"]
    source: str
    held_out: str | None
    is_preferred: bool
    threads: int
    out: Path
    rules: WriteRules = field(default_factory=WriteRules)
    most_parts: int | None = None


def make_variant(options: VariantOptions, on_progress: Callable[[str], None]) -> AddedVariant:
    """Rewrite the graphs, measure them beside fp32 and write the bundle.

    Args:
        on_progress: called with one short line of progress.

    Raises:
        BundleError, DataError, ModelError: see `fp16_graphs`, `int8_graphs` and `add_variant`.
    """
    bundle = read_bundle(options.bundle)
    check_out(options.out)
    for url in filter(None, (options.source, options.held_out)):
        check_ends(url, options.most_parts)
    check_not_trained_on(options.source, bundle.manifest.provenance)
    rewritten = _rewritten(bundle, options, on_progress)
    most = options.most_parts
    held_out = _source(options.held_out, most) if options.held_out else None
    return add_variant(
        bundle,
        rewritten,
        _source(options.source, most),
        held_out,
        options.out,
        is_preferred=options.is_preferred,
        threads=options.threads,
        progress=lambda what, parts: on_progress(f"{what}: {parts} parts through both lines"),
        rules=options.rules,
    )


def summary(added: AddedVariant) -> str:
    """Return what a person should know of the new variant."""
    parity = added.variant.parity
    assert parity is not None  # `add_variant` always measures it
    lines = [f"{added.variant.precision}: threshold {added.variant.thresholds.score_threshold:.4f}"]
    for graph, rule in parity.ranges.items():
        int8, half = len(parity.int8_nodes[graph]), len(parity.fp16_nodes[graph])
        lines.append(f"{graph}: {int8} layers in int8 (ranges: {rule}), {half} left in fp16")
    shares = (f"{kind} layers {share:.2f}" for kind, share in parity.weight_share.items())
    lines.append(f"size of the weights beside fp32: {', '.join(shares)}")
    lines.append(_figures_line("calibration", parity.calibration))
    lines.append(flip_table(added.calibration_flips).rstrip())
    if parity.held_out is not None:
        lines.append(_figures_line("held out", parity.held_out))
        lines.append(flip_table(added.held_out_flips).rstrip())
    lines.append(f"golden pictures: {len(added.variant.golden)}, none with another verdict")
    return "\n".join(line for line in lines if line)


def _figures_line(what: str, found: ParityFigures) -> str:
    return (
        f"{what}: {found.flips} of {found.parts} parts flip ({found.flips / found.parts:.2%}), "
        f"{found.unmatched} judged by one only; score difference median "
        f"{found.score_difference_median:.2%}, largest {found.score_difference_largest:.2%} of the "
        "threshold"
    )


def _rewritten(
    bundle: Bundle, options: VariantOptions, on_progress: Callable[[str], None]
) -> Rewritten:
    if options.precision == "fp16":
        return fp16_graphs(bundle)
    frames = _first_frames(options.source, PICTURES, options.most_parts)
    return int8_graphs(
        bundle, frames, options.threads, lambda what, share: on_progress(f"{what} {share:.0%}")
    )


def _first_frames(url: str, count: int, most_parts: int | None) -> list[U8Array]:
    source = GoodSource(open_camera(url, "calibration"), most_parts)
    with closing(source.frames()) as shown:
        frames = [frame.pixels_hwc for frame in itertools.islice(shown, count)]
    if not frames:
        raise DataError(f"The source {url} shows no picture; int8 ranges need real ones.")
    return frames


def _source(url: str, most_parts: int | None) -> Source:
    """Return the source, named without a path: the same inputs give the same bundle."""
    parsed = parse_source_url(url)
    name = url if parsed.scheme == "sim" else f"{parsed.scheme}:{Path(parsed.path).name}"
    return Source(name, GoodSource(open_camera(url, "calibration"), most_parts))
