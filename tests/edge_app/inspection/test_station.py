"""A picture without its product: missing where the picture is sound, not inspected otherwise."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.small_bundles import bright_files, bright_manifest

from edge_app.alerts.alarm_level import AlarmLevel
from edge_app.bundle.archive import read_bundle, write_bundle
from edge_app.bundle.manifest import Manifest, StationSpec
from edge_app.errors import ModelError
from edge_app.inspection.line import InspectionLine
from edge_app.inspection.station import Station, frame_figures
from edge_app.inspection.tracker import BeltTracker, OnePartPerFrame, Tracker
from edge_app.model.loaded_model import load_model, make_line
from edge_app.model.offline import verdict_json
from edge_app.mqtt.messages import alert_from_event
from edge_app.mqtt.topics import DeviceName
from edge_app.records import Detection, EventKind, Frame, U8Array, VerdictState

HW = (64, 128)
SPEC = StationSpec(
    missing_is_ng=True, grey_mean=(95.0, 110.0), grey_std=(9.0, 30.0), sharpness=(150.0, 900.0)
)


def bare_station(level: float = 90.0, noise: float = 12.0, blur_px: int = 0) -> U8Array:
    """Return a fixture without its product."""
    rng = np.random.default_rng(0)
    pixels = np.clip(rng.normal(level, noise, (*HW, 3)), 0, 255).astype(np.uint8)
    pixels[::16] = np.clip(pixels[::16].astype(int) - 40, 0, 255).astype(np.uint8)
    return np.asarray(cv2.blur(pixels, (blur_px, blur_px)), np.uint8) if blur_px else pixels


class Sees:
    """A detector that sees these boxes, or fails."""

    def __init__(self, *boxes: tuple[float, float, float, float, float], fails: bool = False):
        self._boxes, self._fails = boxes, fails

    def find(self, pixels_hwc: object) -> list[Detection]:
        if self._fails:
            raise ModelError("the graph failed")
        return [Detection(box, 0.9) for box in self._boxes]


def line_of(
    path: Path, station: StationSpec | None, finder: Sees, tracker: Tracker | None = None
) -> InspectionLine:
    """Return a line over a bundle written with this station."""
    fields = bright_manifest().model_dump(exclude={"format", "requires", "station", "region"})
    manifest = Manifest.model_validate({**fields, "station": station})
    write_bundle(path, manifest, bright_files())
    model = replace(load_model(read_bundle(path)), finder=finder)
    return make_line(model, "cam", tracker or OnePartPerFrame("p", False), lambda: "alarm-1")


def frame(pixels: U8Array) -> Frame:
    return Frame("cam", 1, pixels, 1_000, "T1", 7, "7.png", monotonic_ns=5)


def test_a_missing_product_is_ng_with_an_alert(tmp_path: Path) -> None:
    """Verdict, class, picture, and both events with one alarm id; nothing was scored."""
    shot = frame(bare_station())
    report = line_of(tmp_path / "a.bundle", SPEC, Sees()).inspect(shot)
    (verdict,) = report.finished
    assert (verdict.state, verdict.reason, verdict.score) == (VerdictState.NG, "missing", None)
    assert (verdict.trigger_id, verdict.source_number, verdict.views_judged) == ("T1", 7, 0)
    (defect,) = verdict.defects
    assert defect.kind == "missing"
    assert defect.box_xyxy == (-0.5, -0.5, 127.5, 63.5)
    new, end = report.events
    assert (new.kind, end.kind) == (EventKind.NEW, EventKind.END)
    assert new.alarm_id == end.alarm_id == "alarm-1"
    assert new.frame is shot, "the evidence is made of it"


def test_the_alert_says_what_is_missing_in_plain_json(tmp_path: Path) -> None:
    """Score and peak are null: nothing was measured, and NaN is no JSON."""
    report = line_of(tmp_path / "a.bundle", SPEC, Sees()).inspect(frame(bare_station()))
    alert = alert_from_event(
        report.events[0],
        DeviceName("plant", "line", "device"),
        message_id="0190a5a0-0000-7000-8000-000000000000",
        clock_synchronised=True,
    )
    body = json.loads(alert.model_dump_json())
    assert (body["verdict"], body["reason"], body["score"]) == ("NG", "missing", None)
    assert [(d["kind"], d["peak"]) for d in body["defects"]] == [("missing", None)]
    on_disk = json.dumps(verdict_json(report), allow_nan=False)
    assert '"verdict": "NG"' in on_disk


def test_a_missing_product_raises_the_alarm_level(tmp_path: Path) -> None:
    """Lamps and PLCs hear of it; of a picture that nothing can be said of they do not."""
    for name, spec, is_on in (("a", SPEC, True), ("b", None, False)):
        level = AlarmLevel(0.0, lambda: 0.0)
        report = line_of(tmp_path / name, spec, Sees()).inspect(frame(bare_station()))
        level.take(report.events[0])
        assert (level.change() == (True, report.finished[0].part_id)) == is_on


@pytest.mark.parametrize(
    "pixels",
    [bare_station(20.0), bare_station(200.0), bare_station(noise=120.0), bare_station(blur_px=9)],
    ids=["dark", "bright", "wild", "blurred"],
)
def test_a_picture_that_is_not_sound_is_not_inspected(tmp_path: Path, pixels: U8Array) -> None:
    """Light, contrast or focus are not as in training: what is there cannot be seen."""
    report = line_of(tmp_path / "a.bundle", SPEC, Sees()).inspect(frame(pixels))
    (verdict,) = report.finished
    assert (verdict.state, verdict.reason) == (VerdictState.NOT_INSPECTED, "no_product")


@pytest.mark.parametrize(
    "station", [None, SPEC.model_copy(update={"missing_is_ng": False})], ids=["format 1", "off"]
)
def test_without_the_bundles_word_nothing_is_missing(
    tmp_path: Path, station: StationSpec | None
) -> None:
    """As before: not inspected."""
    report = line_of(tmp_path / "a.bundle", station, Sees()).inspect(frame(bare_station()))
    (verdict,) = report.finished
    assert (verdict.state, verdict.reason) == (VerdictState.NOT_INSPECTED, "no_product")


def test_a_failing_detector_is_not_a_missing_product(tmp_path: Path) -> None:
    """It has seen nothing, which is another thing."""
    line = line_of(tmp_path / "a.bundle", SPEC, Sees(fails=True))
    (verdict,) = line.inspect(frame(bare_station())).finished
    assert (verdict.state, verdict.reason) == (VerdictState.NOT_INSPECTED, "model_error")


def test_a_product_that_is_cut_is_not_missing(tmp_path: Path) -> None:
    """Something is there, and is not whole."""
    line = line_of(tmp_path / "a.bundle", SPEC, Sees((5.0, 32.0, 60.0, 30.0, 0.0)))
    (verdict,) = line.inspect(frame(bare_station())).finished
    assert (verdict.state, verdict.reason) == (VerdictState.NOT_INSPECTED, "never_whole")


def test_nothing_on_a_belt_is_no_missing_part(tmp_path: Path) -> None:
    """Nobody has said that a part should be there; a failing detector changes nothing."""
    for fails in (False, True):
        tracker = BeltTracker("b")
        line = line_of(tmp_path / f"{fails}", SPEC, Sees(fails=fails), tracker)
        report = line.inspect(frame(bare_station()))
        assert [v.state for v in report.finished] == [VerdictState.NOT_INSPECTED] * fails


def test_the_ranges_of_training_are_widened_as_stated() -> None:
    """The mean may fall to 0.6 of the lowest: the product's share of the picture."""
    station = Station((100.0, 100.0), (0.0, 255.0), (0.0, 1e6))
    grey = [np.full((*HW, 3), level, np.uint8) for level in (59, 61, 139, 141)]
    assert [station.is_sound(pixels) for pixels in grey] == [False, True, True, False]


def test_figures_are_those_of_the_whole_frame() -> None:
    """Half black, half white, with one edge; the width is 160 whatever the camera's."""
    pixels = np.zeros((90, 320, 3), np.uint8)
    pixels[:, 160:] = 200
    seen = frame_figures(pixels)
    assert (seen.grey_mean, seen.grey_std) == (100.0, 100.0)
    assert seen.sharpness == pytest.approx(2 * 200**2 / 160, rel=0.01)
    larger = cv2.resize(pixels, (1280, 360), interpolation=cv2.INTER_NEAREST)
    large = frame_figures(np.asarray(larger, np.uint8))
    assert large.sharpness == pytest.approx(seen.sharpness, rel=0.01)
