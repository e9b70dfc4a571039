"""Parts that are OK but suspect, from the score to the report."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from support.format_2 import suspect_manifest
from support.small_bundles import bright_files, grey_picture

from edge_app.bundle.archive import read_bundle, write_bundle
from edge_app.inspection.judge import Limits, is_suspect, judge_score
from edge_app.inspection.line import InspectionLine
from edge_app.inspection.tracker import BeltTracker, OnePartPerFrame, Tracker
from edge_app.model.loaded_model import load_model, make_line
from edge_app.model.offline import offline_line, verdict_json
from edge_app.records import Detection, Frame, FrameReport, U8Array, VerdictState

OK, NG, NOT_INSPECTED = VerdictState.OK, VerdictState.NG, VerdictState.NOT_INSPECTED


@pytest.mark.parametrize(
    ("score", "state", "suspect"),
    [
        (119.9, OK, False),
        (120.0, OK, True),
        (149.9, OK, True),
        (150.0, NG, False),
        (math.nan, NOT_INSPECTED, False),
        (math.inf, NOT_INSPECTED, False),
    ],
)
def test_the_band_ends_where_ng_begins(score: float, state: VerdictState, suspect: bool) -> None:
    """At the lower limit suspect, at the limit NG; what is no number is neither."""
    limits = Limits(150.0, 140.0, "t", 120.0)
    assert judge_score(score, limits)[0] is state
    assert is_suspect(score, limits) is suspect


def test_without_a_lower_limit_nothing_is_suspect() -> None:
    """Also where both limits are one."""
    assert not is_suspect(149.9, Limits(150.0, 140.0, "t"))
    assert not is_suspect(150.0, Limits(150.0, 140.0, "t", 150.0))


def line_of(folder: Path, tracker: Tracker | None = None, max_views: int = 3) -> InspectionLine:
    """Return a line over the brightness product with a lower limit of 120 below 150."""
    manifest = suspect_manifest()
    views = manifest.views.model_copy(update={"max_views": max_views})
    write_bundle(folder / "a.bundle", manifest.model_copy(update={"views": views}), bright_files())
    model = load_model(read_bundle(folder / "a.bundle"))
    numbers = itertools.count(1)
    tracker = tracker or OnePartPerFrame("p", whole_frame=True)
    return make_line(model, "cam", tracker, lambda: f"alarm-{next(numbers)}")


def bright(level: int, number: int = 1) -> Frame:
    """Return a frame whose brightest spot has that level."""
    pixels = grey_picture()
    pixels[32:48, 32:64] = level
    return Frame("cam", number, pixels, 1_000, None, number, f"{number}.png")


def test_a_suspect_part_is_ok_without_an_event_and_with_its_frame(tmp_path: Path) -> None:
    """No alert; the report carries the frame for the picture."""
    frame = bright(130)
    report = line_of(tmp_path).inspect(frame)
    (verdict,) = report.finished
    assert (verdict.state, verdict.is_suspect, verdict.defects) == (OK, True, ())
    assert report.events == ()
    (suspect,) = report.kept
    assert suspect.verdict is verdict
    assert suspect.frame is frame


@pytest.mark.parametrize("level", [110, 200])
def test_other_parts_have_no_frame_to_keep(level: int, tmp_path: Path) -> None:
    """Neither good nor bad ones: a bad one's picture belongs to its alert."""
    report = line_of(tmp_path).inspect(bright(level))
    assert not report.finished[0].is_suspect
    assert report.kept == ()


class OneBox:
    """Finds one product, always in the same place."""

    def find(self, pixels_hwc: U8Array) -> list[Detection]:
        h, w = pixels_hwc.shape[:2]
        return [Detection(((w - 1) / 2, (h - 1) / 2, w - 40.0, h - 20.0, 0.0), 1.0)]


def on_a_belt(folder: Path, levels: list[int]) -> tuple[list[FrameReport], list[Frame]]:
    """Judge one part in several views; return all reports and the frames."""
    line = line_of(folder, BeltTracker("b"))
    line._stages = type(line._stages)(
        OneBox(), line._stages.pose, line._stages.spec, line._stages.inspector
    )
    frames = [Frame("cam", i, bright(v).pixels_hwc, i * 10**8) for i, v in enumerate(levels)]
    reports = [line.inspect(frame) for frame in frames]
    return [*reports, line.finish(frames[-1])], frames


@pytest.mark.parametrize(
    ("levels", "state", "suspect", "deciding"),
    [
        ([100, 130, 110], OK, True, 1),
        ([130, 100, 140], OK, True, 2),
        ([110, 100, 105], OK, False, None),
        ([130, 200, 130], NG, False, None),
        ([200, 130, 130], NG, False, None),
    ],
)
def test_over_views_the_largest_score_decides(
    levels: list[int], state: VerdictState, suspect: bool, deciding: int | None, tmp_path: Path
) -> None:
    """One NG view keeps NG; one suspect view makes the part suspect, and its frame is kept."""
    reports, frames = on_a_belt(tmp_path, levels)
    (verdict,) = [v for r in reports for v in r.finished]
    assert (verdict.state, verdict.is_suspect, verdict.views_judged) == (state, suspect, 3)
    kept = [s.frame for r in reports for s in r.kept]
    assert [frames.index(f) for f in kept] == ([] if deciding is None else [deciding])


def test_a_picture_with_a_failed_product_is_not_suspect(tmp_path: Path) -> None:
    """Two products in one picture, one of them not judged: the part is NOT_INSPECTED."""
    line = line_of(tmp_path, OnePartPerFrame("p", whole_frame=True))
    scores = iter([130.0, math.nan])

    class Two:
        def find(self, pixels_hwc: U8Array) -> list[Detection]:
            return OneBox().find(pixels_hwc) * 2

    class Failing:
        def score(self, crops):  # type: ignore[no-untyped-def]
            from edge_app.records import Anomaly

            return [Anomaly(next(scores), np.zeros((2, 2), np.float32)) for _ in crops]

    line._stages = type(line._stages)(Two(), line._stages.pose, line._stages.spec, Failing())
    report = line.inspect(bright(100))
    (verdict,) = report.finished
    assert (verdict.state, verdict.is_suspect) == (NOT_INSPECTED, False)
    (kept,) = report.kept
    assert kept.reasons == ("not_inspected",)


def test_offline_judging_says_suspect(tmp_path: Path) -> None:
    """`inspect --json` has the field in every result."""
    line_of(tmp_path)
    line = offline_line(load_model(read_bundle(tmp_path / "a.bundle")))
    said = [verdict_json(line.inspect(bright(v, i))) for i, v in enumerate((100, 130, 200), 1)]
    assert [(s["verdict"], s["is_suspect"]) for s in said] == [
        ("OK", False),
        ("OK", True),
        ("NG", False),
    ]
