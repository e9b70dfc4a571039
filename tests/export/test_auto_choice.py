"""The rule of `--method auto`: a challenger must be better over all and worse nowhere."""

from __future__ import annotations

import numpy as np
import pytest

from edge_app.errors import DataError
from export.auto_anomalies import EVIDENCE_KINDS, LARGE, painted
from export.auto_choice import FAMILIES, Evidence, choose, evidence_of


def evidence(method: str, local: float, large: float, caught: float = 0.5) -> Evidence:
    kinds = dict.fromkeys(FAMILIES["local"], local)
    kinds |= dict.fromkeys(FAMILIES["large"], large)
    return Evidence(method, kinds, caught)


OWN = evidence("own", local=0.9, large=0.7)


@pytest.mark.parametrize(
    ("challenger", "is_taken"),
    [
        (evidence("better at both", 0.95, 0.75), True),
        (evidence("local artist: far better at small, worse at large", 0.99, 0.65), False),
        (evidence("large artist: far better at large, worse at small", 0.85, 0.95), False),
        (evidence("better at large, as good at small", 0.895, 0.78), True),
        (evidence("hardly better", 0.91, 0.71), False),
        (evidence("better, but its good scores spread wide", 0.95, 0.75, caught=0.4), False),
    ],
)
def test_a_challenger_must_be_better_and_worse_nowhere(
    challenger: Evidence, is_taken: bool
) -> None:
    """What is better in one family only does not replace the default."""
    method, reason = choose("own", [OWN, challenger])
    assert method == (challenger.method if is_taken else "own")
    assert "0.8" in reason


def test_of_several_challengers_the_best_is_taken() -> None:
    """The highest mean of both families wins, whatever the order."""
    good, best = evidence("good", 0.93, 0.75), evidence("best", 0.95, 0.8)
    assert choose("own", [good, OWN, best])[0] == "best"


def test_without_the_default_the_best_is_taken() -> None:
    """A default that could not be trained is not taken, and the reason says so."""
    method, reason = choose("own", [evidence("a", 0.6, 0.6), evidence("b", 0.7, 0.7)])
    assert method == "b"
    assert "own was not measured" in reason


def test_a_wide_spread_of_good_scores_costs() -> None:
    """Two methods of equal separation but for one wild good part in ten: it catches less."""
    rng = np.random.default_rng(0)
    good = rng.normal(0, 1, 100)
    bad = {"shade": rng.normal(2, 1, 100)}
    wild = good.copy()
    wild[:10] += 10
    assert evidence_of("calm", good, bad).caught > 0.5
    assert evidence_of("wild", wild, bad).caught < 0.1


def test_a_score_that_is_no_number_is_refused() -> None:
    """NaN never compares as good."""
    with pytest.raises(DataError, match="NaN"):
        evidence_of("broken", np.array([1.0, np.nan]), {"warp": np.array([2.0, 3.0])})


@pytest.mark.parametrize("kind", EVIDENCE_KINDS)
@pytest.mark.parametrize("hw", [(64, 96), (32, 160)])
def test_every_kind_changes_the_product_only(kind: str, hw: tuple[int, int]) -> None:
    """Something changes, nothing beside the product does, and a seed gives the same again."""
    crop = np.random.default_rng(1).integers(40, 215, (*hw, 3)).astype(np.uint8)
    mask = np.zeros(hw, np.uint8)
    mask[4:-4, 8:-8] = 255
    after = painted(np.random.default_rng(2), crop, mask, kind)
    assert after.dtype == np.uint8
    assert after.shape == crop.shape
    assert (after != crop).any()
    if kind in LARGE:  # local ones are rectangles of the product's box
        np.testing.assert_array_equal(after[mask == 0], crop[mask == 0])
    np.testing.assert_array_equal(after, painted(np.random.default_rng(2), crop, mask, kind))


@pytest.mark.parametrize("kind", LARGE)
def test_large_kinds_change_a_third_of_the_product(kind: str) -> None:
    """On a textured tile without a mask most of ten draws change more than a third of it."""
    crop = np.random.default_rng(1).integers(40, 215, (64, 64, 3)).astype(np.uint8)
    shares = [
        float((painted(np.random.default_rng(s), crop, None, kind) != crop).any(2).mean())
        for s in range(10)
    ]
    assert np.median(shares) > 1 / 3
