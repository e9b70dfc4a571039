"""Good pictures in, a bundle out: small, but through every step."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_app.bundle.archive import read_bundle
from edge_app.errors import DataError
from edge_app.model.loaded_model import load_model
from edge_app.model.looks import look_at
from export.bundle_build.pipeline import BuildOptions, build
from export.cli.main import main

pytestmark = pytest.mark.needs("the extra train")

COUNT = 25
"""So few make a bundle; every one of them trains and counts for the limit."""


def tile(rng: np.random.Generator) -> np.ndarray:
    """Return a textured tile with a bright bar: the whole frame is the product."""
    noise = cv2.GaussianBlur(rng.normal(0, 30, (80, 96, 3)), (0, 0), 2.0)
    pixels = 110 + 4 * noise
    pixels[30:50, 20:76] += 50
    return pixels.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set in the MVTec layout, with a test folder that must not matter."""
    folder = tmp_path_factory.mktemp("tiles")
    rng = np.random.default_rng(0)
    for name, count in (("train/good", COUNT), ("test/good", 2), ("ground_truth/x", 1)):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            cv2.imwrite(str(folder / name / f"{i:03d}.png"), tile(rng))
    return folder


def options(data: Path, out: Path) -> BuildOptions:
    return BuildOptions(
        data=data, out=out, product="tiles", detector="none", steps=2, false_alarm_rate=0.05
    )


@pytest.fixture(scope="module")
def built(tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "tiles.bundle"
    build(options(tiles, out), lambda *_: None)
    return out


def test_the_bundle_judges_on_the_device(built: Path) -> None:
    """The bundle loads in ONNX Runtime, reproduces its own golden set and sees a blot."""
    bundle = read_bundle(built)
    model = load_model(bundle)
    golden = bundle.variant().golden
    assert len(golden) >= 4
    for entry in golden:
        raw = np.frombuffer(bundle.files[entry.file], np.uint8)
        (look,) = look_at(model, np.asarray(cv2.imdecode(raw, cv2.IMREAD_COLOR), np.uint8))
        assert look.anomaly.score == pytest.approx(entry.parts[0].score, rel=1e-3)
    blotted = tile(np.random.default_rng(99))
    blotted[10:28, 30:60] = 10
    (look,) = look_at(model, blotted)
    assert look.anomaly.score > model.limits.score_threshold


def test_the_manifest_says_what_it_rests_on(built: Path) -> None:
    """All pictures train and count for the limit, one score per part, by models that had not
    seen it."""
    bundle = read_bundle(built)
    provenance = bundle.manifest.provenance
    assert provenance.method == "ensemble"
    assert len(provenance.training_sha256) == COUNT
    assert set(provenance.training_sha256) == set(provenance.calibration_sha256)
    limits = bundle.variant().thresholds
    assert len(limits.calibration_scores) == COUNT
    assert limits.promise == "cross-fitted, measured"
    assert limits.origin is not None
    assert (limits.origin.good_parts, limits.origin.rank, limits.origin.folds) == (COUNT, 1, 10)
    assert limits.score_threshold == limits.calibration_scores[-1]


@pytest.mark.slow
def test_new_names_in_another_order_give_the_same_inspector_and_limit(
    tiles: Path, built: Path, tmp_path: Path
) -> None:
    """What is drawn at random depends on the pictures alone."""
    good = tmp_path / "tiles" / "train" / "good"
    good.mkdir(parents=True)
    for i in range(COUNT):
        shutil.copy(tiles / "train" / "good" / f"{i:03d}.png", good / f"x{i * 7 % COUNT:02d}.png")
    build(options(tmp_path / "tiles", tmp_path / "again.bundle"), lambda *_: None)
    one, two = read_bundle(built), read_bundle(tmp_path / "again.bundle")
    assert one.files["inspector.onnx"] == two.files["inspector.onnx"]
    assert one.variant().thresholds == two.variant().thresholds
    assert one.manifest.provenance.notes == two.manifest.provenance.notes


def test_the_report_is_inside_and_tells_no_time(built: Path, tiles: Path) -> None:
    """report.html shows pictures and warnings, and holds neither paths nor a date."""
    report = read_bundle(built).files["report.html"].decode()
    assert report.count("data:image/jpeg") >= 2
    assert report.index('class="answer') < report.index("<h2>")
    assert "Of 1,000 good parts about" in report
    assert "good parts say little about the false-alarm rate" in report
    assert "{'" not in report
    assert "&#x27;:" not in report  # a dictionary as Python prints it
    assert str(tiles) not in report
    assert built.with_name("tiles.bundle.build.json").is_file()


@pytest.mark.slow
def test_the_test_folder_does_not_matter(tiles: Path, built: Path, tmp_path: Path) -> None:
    """Built again with `test/` and `ground_truth/` deleted the bundle is the same, byte by byte."""
    bare = tmp_path / "tiles"
    shutil.copytree(tiles / "train", bare / "train")
    build(options(bare, tmp_path / "again.bundle"), lambda *_: None)
    assert (tmp_path / "again.bundle").read_bytes() == built.read_bytes()


class Stopped(Exception):
    """The person pressed Ctrl-C."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "step",
    ["labels", "inspector", "thresholds", "golden"],
)
def test_a_stopped_build_resumes_to_the_same_result(
    tiles: Path, built: Path, tmp_path: Path, step: str
) -> None:
    """Stopped as a step begins, the next run ends with the same bytes."""
    out = tmp_path / "tiles.bundle"

    def stop(name: str, _text: str, _share: float) -> None:
        if name == step:
            raise Stopped

    with pytest.raises(Stopped):
        build(options(tiles, out), stop)
    assert not out.exists()
    build(options(tiles, out), lambda *_: None)
    assert out.read_bytes() == built.read_bytes()


def test_too_few_pictures_say_so_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`edge-export build` on three pictures ends with code 2 and one clear sentence."""
    folder = tmp_path / "data"
    folder.mkdir()
    for i in range(3):
        cv2.imwrite(str(folder / f"{i}.png"), tile(np.random.default_rng(i)))
    assert main(["build", "--data", str(folder), "--out", str(tmp_path / "a.bundle")]) == 2
    assert "holds 3 different readable pictures" in capsys.readouterr().err
    assert not (tmp_path / "a.bundle").exists()


@pytest.mark.slow
def test_another_method_makes_a_bundle_of_the_same_contract(tiles: Path, tmp_path: Path) -> None:
    """`--method padim-slim` ends in a bundle that the device judges with, unchanged."""
    out = tmp_path / "padim.bundle"
    build(dataclasses.replace(options(tiles, out), method="padim-slim"), lambda *_: None)
    bundle = read_bundle(out)
    assert bundle.manifest.provenance.method == "padim-slim"
    (look,) = look_at(load_model(bundle), tile(np.random.default_rng(98)))
    assert np.isfinite(look.anomaly.score)


def test_a_method_with_a_typing_error_is_refused_at_once(tiles: Path, tmp_path: Path) -> None:
    """The nearest name is offered before anything is read."""
    wrong = dataclasses.replace(options(tiles, tmp_path / "a.bundle"), method="patchcor")
    with pytest.raises(DataError, match="did you mean 'patchcore'"):
        build(wrong, lambda *_: None)
    assert not list(tmp_path.iterdir())


def test_a_detector_that_is_not_there(tiles: Path, tmp_path: Path) -> None:
    """`--detector FILE` with a wrong name is refused before anything is trained."""
    wrong = BuildOptions(
        data=tiles, out=tmp_path / "a.bundle", product="x", detector=str(tmp_path / "no.onnx")
    )
    with pytest.raises(DataError, match=r"no\.onnx is not there"):
        build(wrong, lambda *_: None)
