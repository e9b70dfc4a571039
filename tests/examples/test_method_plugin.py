"""examples/method_plugin: the method keeps the contract and sees a defect."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
from support.method_parts import (
    CROP_HW,
    assert_keeps_the_contract,
    assert_sees_the_defect,
    damaged,
    parts,
    run_torch,
    train,
)

from export.methods.graph_contract import file_problems, module_problem
from export.methods.protocol import Method

pytestmark = pytest.mark.needs("the extra train")

EXAMPLE = Path(__file__).parents[2] / "examples" / "method_plugin"


@pytest.fixture
def method(monkeypatch: pytest.MonkeyPatch) -> Method:
    monkeypatch.syspath_prepend(str(EXAMPLE))
    found: Method = importlib.import_module("blockstats_method").BlockStatistics()
    return found


@pytest.mark.parametrize("has_mask", [True, False])
def test_the_example_judges_as_a_device_wants_it(
    method: Method, has_mask: bool, tmp_path: Path
) -> None:
    """The planted defect is found, where it is; the file passes what a build tries."""
    data = parts(with_mask=has_mask)
    trained = train(method, tmp_path, data=data)
    assert_keeps_the_contract(trained, tmp_path)
    assert_sees_the_defect(trained)
    assert module_problem(trained.graph, data.crops[:2]) == ""
    assert file_problems(tmp_path / "inspector.onnx", trained.graph, data.crops[:3]) == ()


def test_the_example_looks_at_the_product_only(method: Method, tmp_path: Path) -> None:
    """A stain beside the masked part changes nothing; without a mask it does."""
    stained = damaged(300)
    stained[:4, : CROP_HW[1] // 2] = 0
    for has_mask in (True, False):
        trained = train(method, tmp_path, data=parts(with_mask=has_mask))
        _, maps = run_torch(trained, np.stack([damaged(300), stained]))
        assert (maps[0, 0] == maps[1, 0]).all() == has_mask
