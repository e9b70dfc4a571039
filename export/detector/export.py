"""From a detector's weights to detector.onnx, with decode and top-k inside the graph.

Only operators that ONNX Runtime and TensorRT's parser both take; the uint8 input meets Cast
first, because TensorRT refuses to transpose uint8.
"""

from __future__ import annotations

import copy
import io
import warnings
from pathlib import Path

import onnx
import onnxslim
import torch
from torch import nn

from export.detector.network import STRIDE, load_weights

OPSET = 17
LICENCE_NOTE = (
    "Network definition and training loss: Ultralytics YOLO11-OBB (AGPL-3.0). "
    "Ultralytics claims that licence for models trained with its code; see README, Licences."
)


class DetectorGraph(nn.Module):
    """The exported graph: uint8 picture in, the k most confident boxes out.

    Args:
        network: Ultralytics' OBBModel in evaluation mode, on the CPU.
        top_k: boxes kept; all of them where there are fewer anchors.
    """

    def __init__(self, network: nn.Module, top_k: int) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).fuse(verbose=False).eval()  # type: ignore[operator]
        self.network.model[-1].export = True
        self.top_k = top_k
        self.bgr_to_rgb = nn.Buffer(torch.tensor([2, 1, 0]))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return (1, k, 7) float32: cx, cy, w, h in input pixels, angle_rad, confidence, class.

        Args:
            image: (1, h, w, 3) uint8, BGR, letterboxed.
        """
        planes = image.float().permute(0, 3, 1, 2).index_select(1, self.bgr_to_rgb) / 255
        columns = self.network(planes)[0]  # (4 + classes + 1, anchors)
        confidence, class_id = columns[4:-1].max(dim=0)
        k = min(self.top_k, columns.shape[1])
        best, index = confidence.topk(k)
        box = columns[:4].index_select(1, index)
        angle = columns[-1:].index_select(1, index)
        kind = class_id.index_select(0, index).float()
        return torch.cat([box, angle, best[None], kind[None]]).transpose(0, 1)[None]


def export_detector(
    weights: Path, out: Path, input_hw: tuple[int, int] | None = None, top_k: int = 100
) -> None:
    """Write detector.onnx (contract in docs/bundle_format.md).

    Args:
        weights: a file that `train_detector` wrote.
        out: the ONNX file; its folder is made if missing.
        input_hw: (height, width), multiples of 32; None takes the size it was trained for.
        top_k: candidates given to the rotated NMS on the device.

    Raises:
        DataError: the weight file is missing or something else.
        ValueError: an input side is no multiple of 32.
    """
    loaded = load_weights(weights)
    h, w = loaded.input_hw if input_hw is None else input_hw
    if h % STRIDE or w % STRIDE:
        raise ValueError(f"the input size ({h}, {w}) must be multiples of {STRIDE} pixels")
    graph = DetectorGraph(loaded.network, top_k)
    model = onnxslim.slim(onnx.load_from_string(_traced(graph, (h, w))))
    _describe(model, loaded.class_names)
    onnx.checker.check_model(model, full_check=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(model.SerializeToString())


@torch.no_grad()
def _traced(graph: DetectorGraph, input_hw: tuple[int, int]) -> bytes:
    image = torch.zeros((1, *input_hw, 3), dtype=torch.uint8)
    graph(image)  # lets the head compute its anchors, which become constants
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The tracer warns about Python numbers; all shapes here are fixed on purpose.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph,
            (image,),
            buffer,  # type: ignore[arg-type]  # a file object is taken too
            input_names=["image"],
            output_names=["boxes"],
            opset_version=OPSET,
            dynamo=False,
        )
    return buffer.getvalue()


def _describe(model: onnx.ModelProto, class_names: tuple[str, ...]) -> None:
    model.producer_name, model.producer_version = "cropliq-edge", ""
    model.doc_string = ""
    onnx.helper.set_model_props(
        model, {"licence_note": LICENCE_NOTE, "class_names": ",".join(class_names)}
    )
