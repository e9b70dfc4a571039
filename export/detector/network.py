"""The detector's network and its weight files.

Network: Ultralytics' YOLO11-OBB (Jocher et al., 2024), narrowed to an eighth of the width: on
belt scenes it finds as well as the nano model in half the training time.
A weight file is plain tensors and JSON: no pickle, so a stranger's file can be opened safely.
"""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edge_app.errors import DataError
from export.detector.ultralytics_quiet import ultralytics_tasks

BASE = "yolo11-obb.yaml"
DEPTH = 0.33
WIDTH = 0.125
STRIDE = 32
"""Input sides are multiples of the coarsest feature map's stride."""

FORMAT = "cropliq-detector-1"


@dataclass(frozen=True, slots=True, eq=False)
class DetectorWeights:
    """A trained detector.

    Attributes:
        network: in evaluation mode, on the CPU.
        class_names: one per class.
        input_hw: (height, width) in pixels it was trained for.
    """

    network: nn.Module
    class_names: tuple[str, ...]
    input_hw: tuple[int, int]


def build_network(class_count: int, depth: float = DEPTH, width: float = WIDTH) -> nn.Module:
    """Return an untrained YOLO11-OBB; its weights come from torch's current seed."""
    tasks = ultralytics_tasks()
    layout: dict[str, Any] = tasks.yaml_model_load(BASE)
    for key in ("scales", "scale", "yaml_file"):
        layout.pop(key, None)
    layout.update(nc=class_count, depth_multiple=depth, width_multiple=width)
    network: nn.Module = tasks.OBBModel(layout, ch=3, nc=class_count, verbose=False)
    return network


def save_weights(
    path: Path, network: nn.Module, class_names: tuple[str, ...], input_hw: tuple[int, int]
) -> None:
    """Write a weight file; the old one stays until the new one is complete."""
    layout: dict[str, Any] = network.yaml  # type: ignore[assignment]
    header = {
        "class_names": class_names,
        "input_hw": input_hw,
        "depth": layout["depth_multiple"],
        "width": layout["width_multiple"],
    }
    state = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    save_tensors(path, {"format": FORMAT, "header": json.dumps(header), "state": state})


def load_weights(path: Path) -> DetectorWeights:
    """Return the detector in a file that `save_weights` wrote.

    Raises:
        DataError: it is missing or something else, e.g. a pickle of Ultralytics' own trainer.
    """
    content = load_tensors(path)
    if content.get("format") != FORMAT:
        raise DataError(
            f"{path.name} is not a {FORMAT} file. Name the best.pt that `edge-export detector` "
            "wrote, or an exported detector.onnx."
        )
    header = json.loads(content["header"])
    names = tuple(header["class_names"])
    network = build_network(len(names), header["depth"], header["width"])
    network.load_state_dict(content["state"])
    h, w = header["input_hw"]
    return DetectorWeights(network.eval(), names, (h, w))


def save_tensors(path: Path, content: dict[str, Any]) -> None:
    """Write tensors and plain values in one step."""
    part = path.with_name(path.name + ".part")
    torch.save(content, part)
    part.replace(path)


def load_tensors(path: Path) -> dict[str, Any]:
    """Return what `save_tensors` wrote, on the CPU.

    Raises:
        DataError: the file is missing, damaged, or holds code instead of tensors.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise DataError(
            f"{path.name} cannot be read as tensors ({type(error).__name__}). Expected a file "
            "written by edge-export; train again, or restore it from a copy."
        ) from error
    return content if isinstance(content, dict) else {}
