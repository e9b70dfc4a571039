"""The most anomalous good parts: what each costs, and what a person already said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_app.records import F64Array
from export import charts
from export.bundle_build.answer import ONE_PART_A_PICTURE, answer, by_kind, by_size
from export.bundle_build.odd_parts import (
    SHOWN,
    CalibratedPart,
    OddParts,
    calibrated_parts,
    odd_parts,
    percent_of_limit,
)
from export.bundle_build.records import CutParts, InspectorFacts, Labelled
from export.bundle_build.report import readable
from export.calibrate.thresholds import Calibration, Scored, calibrate_cross_fitted
from export.data.crops import FoundPart
from export.data.picture import Picture
from export.defects.evidence import MAPS_KEPT, CrossFitted, OddMaps, load_cross_fitted
from export.methods.inspector_record import InspectorRecord
from export.networks.onnx_export import GraphRecord

pytestmark = pytest.mark.needs("the extra train")

SIZES = ("small", "medium", "large")


def picture(number: int) -> Picture:
    return Picture(Path(f"{number:03d}.png"), f"{number:03d}.png", f"{number:064x}", (4, 4))


def crossed(good: F64Array, groups: list[int] | None = None, large: float = 1.0) -> CrossFitted:
    """Return folds' scores: 30 stains and 30 cracks of each size; a share of the large ones is
    above all good parts, medium ones half of the time, small cracks never."""
    labels = tuple((kind, size) for kind in ("stain", "crack") for size in SIZES for _ in range(30))
    top = float(good.max()) + 1
    share = {("stain", "small"): 0.5, ("crack", "small"): 0.0}
    defects = [
        top if i % 30 < 30 * share.get((kind, size), large if size == "large" else 0.5) else -np.inf
        for i, (kind, size) in enumerate(labels)
    ]
    numbers = np.array(groups if groups is not None else range(len(good)), np.int64)
    return CrossFitted(5, numbers, good, good, np.array(defects), labels)


def found_for(good: F64Array, large: float = 1.0) -> Calibration:
    return calibrate_cross_fitted(crossed(good, large=large), None, 0.02)


def parts_for(count: int) -> list[CalibratedPart]:
    crop = np.zeros((4, 4, 3), np.uint8)
    return [CalibratedPart((picture(i),), crop) for i in range(count)]


def with_two_far(count: int = 198) -> F64Array:
    good = np.random.default_rng(0).normal(1, 0.1, count)
    return np.append(good, [9.0, 7.0])


def test_the_most_anomalous_come_first_with_what_each_costs() -> None:
    """Of 200 parts the 4th largest sets the limit; without one above it the next largest does."""
    good = with_two_far()
    odd = odd_parts(parts_for(200), found_for(good), frozenset())
    assert len(odd.shown) == SHOWN
    assert [part.name for part in odd.shown[:2]] == ["198.png", "199.png"]
    ordered = np.sort(good)[::-1]
    assert [part.score for part in odd.shown] == ordered[:SHOWN].tolist()
    assert [part.is_alarmed for part in odd.shown] == [i < 4 for i in range(SHOWN)]
    assert odd.shown[0].limit_without == ordered[4] < found_for(good).choice.threshold
    assert odd.shown[-1].limit_without == ordered[3]
    assert (odd.odd, odd.far) == (4, ("198.png", "199.png"))
    (warning,) = odd.warnings
    assert "2 of 200 good parts score far higher than the rest" in warning
    assert "198.png, 199.png" in warning


def test_what_a_person_kept_is_not_asked_again() -> None:
    """It still sets the limit, and is counted for the manifest."""
    good = with_two_far()
    found = found_for(good)
    odd = odd_parts(parts_for(200), found, frozenset({picture(198).sha256}))
    assert odd.shown[0].name == "199.png"
    assert (odd.odd, odd.far, odd.harmless) == (3, ("199.png",), 1)
    assert found.choice.threshold == np.sort(good)[-4]
    origin = found.with_confirmed(2, odd.harmless).thresholds.origin
    assert origin is not None
    assert (origin.confirmed_defective, origin.confirmed_harmless) == (2, 1)


def test_a_fifth_of_odd_parts_questions_the_folder() -> None:
    good = np.append(np.random.default_rng(0).normal(1, 0.1, 60), np.linspace(5, 9, 15))
    (warning,) = odd_parts(parts_for(75), found_for(good)).warnings
    assert "is this a folder of good parts only?" in warning


def test_near_duplicates_are_one_part_shown_by_its_oddest_picture() -> None:
    """Pictures 1 and 2 share a group: one score, both pictures, the crop of the larger one."""
    judged = crossed(np.array([1.0, 2.0, 5.0, 3.0]), [0, 1, 1, 2])
    crops = [np.full((4, 4, 3), i, np.uint8) for i in range(4)]
    labelled = Labelled(None, None, [picture(i) for i in range(4)], [], None)  # type: ignore[arg-type]
    found = [FoundPart(i, (2.0, 2.0, 4.0, 4.0, 0.0)) for i in range(4)]
    cut = CutParts(None, crops, [], [], None, found, None)  # type: ignore[arg-type]
    parts = calibrated_parts(labelled, cut, judged)
    assert [[p.name for p in part.pictures] for part in parts] == [
        ["000.png"],
        ["002.png", "001.png"],
        ["003.png"],
    ]
    assert parts[1].crop[0, 0, 0] == 2


def test_held_out_parts_are_named_like_any_other() -> None:
    """A method that holds good parts back has no folds."""
    crop = np.zeros((4, 4, 3), np.uint8)
    labelled = Labelled(None, None, [picture(0)], [picture(7), picture(8)], None)  # type: ignore[arg-type]
    held = [FoundPart(1, (2.0, 2.0, 4.0, 4.0, 0.0))]
    cut = CutParts(None, [crop], held, [crop], None, [], None)  # type: ignore[arg-type]
    (part,) = calibrated_parts(labelled, cut, None)
    assert part.pictures[0].name == "008.png"


@pytest.mark.parametrize(
    ("score", "percent"), [(1.0, 0.0), (0.0, 0.0), (2.0, 50.0), (3.0, 100.0), (5.0, 200.0)]
)
def test_a_score_is_read_as_a_share_of_the_limit(score: float, percent: float) -> None:
    assert percent_of_limit(score, 1.0, 3.0) == percent


def test_a_limit_at_the_median_has_no_share() -> None:
    """All good parts alike: nothing is divided by zero."""
    assert percent_of_limit(1.0, 1.0, 1.0) == 100.0
    assert percent_of_limit(0.9, 1.0, 1.0) == 0.0


def said(found: Calibration, odd: OddParts) -> list[str]:
    """Return the answer for a whole picture judged by two terms."""
    record = InspectorRecord(
        "ensemble", {"terms": ["memory", "context"]}, {}, GraphRecord(1, 17, (1, 1), ())
    )

    class Cutting:
        region = None

    cut = CutParts(Cutting(), [], [], [], None, [], None, "whole", reason="it is fine")  # type: ignore[arg-type]
    return answer(found, odd, cut, InspectorFacts(record), "in t.review")


def test_the_answer_is_in_words() -> None:
    """What the issue asks for, in its order, without a term of statistics."""
    good = with_two_far()
    found = found_for(good)
    told = said(found, odd_parts(parts_for(200), found))
    assert told[0].startswith("Ready to be tried on the line: it catches 100% of large")
    assert told[1].startswith("Of 1,000 good parts about 20 will be stopped (95 % sure: fewer than")
    assert told[2] == "It forgives 3 odd good parts among 200."
    assert "100% of the large ones, 50% of the medium ones, 25% of the small ones" in told[3]
    assert "4 good parts look odd" in told[4]
    assert told[4].endswith("Look at them in t.review.")
    assert told[5:] == [
        f"The whole picture is inspected: it is fine. {ONE_PART_A_PICTURE}",
        "It judges with the method ensemble by memory + context.",
    ]


def test_a_weak_bundle_says_so_first() -> None:
    """And which kinds it hardly sees."""
    good = with_two_far()
    found = found_for(good, large=0.2)
    assert found.clear_recall == pytest.approx(0.2)
    told = said(found, odd_parts(parts_for(200), found))
    assert told[0].startswith("NOT READY. This bundle misses more than half of clearly visible")
    assert "Look at the odd good parts first: they raise the limit." in told[0]
    assert "It hardly sees: crack (23%)." in told


def test_so_few_parts_carry_less_than_asked_for() -> None:
    """Nothing above the largest score is promised."""
    found = calibrate_cross_fitted(crossed(np.linspace(0, 1, 30)), None, 0.005)
    told = said(found, odd_parts(parts_for(30), found))
    assert "It forgives no odd part among 30 good ones" in told[2]
    assert "30 good parts carry no rate below 3.23%" in told[3]


def test_shares_by_kind_and_size_weigh_every_defect() -> None:
    found = found_for(with_two_far())
    assert list(by_size(found.sensitivity)) == ["large", "medium", "small"]
    assert by_kind(found.sensitivity) == pytest.approx({"crack": 0.5, "stain": 2 / 3})


def test_few_large_defects_say_nothing(tmp_path: Path) -> None:
    """Nine of them are no measurement; the bundle is neither weak nor ready."""
    good = Scored(with_two_far(), with_two_far())
    labels = tuple(("stain", "large") for _ in range(9))
    judged = CrossFitted(5, np.arange(200), good.scores, good.scores, np.full(9, -np.inf), labels)
    found = calibrate_cross_fitted(judged, None, 0.02)
    assert (found.clear_recall, found.weakness) == (None, None)
    told = said(found, odd_parts(parts_for(200), found))
    assert told[0].startswith("Not known whether it is ready")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([1, 2.5, True], "1, 2.5, yes"),
        (0.123456, "0.1235"),
        (None, "none"),
        (list(range(20)), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 8 more"),
    ],
)
def test_values_are_readable(value: object, text: str) -> None:
    assert readable(value) == text


def test_the_maps_of_the_oddest_crops_are_kept(tmp_path: Path) -> None:
    """Fold by fold, however many there are; what is saved is what is read."""
    count = 5 * MAPS_KEPT
    order = np.random.default_rng(3).permutation(count)
    kept = OddMaps(count)
    for at in np.array_split(np.arange(count), 7):
        maps = np.stack([np.full((2, 3), order[i], np.float32) for i in at])
        kept.add(at, order[at].astype(np.float64), maps)
    numbers, maps = kept.kept()
    assert order[numbers].tolist() == list(range(count - 1, count - 1 - MAPS_KEPT, -1))
    assert maps[:, 0, 0].tolist() == order[numbers].tolist()
    assert (kept.scores == order).all()
    assert (kept.peaks == order).all()
    found = CrossFitted(
        7, np.arange(count), kept.scores, kept.peaks, np.zeros(0), (), numbers, maps
    )
    found.save(tmp_path / "a.npz")
    read = load_cross_fitted(tmp_path / "a.npz")
    assert (read.odd == numbers).all()
    assert (read.odd_maps == maps).all()


def test_a_part_is_shown_with_the_map_of_a_model_that_had_not_seen_it() -> None:
    """The shipped model knows the part: its map would be empty."""
    judged = crossed(np.array([1.0, 2.0, 5.0]))
    maps = np.full((1, 2, 2), 7, np.float32)
    judged = replace(judged, odd=np.array([2]), odd_maps=maps)
    crops = [np.zeros((4, 4, 3), np.uint8)] * 3
    labelled = Labelled(None, None, [picture(i) for i in range(3)], [], None)  # type: ignore[arg-type]
    found = [FoundPart(i, (2.0, 2.0, 4.0, 4.0, 0.0)) for i in range(3)]
    cut = CutParts(None, crops, [], [], None, found, None)  # type: ignore[arg-type]
    parts = calibrated_parts(labelled, cut, judged)
    assert [part.map_hw is not None for part in parts] == [False, False, True]
    assert parts[2].map_hw is not None
    assert (parts[2].map_hw == 7).all()


@pytest.mark.parametrize("mark", [None, (20.0, 0.5)])
def test_the_curve_shows_every_point_and_the_chosen_one(mark: tuple[float, float] | None) -> None:
    """Also where there are but two points."""
    drawn = charts.share_curve([10.0, 20.0], [0.25, 0.5], ("x < 1", "y"), mark)
    assert drawn.count("<circle") == 2 + (mark is not None)
    assert ("chosen" in drawn) == (mark is not None)
    assert "x &lt; 1" in drawn
