"""Twice as many pixels are tried on a sample first."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from edge_app.imaging.upright_crop import CropSpec
from edge_app.inspection.pose import PoseFinder
from edge_app.inspection.stages import WholeFrame
from export.augment.defect_like import DEFECTS, defect_series
from export.bundle_build.closer_look import (
    SAMPLE_FROM,
    SAMPLE_PICTURES,
    catches_less,
    sample_of,
)
from export.bundle_build.records import CutParts
from export.defects.evidence import Evidence
from export.pose.step import Cutting
from export.workspace import Workspace

pytestmark = pytest.mark.needs("the extra train")

ROUNDS = 4


def cut_of(count: int, folder: Path) -> CutParts:
    """Crops whose pixels are their number; every drawn defect but each tenth is in a crop."""
    labels = tuple((kind, str(size)) for kind, size in defect_series(ROUNDS, has_mask=False))
    numbers = np.array([i for i in range(len(labels)) if i % 10], np.int64)
    crops = [np.full((8, 8, 3), i % 250, np.uint8) for i in range(count)]
    defects = np.zeros((len(numbers), 8, 8, 3), np.uint8)
    evidence = Evidence(np.arange(count), defects, numbers, np.arange(len(labels)) % count, labels)
    spec = CropSpec((8, 8), 0.0, stretch=True)
    cutting = Cutting(WholeFrame(), True, "fixed", PoseFinder(), spec, "")
    space = Workspace(folder, lambda *_: None)
    return CutParts(cutting, crops, [], [], None, [], space, "whole", evidence)


def test_a_sample_is_spread_over_the_pictures_and_holds_every_kind(tmp_path: Path) -> None:
    """In every size as often; defects that reached no crop count there, too."""
    cut = cut_of(SAMPLE_FROM, tmp_path)
    sample = sample_of(cut)
    assert sample.evidence is not None
    assert len(sample.crops) == len(sample.evidence.groups) == SAMPLE_PICTURES
    assert len(set(sample.evidence.groups.tolist())) == SAMPLE_PICTURES
    assert {0, SAMPLE_FROM - 1} <= set(sample.evidence.groups.tolist())
    counts = Counter(sample.evidence.labels)
    assert set(counts.values()) == {ROUNDS // 2}
    assert {kind for kind, _ in counts} == set(DEFECTS)
    assert cut.evidence is not None
    missed = set(range(len(sample.evidence.labels))) - set(sample.evidence.defect_of.tolist())
    assert missed == {i for i in range(len(sample.evidence.labels)) if i % 10 == 0}
    assert sample.space.folder != cut.space.folder


@pytest.mark.parametrize(
    ("count", "after", "told"),
    [
        (SAMPLE_FROM, 0.49, "49% after 50% on a sample of 160 pictures"),
        (SAMPLE_FROM, 0.50, ""),
        (SAMPLE_FROM, 0.60, ""),
        (SAMPLE_FROM - 1, 0.10, ""),
    ],
)
def test_what_catches_less_there_is_given_up(
    tmp_path: Path, count: int, after: float, told: str
) -> None:
    """Only of many pictures: with fewer nothing is judged beforehand."""
    cut, closer = cut_of(count, tmp_path / "whole"), cut_of(count, tmp_path / "fine")
    judged: list[Path] = []

    def recall(crops: CutParts) -> float:
        judged.append(crops.space.folder)
        return 0.5 if "whole" in str(crops.space.folder) else after

    assert catches_less(closer, cut, recall) == told
    assert len(judged) == (2 if count >= SAMPLE_FROM else 0)
