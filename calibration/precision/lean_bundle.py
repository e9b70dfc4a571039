"""A bundle of an earlier build gets the graphs a build would write now: same numbers, faster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from calibration.graphs.lean_graph import lean
from calibration.graphs.onnx_graph import save_graph
from calibration.graphs.operators import check_for_tensorrt
from calibration.precision.rewritten import named_fp32, reference_graphs, with_fp32_nodes
from calibration.precision.variant import golden_looks
from calibration.thresholds.keep import WriteRules, check_out, write_changed
from calibration.thresholds.recalibrate import REFERENCE
from edge_app.bundle.archive import Bundle, read_bundle
from edge_app.errors import DataError
from edge_app.model.loaded_model import load_model

MAX_DIFFERENCE = 1e-4
"""Of golden scores, as a share of the limit; what the order of a sum changes is a hundredth of it.
Golden scores lie further from the limit than that, so that their verdicts stay."""


@dataclass(frozen=True, slots=True)
class LeanBundle:
    """What came of it.

    Attributes:
        sha256: of the bundle; "" on a dry run or where nothing could be made faster.
        nodes: graph → (nodes before, nodes now), of the graphs that changed.
        pictures: golden pictures that were judged with both.
        largest: difference of a golden score, as a share of the limit.
        backup: what was replaced is kept there.
    """

    sha256: str
    nodes: dict[str, tuple[int, int]]
    pictures: int
    largest: float
    backup: Path | None


def make_lean(path: Path, out: Path, rules: WriteRules) -> LeanBundle:
    """Rewrite a bundle's fp32 graphs, judge its golden pictures with both, and write it.

    Limits, golden expectations and other variants stay as they are.

    Raises:
        BundleError: no bundle, or none with an fp32 variant.
        ModelError: a graph cannot be read.
        DataError: a golden picture comes out otherwise; nothing is written.
        OutputError: see `check_out`.
    """
    bundle = read_bundle(path)
    check_out(out)
    graphs = {name: onnx.load_from_string(g) for name, g in reference_graphs(bundle).items()}
    rewritten = {name: lean(graph) for name, graph in graphs.items()}
    nodes = {
        name: (len(graph.graph.node), len(rewritten[name].graph.node))
        for name, graph in graphs.items()
        if len(rewritten[name].graph.node) != len(graph.graph.node)
    }
    if not nodes:
        return LeanBundle("", {}, 0, 0.0, None)
    done = _with_graphs(bundle, {name: rewritten[name] for name in nodes})
    largest = _largest_difference(bundle, done)
    written = write_changed(out, done.manifest, done.files, rules)
    count = len(bundle.variant(REFERENCE).golden)
    return LeanBundle(written.sha256, nodes, count, largest, written.backup)


def _with_graphs(bundle: Bundle, graphs: dict[str, onnx.ModelProto]) -> Bundle:
    """Return the bundle, in memory, with other graphs in its fp32 variant."""
    variant, manifest = bundle.variant(REFERENCE), bundle.manifest
    files = dict(bundle.files)
    for name, graph in graphs.items():
        file = variant.inspector if name == "inspector" else variant.detector
        assert file is not None  # `reference_graphs` names only those that the variant has
        files[file] = save_graph(graph)
        check_for_tensorrt(files[file], file)
    kept = named_fp32(manifest)
    if "inspector" in graphs and kept is not None:
        nodes = graphs["inspector"].graph.node
        manifest = with_fp32_nodes(manifest, [n.name for n in nodes if _is_of(n.name, kept)])
    return replace(bundle, manifest=manifest, files=files)


def _is_of(name: str, nodes: Sequence[str]) -> bool:
    """Tell whether a node is one of these, or was put in the place of one: NAME/what it does."""
    return name in nodes or name.rpartition("/")[0] in nodes


def _largest_difference(before: Bundle, after: Bundle) -> float:
    """Return how far golden scores differ, as a share of the limit.

    Raises:
        DataError: a picture shows other parts, or a score differs by more than MAX_DIFFERENCE.
    """
    reference = load_model(before, precision=REFERENCE)
    limit = abs(reference.limits.score_threshold) or 1.0
    old = golden_looks(reference, before)
    new = golden_looks(load_model(after, precision=REFERENCE), after)
    largest = 0.0
    for (picture, looks), (_, again) in zip(old, new, strict=True):
        for a, b in zip(looks, again, strict=True):
            largest = max(largest, abs(a.anomaly.score - b.anomaly.score) / limit)
        if largest > MAX_DIFFERENCE:
            raise DataError(
                f"{picture.file}: a score differs by {largest:.2%} of the limit with the rewritten "
                f"graphs, {MAX_DIFFERENCE:.2%} is allowed. Nothing is written; the bundle is good "
                "as it is. Please send us its graphs."
            )
    return largest
