"""Graphs with less to do: each form is recognised, computes the same, and others stay untouched."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from support.needs import require

require("the extra calibrate")

from calibration.graphs.lean_graph import MOVED, lean
from edge_app.records import F32Array

node = helper.make_node


def made(
    nodes: list[NodeProto],
    shape: list[int | str],
    weights: dict[str, Any],
    rank: int,
    kind: int = 1,
) -> ModelProto:
    """Return a graph from `x` to `y` of `rank` axes, checked."""
    x = helper.make_tensor_value_info("x", kind, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [f"y{i}" for i in range(rank)])
    stored = [numpy_helper.from_array(np.asarray(v), k) for k, v in weights.items()]
    graph = helper.make_graph(nodes, "g", [x], [y], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model


def computed(model: ModelProto, x: Any) -> F32Array:
    """Return what ONNX Runtime makes of it without rewriting anything itself."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    (y,) = session.run(None, {"x": x})
    return np.asarray(y, np.float32)


def kinds(model: ModelProto) -> list[str]:
    """Return the nodes' sorts, constants left out."""
    return [n.op_type for n in model.graph.node if n.op_type != "Constant"]


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def padded(
    sides: list[int], mode: str = "constant", fill: float | None = None, own: int = 0
) -> ModelProto:
    """Return a convolution of stride 2 behind a Pad, its sides computed as PyTorch writes them."""
    weights: dict[str, Any] = {
        "w": rng().standard_normal((6, 4, 3, 3)).astype(np.float32),
        "b": rng().standard_normal(6).astype(np.float32),
        "sides": np.array(sides, np.int32),
    }
    inputs = ["x", "long"]
    if fill is not None:
        weights["fill"] = np.float32(fill)
        inputs.append("fill")
    return made(
        [
            node("Cast", ["sides"], ["long"], "cast", to=TensorProto.INT64),
            node("Pad", inputs, ["p"], "pad", mode=mode),
            node("Conv", ["p", "w", "b"], ["y"], "conv", kernel_shape=[3, 3], strides=[2, 2],
                 pads=[own] * 4),
        ],
        ["n", 4, 11, 14],
        weights,
        rank=4,
    )  # fmt: skip


@pytest.mark.parametrize("own", [0, 1])
@pytest.mark.parametrize("fill", [None, 0.0])
def test_a_convolution_pads_by_itself(own: int, fill: float | None) -> None:
    """An uneven rim of zeros goes into the convolution, added to its own."""
    model = padded([0, 0, 0, 1, 0, 0, 1, 2], fill=fill, own=own)
    x = rng().standard_normal((2, 4, 11, 14)).astype(np.float32)
    rewritten = lean(model)
    assert kinds(rewritten) == ["Conv"]
    assert computed(rewritten, x) == pytest.approx(computed(model, x), abs=1e-5)
    assert kinds(model) == ["Cast", "Pad", "Conv"]


@pytest.mark.parametrize(
    "model",
    [
        padded([0, 0, 0, 1, 0, 0, 1, 1], mode="reflect"),
        padded([0, 0, 0, 1, 0, 0, 1, 1], fill=1.0),
        padded([0, 0, 0, -1, 0, 0, 1, 1]),
        padded([1, 0, 0, 1, 0, 0, 1, 1]),
    ],
    ids=["mirrored", "ones", "cut off", "more pictures"],
)
def test_other_rims_stay(model: ModelProto) -> None:
    """What a convolution cannot do itself is left to the Pad."""
    assert kinds(lean(model)) == kinds(model)


def test_a_rim_that_others_use_stays() -> None:
    """A second user of the padded picture keeps the Pad for both."""
    model = padded([0, 0, 0, 1, 0, 0, 1, 1])
    model.graph.node.append(node("ReduceMax", ["p"], ["most"], "max"))
    model.graph.output.append(helper.make_tensor_value_info("most", TensorProto.FLOAT, [1] * 4))
    assert "Pad" in kinds(lean(model))


def stacked(axis: int, keepdims: int = 0, at: int = 0) -> ModelProto:
    """Return the sum over a stack of three maps."""
    names = ["a", "b", "c"]
    return made(
        [
            *(node("Mul", ["x", f"k{n}"], [n], f"mul{n}") for n in names),
            *(node("Unsqueeze", [n, "at"], [f"{n}1"], f"up{n}") for n in names),
            node("Concat", [f"{n}1" for n in names], ["s"], "stack", axis=at),
            node("ReduceSum", ["s", "axis"], ["y"], "sum", keepdims=keepdims),
        ],
        ["n", 3, 5],
        {**{f"k{n}": np.float32(i + 0.3) for i, n in enumerate(names)},
         "at": np.array([at], np.int64), "axis": np.array([axis], np.int64)},
        rank=3 + keepdims,
    )  # fmt: skip


def test_a_stack_that_is_summed_is_added_up() -> None:
    """Maps are added one after the other, bit for bit as the sum did."""
    model, x = stacked(0), rng().standard_normal((2, 3, 5)).astype(np.float32)
    rewritten = lean(model)
    assert kinds(rewritten) == ["Mul"] * 3 + ["Add"] * 2
    assert computed(rewritten, x) == pytest.approx(computed(model, x), rel=1e-6)


@pytest.mark.parametrize("model", [stacked(1), stacked(0, keepdims=1), stacked(0, at=1)])
def test_other_stacks_stay(model: ModelProto) -> None:
    """A sum over another axis, one that keeps its axis, and a stack along another stay."""
    assert kinds(lean(model)) == kinds(model)


def cells(perm: list[int] = MOVED, power: bool = True) -> ModelProto:
    """Return a density by position: x (a·b, d, n·k·k) → squares summed over d, (n, a·k, b·k)."""
    a, b, d, k = 3, 4, 5, 2
    square = ["moved4", "moved4"] if power else ["moved4", "twice"]
    return made(
        [
            node("Reshape", ["x", "cells"], ["split"], "split"),
            node("Transpose", ["split"], ["moved"], "move", perm=perm),
            node("Reshape", ["moved", "grid"], ["moved4"], "view"),
            *([] if power else [node("Add", ["moved4", "moved4"], ["twice"], "twice")]),
            node("Mul", square, ["squared"], "square"),
            node("ReduceSum", ["squared", "one"], ["y"], "sum", keepdims=0),
        ],
        [a * b, d, "m"],
        {"cells": np.array([a, b, d, -1, k, k], np.int64),
         "grid": np.array([-1, d, a * k, b * k], np.int64), "one": np.array([1], np.int64)},
        rank=3,
    )  # fmt: skip


def test_squares_are_summed_before_they_are_moved() -> None:
    """One map is moved in place of all channels, for one picture and for three."""
    model = cells()
    rewritten = lean(model)
    assert kinds(rewritten) == ["Mul", "ReduceSum", "Reshape", "Transpose", "Reshape"]
    for n in (1, 3):
        x = rng().standard_normal((12, 5, n * 4)).astype(np.float32)
        expected = computed(model, x)
        assert expected.shape == (n, 6, 8)
        assert computed(rewritten, x) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("model", [cells([3, 2, 0, 5, 1, 4]), cells(power=False)])
def test_other_moves_stay(model: ModelProto) -> None:
    """Another order of axes, and a product that is no square, stay."""
    assert kinds(lean(model)) == kinds(model)


def test_a_factor_by_pixel_is_stored_for_three_colours() -> None:
    """(h, w, 1) on the graph's own pixels becomes (h, w, 3): the same numbers to the bit."""
    nodes = [
        node("Cast", ["x"], ["pixels"], "cast", to=TensorProto.FLOAT),
        node("Mul", ["pixels", "keep"], ["y"], "mul"),
    ]
    keep = rng().random((6, 5, 1)).astype(np.float32)
    model = made(nodes, ["n", 6, 5, 3], {"keep": keep}, 4, TensorProto.UINT8)
    rewritten = lean(model)
    assert list(rewritten.graph.initializer[0].dims) == [6, 5, 3]
    x = rng().integers(0, 256, (2, 6, 5, 3)).astype(np.uint8)
    assert (computed(rewritten, x) == computed(model, x)).all()
    grey = made(nodes, ["n", 6, 5, 4], {"keep": keep}, 4, TensorProto.UINT8)
    assert list(lean(grey).graph.initializer[0].dims) == [6, 5, 1]


def enlarged(
    to: tuple[int, int] = (8, 15), height: int | str = 4, upto: int = 2, by: str = "half_pixel"
) -> ModelProto:
    """Return a map of (4, 5) that is enlarged as PyTorch writes it: its own shape is read."""
    x = "relu"
    return made(
        [
            node("Relu", ["x"], [x], "relu"),
            node("Shape", [x], ["shape"], "shape"),
            node("Slice", ["shape", "from", "upto", "axis"], ["first"], "first"),
            node("Concat", ["first", "to"], ["sizes"], "sizes", axis=0),
            node("Resize", [x, "", "", "sizes"], ["y"], "resize", mode="linear",
                 coordinate_transformation_mode=by),
        ],
        ["n", 3, height, 5],
        {"from": np.array([0], np.int64), "upto": np.array([upto], np.int64),
         "axis": np.array([0], np.int64), "to": np.array(to, np.int64)},
        rank=4,
    )  # fmt: skip


@pytest.mark.parametrize("by", ["half_pixel", "align_corners"])
def test_a_map_is_enlarged_by_a_factor(by: str) -> None:
    """The sizes become factors, a whole one for each side, bit for bit the same."""
    model = enlarged(by=by)
    rewritten = lean(model)
    assert kinds(rewritten) == ["Relu", "Resize"]
    scales = next(t for t in rewritten.graph.initializer if t.name == "resize/scales")
    assert numpy_helper.to_array(scales).tolist() == [1, 1, 2, 3]
    for n in (1, 3):
        x = rng().standard_normal((n, 3, 4, 5)).astype(np.float32)
        assert np.array_equal(computed(rewritten, x), computed(model, x))


@pytest.mark.parametrize(
    "model", [enlarged((7, 10)), enlarged((2, 5)), enlarged((0, 5)), enlarged(height="h")],
    ids=["no whole factor", "made smaller", "nothing left", "a height that is not fixed"],
)  # fmt: skip
def test_other_sizes_stay(model: ModelProto) -> None:
    """What is no whole factor, or none that is known beforehand, is computed as before."""
    assert kinds(lean(model)) == kinds(model)


def distribution(
    axis: int = 1, perm: tuple[int, ...] = (0, 2, 1, 3), outputs: int = 1, learnt: float = 0.0
) -> ModelProto:
    """Return the sum of two means of distributions over k = 6 numbers, each as Ultralytics' DFL
    takes them."""
    weight = np.zeros((outputs, {1: 6, 2: 4}[perm.index(2)], 1, 1), np.float32)
    weight += np.arange(weight.shape[1], dtype=np.float32)[None, :, None, None] + learnt
    nodes = [node("Neg", ["x"], ["x2"], "neg")]
    for x, at in (("x", "1"), ("x2", "2")):
        nodes += [
            node("Transpose", [x], [f"moved{at}"], f"move{at}", perm=perm),
            node("Softmax", [f"moved{at}"], [f"soft{at}"], f"soft{at}", axis=axis),
            node("Conv", [f"soft{at}", f"w{at}"], [f"mean{at}"], f"mean{at}", kernel_shape=[1, 1],
                 strides=[1, 1], pads=[0] * 4),
        ]  # fmt: skip
    nodes.append(node("Sub", ["mean1", "mean2"], ["y"], "sub"))
    return made(nodes, ["n", 4, 6, 7], {"w1": weight, "w2": weight}, rank=4)


def test_the_mean_of_a_distribution_is_taken_of_neighbours() -> None:
    """The k numbers of each lie beside each other: the same means at the same places."""
    model = distribution()
    rewritten = lean(model)
    assert sorted(kinds(rewritten)) == sorted(
        ["Neg", "Sub", *["Transpose", "Softmax", "MatMul", "Transpose"] * 2]
    )
    onnx.checker.check_model(rewritten, full_check=True)
    for n in (1, 3):
        x = rng().standard_normal((n, 4, 6, 7)).astype(np.float32) * 20
        expected = computed(model, x)
        assert expected.shape == (n, 1, 4, 7)
        assert computed(rewritten, x) == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(
    "model",
    [
        distribution(axis=3), distribution(perm=(0, 1, 2, 3)), distribution(outputs=2),
        distribution(learnt=0.1),
    ],
    ids=["another axis", "not moved", "two outputs", "learnt weights"],
)  # fmt: skip
def test_other_distributions_stay(model: ModelProto) -> None:
    """What is no mean of counted numbers, or lies otherwise, is left."""
    assert kinds(lean(model)) == kinds(model)


def test_a_softmax_of_before_opset_13_stays() -> None:
    """It summed over all axes from its own on."""
    model = distribution()
    model.opset_import[0].version = 12
    assert kinds(lean(model)) == kinds(model)


def test_what_a_branch_takes_from_outside_is_kept() -> None:
    """A weight and a rim that only the inside of an If uses are used."""
    model = padded([0, 0, 0, 1, 0, 0, 1, 1])
    graph = model.graph
    conv = next(n for n in graph.node if n.op_type == "Conv")
    inside = helper.make_tensor_value_info("z", TensorProto.FLOAT, [f"z{i}" for i in range(4)])
    moved = node("Conv", list(conv.input), ["z"], "inner", kernel_shape=[3, 3], strides=[2, 2])
    branch = helper.make_graph([moved], "branch", [], [inside])
    graph.node.remove(conv)
    graph.node.append(node("If", ["is"], ["y"], "if", then_branch=branch, else_branch=branch))
    graph.initializer.append(numpy_helper.from_array(np.array(True), "is"))
    onnx.checker.check_model(model)
    x = rng().standard_normal((1, 4, 11, 14)).astype(np.float32)
    assert computed(lean(model), x) == pytest.approx(computed(model, x))


def test_a_lean_graph_stays_as_it_is() -> None:
    """A second time nothing changes."""
    for model in (
        padded([0, 0, 0, 1, 0, 0, 1, 2]), stacked(0), cells(), enlarged(), distribution()
    ):  # fmt: skip
        once = lean(model).SerializeToString(deterministic=True)
        assert lean(onnx.load_from_string(once)).SerializeToString(deterministic=True) == once
