"""Every graph of the shipped bundle in every precision, through NVIDIA's own parser and builder."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.needs import require

require("the extra calibrate")

from support.engine_compiler import AHEAD_OF_TIME, tensorrt_rtx

from calibration.graphs.operators import operators_of, problems_for_tensorrt
from calibration.precision.int8 import quantisable_nodes, to_int8
from calibration.precision.ranges import convolution_histograms, full_range
from calibration.precision.rewritten import fp16_graphs, reference_graphs
from edge_app.backends.tensorrt_build import EngineOptions, build_engine
from edge_app.bundle.archive import Bundle, read_bundle
from edge_app.imaging.upright_crop import letterbox
from edge_app.model.loaded_model import load_model
from edge_app.model.looks import look_at

GRAPHS = ("detector", "inspector")


@lru_cache(maxsize=1)
def _bundle() -> Bundle:
    return read_bundle(Path(str(files("edge_app").joinpath("assets/demo-tapered.bundle"))))


def _golden_frame(bundle: Bundle) -> np.ndarray:
    name = bundle.variant().golden[0].file
    decoded = cv2.imdecode(np.frombuffer(bundle.files[name], np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(decoded, np.uint8)


@lru_cache(maxsize=8)
def _graph(precision: str, name: str) -> bytes:
    bundle = _bundle()
    if precision == "fp32":
        return reference_graphs(bundle)[name]
    if precision == "fp16":
        return fp16_graphs(bundle).graphs[name]
    model, how, frame = load_model(bundle, 1), bundle.manifest.detector, _golden_frame(bundle)
    assert how is not None
    batch = {
        "detector": letterbox(frame, how.input_hw)[0][None],
        "inspector": np.stack([look.crop for look in look_at(model, frame)]),
    }[name]
    graph = reference_graphs(bundle)[name]
    input_name = {"detector": "image", "inspector": "crops"}[name]
    found = convolution_histograms(graph, input_name, [batch], 1)
    nodes = quantisable_nodes(graph)
    limits = {tensor: full_range(histogram) for tensor, histogram in found.items()}
    return to_int8(graph, limits, nodes[3:], nodes[:3])


@pytest.mark.needs("TensorRT-RTX")
@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_variant_compiles_ahead_of_time(precision: str, name: str) -> None:
    """The graph becomes an engine for an Ampere GPU; int8 with its first layers left in fp16."""
    trt = tensorrt_rtx()
    graph = _graph(precision, name)
    built = build_engine(graph, EngineOptions(compute_capability=AHEAD_OF_TIME))
    print(
        f"{trt.name} {trt.version}, {AHEAD_OF_TIME}: {name} {precision}, {built.layers} layers, "
        f"{len(graph) / 1e6:.1f} MB ONNX, {len(built.plan) / 1e6:.1f} MB engine"
    )
    assert built.plan


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_variant_uses_only_operators_of_jetpack_6(precision: str, name: str) -> None:
    """TensorRT 10.3, which cannot be had here, supports every operator by its own list."""
    graph = _graph(precision, name)
    print(f"{name} {precision}: {', '.join(operators_of(graph))}")
    assert problems_for_tensorrt(graph) == ()
