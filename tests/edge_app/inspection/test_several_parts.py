"""Several products in one picture of a file or a trigger: each has its own verdict, outline and
crop, and none is drawn with another's."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.small_bundles import write_bright_bundle

from edge_app.bundle.archive import read_bundle
from edge_app.cli.inspect import one_line
from edge_app.imaging.overlay import STATE_BGR, draw_report
from edge_app.inspection.tracker import OnePartPerFrame
from edge_app.model.loaded_model import load_model, make_line
from edge_app.model.offline import verdict_json
from edge_app.page.picture_notes import notes_of, report_of
from edge_app.records import Detection, Frame, FrameReport, U8Array, VerdictState

OK, NG = VerdictState.OK, VerdictState.NG
W, H = 40, 24
CENTRES = ((40.0, 40.0), (120.0, 40.0), (80.0, 100.0))


class Boxes:
    """A finder that sees a product at each of the centres."""

    def __init__(self, count: int) -> None:
        self._count = count

    def find(self, pixels_hwc: object) -> list[Detection]:
        return [Detection((x, y, W, H, 0.0), 0.9) for x, y in CENTRES[: self._count]]


def picture(bad: Sequence[bool]) -> U8Array:
    """Return a grey picture of products, the bad ones with a bright spot."""
    pixels = np.full((140, 160, 3), 100, np.uint8)
    for (x, y), is_bad in zip(CENTRES, bad, strict=False):
        if is_bad:
            pixels[int(y) - 4 : int(y) + 4, int(x) - 6 : int(x) + 6] = 250
    return pixels


def inspect(folder: Path, bad: Sequence[bool], is_triggered: bool = False) -> FrameReport:
    model = load_model(read_bundle(write_bright_bundle(folder / "a.bundle")))
    line = make_line(model, "cam", OnePartPerFrame("p", False), lambda: "alarm-1")
    line._stages = replace(line._stages, finder=Boxes(len(bad)))
    trigger = "T1" if is_triggered else None
    return line.inspect(Frame("cam", 1, picture(bad), 1_000, trigger, 1, "1.png"))


@pytest.mark.parametrize("is_triggered", [False, True], ids=["file", "triggered"])
@pytest.mark.parametrize(
    "bad", [b for n in (2, 3) for b in itertools.product((False, True), repeat=n)]
)
def test_each_product_has_its_own_verdict(
    tmp_path: Path, bad: tuple[bool, ...], is_triggered: bool
) -> None:
    """One part, one verdict for whoever counts: the worst; beside it each by itself, wherever the
    bad ones lie."""
    report = inspect(tmp_path, bad, is_triggered)
    (verdict,) = report.finished
    assert verdict.state is (NG if any(bad) else OK)
    assert [found.verdict.state for found in report.several] == [NG if b else OK for b in bad]
    for found, (x, y), is_bad in zip(report.several, CENTRES, bad, strict=False):
        assert np.mean(found.verdict.product_corners_xy, axis=0) == pytest.approx((x, y))
        assert np.mean(found.crop_corners_xy, axis=0) == pytest.approx((x, y), abs=1)
        assert found.verdict.score == pytest.approx(250 if is_bad else 100)
        assert bool(found.verdict.defects) == is_bad
        for defect in found.verdict.defects:
            x0, y0, x1, y1 = defect.box_xyxy
            assert (x - W / 2 <= x0, x1 <= x + W / 2) == (True, True)
            assert (y - H / 2 <= y0, y1 <= y + H / 2) == (True, True)


@pytest.mark.parametrize("bad", list(itertools.product((False, True), repeat=2)))
def test_none_is_drawn_with_anothers_verdict(tmp_path: Path, bad: tuple[bool, ...]) -> None:
    """On the page, whose process gets notes, and as `inspect` draws: red round the bad ones, green
    round the good ones."""
    report = inspect(tmp_path, bad)
    copied, _ = report_of("cam", report.frame.pixels_hwc, notes_of(report, None))
    for shown in (report, copied):
        drawn = draw_report(shown)
        for (x, y), is_bad in zip(CENTRES, bad, strict=False):
            assert has(drawn, x, y, STATE_BGR[NG]) == is_bad
            assert has(drawn, x, y, STATE_BGR[OK]) == (not is_bad)


def test_each_has_its_own_map_in_the_pages_notes(tmp_path: Path) -> None:
    """All maps are carried over and laid where they belong."""
    report = inspect(tmp_path, (True, False, True))
    copied, threshold = report_of("cam", report.frame.pixels_hwc, notes_of(report, 140.0))
    assert np.array_equal(draw_report(copied, threshold), draw_report(report, 140.0))
    assert [f.anomaly is not None for f in copied.several] == [True] * 3
    assert set(copied.anomalies) == set(report.anomalies)


def test_inspect_prints_each(tmp_path: Path) -> None:
    """Its JSON has the parts, its line counts them; a picture of one product is as before."""
    found = verdict_json(inspect(tmp_path, (False, True)))
    assert found["verdict"] == "NG"
    assert [part["verdict"] for part in found["parts"]] == ["OK", "NG"]
    assert [bool(part["defects"]) for part in found["parts"]] == [False, True]
    assert "(2 parts: 1 NG, 0 not inspected)" in one_line({"picture": "a.png", **found})
    assert "parts" not in verdict_json(inspect(tmp_path, (True,)))


def has(drawn: U8Array, x: float, y: float, colour: tuple[int, int, int]) -> bool:
    """Tell whether a product's own outline has a colour: the middle of its lower edge."""
    row, column = round(y + H / 2), round(x)
    around = drawn[row - 2 : row + 3, column - 3 : column + 4].reshape(-1, 3).astype(int)
    return bool((np.abs(around - colour).sum(axis=1) < 110).any())  # smoothed with the grey
