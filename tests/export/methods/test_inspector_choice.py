"""Which terms are summed and which map is exported."""

from __future__ import annotations

import numpy as np
import pytest
from support.needs import require

require("the extra dev")

from sklearn import metrics as sklearn_metrics

from edge_app.records import F64Array
from export.methods.cropliq.term_selection import auroc, choose_map, choose_weights


def test_auroc_is_scikit_learns_with_ties() -> None:
    """Whole numbers tie often; the value equals sklearn's."""
    rng = np.random.default_rng(0)
    good, bad = rng.integers(0, 6, 40).astype(float), rng.integers(2, 8, 30).astype(float)
    labels = np.r_[np.zeros(40), np.ones(30)]
    expected = sklearn_metrics.roc_auc_score(labels, np.r_[good, bad])
    assert auroc(good, bad) == pytest.approx(expected)


def terms(seed: int, *shift: float) -> F64Array:
    """Two hundred crops' four standardised terms."""
    return np.random.default_rng(seed).normal(shift, 1.0, (200, 4))


def test_a_term_that_sees_nothing_is_dropped() -> None:
    """Only the detail term separates: it alone is kept."""
    weights, table = choose_weights(terms(0, 0, 0, 0, 0), terms(1, 2, 0, 0, 0), False)
    assert weights.tolist() == [1, 0, 0, 0]
    assert table["detail"] > table["context"]


def test_a_whole_frame_product_keeps_its_statistics_and_regions() -> None:
    """The same crops of a product that fills them: what judges whole crops stays in the score."""
    weights, _ = choose_weights(terms(0, 0, 0, 0, 0), terms(1, 2, 0, 0, 0), True)
    assert weights.tolist() == [1, 0, 0.5, 1]


@pytest.mark.parametrize(("fills_crop", "wanted"), [(True, [0, 0, 0.5, 1]), (False, [1, 0, 0, 0])])
def test_a_tie_goes_to_fewer_terms(fills_crop: bool, wanted: list[int]) -> None:
    """All candidates separate perfectly: the fewest terms are enough, and the crop says which."""
    weights, _ = choose_weights(terms(0, 0, 0, 0, 0), terms(1, 90, 90, 90, 90), fills_crop)
    assert weights.tolist() == wanted


def test_the_map_comes_from_a_term_in_the_score() -> None:
    """The context map is perfect, but only the detail term is summed: its map wins."""
    regions = np.zeros((2, 8, 8), np.uint8)
    regions[:, 2:4, 2:4] = 255
    perfect, blind = regions / np.float32(255), np.zeros((2, 8, 8), np.float32)
    maps = {"detail_energy": blind, "context_energy": perfect}
    maps |= {"statistics_cam": blind, "logit_cam": perfect}
    kind, table = choose_map(maps, regions, np.array([1.0, 0.0, 0.0, 0.0]))
    assert kind == "detail_energy"
    assert table["context_energy"] == 1.0
    assert table["detail_energy"] == 0.5
