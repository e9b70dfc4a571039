"""`edge-calibrate fp16` and `int8`: the installed command on a real bundle and real pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from support.needs import require

require("the extra calibrate")

from support.conv_graphs import write_conv_bundle
from support.format_2 import ORIGIN, with_limits
from support.small_bundles import textured_picture, write_bright_bundle

from calibration.cli.main import main
from edge_app.bundle.archive import read_bundle, write_bundle
from edge_app.model.golden_check import check_golden
from edge_app.model.loaded_model import load_model


def _pictures(folder: Path, count: int, bad_every: int = 0) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(count)
    for i in range(count):
        pixels = textured_picture(1000 * count + i, spot=bool(bad_every) and i % bad_every == 0)
        pixels[:16, :16] = 90 + rng.integers(0, 30)
        cv2.imwrite(str(folder / f"{i:04d}.png"), pixels)
    return folder


@pytest.fixture
def sources(tmp_path: Path) -> list[str]:
    """Return the command's arguments for 60 good parts and 30 mixed ones."""
    good, mixed = _pictures(tmp_path / "good", 60), _pictures(tmp_path / "mixed", 30, 3)
    return ["--source", f"folder:{good}", "--held-out", f"folder:{mixed}", "--threads", "1"]


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_variant_is_added_measured_and_works(
    precision: str, tmp_path: Path, sources: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The bundle gains the precision with thresholds, golden set and parity; fp32 stays first."""
    file = write_conv_bundle(tmp_path / "a.bundle")
    assert main([precision, str(file), *sources]) == 0
    bundle = read_bundle(file)
    assert [v.precision for v in bundle.manifest.variants] == ["fp32", precision]
    variant = bundle.variant(precision)
    assert variant.inspector == f"inspector-{precision}.onnx"
    assert variant.thresholds.threshold_id == f"calibrated-1-{precision}"
    assert len(variant.thresholds.calibration_scores) == 60
    assert variant.thresholds.score_threshold == pytest.approx(0.6, rel=0.05)
    parity = variant.parity
    assert parity is not None
    assert parity.held_out is not None
    assert (parity.calibration.parts, parity.held_out.parts) == (60, 30)
    assert parity.calibration.flips == parity.held_out.flips == 0
    assert str(tmp_path) not in bundle.manifest.model_dump_json()
    assert check_golden(load_model(bundle, 1, precision), bundle).is_ok
    assert len(variant.golden) == 2
    assert "0 of 30 parts flip" in capsys.readouterr().out


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_variant_has_a_lower_limit_on_its_own_scale(
    precision: str, tmp_path: Path, sources: list[str]
) -> None:
    """Moved by what scores move there; how the limit was found stays as it was."""
    file = write_conv_bundle(tmp_path / "a.bundle")
    plain = read_bundle(file)
    crossed = {"promise": "cross-fitted, measured", "origin": ORIGIN}
    limit = plain.variant().thresholds.score_threshold
    manifest = with_limits(plain.manifest, suspect_threshold=0.7 * limit, **crossed)
    write_bundle(file, manifest, plain.files)
    assert main([precision, str(file), *sources]) == 0
    bundle = read_bundle(file)
    reference, variant = (bundle.variant(p).thresholds for p in ("fp32", precision))
    assert reference == manifest.variants[0].thresholds
    assert variant.suspect_threshold == pytest.approx(0.7 * limit, rel=0.05)
    assert variant.suspect_threshold != reference.suspect_threshold
    assert variant.suspect_threshold is not None
    assert variant.suspect_threshold < variant.score_threshold
    assert (variant.promise, variant.origin) == (reference.promise, ORIGIN)
    assert load_model(bundle, 1, precision).limits.suspect_threshold == variant.suspect_threshold
    assert bundle.manifest.requires == ("cross_fitted_limits", "suspect_limit")


def test_int8_says_what_it_chose(tmp_path: Path, sources: list[str]) -> None:
    """The manifest names ranges, int8 layers and layers left in fp16, and their sizes."""
    file = write_conv_bundle(tmp_path / "a.bundle")
    assert main(["int8", str(file), *sources]) == 0
    parity = read_bundle(file).variant("int8").parity
    assert parity is not None
    assert set(parity.ranges) == {"inspector"}
    chosen = {*parity.int8_nodes["inspector"], *parity.fp16_nodes["inspector"]}
    assert chosen == {"/net/one/Conv", "/net/two/Conv", "/net/three/Conv"}
    assert 0.2 < parity.weight_share["int8"] < 0.45


def test_preferred_variant_comes_first_and_replaces_its_elder(
    tmp_path: Path, sources: list[str]
) -> None:
    """With --prefer it leads; made again there is still one of it; --out leaves the original."""
    file, out = write_conv_bundle(tmp_path / "a.bundle"), tmp_path / "b.bundle"
    before = file.read_bytes()
    assert main(["fp16", str(file), *sources, "--out", str(out)]) == 0
    assert main(["fp16", str(out), *sources, "--prefer"]) == 0
    assert [v.precision for v in read_bundle(out).manifest.variants] == ["fp16", "fp32"]
    assert file.read_bytes() == before


def test_same_inputs_give_the_same_bundle(tmp_path: Path, sources: list[str]) -> None:
    """Two runs over the same pictures write the same bytes."""
    outs = [tmp_path / "1.bundle", tmp_path / "2.bundle"]
    file = write_conv_bundle(tmp_path / "a.bundle")
    for out in outs:
        assert main(["int8", str(file), *sources, "--out", str(out)]) == 0
    assert outs[0].read_bytes() == outs[1].read_bytes()


def test_too_few_parts_change_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ten parts say nothing of a variant; the bundle stays as it was."""
    file = write_conv_bundle(tmp_path / "a.bundle")
    before = file.read_bytes()
    few = _pictures(tmp_path / "few", 10)
    assert main(["fp16", str(file), "--source", f"folder:{few}"]) == 2
    assert "at least 50" in capsys.readouterr().err
    assert file.read_bytes() == before


def test_golden_picture_that_flips_is_refused(
    tmp_path: Path, sources: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A golden picture whose verdict is not fp32's means that the precision does not suit."""
    file = write_conv_bundle(tmp_path / "a.bundle", threshold=2.0)  # the bad one now scores OK
    before = file.read_bytes()
    assert main(["fp16", str(file), *sources]) == 2
    assert "golden/bad.png: OK" in capsys.readouterr().err
    assert file.read_bytes() == before


def test_bundle_that_names_no_fp32_nodes_is_refused(
    tmp_path: Path, sources: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the method's word on what must stay in fp32 nothing is guessed."""
    file = write_bright_bundle(tmp_path / "a.bundle")
    assert main(["fp16", str(file), *sources]) == 2
    assert "Build it again" in capsys.readouterr().err


def test_new_thresholds_drop_variants_that_followed_the_old_ones(
    tmp_path: Path, sources: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """After `thresholds` only fp32 is left, with its graphs only, and the person is told."""
    file = write_conv_bundle(tmp_path / "a.bundle")
    assert main(["fp16", str(file), *sources, "--prefer"]) == 0
    assert main(["thresholds", str(file), *sources[:2], "--false-alarm-rate", "0.05"]) == 0
    bundle = read_bundle(file)
    assert [v.precision for v in bundle.manifest.variants] == ["fp32"]
    assert [name for name in bundle.files if name.endswith(".onnx")] == ["inspector.onnx"]
    assert bundle.variant().thresholds.threshold_id == "calibrated-2"
    assert "fp16 removed" in capsys.readouterr().err
