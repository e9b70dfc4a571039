"""Two variants beside each other, part by part."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.precision.layers import choose_layers
from calibration.precision.parity import (
    PartPairs,
    expected_flips,
    figures,
    flips,
    map_threshold,
)


def _pairs(reference: list[float], variant: list[float]) -> PartPairs:
    names = tuple(f"part {i}" for i in range(len(reference)))
    peaks = np.array([1.0, 2.0, 4.0])
    return PartPairs(names, np.array(reference), np.array(variant), peaks, peaks * 1.5, 1)


def test_map_threshold_scales_with_the_peaks() -> None:
    """Peaks 1.5 times as high make the map threshold 1.5 times as high."""
    assert map_threshold(_pairs([1.0], [1.0]), 10.0) == pytest.approx(15.0)


def test_maps_without_a_peak_leave_the_threshold() -> None:
    """Where no map rises above 0 there is nothing to scale by."""
    pairs = PartPairs(("a",), np.ones(1), np.ones(1), np.zeros(2), np.ones(2), 0)
    assert map_threshold(pairs, 10.0) == 10.0


def test_flip_is_named_with_its_distances() -> None:
    """Only the part that changes sides is listed, with both distances from the thresholds."""
    (flip,) = flips(_pairs([1.0, 3.9, 8.0], [1.2, 4.4, 8.0]), 4.0, 4.0)
    assert flip.name == "part 1"
    assert flip.reference_margin == pytest.approx(-0.025)
    assert flip.variant_margin == pytest.approx(0.1)


def test_figures_count_after_the_thresholds_are_laid_together() -> None:
    """A common shift of all scores is no difference once the threshold has taken it up."""
    found = figures(_pairs([1.0, 3.0, 8.0], [2.0, 4.0, 9.4]), 4.0, 5.0, "sim")
    assert (found.parts, found.flips, found.unmatched) == (3, 0, 1)
    assert found.score_difference_median == 0.0
    assert found.score_difference_largest == pytest.approx(0.1)


def test_expected_flips_see_risk_before_a_part_flips() -> None:
    """No part flips, but with differences of ±1 one in a hundred parts at 0.5 below might."""
    rng = np.random.default_rng(3)
    reference = np.concatenate([rng.uniform(0, 3, 99), [4.5]])
    moved = np.where(np.arange(100) % 2, 1.0, -1.0)
    moved[-1] = 0.0
    expected = expected_flips(reference, reference + moved, 5.0)
    assert expected == pytest.approx(0.005, abs=0.001)
    assert expected_flips(reference, reference + 7.0, 5.0) == 0.0


def test_only_as_many_layers_are_left_as_needed() -> None:
    """Of ten layers the two that hurt most stay in fp16, most fragile first."""
    hurt = {f"layer {i}": 1.0 for i in range(10)} | {"layer 3": 50.0, "layer 7": 90.0}
    shares: list[float] = []
    choice = choose_layers(
        list(hurt), lambda n: sum(hurt[x] for x in n), lambda n: sum(hurt[x] for x in n), 8.0,
        shares.append,
    )  # fmt: skip
    assert choice.half == ("layer 7", "layer 3")
    assert choice.int8 == tuple(n for n in hurt if n not in choice.half)
    assert choice.damage == 8.0
    assert shares[-1] == 1.0
    assert shares == sorted(shares)


def test_harmless_layers_are_all_quantised() -> None:
    """Where nothing hurts, nothing is left in fp16; where everything does, everything is."""
    nodes = ["a", "b", "c"]
    all_of_them = choose_layers(nodes, lambda n: 0.0, lambda n: 0.0, 0.1, lambda _: None)
    assert (all_of_them.int8, all_of_them.half) == (("a", "b", "c"), ())
    none = choose_layers(nodes, lambda n: 1.0, lambda n: float(len(n)), 0.1, lambda _: None)
    assert none.int8 == ()
    assert set(none.half) == set(nodes)
