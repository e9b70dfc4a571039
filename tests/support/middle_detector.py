"""A detector that sees one product in the middle of every picture, and pictures for it.

With it a build trains no detector and compares no views: seconds, where others take minutes.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HW = (128, 192)
BOX = (96.0, 64.0, 84.0, 36.0, 0.0)


def write_detector(path: Path) -> None:
    """Write a detector.onnx that sees one product in the middle of every picture."""
    row = np.array([[[*BOX, 0.9, 0.0]]], np.float32)  # (1, 1, 7), letterbox = picture
    row[..., :2] += 0.5
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["floats"], ["mean"], keepdims=0),
            helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
            helper.make_node("Add", ["row", "nothing"], ["boxes"]),
        ],
        "middle",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, (1, *HW, 3))],
        [helper.make_tensor_value_info("boxes", TensorProto.FLOAT, (1, 1, 7))],
        [
            numpy_helper.from_array(row, "row"),
            numpy_helper.from_array(np.array(0.0, np.float32), "zero"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))


def write_parts(folder: Path, count: int, first: int = 0) -> None:
    """Write pictures of one textured, notched part each, a few pixels off the middle.

    Args:
        first: number of the first; each number is a part of its own.
    """
    folder.mkdir(parents=True)
    for i in range(first, first + count):
        rng = np.random.default_rng(i)
        pixels = np.clip(rng.normal(60, 4, (*HW, 3)), 0, 255)
        x, y = 54 + int(rng.integers(-2, 3)), 46 + int(rng.integers(-2, 3))
        pixels[y : y + 36, x : x + 84] = 180 + rng.normal(0, 5, (36, 84, 1))
        pixels[y : y + 14, x : x + 16] = 60
        pixels[y + 16 : y + 22, x + 30 : x + 70] = 120
        cv2.imwrite(str(folder / f"{i:02d}.png"), pixels.astype(np.uint8))
