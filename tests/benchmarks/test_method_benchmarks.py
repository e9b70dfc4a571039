"""What the benchmarks of BGAD and of texture against object are made of."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.accuracy import TestSet
from benchmarks.accuracy_figures import Figures
from benchmarks.bgad_defects import Pair, as_markdown, defects_of, drawn_defects, left_over
from benchmarks.texture_object import Draw, Row, blemished, drawn_set, sheet, texture, thing
from benchmarks.texture_object import as_markdown as both_as_markdown
from edge_app.errors import DataError
from export.evaluation.data import GOOD

pytestmark = pytest.mark.needs("the extra train")


def judged_set(defects: int = 12) -> TestSet:
    """Three good crops and some defects; the last one's region nobody marked."""
    count = 3 + defects
    crops = np.arange(count, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 8, 8, 3), np.uint8)
    regions = np.zeros((count, 8, 8), np.uint8)
    regions[3:-1, 2:4, 2:4] = 1
    return TestSet(crops, np.array([GOOD] * 3 + ["crack"] * defects), regions)


def figures(auroc: float, pixel: float) -> Figures:
    return Figures(auroc, (0.0, 1.0), 0.5, 0.5, pixel, None)


def test_draws_are_disjoint_marked_defects_and_left_out_of_the_test() -> None:
    """Two draws of five share none, hold no good and no unmarked crop, and none is tested on."""
    test = judged_set()
    draws = drawn_defects(test, 2, 5)
    taken = np.concatenate(draws)
    assert len(set(taken.tolist())) == 10
    assert taken.min() >= 3
    assert 14 not in taken
    rest = left_over(test, draws)
    assert len(rest.crops) == 5
    assert not set(rest.crops[:, 0, 0, 0].tolist()) & set(taken.tolist())
    real = defects_of(test, draws[0])
    assert real.crops.shape == (5, 8, 8, 3)
    assert real.regions.any(axis=(1, 2)).all()


def test_draws_that_leave_no_defect_to_test_on_are_refused() -> None:
    """Eleven marked defects are too few for eleven; without regions there is nothing to learn."""
    with pytest.raises(DataError, match="there are 11 marked ones"):
        drawn_defects(judged_set(), 1, 11)
    blind = TestSet(judged_set().crops, judged_set().kinds, None)
    with pytest.raises(DataError, match="no regions"):
        drawn_defects(blind, 1, 2)


def test_table_of_pairs_ends_with_their_mean_and_spread() -> None:
    """Differences are in points: +2 and +4 give +3.0 with a deviation of 1.4."""
    pairs = [
        Pair(0, 0, figures(0.9, 0.8), figures(0.92, 0.81)),
        Pair(1, 0, figures(0.9, 0.8), figures(0.94, 0.81)),
    ]
    lines = as_markdown(pairs).splitlines()
    assert lines[2] == "| 0 | 0 | 90.0 | 92.0 | +2.0 | 80.0 | 81.0 | +1.0 |"
    assert lines[4] == "| mean |  |  |  | +3.0 (sd 1.4) |  |  | +1.0 (sd 0.0) |"


@pytest.mark.parametrize("draw", [texture, thing])
def test_blemishes_are_where_their_region_says(draw: Draw) -> None:
    """The largest change lies inside the marked region; far away nothing changes."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        grey = draw(rng)
        spoilt, there = blemished(rng, grey, 25.0)
        change = np.abs(spoilt - grey)
        assert there[np.unravel_index(int(change.argmax()), change.shape)] == 1
        assert change[there == 0].max() < 0.5 * change.max()


def test_an_object_repeats_and_a_texture_does_not() -> None:
    """Two good objects differ by their grain and half a pixel, two textures all over."""
    differences = []
    for draw in (texture, thing):
        good = drawn_set(draw, 8, 2, 25.0, seed=0)[0].crops.astype(float)
        differences.append(float(np.abs(good[0] - good[1]).mean()))
    assert differences[0] > 3 * differences[1]


def test_sets_are_the_same_for_the_same_seed_and_shown_side_by_side() -> None:
    """Equal seeds draw equal pictures; the sheet shows good ones above blemished ones."""
    data, test = drawn_set(thing, 4, 3, 25.0, seed=5)
    again, _ = drawn_set(thing, 4, 3, 25.0, seed=5)
    assert np.array_equal(data.crops, again.crops)
    assert test.regions is not None
    assert test.regions[:3].max() == 0
    assert test.regions[3:].any(axis=(1, 2)).all()
    assert sheet([test, test], each=2).shape == (256, 512, 3)
    row = Row("x", figures(0.5, 0.6), figures(0.9, 0.95))
    last = both_as_markdown([row]).splitlines()[-1]
    assert last == "| x | 50.0% (0.0% to 100.0%) | 90.0% (0.0% to 100.0%) | 60.0% | 95.0% |"
