"""A bundle's limit moved to another rate without a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.format_2 import with_limits
from support.small_bundles import bright_files, bright_manifest, write_bright_bundle

from calibration.cli.main import main
from calibration.thresholds.move import move_limit, stated_recall
from calibration.thresholds.words import told_carried, told_forgiven, told_stops
from edge_app.bundle.archive import read_bundle, write_bundle
from edge_app.bundle.manifest import GoldenPart, GoldenPicture
from edge_app.bundle.thresholds import LimitOrigin, OperatingPoint, Sensitivity
from edge_app.errors import DataError

COUNT = 199


def origin(recall_of_large: float) -> LimitOrigin:
    """Of a limit at the 4th largest of COUNT scores, 100 to 298."""
    points = [(0.01, 2, 297.0, 0.5), (0.02, 4, 295.0, 0.6), (0.05, 10, 289.0, 0.9)]
    return LimitOrigin(
        good_parts=COUNT,
        groups=COUNT,
        folds=5,
        rank=4,
        nominal_rate=0.02,
        expected_rate=0.02,
        rate_bound=0.045,
        operating_points=tuple(
            OperatingPoint(nominal_rate=r, rank=k, threshold=t, synthetic_recall=c)
            for r, k, t, c in points
        ),
        sensitivity=(Sensitivity(kind="stain", size="large", count=50, recall=recall_of_large),),
        confirmed_harmless=3,
    )


def crossed_bundle(
    path: Path, recall_of_large: float = 0.9, golden: tuple[float, ...] = ()
) -> Path:
    """Write a cross-fitted bundle with a suspect limit and golden pictures of these scores."""
    manifest = with_limits(
        bright_manifest(),
        promise="cross-fitted, measured",
        origin=origin(recall_of_large),
        calibration_scores=tuple(float(s) for s in range(100, 100 + COUNT)),
        score_threshold=295.0,
        suspect_threshold=289.0,
    )
    pictures = tuple(
        GoldenPicture(
            file=f"golden/{i}.png",
            parts=(
                GoldenPart.model_validate(
                    {
                        "box_cxcywhr": (64.0, 32.0, 128.0, 64.0, 0.0),
                        "score": score,
                        "verdict": "NG" if score >= 295 else "OK",
                    }
                ),
            ),
        )
        for i, score in enumerate(golden)
    )
    variant = manifest.variants[0].model_copy(update={"golden": pictures})
    files = bright_files() | {p.file: b"picture" for p in pictures}
    write_bundle(path, manifest.model_copy(update={"variants": (variant,)}), files)
    return path


def test_the_limit_moves_to_the_kth_largest_score(tmp_path: Path) -> None:
    """Everything that belongs to the limit follows; what belongs to the old one is gone."""
    bundle = crossed_bundle(tmp_path / "a.bundle")
    done = move_limit(bundle, 0.03)
    thresholds = read_bundle(bundle).variant().thresholds
    assert thresholds.score_threshold == np.arange(100, 100 + COUNT)[-6] == 293
    assert thresholds.threshold_id == "calibrated-2"
    assert thresholds.false_alarm_rate == 0.03
    assert thresholds.suspect_threshold == 289.0
    assert thresholds.promise == "cross-fitted, measured"
    found = thresholds.origin
    assert found is not None
    assert (found.rank, found.nominal_rate, found.expected_rate) == (6, 0.03, 6 / (COUNT + 1))
    assert (found.operating_points, found.confirmed_harmless) == (origin(0.9).operating_points, 3)
    assert (found.sensitivity, done.lost_sensitivity) == ((), True)
    assert done.synthetic_recall == pytest.approx(0.6 + (0.9 - 0.6) / 3)


def test_the_suspect_limit_never_lies_above(tmp_path: Path) -> None:
    """At 10 % the limit is below the 5 % one: no part is suspect, and the manifest is valid."""
    bundle = crossed_bundle(tmp_path / "a.bundle")
    done = move_limit(bundle, 0.1)
    assert done.suspect_threshold == done.choice.threshold == 279.0
    assert done.synthetic_recall is None  # beyond the stated points


def test_the_same_rate_keeps_what_was_measured(tmp_path: Path) -> None:
    """Nothing moved, nothing lost."""
    bundle = crossed_bundle(tmp_path / "a.bundle")
    assert not move_limit(bundle, 0.02).lost_sensitivity
    found = read_bundle(bundle).variant().thresholds.origin
    assert found is not None
    assert found.sensitivity == origin(0.9).sensitivity


def test_golden_verdicts_follow_the_limit(tmp_path: Path) -> None:
    """260 was OK and is NG at 50 %; 200 is too near the new limit of 199 and is left out."""
    bundle = crossed_bundle(tmp_path / "a.bundle", golden=(120.0, 200.0, 260.0, 400.0))
    move_limit(bundle, 0.5)
    golden = read_bundle(bundle).variant().golden
    assert {p.file: p.parts[0].verdict for p in golden} == {
        "golden/0.png": "OK",
        "golden/2.png": "NG",
        "golden/3.png": "NG",
    }


def test_a_limit_that_no_golden_picture_can_check_is_refused(tmp_path: Path) -> None:
    """No agent would take such a bundle; the file stays as it was."""
    bundle = crossed_bundle(tmp_path / "a.bundle", golden=(200.0,))
    before = bundle.read_bytes()
    with pytest.raises(DataError, match="All 1 golden pictures score within 5%"):
        move_limit(bundle, 0.5)
    assert bundle.read_bytes() == before


def test_the_command_says_what_to_expect(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In words, with the recall of synthetic defects where the bundle states it."""
    bundle = crossed_bundle(tmp_path / "a.bundle")
    out = tmp_path / "b.bundle"
    assert main(["thresholds", str(bundle), "--rate", "0.01", "--out", str(out)]) == 0
    told = capsys.readouterr()
    assert "threshold 295.0000 → 297.0000: the 2nd largest score of 199 good parts" in told.out
    assert "Of 1,000 good parts about 10 will be stopped" in told.out
    assert "It forgives 1 odd good part among 199." in told.out
    assert "about 50% of synthetic defects" in told.out
    assert not told.err
    assert read_bundle(bundle).variant().thresholds.score_threshold == 295.0


def test_a_rate_that_so_few_parts_cannot_carry_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """0.1 % of 199 parts is the largest score, and a weak bundle is weaker then."""
    bundle = crossed_bundle(tmp_path / "a.bundle", recall_of_large=0.3)
    assert main(["thresholds", str(bundle), "--rate", "0.001"]) == 0
    told = capsys.readouterr()
    assert "is not stated for this rate" in told.out
    assert "199 good parts carry no rate below 0.50%" in told.err
    assert "at its old, lower limit: This bundle misses more than half" in told.err


def test_a_bundle_of_release_0_1_0_moves_too(tmp_path: Path) -> None:
    """Its three scores carry no rate; it gets no suspect limit and stays of format 1."""
    bundle = write_bright_bundle(tmp_path / "a.bundle")
    done = move_limit(bundle, 0.5)
    assert (done.choice.threshold, done.suspect_threshold) == (100.0, None)
    assert read_bundle(bundle).manifest.requires == ()


def test_neither_stream_nor_rate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong use, in one sentence."""
    assert main(["thresholds", str(write_bright_bundle(tmp_path / "a.bundle"))]) == 2
    assert "expected --from SOURCE" in capsys.readouterr().err


def test_nothing_is_extrapolated_beyond_the_stated_points() -> None:
    """Between two points linear, at one exact, outside none."""
    points = origin(0.9).operating_points
    assert stated_recall(points, 0.015) == pytest.approx(0.55)
    assert stated_recall(points, 0.05) == pytest.approx(0.9)
    assert stated_recall(points, 0.005) is None
    assert stated_recall((), 0.02) is None


def test_the_words_say_the_numbers() -> None:
    """An upper bound is never rounded down."""
    assert told_stops(0.02, 0.0341) == (
        "Of 1,000 good parts about 20 will be stopped (95 % sure: fewer than 35)."
    )
    assert "about 1.5 will be stopped (95 % sure: fewer than 4)" in told_stops(0.0015, 0.003)
    assert told_forgiven(7, 350) == "It forgives 6 odd good parts among 350."
    assert "no odd part among 38" in told_forgiven(1, 38)
    assert told_carried(0.02, 1, 38) is None
    assert "below 2.56%" in str(told_carried(0.005, 1, 38))
