"""The pieces of a change of model, each by itself: parts on a belt, rules, memory, golden set."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from support.activation_bundles import manifest_of, write_release
from support.small_bundles import grey_picture

from edge_app.activation.camera_line import CameraLine
from edge_app.activation.model_loader import Loader
from edge_app.activation.probation import (
    MIN_LATENCIES,
    PartCounter,
    ProbationWatch,
    at_least,
    worse_than,
)
from edge_app.activation.slots import page_facts
from edge_app.bundle.archive import read_bundle
from edge_app.bundle.manifest import Tolerances
from edge_app.cameras.protocol import CameraInfo
from edge_app.errors import BundleError
from edge_app.host.memory import available_mb
from edge_app.inspection.line import InspectionLine
from edge_app.model.golden_check import check_golden
from edge_app.model.loaded_model import LoadedModel, load_model
from edge_app.records import Detection, Frame, PartVerdict, VerdictState
from edge_app.store.intent import Figures

BELT = CameraInfo("sim:belt", "live", (64, 128), is_numbered=False, can_resume=False)
TRIGGERED = CameraInfo("sim:t", "triggered", (64, 128), is_numbered=True, can_resume=False)


def loaded(folder: Path, serial: int, threshold: float = 150.0) -> LoadedModel:
    path = write_release(folder / f"{serial}.bundle", manifest_of("alpha", serial, threshold))
    return load_model(read_bundle(path), threads=1)


def camera_line(info: CameraInfo) -> CameraLine:
    numbers = itertools.count(1)
    return CameraLine("cam", "main", info, "p", (50.0, 0.0), lambda: f"alarm-{next(numbers)}")


class Parts:
    """A finder whose parts are where the test says."""

    def __init__(self) -> None:
        self.centres: list[float] = []

    def find(self, _pixels: object) -> list[Detection]:
        return [Detection((x, 32.0, 24.0, 12.0, 0.0), 0.9) for x in self.centres]


def frame(number: int, spot: bool = False) -> Frame:
    return Frame("cam", number, grey_picture(spot=spot), number * 200_000_000)


def test_on_a_belt_no_part_is_judged_by_two_models(tmp_path: Path) -> None:
    """A part judged by the old model keeps its verdict over the switch, a part that only entered is
    the new model's, each keeps its id, and both leave with one verdict."""
    old, new = loaded(tmp_path, 1), loaded(tmp_path, 2)
    parts, lines = Parts(), camera_line(BELT)
    old, new = (_on_belt(model, parts) for model in (old, new))
    line = lines.line_for(old)
    parts.centres = [40.0, 6.0]  # one whole, one still cut off by the border
    before = line.inspect(frame(0))
    assert [v.views_judged for v in before.verdicts.values()] == [1, 0]
    line, closed = lines.hand_over(line, new, frame(0))
    assert closed is None
    parts.centres = [50.0, 16.0]
    after = line.inspect(frame(1))
    assert list(after.verdicts) == list(before.verdicts)
    assert [v.model.serial for v in after.verdicts.values() if v.model] == [1, 2]
    parts.centres = [60.0, 26.0]
    line.inspect(frame(2))
    assert isinstance(line, InspectionLine)
    finished = line.finish(frame(2)).finished
    assert [(v.model.serial, v.views_judged) for v in finished if v.model] == [(1, 1), (2, 2)]


def _on_belt(model: LoadedModel, parts: Parts) -> LoadedModel:
    from dataclasses import replace

    return replace(model, finder=parts)


def test_a_slot_without_a_bundle_says_so(tmp_path: Path) -> None:
    """Triggered parts are NOT_INSPECTED (no_model) one by one; a belt's outage is told once; the
    first bundle takes over from there with fresh ids."""
    lines = camera_line(TRIGGERED)
    line = lines.line_for(None)
    for number in (5, 6):
        shot = Frame("cam", number, grey_picture(), 1, f"T{number}", number)
        (verdict,) = line.inspect(shot).finished
        assert (verdict.state, verdict.reason) == (VerdictState.NOT_INSPECTED, "no_model")
        assert verdict.part_id == f"p-{number:06d}"
    line, _ = lines.hand_over(line, loaded(tmp_path, 1), shot)
    (verdict,) = line.inspect(Frame("cam", 7, grey_picture(), 1, "T7", 7)).finished
    assert verdict.state is VerdictState.OK
    belt = camera_line(BELT)
    line = belt.line_for(None)
    told = [len(line.inspect(frame(i)).finished) for i in range(3)]
    assert told == [1, 0, 0]
    line, _ = belt.hand_over(line, loaded(tmp_path, 2), frame(2))
    (verdict,) = line.inspect(frame(3)).finished
    assert verdict.part_id.startswith("p.2-")


@pytest.mark.parametrize(
    ("new", "old", "told"),
    [
        ((20, 0, 0, 30.0), (500, 5, 0, 30.0), ""),
        ((20, 1, 0, 30.0), (500, 5, 0, 30.0), ""),
        ((6, 5, 0, 30.0), (500, 5, 0, 30.0), "5 of 6 parts raised an alarm"),
        ((6, 0, 5, None), (500, 5, 0, 30.0), "5 of 6 parts were not inspected"),
        ((20, 0, 0, 46.0), (500, 5, 0, 30.0), "p95 latency is 46 ms"),
        ((20, 0, 0, 44.0), (500, 5, 0, 30.0), ""),
        ((3, 3, 0, None), (0, 0, 0, None), ""),  # the old one is not known
        ((200, 0, 0, 30.0), (500, 250, 0, 30.0), ""),  # fewer alarms are no reason
        ((0, 0, 0, None), (500, 5, 0, 30.0), ""),
    ],
)
def test_what_counts_as_worse(
    new: tuple[int, int, int, float | None], old: tuple[int, int, int, float | None], told: str
) -> None:
    """Alarms, parts not inspected and latency against the old model's, by more than chance."""
    names = ("parts", "ng", "not_inspected", "latency_ms_p95")
    figures = [Figures(**dict(zip(names, values, strict=True))) for values in (new, old)]
    found = worse_than(figures[0], figures[1], max_latency_ratio=1.5)
    assert (told in found) if told else found == ""


def test_the_binomial_tail_by_hand() -> None:
    """Two or more of three with a chance of a half: 4 of 8; none or more: certain."""
    assert at_least(2, 3, 0.5) == pytest.approx(0.5)
    assert at_least(0, 3, 0.5) == 1.0
    assert at_least(3, 3, 0.1) == pytest.approx(0.001)


def part(state: VerdictState, latency_ms: float = 10.0) -> PartVerdict:
    return PartVerdict("cam", "p-1", state, "", 1.0, 2.0, "t", 1, (1, 1), 1, None,
                       views_judged=1, latency_ms=latency_ms)  # fmt: skip


def test_a_probation_needs_a_part_and_ends_in_time() -> None:
    """It passes after its parts, or after its time with at least one; a standing line proves
    nothing."""
    now = [0.0]
    watch = ProbationWatch(Figures(parts=100), 3, 60.0, 1.5, lambda: now[0])
    now[0] = 1000.0
    assert not watch.has_passed()
    watch.take([part(VerdictState.OK)])
    assert watch.has_passed()
    assert watch.first_part == "p-1"
    short = ProbationWatch(Figures(parts=100), 3, 1e9, 1.5, lambda: now[0])
    for expected in (False, False, True):
        short.take([part(VerdictState.OK)])
        assert short.has_passed() is expected


def test_one_hiccup_is_no_latency() -> None:
    """The percentile is left open until it is more than a maximum."""
    counter = PartCounter()
    counter.take([part(VerdictState.OK, 500.0)])
    counter.take([part(VerdictState.OK)] * (MIN_LATENCIES - 2))
    assert counter.figures().latency_ms_p95 is None
    counter.take([part(VerdictState.OK)])
    assert counter.figures().latency_ms_p95 == 10.0


def test_the_golden_set_is_compared_in_every_respect(tmp_path: Path) -> None:
    """It passes as built; a product too many, a shifted box and a line's own budget fail."""
    path = write_release(tmp_path / "a.bundle")
    bundle = read_bundle(path)
    model = load_model(bundle, 1)
    result = check_golden(model, bundle)
    assert (result.is_ok, result.pictures) == (True, 2)
    assert result.worst_iou == pytest.approx(1.0)
    times = itertools.count(step=0.3)
    slow = check_golden(model, bundle, budget_ms=200.0, clock_s=lambda: next(times))
    assert slow.reason == "a picture takes 300 ms here, 200 ms are allowed"
    parts = Parts()
    parts.centres = [40.0, 90.0]
    many = check_golden(_on_belt(model, parts), bundle)
    assert many.reason == "golden/good.png: 2 products found, 1 expected"
    parts.centres = [64.0]
    small = check_golden(_on_belt(model, parts), bundle)
    assert "box overlaps its expectation by 0.04" in small.reason
    assert Tolerances().box_min_iou == 0.9


def test_memory_is_checked_before_a_model_is_read(tmp_path: Path) -> None:
    """What the self-check measured must fit beside the line's reserve; cgroup limits count."""
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable: 2097152 kB\n")
    assert available_mb(tmp_path / "meminfo", tmp_path) == 2048
    (tmp_path / "memory.max").write_text(str(900 << 20))
    (tmp_path / "memory.current").write_text(str(600 << 20))
    assert available_mb(tmp_path / "meminfo", tmp_path) == 300
    (tmp_path / "memory.max").write_text("max\n")
    assert available_mb(tmp_path / "meminfo", tmp_path) == 2048

    def read(_sha256: str) -> object:
        raise AssertionError("it must not be read")

    loader = Loader(read, read, lambda _: None, lambda: True, lambda: 300)  # type: ignore[arg-type]
    with pytest.raises(BundleError, match="300 MB are available, it takes 100 MB and 256 MB"):
        loader._check_memory(100)


def test_a_shot_of_one_pixel_and_an_empty_golden_set(tmp_path: Path) -> None:
    """The smallest picture is judged by a line that took over, as by any other."""
    lines = camera_line(TRIGGERED)
    line, _ = lines.hand_over(lines.line_for(loaded(tmp_path, 1)), loaded(tmp_path, 2), None)
    pixels = np.full((1, 1, 3), 90, np.uint8)
    (verdict,) = line.inspect(Frame("cam", 1, pixels, 1, "T1", 1)).finished
    assert verdict.state is VerdictState.OK
    assert verdict.model is not None
    assert verdict.model.serial == 2


def test_a_slot_without_a_bundle_has_no_product() -> None:
    """A sentence in its place did not fit the head of the page."""
    assert "Product" not in page_facts(None)
