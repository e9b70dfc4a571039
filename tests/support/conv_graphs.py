"""A tiny real inspector with three learnt convolutions and a distance, to make variants of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_app.backends.onnx import OnnxRunner
from edge_app.bundle.archive import write_bundle
from edge_app.bundle.manifest import GoldenPart, GoldenPicture, Provenance
from edge_app.imaging.upright_crop import upright_crop, whole_frame_box
from support.small_bundles import CROP_HW, bright_manifest, grey_picture

FP32_NODES = ("/distance/Sub", "/distance/Square", "/distance/Sum", "/score/Max")


def conv_inspector(seed: int = 0, largest_weight: float = 0.3) -> bytes:
    """Return an inspector: uint8 crops → brightness features → squared distance to "100 grey".

    Three convolutions with biases, one projection without (no learnt layer), then the distance.
    """
    rng = np.random.default_rng(seed)
    weights = {
        "mean": np.full((1, 4, 1, 1), 0.4, np.float32),
        "scale": np.float32(255.0),
        "axes": np.array([1], np.int64),
    }
    shapes = {"one": (8, 3, 3, 3), "two": (8, 8, 3, 3), "three": (4, 8, 1, 1)}
    for name, shape in shapes.items():
        raw = np.abs(rng.standard_normal(shape)).astype(np.float32)
        raw /= raw.reshape(shape[0], -1).sum(1).reshape(-1, 1, 1, 1)  # each a weighted mean
        weights[f"{name}.weight"] = raw
        weights[f"{name}.bias"] = np.zeros(shape[0], np.float32)
    weights["three.weight"] *= largest_weight / weights["three.weight"].max()
    weights["project.weight"] = np.eye(4, dtype=np.float32).reshape(4, 4, 1, 1)
    node = helper.make_node
    same: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}
    nodes = [
        node("Cast", ["crops"], ["pixels"], name="/Cast", to=TensorProto.FLOAT),
        node("Transpose", ["pixels"], ["nchw"], name="/Transpose", perm=[0, 3, 1, 2]),
        node("Div", ["nchw", "scale"], ["unit"], name="/Div"),
        node("Conv", ["unit", "one.weight", "one.bias"], ["a"], name="/net/one/Conv", **same),
        node("Relu", ["a"], ["b"], name="/net/one/Relu"),
        node("Conv", ["b", "two.weight", "two.bias"], ["c"], name="/net/two/Conv", **same),
        node("Relu", ["c"], ["d"], name="/net/two/Relu"),
        node("Conv", ["d", "three.weight", "three.bias"], ["e"], name="/net/three/Conv"),
        node("Conv", ["e", "project.weight"], ["f"], name="/project/Conv"),
        node("Sub", ["f", "mean"], ["g"], name="/distance/Sub"),
        node("Mul", ["g", "g"], ["h"], name="/distance/Square"),
        node("ReduceSum", ["h", "axes"], ["map"], name="/distance/Sum", keepdims=0),
        node("ReduceMax", ["map"], ["score"], name="/score/Max", axes=[1, 2], keepdims=0),
    ]
    crops = helper.make_tensor_value_info("crops", TensorProto.UINT8, ["n", *CROP_HW, 3])
    score = helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n"])
    map_hw = (CROP_HW[0] // 4, CROP_HW[1] // 4)
    map_info = helper.make_tensor_value_info("map", TensorProto.FLOAT, ["n", *map_hw])
    stored = [numpy_helper.from_array(np.asarray(v), k) for k, v in weights.items()]
    graph = helper.make_graph(nodes, "tiny", [crops], [score, map_info], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    return content


def write_conv_bundle(path: Path, threshold: float = 0.6) -> Path:
    """Write a whole-frame bundle with that inspector, which names its fp32 nodes.

    Good pictures score 0.29 to 0.33, those with a spot about 1.05; it has one golden picture of
    either kind.
    """
    base = bright_manifest()
    (variant,) = base.variants
    thresholds = variant.thresholds.model_copy(
        update={"score_threshold": threshold, "map_threshold": threshold}
    )
    golden: tuple[GoldenPicture, ...] = ()
    files = {"inspector.onnx": conv_inspector()}
    for name, is_bad in (("golden/good.png", False), ("golden/bad.png", True)):
        picture = grey_picture(spot=is_bad)
        files[name] = cv2.imencode(".png", picture)[1].tobytes()
        crop = upright_crop(picture, whole_frame_box(picture.shape[:2]), base.crop.to_spec())
        score = float(OnnxRunner(conv_inspector(), 1).run({"crops": crop[None]})["score"][0])
        part = GoldenPart(
            box_cxcywhr=whole_frame_box(picture.shape[:2]),
            score=score,
            verdict="NG" if is_bad else "OK",
        )
        golden += (GoldenPicture(file=name, parts=(part,)),)
    manifest = base.model_copy(
        update={
            "variants": (variant.model_copy(update={"thresholds": thresholds, "golden": golden}),),
            "provenance": Provenance(
                method="test", data="none", seed=0, notes=(f"fp32_nodes: {list(FP32_NODES)}",)
            ),
        }
    )
    write_bundle(path, manifest, files)
    return path
