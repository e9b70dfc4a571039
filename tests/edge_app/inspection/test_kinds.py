"""Known defect kinds on the device: regions, softmax threshold, alerts, golden regions."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.engine_compiler import AHEAD_OF_TIME
from support.small_bundles import GRAPHS, bright_files, bright_manifest, write_pictures

from edge_app.backends.choice import batch_of
from edge_app.backends.onnx import OnnxRunner
from edge_app.backends.tensorrt_build import EngineOptions, build_engine
from edge_app.bundle.archive import read_bundle, write_bundle
from edge_app.bundle.manifest import (
    ClassifierSpec,
    GoldenPart,
    GoldenPicture,
    GoldenRegions,
    Manifest,
)
from edge_app.cameras.folder import FolderCamera
from edge_app.cameras.grabber import Grabber
from edge_app.errors import BundleError, ModelError
from edge_app.imaging.defect_region import UNKNOWN, RegionSpec, region_of
from edge_app.inspection.defect_classifier import DefectClassifier, guess_classes
from edge_app.inspection.line import InspectionLine
from edge_app.model.golden_check import check_golden
from edge_app.model.loaded_model import load_model
from edge_app.model.offline import offline_line
from edge_app.records import Defect, Frame, U8Array, VerdictState
from edge_app.runtime.health import CameraCounter
from edge_app.runtime.inspection_thread import CameraPipeline, GapWatch

COLOURS = ("blue", "green", "red")
SPEC = ClassifierSpec(kinds=COLOURS, region_hw=(16, 24), window_px=24.0, margin=0.0)


def manifest_with_kinds(**variant: object) -> Manifest:
    """Return the brightness product's manifest with the colour classifier."""
    manifest = bright_manifest()
    changed = manifest.variants[0].model_copy(update={"classifier": "classifier.onnx", **variant})
    return manifest.model_copy(update={"classifier": SPEC, "variants": (changed,)})


def write_kinds_bundle(
    path: Path, graph: str = "colour_classifier", extra: dict[str, bytes] | None = None, **v: object
) -> Path:
    """Write a bundle whose classifier names colours; return its path."""
    files = {**bright_files(), "classifier.onnx": (GRAPHS / f"{graph}.onnx").read_bytes()}
    write_bundle(path, manifest_with_kinds(**v), {**files, **(extra or {})})
    return path


def line_of(path: Path) -> InspectionLine:
    return offline_line(load_model(read_bundle(path)))


def shot(*colours_bgr: tuple[int, int, int]) -> Frame:
    """Return a dark 128 × 64 part with one 16 px blot for each colour."""
    pixels = np.full((64, 128, 3), 90, np.uint8)
    for i, colour in enumerate(colours_bgr):
        pixels[16:40, 8 + 40 * i : 32 + 40 * i] = colour
    return Frame("cam", 1, pixels, 1_000, "T1", 1, "1.png")


BLUE, RED, WHITE = (255, 130, 130), (130, 130, 255), (250, 250, 250)


def test_each_defect_gets_its_own_kind_in_verdict_and_alert(tmp_path: Path) -> None:
    """Two blots of two colours on one bad part are named apart, also in its alarm event."""
    report = line_of(write_kinds_bundle(tmp_path / "a.bundle")).inspect(shot(BLUE, RED))
    (verdict,) = report.finished
    assert verdict.state is VerdictState.NG
    named = sorted((d.box_xyxy[0], d.kind) for d in verdict.defects)
    assert [kind for _, kind in named] == ["blue", "red"]
    assert report.events[0].verdict == verdict
    assert report.unclassified == 0


def test_what_no_kind_fits_stays_unknown(tmp_path: Path) -> None:
    """A white blot is as much blue as green as red: its softmax does not pass the threshold."""
    report = line_of(write_kinds_bundle(tmp_path / "a.bundle")).inspect(shot(WHITE))
    assert [d.kind for d in report.finished[0].defects] == [UNKNOWN]
    assert report.unclassified == 0


def test_nan_logits_are_unknown_and_counted(tmp_path: Path) -> None:
    """A classifier that returns NaN changes no verdict; its defects are unknown and counted."""
    line = line_of(write_kinds_bundle(tmp_path / "a.bundle", "nan_classifier"))
    report = line.inspect(shot(BLUE, RED))
    (verdict,) = report.finished
    assert verdict.state is VerdictState.NG
    assert {d.kind for d in verdict.defects} == {UNKNOWN}
    assert report.unclassified == len(verdict.defects) == 2
    counter = CameraCounter()
    counter.count(report)
    counter.count(report)
    camera = FolderCamera(write_pictures(tmp_path / "pictures", 1, set()), "cam")
    pipeline = CameraPipeline("cam", Grabber(camera, "cam"), line, GapWatch(None))
    assert counter.read(pipeline).defects_unclassified == 4


def test_a_classifier_that_fails_leaves_the_verdict_alone() -> None:
    """A graph that breaks its contract leaves every defect unknown, counts them, raises nothing."""
    runner = OnnxRunner(GRAPHS / "colour_classifier.onnx")
    classifier = DefectClassifier(runner, SPEC.to_spec(), ("too", "few"), 0.5)
    with pytest.raises(ModelError, match="2 classes"):
        classifier.guess(np.zeros((1, 16, 24, 3), np.uint8))
    runner.close()
    frame = shot(BLUE)
    defects = (Defect(((8.0, 16.0), (32.0, 16.0), (20.0, 40.0)), (8.0, 16.0, 32.0, 40.0), 1.0),)
    named = classifier.name(frame.pixels_hwc, (64.0, 32.0, 128.0, 64.0, 0.0), defects)
    assert (named.defects, named.failed) == (defects, 1)


def test_a_bundle_without_a_classifier_names_nothing(tmp_path: Path) -> None:
    """Without classifier.onnx the same part has the same verdict and unknown defects."""
    write_bundle(tmp_path / "plain.bundle", bright_manifest(), bright_files())
    plain = line_of(tmp_path / "plain.bundle").inspect(shot(BLUE)).finished[0]
    named = line_of(write_kinds_bundle(tmp_path / "a.bundle")).inspect(shot(BLUE)).finished[0]
    assert [d.kind for d in plain.defects] == [UNKNOWN]
    assert [d.kind for d in named.defects] == ["blue"]
    assert (plain.state, plain.score) == (named.state, named.score)
    assert plain.defects[0].box_xyxy == named.defects[0].box_xyxy


def test_softmax_threshold_sends_the_unsure_to_unknown() -> None:
    """A kind needs a probability above the threshold; a row that is not finite has none."""
    rows = np.array([[2.0, 0.0, 0.0], [0.0, 0.0, 0.0], [np.nan, 9.0, 0.0]], np.float32)
    sure, unsure, broken = guess_classes(rows, COLOURS, 0.78)
    assert (sure.kind, unsure.kind, broken.kind) == ("blue", UNKNOWN, UNKNOWN)
    assert sure.probability == pytest.approx(math.exp(2) / (math.exp(2) + 2))
    assert unsure.probability == pytest.approx(1 / 3)
    assert math.isnan(broken.probability)
    assert guess_classes(rows[:1], COLOURS, 0.79)[0].kind == UNKNOWN
    assert guess_classes(np.zeros((0, 3), np.float32), COLOURS, 0.5) == []


def test_a_region_follows_the_products_axes() -> None:
    """A bar along a turned product lies level in its region, wherever the product points."""
    pixels = np.zeros((200, 200, 3), np.uint8)
    angle_rad = 0.6
    along = np.array([math.cos(angle_rad), math.sin(angle_rad)])
    ends = [np.array([100.0, 100.0]) + s * 30 * along for s in (-1, 1)]
    one, other = ((round(float(x)), round(float(y))) for x, y in ends)
    cv2.line(pixels, one, other, (255,) * 3, 5)
    polygon = tuple((float(x), float(y)) for x, y in ends)
    region = region_of(pixels, polygon, angle_rad, RegionSpec((32, 64), 20.0, 0.1))
    lit = region[..., 0] > 127
    assert lit[14:18, 12:52].all()
    assert not lit[:10].any()
    assert not lit[22:].any()


def test_a_small_defect_is_shown_with_its_surroundings() -> None:
    """One lit pixel is cut with the least window round it, a large area shrunk with its margin."""
    pixels = np.zeros((80, 120, 3), np.uint8)
    pixels[40, 60] = 255
    spec = RegionSpec((20, 20), window_px=20.0, margin=0.25)
    region = region_of(pixels, ((60.0, 40.0),), 0.0, spec)
    assert region[..., 0].max(initial=0) > 50
    assert float(region[..., 0].sum()) == pytest.approx(255, abs=4)
    pixels[20:60, 40:80] = 255
    box = ((40.0, 20.0), (80.0, 20.0), (80.0, 60.0), (40.0, 60.0))
    assert region_of(pixels, box, 0.0, spec)[..., 0].mean() / 255 == pytest.approx(1 / 2.25, 0.1)


@pytest.mark.parametrize("at_xy", [(0.0, 0.0), (119.0, 79.0), (-3.0, 90.0)])
def test_a_defect_on_the_border_is_cut_by_repeating_it(at_xy: tuple[float, float]) -> None:
    """Outside the frame the border's pixels go on: a grey frame gives a grey region."""
    pixels = np.full((80, 120, 3), 77, np.uint8)
    assert (region_of(pixels, (at_xy,), 0.3, RegionSpec((8, 12), 40.0, 0.5)) == 77).all()


def regions_png(*colours_bgr: tuple[int, int, int]) -> bytes:
    """Return a golden picture of plain regions, one below the other."""
    sheet = np.concatenate([np.full((16, 24, 3), c, np.uint8) for c in colours_bgr])
    return bytes(cv2.imencode(".png", sheet)[1].tobytes())


def golden_bundle(path: Path, kinds: tuple[str, ...], graph: str = "colour_classifier") -> Path:
    """Return a bundle with one golden part and the golden regions blue, white."""
    part = GoldenPart(box_cxcywhr=(63.5, 31.5, 128.0, 64.0, 0.0), score=90.0, verdict="OK")
    plain: U8Array = np.full((64, 128, 3), 90, np.uint8)
    extra = {
        "golden/0.png": bytes(cv2.imencode(".png", plain)[1].tobytes()),
        "golden/regions.png": regions_png(BLUE, WHITE),
    }
    golden = (GoldenPicture(file="golden/0.png", parts=(part,)),)
    expected = GoldenRegions(file="golden/regions.png", kinds=kinds)
    return write_kinds_bundle(path, graph, extra, golden=golden, golden_regions=expected)


def test_golden_regions_are_part_of_the_self_check(tmp_path: Path) -> None:
    """A device passes when it names the golden regions as expected and fails when it does not."""

    def result(kinds: tuple[str, ...], graph: str = "colour_classifier") -> str:
        bundle = read_bundle(golden_bundle(tmp_path / "a.bundle", kinds, graph))
        return check_golden(load_model(bundle), bundle).reason

    assert result(("blue", UNKNOWN)) == ""
    assert "region 1 is called blue (1.00), expected red" in result(("red", UNKNOWN))
    assert "no picture of 5 regions" in result(("blue",) * 5)
    assert "region 1 is called unknown (nan), expected blue" in result(
        ("blue", UNKNOWN), "nan_classifier"
    )


def test_a_bundle_that_disagrees_about_its_classifier_is_refused(tmp_path: Path) -> None:
    """Manifest and variants must both have a classifier or neither, and the file must be there."""
    manifest = manifest_with_kinds()
    with pytest.raises(BundleError, match=r"lacks classifier\.onnx"):
        write_bundle(tmp_path / "a.bundle", manifest, bright_files())
    without = manifest.model_copy(update={"classifier": None})
    with pytest.raises(BundleError, match="disagree on whether there is a classifier"):
        write_bundle(tmp_path / "a.bundle", without, bright_files())
    odd = manifest_with_kinds(classifier="classifier.bin")
    with pytest.raises(BundleError, match=r"classifier\.bin is not an \.onnx file"):
        write_bundle(tmp_path / "a.bundle", odd, {**bright_files(), "classifier.bin": b""})
    regions = GoldenRegions(file="golden/r.png", kinds=("blue",))
    with pytest.raises(BundleError, match=r"lacks golden/r\.png"):
        write_kinds_bundle(tmp_path / "a.bundle", golden_regions=regions)


@pytest.mark.parametrize("kinds", [("scratch",), ("a", "a"), ("a", "unknown"), ("a", "b\n"), ()])
def test_kinds_have_names_of_their_own(kinds: tuple[str, ...]) -> None:
    """One kind, a name twice, a line break or "unknown" itself are refused."""
    with pytest.raises(ValueError, match="kinds"):
        ClassifierSpec(kinds=kinds, region_hw=(8, 8), window_px=8.0, margin=0.0)


def test_a_graph_that_is_no_classifier_is_refused(tmp_path: Path) -> None:
    """An inspector in the classifier's place is named before a part is judged."""
    path = write_kinds_bundle(tmp_path / "a.bundle", "bright_inspector")
    with pytest.raises(ModelError, match="regions"):
        load_model(read_bundle(path))


@pytest.mark.needs("TensorRT-RTX")
def test_the_classifiers_engine_takes_all_defects_of_a_part() -> None:
    """Its engine is built ahead of time for the largest number of outlines a part can have."""
    assert batch_of("classifier", 8) == 20
    assert batch_of("classifier", 32) == 32
    assert batch_of("inspector", 8) == 8
    graph = (GRAPHS / "colour_classifier.onnx").read_bytes()
    options = EngineOptions(max_batch=20, compute_capability=AHEAD_OF_TIME)
    assert build_engine(graph, options).plan
