"""The way to the crop is measured: when a detector is tried, taken, or given up."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_app.errors import DataError
from edge_app.imaging.upright_crop import CropSpec
from edge_app.inspection.pose import PoseFinder
from edge_app.inspection.stages import WholeFrame
from edge_app.records import Detection, F32Array, U8Array
from export.bundle_build import view_choice
from export.bundle_build.pipeline import label_pictures
from export.bundle_build.records import BuildOptions, CutParts, Found, Labelled
from export.bundle_build.view_choice import CLEAR_GAIN, ENOUGH, WayFound, choose_view, recall_of
from export.data.crops import PartsFound
from export.data.dataset import GoodPictures
from export.defects.evidence import CrossFitted
from export.defects.synthetic import drawn_pictures
from export.detector.step import parts_step
from export.labels.autolabel import segment
from export.labels.part_shape import box_of
from export.labels.step import Labels
from export.pose.step import Cutting
from export.workspace import Workspace

pytestmark = pytest.mark.needs("the extra train")

Tried = dict[str, float | DataError]


def way(name: str, recall: float, lost: float = 0.0) -> WayFound:
    """A way that catches a share of the synthetic defects."""
    side = {"whole": 64, "whole-fine": 96}.get(name, 128)
    finder = WholeFrame()
    spec = CropSpec((side, side), 0.0, stretch=True)
    cutting = Cutting(finder, True, "fixed", PoseFinder(), spec, name)
    cut = CutParts(cutting, [], [], [], None, [], Workspace(Path(name), lambda *_: None))
    return WayFound(Found(None, None, finder, PartsFound([])), cut, recall, lost)


def labelled(fixed: bool = False, fills_frame: bool = False) -> Labelled:
    labels = Labels(fills_frame, [], None, "", fixed_box=(0.2, 0.2, 0.3, 0.3) if fixed else None)
    good = GoodPictures(Path("x"), (), ())
    return Labelled(Workspace(Path("x"), lambda *_: None), good, [], [], labels)


@pytest.fixture
def choose(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Return a function that chooses among ways with given recalls; those not given fail."""

    def chosen(
        tried: Tried, where: Labelled, detector: str = "auto", lost: float = 0.0, format: int = 2
    ) -> tuple[str, CutParts]:
        def take(name: str) -> WayFound:
            found = tried[name]
            if isinstance(found, DataError):
                raise found
            return way(name, found, lost if name == "upright" else 0.0)

        monkeypatch.setattr(view_choice, "_whole", lambda _o, _l, name, *_: take(name))
        monkeypatch.setattr(view_choice, "_upright", lambda *_: take("upright"))
        options = BuildOptions(Path("x"), Path("y"), "p", detector=detector, format=format)
        _, cut = choose_view(options, where, lambda *_: None)
        return cut.cutting.reason, cut

    return chosen


def test_a_whole_picture_that_shows_nearly_all_needs_no_detector(choose) -> None:  # type: ignore[no-untyped-def]
    """Neither more pixels nor a detector are tried."""
    name, cut = choose({"whole": ENOUGH}, labelled())
    assert name == "whole"
    assert f"the whole picture shows {ENOUGH:.0%} of the synthetic defects" in cut.reason


@pytest.mark.parametrize(
    ("upright", "lost", "taken"),
    [
        (0.5 + CLEAR_GAIN + 1e-9, 0.0, "upright"),
        (0.5 + CLEAR_GAIN - 0.01, 0.0, "whole"),
        (0.8, 0.27, "whole"),
        (0.8, 0.1, "upright"),
    ],
)
def test_the_upright_crop_has_to_catch_clearly_more(  # type: ignore[no-untyped-def]
    choose, upright: float, lost: float, taken: str
) -> None:
    """Five points more; a good part that the detector loses counts against it."""
    tried: Tried = {"whole": 0.5, "whole-fine": 0.5, "upright": upright}
    name, cut = choose(tried, labelled(), lost=lost)
    assert name == taken
    assert f"upright {upright:.0%}" in cut.reason
    assert (f"losing {lost:.0%} of the good parts" in cut.reason) == (lost > 0)


def test_more_pixels_are_taken_where_they_pay(choose) -> None:  # type: ignore[no-untyped-def]
    """The finer whole picture is what a detector has to beat."""
    tried: Tried = {"whole": 0.5, "whole-fine": 0.6, "upright": 0.64}
    assert choose(tried, labelled())[0] == "whole-fine"
    assert choose({**tried, "upright": 0.66}, labelled())[0] == "upright"


def test_more_pixels_that_were_given_up_are_not_taken(choose, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """The sentence says why; the sample's recall is no recall."""
    given_up = replace(way("whole-fine", 0.0), given_up="49% after 50% on a sample")
    ways = {"whole": way("whole", 0.5), "whole-fine": given_up}

    def chosen(tried: Tried, where: Labelled) -> CutParts:
        choose(tried, where)
        monkeypatch.setattr(view_choice, "_whole", lambda _o, _l, name, *_: ways[name])
        options = BuildOptions(Path("x"), Path("y"), "p")
        return choose_view(options, where, lambda *_: None)[1]

    cut = chosen({"whole": 0.5, "whole-fine": 0.5, "upright": 0.5}, labelled())
    assert cut.cutting.reason == "whole"
    assert "the same at 96 × 96 pixels 49% after 50% on a sample" in cut.reason


def test_a_detector_that_fails_leaves_the_whole_picture_with_a_warning(choose) -> None:  # type: ignore[no-untyped-def]
    """Nothing that built before is refused now."""
    broken = DataError("The detector finds no product in 16 of 40 good pictures.")
    name, cut = choose({"whole": 0.3, "whole-fine": 0.3, "upright": broken}, labelled())
    assert name == "whole"
    assert cut.warnings == (
        "the whole picture is inspected, because the part cannot be cut out: The detector finds no "
        "product in 16 of 40 good pictures.",
    )


@pytest.mark.parametrize("detector", ["detector.onnx", "always"])
def test_a_detector_that_was_asked_for_leaves_no_choice(choose, detector: str) -> None:  # type: ignore[no-untyped-def]
    """However much the whole picture would show; and its failure ends the build."""
    assert choose({"upright": 0.1}, labelled(), detector)[0] == "upright"
    with pytest.raises(DataError, match="no product"):
        choose({"upright": DataError("no product")}, labelled(), detector)


def test_without_a_detector_only_the_size_is_chosen(choose) -> None:  # type: ignore[no-untyped-def]
    """`--detector none`: labels say that the frame is the product."""
    tried: Tried = {"whole": 0.2, "whole-fine": 0.2}
    assert choose(tried, labelled(fills_frame=True), "none")[0] == "whole"
    assert (
        choose({**tried, "whole-fine": 0.9}, labelled(fills_frame=True), "none")[0] == "whole-fine"
    )


def test_a_fixed_station_trains_no_detector(choose) -> None:  # type: ignore[no-untyped-def]
    """Its place is tried instead, unless the bundle is of a format that knows no region."""
    tried: Tried = {"whole": 0.2, "whole-fine": 0.2, "region": 0.22}
    name, cut = choose(tried, labelled(fixed=True))
    assert name == "whole"
    assert "no detector is trained" in cut.reason
    assert choose({**tried, "region": 0.9}, labelled(fixed=True))[0] == "region"
    assert choose({"whole": 0.2, "whole-fine": 0.2}, labelled(fixed=True), format=1)[0] == "whole"


def test_recall_counts_a_group_once_and_a_lost_defect_as_missed() -> None:
    """Two odd frames of one part are one odd part: of 100 groups the second largest decides."""
    good = np.append(np.arange(100.0), 500.0)
    groups = np.append(np.arange(100), 99)
    defects = np.array([98.0, 97.0, -np.inf, 400.0])
    judged = CrossFitted(10, groups, good, good, defects, (("crack", "small"),) * 4)
    assert recall_of(judged) == 0.5
    assert recall_of(replace(judged, groups=np.arange(101))) == 0.25


HW = (128, 192)


def scene(seed: int, is_turned: bool) -> U8Array:
    """Return a notched, textured bar on a dark table, in its fixture or lying anyhow."""
    rng = np.random.default_rng(seed)
    part: F32Array = np.full((*HW, 3), np.nan, np.float32)
    x, y = 54, 46
    part[y : y + 36, x : x + 84] = 180
    part[y : y + 14, x : x + 16] = np.nan
    part[y + 16 : y + 22, x + 30 : x + 70] = 120
    if is_turned:
        middle = (x + 42.0, y + 18.0)
        matrix = np.asarray(cv2.getRotationMatrix2D(middle, float(rng.uniform(0, 360)), 1.0), float)
        matrix[:, 2] += rng.uniform(-14, 14, 2)
        moved = cv2.warpAffine(
            part, matrix, HW[::-1], flags=cv2.INTER_NEAREST, borderValue=(np.nan,) * 3
        )
        part = np.asarray(moved, np.float32)
    table = 60 + rng.normal(0, 4, (*HW, 3))
    grey = np.where(np.isnan(part), table, part + rng.normal(0, 5, (*HW, 3)))
    return grey.clip(0, 255).astype(np.uint8)


class BySegmentation:
    """Finds the bar by its outline: what a trained detector would find, without its training."""

    def find(self, pixels_hwc: U8Array) -> list[Detection]:
        return [Detection(box_of(shape, "elongated"), 0.9) for shape in segment(pixels_hwc).whole]


def chosen_for(
    is_turned: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[CutParts, int]:
    """Write pictures, choose the way to their crops; return it and how often a detector was."""
    (folder / "good").mkdir(parents=True)
    for i in range(24):
        cv2.imwrite(str(folder / "good" / f"{i:02d}.png"), scene(i, is_turned))
    asked = []

    def find(_options: BuildOptions, labelled: Labelled) -> Found:
        asked.append(1)
        finder, everything = BySegmentation(), labelled.training
        parts = parts_step(labelled.space, finder, "outline", everything, fills_frame=False)
        return Found(None, None, finder, parts)

    monkeypatch.setattr(view_choice, "find_with_detector", find)
    monkeypatch.setattr(view_choice, "drawn_pictures", partial(drawn_pictures, rounds=2))
    options = BuildOptions(folder, folder / "a.bundle", "bar")
    labels = label_pictures(options, lambda *_: None)
    _, cut = choose_view(options, labels, lambda *_: None)
    return cut, len(asked)


@pytest.mark.slow
def test_parts_that_lie_anyhow_are_turned_upright(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the whole picture every angle is another part; upright they are alike."""
    cut, asked = chosen_for(True, tmp_path, monkeypatch)
    assert asked == 1
    assert cut.view == "upright", cut.reason


@pytest.mark.slow
def test_parts_in_a_fixture_are_judged_without_a_detector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The picture is the crop, or the part's place in it."""
    cut, asked = chosen_for(False, tmp_path, monkeypatch)
    assert asked == 0
    assert cut.view == "whole", cut.reason
