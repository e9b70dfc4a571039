"""A bundle's graphs in another precision, before anything is known of how near they stay."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field

from calibration.graphs.onnx_graph import load_graph, network_nodes, weight_bytes
from calibration.graphs.operators import check_for_tensorrt
from calibration.precision.fp16 import to_fp16
from calibration.thresholds.recalibrate import REFERENCE
from edge_app.bundle.archive import Bundle
from edge_app.bundle.manifest import Manifest
from edge_app.errors import BundleError

_NOTE = "fp32_nodes: "
"""How the build writes the method's fp32 nodes into the bundle's notes."""


@dataclass(frozen=True, slots=True, eq=False)
class Rewritten:
    """Graphs of one precision.

    Attributes:
        graphs: "inspector" and, where there is one, "detector" → ONNX.
        ranges, int8_nodes, fp16_nodes, weight_share: as in the manifest's `Parity`.
    """

    precision: str
    graphs: dict[str, bytes]
    ranges: dict[str, str] = field(default_factory=dict)
    int8_nodes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    fp16_nodes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    weight_share: dict[str, float] = field(default_factory=dict)


def reference_graphs(bundle: Bundle) -> dict[str, bytes]:
    """Return the fp32 variant's graphs by name.

    Raises:
        BundleError: there is no fp32 variant to start from.
    """
    variant = bundle.variant(REFERENCE)
    found = {"inspector": bundle.files[variant.inspector]}
    if variant.detector is not None:
        found["detector"] = bundle.files[variant.detector]
    return found


def fp32_nodes(manifest: Manifest) -> tuple[str, ...]:
    """Return the inspector's nodes that its method wants kept in fp32.

    Raises:
        BundleError: the bundle does not say.
    """
    names = named_fp32(manifest)
    if names is not None:
        return names
    raise BundleError(
        "The bundle does not name the nodes that must stay in fp32 (densities, distances): it was "
        "built by an older edge-export. Build it again."
    )


def named_fp32(manifest: Manifest) -> tuple[str, ...] | None:
    """Return what `fp32_nodes` does, or None where the bundle does not say."""
    for note in manifest.provenance.notes:
        if note.startswith(_NOTE):
            return tuple(str(name) for name in ast.literal_eval(note[len(_NOTE) :]))
    return None


def with_fp32_nodes(manifest: Manifest, names: Sequence[str]) -> Manifest:
    """Return a manifest that names other nodes; one that names none stays as it is."""
    provenance = manifest.provenance
    notes = (f"{_NOTE}{list(names)}" if n.startswith(_NOTE) else n for n in provenance.notes)
    changed = provenance.model_copy(update={"notes": tuple(notes)})
    return manifest.model_copy(update={"provenance": changed})


def fp16_graphs(bundle: Bundle) -> Rewritten:
    """Return the bundle's graphs with their networks in fp16.

    The inspector's densities and distances stay in fp32 as its method says; so does all of the
    detector after its last learnt convolution: boxes are not kept to the pixel in fp16.

    Raises:
        BundleError: no fp32 variant, or its method's nodes are unknown.
        ModelError: a graph cannot be rewritten, or TensorRT 10.3 would refuse it.
    """
    kept = {"inspector": fp32_nodes(bundle.manifest), "detector": ()}
    graphs, nodes, share = {}, {}, [0, 0]
    for name, model in reference_graphs(bundle).items():
        graphs[name] = to_fp16(model, kept[name])
        check_for_tensorrt(graphs[name], f"{name}-fp16.onnx")
        loaded = load_graph(model)
        chosen = network_nodes(loaded.graph) - set(kept[name])
        nodes[name] = tuple(n.name for n in loaded.graph.node if n.name in chosen)
        share[0] += weight_bytes(load_graph(graphs[name]).graph, chosen)
        share[1] += weight_bytes(loaded.graph, chosen)
    return Rewritten(
        "fp16",
        graphs,
        fp16_nodes=nodes,
        weight_share={"fp16": round(share[0] / max(share[1], 1), 4)},
    )
