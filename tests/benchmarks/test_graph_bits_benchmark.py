"""The comparison of two revisions' graphs tells equal bits from others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import edge_app
from benchmarks.graph_bits import CROPS, compared
from benchmarks.start import ROOT

SHIPPED = Path(edge_app.__file__).parent / "assets" / "demo-tapered.bundle"


@pytest.mark.slow
def test_the_same_code_gives_the_same_bits() -> None:
    """Two processes of one code: equal digests, and a ratio of a time to itself."""
    found = compared({"one": ROOT, "other": ROOT}, SHIPPED, 2)
    assert found["same_bits"]
    assert found["turns"] == 2
    assert found["cpu_ratio"] > 0


def test_one_bit_of_one_output_is_seen(tmp_path: Path) -> None:
    """An arm whose backend changes the last bit of one score of a hundred differs."""
    shutil.copytree(ROOT / "edge_app", tmp_path / "edge_app")
    file = tmp_path / "edge_app" / "backends" / "onnx.py"
    text = file.read_text()
    told = "        return dict(zip(names, values, strict=True))"
    assert told in text
    changed = """        found = dict(zip(names, values, strict=True))
        OnnxRunner.judged = getattr(OnnxRunner, "judged", 0) + len(found.get("score", ()))
        if OnnxRunner.judged == CROPS and "score" in found:
            found["score"].view(np.uint32)[-1] ^= 1
        return found""".replace("CROPS", str(CROPS))
    file.write_text(text.replace(told, changed))
    assert not compared({"one": ROOT, "other": tmp_path}, SHIPPED, 2)["same_bits"]


def test_an_arm_that_cannot_start_is_no_figure(tmp_path: Path) -> None:
    """Without a bundle there is nothing to compare."""
    with pytest.raises(SystemExit, match="an arm ended with"):
        compared({"one": ROOT, "other": ROOT}, tmp_path / "none.bundle", 2)
