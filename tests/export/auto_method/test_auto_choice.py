"""The rule of `--method auto`: a challenger must be better over all and worse nowhere."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import TypeAdapter

from edge_app.errors import DataError
from export.auto_method.anomalies import EVIDENCE_KINDS, LARGE, with_anomaly
from export.auto_method.rule import (
    FAMILIES,
    Evidence,
    EvidenceRecord,
    choose,
    evidence_from,
    gain_interval,
)


def evidence(method: str, local: float, large: float, wild: int = 0) -> Evidence:
    """Return a candidate whose painted crops score so many standard deviations higher.

    Every candidate's noise is the same, crop by crop; `wild` good crops score far too high.
    """
    rng = np.random.default_rng(0)
    good = rng.normal(0, 1, 64)
    shifts = dict.fromkeys(FAMILIES["local"], local) | dict.fromkeys(FAMILIES["large"], large)
    painted_scores = {kind: rng.normal(0, 1, 64) + shift for kind, shift in shifts.items()}
    good[:wild] += 20
    return Evidence(method, good, painted_scores)


OWN = evidence("own", local=2.0, large=1.0)


@pytest.mark.parametrize(
    ("challenger", "is_taken"),
    [
        (evidence("better at both", 2.5, 1.5), True),
        (evidence("far better at local ones, worse at large ones", 4.0, 0.8), False),
        (evidence("far better at large ones, worse at local ones", 1.6, 3.0), False),
        (evidence("better at large ones, as good at local ones", 2.0, 1.8), True),
        (evidence("a shade better", 2.001, 1.001), False),
        (evidence("better, but some good parts score high", 2.3, 1.3, wild=5), False),
    ],
    ids=lambda value: value.method if isinstance(value, Evidence) else "",
)
def test_a_challenger_must_be_better_and_worse_nowhere(
    challenger: Evidence, is_taken: bool
) -> None:
    """What is better in one family only does not replace the default."""
    method, reason = choose("own", [OWN, challenger])
    assert method == (challenger.method if is_taken else "own")
    assert f"{OWN.mean:.3f}" in reason


def test_of_several_challengers_the_best_is_taken() -> None:
    """The highest mean of both families wins, whatever the order."""
    good, best = evidence("good", 2.5, 1.5), evidence("best", 3.0, 2.0)
    assert choose("own", [good, OWN, best])[0] == "best"


def test_without_the_default_the_best_is_taken() -> None:
    """A default that could not be trained is not taken, and the reason says so."""
    method, reason = choose("own", [evidence("a", 1, 1), evidence("b", 2, 2)])
    assert method == "b"
    assert "own was not measured" in reason


def test_the_interval_holds_the_gain_and_is_nothing_for_equals() -> None:
    """Paired redraws: a method against itself gains exactly 0."""
    better = evidence("better", 2.5, 1.5)
    low, high = gain_interval(better, OWN)
    assert low < better.mean - OWN.mean < high
    assert gain_interval(OWN, OWN) == (0.0, 0.0)


def test_good_parts_that_score_high_cost() -> None:
    """Five of 64 good crops beyond every defect: little is caught at the allowed alarms."""
    assert evidence("calm", 2, 1).caught > 0.4
    assert evidence("wild", 2, 1, wild=5).caught == 0.0


def test_evidence_comes_back_from_its_json() -> None:
    """What is recorded decides the same again."""
    again = evidence_from(
        TypeAdapter(EvidenceRecord).validate_json(
            TypeAdapter(EvidenceRecord).dump_json(OWN.record())
        )
    )
    assert again.kinds == OWN.kinds
    assert again.caught == OWN.caught


def test_a_score_that_is_no_number_is_refused() -> None:
    """NaN never compares as good."""
    broken = Evidence("own", np.array([1.0, np.nan]), OWN.synthetic)
    with pytest.raises(DataError, match="NaN"):
        choose("own", [broken, OWN])


@pytest.mark.parametrize("kind", EVIDENCE_KINDS)
@pytest.mark.parametrize("hw", [(64, 96), (32, 160)])
def test_every_kind_changes_the_product_only(kind: str, hw: tuple[int, int]) -> None:
    """Something changes, nothing beside the product does, and a seed gives the same again."""
    crop = np.random.default_rng(1).integers(40, 215, (*hw, 3)).astype(np.uint8)
    mask = np.zeros(hw, np.uint8)
    mask[4:-4, 8:-8] = 255
    after = with_anomaly(np.random.default_rng(2), crop, mask, kind)
    assert after.dtype == np.uint8
    assert after.shape == crop.shape
    assert (after != crop).any()
    if kind in LARGE:  # local ones are rectangles of the product's box
        np.testing.assert_array_equal(after[mask == 0], crop[mask == 0])
    np.testing.assert_array_equal(after, with_anomaly(np.random.default_rng(2), crop, mask, kind))


@pytest.mark.parametrize("kind", LARGE)
def test_large_kinds_change_a_third_of_the_product(kind: str) -> None:
    """On a textured tile without a mask most of ten draws change more than a third of it."""
    crop = np.random.default_rng(1).integers(40, 215, (64, 64, 3)).astype(np.uint8)
    shares = [
        float((with_anomaly(np.random.default_rng(s), crop, None, kind) != crop).any(2).mean())
        for s in range(10)
    ]
    assert np.median(shares) > 1 / 3
