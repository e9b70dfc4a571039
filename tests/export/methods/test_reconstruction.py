"""Methods that rebuild parts can show what they rebuilt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.method_parts import CROP_HW, part, train

from export.methods.draem import Draem, DraemSettings
from export.methods.padim import PaDiM
from export.methods.protocol import Method
from export.methods.reconstruction import rebuild, write_reconstruction
from export.methods.registry import method_of

pytestmark = pytest.mark.needs("the extra train")


@pytest.mark.parametrize(
    "method", [method_of("autoencoder-l2"), Draem("tiny", DraemSettings(widths=(8, 8), batch=2))]
)
def test_a_rebuilt_part_is_a_picture_of_the_same_size(method: Method, tmp_path: Path) -> None:
    """The reconstruction comes out of ONNX Runtime as uint8 pixels of the crop's size."""
    graph = train(method, tmp_path, steps=2).graph
    assert write_reconstruction(graph, CROP_HW, tmp_path / "reconstruction.onnx")
    rebuilt = rebuild(tmp_path / "reconstruction.onnx", part(5))
    assert rebuilt.shape == (*CROP_HW, 3)
    assert rebuilt.dtype == np.uint8


def test_a_density_rebuilds_nothing(tmp_path: Path) -> None:
    """A method without a reconstruction leaves no file."""
    graph = train(PaDiM(), tmp_path).graph
    assert not write_reconstruction(graph, CROP_HW, tmp_path / "reconstruction.onnx")
    assert not any(tmp_path.glob("*.onnx"))
