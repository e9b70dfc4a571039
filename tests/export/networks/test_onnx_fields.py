"""The device's own protobuf walk knows every place that the onnx package knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf.message import Message
from onnx import external_data_helper, numpy_helper
from support.small_bundles import GRAPHS

from edge_app.bundle.onnx_external import _INSIDE, check_self_contained
from edge_app.errors import BundleError

pytestmark = pytest.mark.needs("the extra train")

PROTOS: dict[str, type[Message]] = {
    "model": onnx.ModelProto,
    "training": onnx.TrainingInfoProto,
    "function": onnx.FunctionProto,
    "graph": onnx.GraphProto,
    "node": onnx.NodeProto,
    "attribute": onnx.AttributeProto,
    "sparse": onnx.SparseTensorProto,
    "tensor": onnx.TensorProto,
}


def test_the_walk_covers_onnx_proto() -> None:
    """Every field that can hold one of these messages is walked, under its own number."""
    kinds = {proto.DESCRIPTOR.full_name: kind for kind, proto in PROTOS.items()}
    of_onnx = {
        kind: {
            f.number: kinds[f.message_type.full_name]
            for f in proto.DESCRIPTOR.fields
            if f.message_type is not None and f.message_type.full_name in kinds
        }
        for kind, proto in PROTOS.items()
    }
    assert of_onnx == _INSIDE


def test_external_data_as_onnx_writes_it_is_refused(tmp_path: Path) -> None:
    """A graph saved with its tensors beside it is refused; the same graph in one file is not."""
    model = onnx.load(GRAPHS / "bright_inspector.onnx")
    weights = np.zeros((64, 64), np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weights, "weights"))
    check_self_contained(model.SerializeToString(), "a.onnx", "a.bundle")
    external_data_helper.convert_model_to_external_data(model, location="w.bin", size_threshold=0)
    onnx.save(model, tmp_path / "a.onnx")
    assert (tmp_path / "w.bin").exists()
    with pytest.raises(BundleError, match="keeps tensors in other files"):
        check_self_contained((tmp_path / "a.onnx").read_bytes(), "a.onnx", "a.bundle")
