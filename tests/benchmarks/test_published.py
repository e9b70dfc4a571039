"""Published figures beside ours: sizes are counted, ours come out of a comparison alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.published import measured, table
from benchmarks.published_networks import PAPERS, ours
from export.methods.names import PUBLISHED

pytestmark = pytest.mark.needs("the extra train")

CROP_HW = (128, 320)


def test_sizes_are_those_of_the_papers_where_the_network_is_theirs() -> None:
    """DRAEM has the paper's 97.4 million weights; EfficientAD-S about eight million in all."""
    assert ours(CROP_HW)["draem"]() == PAPERS["draem"]()
    assert round(PAPERS["draem"]().learnt / 1e6, 1) == 97.4
    small = PAPERS["efficientad"]()
    assert round((small.learnt + small.frozen) / 1e6, 1) == 8.1


def test_densities_grow_with_the_crop_and_networks_do_not() -> None:
    """PaDiM keeps a covariance at each of 8 × 20 positions; SimpleNet keeps nothing."""
    padim = ours(CROP_HW)["padim"]()
    assert padim.stored == 8 * 20 * (424 * 424 + 424)
    assert ours((256, 320))["padim"]().stored == 2 * padim.stored
    assert ours((256, 320))["simplenet"]() == ours(CROP_HW)["simplenet"]()


def test_the_table_has_a_row_per_method_and_only_measured_figures(tmp_path: Path) -> None:
    """What failed or was not compared has a dash; what was measured has its interval and steps."""
    figures = {"image_auroc": 0.987, "image_auroc_interval": [0.97, 0.99]}
    rows = [
        {"method": "simplenet", "figures": figures, "steps": 40},
        {"method": "padim", "figures": figures, "steps": 0},
        {"method": "draem", "failed": "out of time"},
    ]
    path = tmp_path / "compare.json"
    path.write_text(json.dumps({"methods": rows}))
    lines = table(measured(path), measured(None), CROP_HW).splitlines()
    cells = {line.split(" | ")[0][2:]: line.split(" | ") for line in lines[2:]}
    assert tuple(cells) == PUBLISHED
    assert cells["simplenet"][1:4] == ["98.2", "98.7% (97.0% to 99.0%), 40 steps", "–"]
    assert cells["padim"][2] == "98.7% (97.0% to 99.0%)", "densities take no steps"
    assert cells["draem"][1:4] == ["93.9", "–", "–"]
