"""Thresholds from a stream of good parts, through the whole line."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from support.format_2 import ORIGIN, with_limits
from support.signed_bundles import Signer, write_signed
from support.small_bundles import (
    bright_files,
    bright_manifest,
    textured_picture,
    write_bright_bundle,
)

from calibration.cli.main import main
from calibration.thresholds.recalibrate import recalibrate
from calibration.thresholds.suspect import suspect_limit
from edge_app.bundle.archive import read_bundle, write_bundle
from edge_app.bundle.manifest import FORMAT_1
from edge_app.cameras.folder import FolderCamera
from edge_app.errors import DataError


def good_folder(folder: Path, count: int) -> Path:
    """Write different good pictures whose brightest block is 100 to 100 + count / 10."""
    folder.mkdir()
    for i in range(count):
        pixels = textured_picture(i)
        pixels[:16, :16] = 100 + i // 10
        cv2.imwrite(str(folder / f"{i:04d}.png"), pixels)
    return folder


def test_the_threshold_follows_the_good_parts(tmp_path: Path) -> None:
    """With 200 good parts up to 119 the threshold lies just above them, under a new name."""
    bundle = write_bright_bundle(tmp_path / "a.bundle")
    seen: list[int] = []
    camera = FolderCamera(good_folder(tmp_path / "in", 200), "c")
    done = recalibrate(bundle, camera, 0.02, seen.append)
    thresholds = read_bundle(bundle).variant().thresholds
    assert thresholds.threshold_id == "calibrated-2"
    assert thresholds.score_threshold == pytest.approx(119, abs=1)
    assert len(thresholds.calibration_scores) == 200
    assert done.choice.is_guaranteed
    assert seen[-1] == 200


def test_a_bundle_with_a_lower_limit_gets_a_new_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The 10th largest of 200 (5 %); what was said of a cross-fitted limit goes."""
    crossed = {"promise": "cross-fitted, measured", "origin": ORIGIN}
    manifest = with_limits(bright_manifest(), suspect_threshold=120.0, **crossed)
    write_bundle(tmp_path / "a.bundle", manifest, bright_files())
    source = f"folder:{good_folder(tmp_path / 'in', 200)}"
    args = ["thresholds", str(tmp_path / "a.bundle"), "--source", source]
    assert main([*args, "--false-alarm-rate", "0.02"]) == 0
    found = read_bundle(tmp_path / "a.bundle")
    thresholds = found.variant().thresholds
    expected = sorted(thresholds.calibration_scores)[-10]
    assert thresholds.suspect_threshold == expected == pytest.approx(119, abs=1)
    assert (thresholds.promise, thresholds.origin) == ("guaranteed", None)
    assert found.manifest.requires == ("suspect_limit",)
    assert f"suspect from {expected:.4f}" in capsys.readouterr().out


def test_a_bundle_without_a_lower_limit_stays_without(tmp_path: Path) -> None:
    """Nothing new in a bundle that devices of 0.1.0 use."""
    bundle = write_bright_bundle(tmp_path / "a.bundle")
    done = recalibrate(bundle, FolderCamera(good_folder(tmp_path / "in", 60), "c"), 0.05, print)
    assert done.suspect_threshold is None
    assert read_bundle(bundle).manifest.format == FORMAT_1


@pytest.mark.parametrize(("count", "rank"), [(1, 1), (18, 1), (29, 2), (100, 5), (2000, 100)])
def test_the_lower_limit_is_an_order_statistic(count: int, rank: int) -> None:
    """k = max(1, round(0.05 (n + 1))), whatever the order of the scores; never above the limit."""
    scores = np.random.default_rng(count).permutation(np.arange(count, dtype=np.float64))
    assert suspect_limit(scores, 1e9) == count - rank
    assert suspect_limit(scores, 0.5) == min(0.5, count - rank)


def test_too_short_a_stream_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    """Ten parts say nothing about a false-alarm rate; the bundle stays as it was."""
    bundle = write_bright_bundle(tmp_path / "a.bundle")
    before = bundle.read_bytes()
    camera = FolderCamera(good_folder(tmp_path / "in", 10), "c")
    with pytest.raises(DataError, match="Only 10 different good parts were judged"):
        recalibrate(bundle, camera, 0.01, lambda _: None)
    assert bundle.read_bytes() == before


def test_a_corrupt_picture_is_passed_over(tmp_path: Path) -> None:
    """One unreadable file among the good ones is no reason to stop."""
    folder = good_folder(tmp_path / "in", 60)
    (folder / "0010.png").write_bytes(b"no picture")
    bundle = write_bright_bundle(tmp_path / "a.bundle")
    recalibrate(bundle, FolderCamera(folder, "c"), 0.05, lambda _: None)
    assert len(read_bundle(bundle).variant().thresholds.calibration_scores) == 59


def test_the_command_writes_a_new_bundle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`edge-calibrate thresholds` says what the threshold promises and warns where it cannot."""
    bundle = write_bright_bundle(tmp_path / "a.bundle")
    folder = good_folder(tmp_path / "in", 60)
    out = tmp_path / "b.bundle"
    args = ["thresholds", str(bundle), "--source", f"folder:{folder}", "--out", str(out)]
    assert main(args) == 0
    told = capsys.readouterr()
    assert "of 60 good parts alarmed" in told.out
    assert "0.500% is extrapolated, not guaranteed" in told.err
    assert read_bundle(out).variant().thresholds.threshold_id == "calibrated-2"
    assert read_bundle(bundle).variant().thresholds.threshold_id == "calibrated-1"


def test_a_source_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing folder ends with code 2 and one sentence."""
    bundle = write_bright_bundle(tmp_path / "a.bundle")
    assert main(["thresholds", str(bundle), "--source", f"folder:{tmp_path / 'no'}"]) == 2
    assert "edge-calibrate:" in capsys.readouterr().err
    assert np.isfinite(read_bundle(bundle).variant().thresholds.score_threshold)


@pytest.mark.parametrize("is_in_place", [True, False], ids=["in place", "beside it"])
def test_a_signed_bundle_that_is_changed_is_said_to_be_unsigned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], is_in_place: bool
) -> None:
    """The new thresholds are not those that were signed: it says so, and how to sign again; an
    unsigned bundle is changed without such a word."""
    good_folder(tmp_path / "in", 60)
    source = ["--source", f"folder:{tmp_path / 'in'}", "--false-alarm-rate", "0.05"]
    signed = write_signed(tmp_path / "signed.bundle", Signer("tests"))
    out = signed if is_in_place else tmp_path / "new.bundle"
    assert main(["thresholds", str(signed), *source, "--out", str(out)]) == 0
    told = capsys.readouterr().err
    assert f"warning: {out} is no longer signed" in told
    assert f"Sign it again: edge-deploy sign {out} --key FILE.key --out {out}" in told
    assert not read_bundle(out).is_signed
    assert read_bundle(signed).is_signed is not is_in_place
    assert main(["thresholds", str(out), *source]) == 0
    assert "signed" not in capsys.readouterr().err
