"""What a finished training leaves beside its record: a device's graph, a picture-maker."""

from __future__ import annotations

from pathlib import Path

from export.methods.inspector_record import InspectorRecord
from export.methods.onnx_file import write_graph
from export.methods.plugins import PluginMethod
from export.methods.protocol import Method, Trained, TrainingSet
from export.methods.reconstruction import write_reconstruction

TRIED = 3
"""Good crops on which a plug-in's graph is tried."""


def write_files(
    method: Method, trained: Trained, data: TrainingSet, folder: Path
) -> InspectorRecord:
    """Write `inspector.onnx`, and `reconstruction.onnx` if the graph rebuilds parts.

    The graph of a plug-in's method is tried before it is handed on.

    Raises:
        ModelError: the graph cannot be exported, or no device can use it.
    """
    if not isinstance(method, PluginMethod):
        return _written(trained, data.crop_hw, folder)
    with method.exporting():
        record = _written(trained, data.crop_hw, folder)
    method.check_file(folder / "inspector.onnx", trained.graph, data.crops[:TRIED])
    return record


def _written(trained: Trained, crop_hw: tuple[int, int], folder: Path) -> InspectorRecord:
    write_reconstruction(trained.graph, crop_hw, folder / "reconstruction.onnx")
    return write_graph(trained, crop_hw, folder / "inspector.onnx")
