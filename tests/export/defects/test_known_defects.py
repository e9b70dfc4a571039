"""A folder of known defects: masks, pictures without one, and a whole build with kinds."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.known_shapes import drawn, write_shapes
from support.small_bundles import grey_picture, write_bright_bundle

from edge_app.bundle.archive import read_bundle
from edge_app.errors import DataError
from edge_app.imaging.defect_region import UNKNOWN
from edge_app.model.golden_check import check_golden
from edge_app.model.loaded_model import LoadedModel, load_model
from edge_app.model.offline import offline_line
from edge_app.records import Frame
from export.bundle_build.pipeline import BuildOptions, build
from export.defects.labelled import known_defects, outlines_of
from export.defects.pictures import scan_defects

pytestmark = pytest.mark.needs("the extra train")


@pytest.fixture
def model(tmp_path: Path) -> LoadedModel:
    return load_model(read_bundle(write_bright_bundle(tmp_path / "a.bundle")))


def spotted(folder: Path, kind: str) -> Path:
    """Write a part with a bright spot at x 32..64, y 16..32 of 128 × 64."""
    (folder / kind).mkdir(parents=True)
    pixels = grey_picture()
    pixels[16:32, 32:64] = 250
    file = folder / kind / "1.png"
    cv2.imwrite(str(file), pixels)
    return file


def test_a_mask_says_where_the_defects_are(tmp_path: Path, model: LoadedModel) -> None:
    """Each area of the mask is a defect of the folder's kind, whatever the inspector sees."""
    file = spotted(tmp_path / "known", "scratch")
    mask = np.zeros((64, 128), np.uint8)
    mask[5:15, 100:120] = mask[40:50, 10:20] = 255
    mask[60, 60] = 255  # a speck
    cv2.imwrite(str(file.with_name("1_mask.png")), mask)
    found, told = known_defects(scan_defects(tmp_path / "known"), model)
    assert told == ()
    assert [d.kind for d in found] == ["scratch", "scratch"]
    xs = [sorted({x for x, _ in d.polygon_xy}) for d in found]
    assert [(x[0], x[-1]) for x in xs] == [(100.0, 119.0), (10.0, 19.0)]


def test_without_a_mask_the_inspector_says_where(tmp_path: Path, model: LoadedModel) -> None:
    """The strongest area that the inspector outlines stands for the picture's kind."""
    spotted(tmp_path / "known", "spot")
    (found,) = known_defects(scan_defects(tmp_path / "known"), model)[0]
    assert found.kind == "spot"
    corners = np.asarray(found.polygon_xy)
    assert np.allclose([corners.min(0), corners.max(0)], [[32, 16], [64, 32]], atol=4)


@pytest.mark.parametrize(
    ("hw", "grey", "why"),
    [((32, 64), 255, r"is \(32, 64\) \(height, width\)"), ((64, 128), 0, "marks nothing")],
)
def test_a_mask_that_does_not_fit_is_refused(
    tmp_path: Path, model: LoadedModel, hw: tuple[int, int], grey: int, why: str
) -> None:
    """A mask of another size, or an empty one, is named with what to do."""
    file = spotted(tmp_path / "known", "spot")
    cv2.imwrite(str(file.with_name("1_mask.png")), np.full(hw, grey, np.uint8))
    with pytest.raises(DataError, match=why):
        known_defects(scan_defects(tmp_path / "known"), model)


class Blind:
    """A finder that finds no product."""

    def find(self, _pixels: object) -> list[object]:
        return []


def test_pictures_without_a_product_are_told(tmp_path: Path, model: LoadedModel) -> None:
    """Where no part is found nothing is learnt, and the picture is named."""
    spotted(tmp_path / "known", "spot")
    blind = dataclasses.replace(model, finder=Blind())  # type: ignore[arg-type]
    found, (told,) = known_defects(scan_defects(tmp_path / "known"), blind)
    assert found == []
    assert told == "known defects: no product was found in 1 pictures: spot/1.png"


def test_a_single_pixel_has_an_outline() -> None:
    """A mask of one pixel is one outline at that pixel."""
    mask = np.zeros((20, 30, 3), np.uint8)
    mask[7, 9] = 255
    assert outlines_of(mask) == [((9.0, 7.0),)]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of plain tiles with six examples of three kinds."""
    folder = tmp_path_factory.mktemp("kinds")
    (folder / "tiles" / "good").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(24):
        noise = cv2.GaussianBlur(rng.normal(0, 30, (80, 96, 3)), (0, 0), 2.0)
        good = (110 + 4 * noise).clip(0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / "tiles" / "good" / f"{i:02d}.png"), good)
    options = BuildOptions(
        data=folder / "tiles",
        out=folder / "tiles.bundle",
        product="tiles",
        detector="none",
        method="padim-slim",
        false_alarm_rate=0.05,
        known_defects=write_shapes(folder / "known", 6),
    )
    result = build(options, lambda *_: None)
    assert any("the defect kind ring has 6 examples" in w for w in result.warnings)
    return result.path


@pytest.mark.slow
def test_a_build_with_known_defects_gives_no_wrong_names_on_the_device(built: Path) -> None:
    """Golden set and regions pass; what the bundle's own line finds gets its kind or unknown."""
    bundle = read_bundle(built)
    model = load_model(bundle)
    assert check_golden(model, bundle).reason == ""
    regions = bundle.variant().golden_regions
    assert regions is not None
    assert set(regions.kinds) == {"blot", "ring", "scratch"}
    line = offline_line(model)
    named = []
    for number, kind in enumerate(("blot", "ring", "blot", "ring", "blot", "ring"), 1):
        frame = Frame("cam", number, drawn(kind, 50 + number)[0], 1, source_number=number)
        (verdict,) = line.inspect(frame).finished
        if verdict.defects:
            named.append((verdict.defects[0].kind, kind))
    assert len(named) >= 4
    assert all(found in (kind, UNKNOWN) for found, kind in named)


@pytest.mark.slow
def test_the_bundle_says_how_well_kinds_are_told_apart(built: Path) -> None:
    """Kinds, threshold, recipe and cross-validated figure stand in manifest and report."""
    bundle = read_bundle(built)
    assert bundle.manifest.classifier is not None
    assert bundle.manifest.classifier.kinds == ("blot", "ring", "scratch")
    assert 0 < bundle.variant().thresholds.softmax_threshold < 1
    (note,) = [n for n in bundle.manifest.provenance.notes if n.startswith("known_kinds: ")]
    assert "6 blot, 6 ring, 6 scratch" in note
    assert "named rightly in cross-validation" in bundle.files["report.html"].decode()
