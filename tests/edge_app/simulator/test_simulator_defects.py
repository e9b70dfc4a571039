"""Planted defects: within the frozen limits, really visible in the picture, honestly logged."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge_app.errors import EdgeError
from edge_app.simulator.config import SimulatorConfig
from edge_app.simulator.defects import MIN_STANDARD_ERRORS, Redraw, plant
from edge_app.simulator.look import Look, light
from edge_app.simulator.part import PartShop
from edge_app.simulator.products import draw_form
from edge_app.simulator.scene import SimulatedLine, good_line
from edge_app.simulator.truth import (
    AREA_LIMITS,
    CONTRAST_LIMITS,
    KINDS,
    PRODUCTS,
    RESERVED_KIND,
    SEEDS,
    Product,
    size_bin,
)

ALL_KINDS = (*KINDS, RESERVED_KIND)
FREE_SEED = 7
"""Belongs to no role."""


def a_look(grain: float = 0.0) -> Look:
    rng = np.random.default_rng(3)
    look = light(draw_form("tapered", rng), rng, 0.4)
    rough = rng.normal(0, grain, (*look.mask.shape, 1)).astype(np.float32) if grain else 0
    return replace(look, colour=look.colour + rough)


@pytest.mark.parametrize("kind", ALL_KINDS)
@pytest.mark.parametrize("product", PRODUCTS)
def test_every_kind_keeps_the_limits(product: Product, kind: str) -> None:
    """Area, contrast and visibility of what was rendered lie within the frozen limits."""
    shop = PartShop(SimulatorConfig(product, FREE_SEED, defect_rate=1, kinds=(kind,)))
    for number in range(1, 6):
        mark = shop.part(number).mark
        assert mark is not None
        assert mark.kind == kind
        assert AREA_LIMITS[0] <= mark.area_fraction <= AREA_LIMITS[1]
        assert CONTRAST_LIMITS[0] <= mark.contrast <= CONTRAST_LIMITS[1]
        assert mark.standard_errors >= MIN_STANDARD_ERRORS


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_the_polygon_surrounds_the_change_in_the_picture(kind: str) -> None:
    """A frame with the defect minus the same frame without it differs inside the polygon only."""
    config = SimulatorConfig("square", FREE_SEED, defect_rate=1, kinds=(kind,))
    pixels, truth = SimulatedLine(config).single(2)
    without, good_truth = good_line(config).single(2)
    defect = truth.parts[0].defect
    assert defect is not None
    assert good_truth.parts[0].defect is None
    change = cv2.absdiff(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY),
                         cv2.cvtColor(without, cv2.COLOR_BGR2GRAY))  # fmt: skip
    area = cv2.fillPoly(np.zeros_like(change), [np.int32(np.round(defect.polygon_xy))], 1)
    changed = change > max(2.0, 0.4 * float(np.percentile(change[area > 0], 90)))
    grown = cv2.dilate(area, np.ones((9, 9), np.uint8)) > 0
    assert not changed[~grown].any()
    assert changed.sum() == pytest.approx(defect.area_px, rel=0.35)
    assert change[changed].mean() == pytest.approx(defect.contrast, rel=0.3)


def test_the_box_bounds_the_polygon() -> None:
    """x0, y0, x1, y1 are the polygon's extremes, and the polygon lies in the part's picture."""
    line = SimulatedLine(SimulatorConfig("round", FREE_SEED, defect_rate=1))
    for number in range(1, 6):
        defect = line.single(number)[1].parts[0].defect
        assert defect is not None
        assert len(defect.polygon_xy) >= 3
        xs, ys = zip(*defect.polygon_xy, strict=True)
        assert defect.box_xyxy == (min(xs), min(ys), max(xs), max(ys))


def test_areas_are_log_uniform_and_contrasts_spread() -> None:
    """A third of the defects falls into each third of the area's log range; contrast fills 6–40."""
    shop = PartShop(SimulatorConfig("square", FREE_SEED, defect_rate=1))
    marks = [mark for n in range(1, 91) if (mark := shop.part(n).mark) is not None]
    logs = np.log([mark.area_fraction for mark in marks])
    low, high = np.log(AREA_LIMITS)
    thirds = np.histogram(logs, bins=np.linspace(low, high, 4))[0]
    assert thirds.sum() == len(marks) == 90
    assert thirds.min() >= 18
    contrasts = np.array([mark.contrast for mark in marks])
    assert np.quantile(contrasts, 0.15) < 14
    assert np.quantile(contrasts, 0.85) > 29


def test_one_part_in_ten_is_defective() -> None:
    """The stated rate holds over 200 parts, and every ordinary kind turns up."""
    shop = PartShop(SimulatorConfig("square", FREE_SEED, defect_rate=0.1))
    kinds = Counter(mark.kind for n in range(1, 201) if (mark := shop.part(n).mark) is not None)
    assert 10 <= kinds.total() <= 32
    assert set(kinds) <= set(KINDS)
    assert len(kinds) >= 5


def test_the_reserved_kind_occurs_in_the_test_stream_only() -> None:
    """Only the test seed draws it by itself; it can be left out there."""
    for role, seed in SEEDS.items():
        assert (RESERVED_KIND in SimulatorConfig(seed=seed).allowed_kinds) == (role == "test")
    assert SimulatorConfig(seed=SEEDS["test"], kinds=KINDS).allowed_kinds == KINDS
    assert RESERVED_KIND not in SimulatorConfig(seed=FREE_SEED).allowed_kinds


def test_a_good_line_shows_the_same_parts_without_defects() -> None:
    """Leaving defects out changes nothing else about a part."""
    config = SimulatorConfig("round", FREE_SEED, defect_rate=1)
    bad, good = SimulatedLine(config).single(4)[1], good_line(config).single(4)[1]
    assert good.parts[0].defect is None
    assert good.parts[0].box_cxcywhr == bad.parts[0].box_cxcywhr


def test_an_invisible_draw_is_refused_and_logged() -> None:
    """On a rough surface faint small defects drown: they are redrawn, and each refusal is told."""
    refused: list[Redraw] = []
    for seed in range(8):
        _, mark, more = plant(a_look(grain=200), np.random.default_rng(seed), "stain", number=12)
        assert mark.standard_errors >= MIN_STANDARD_ERRORS
        refused += more
    assert {(redraw.number, redraw.kind) for redraw in refused} == {(12, "stain")}
    assert any(0 < redraw.standard_errors < MIN_STANDARD_ERRORS for redraw in refused)


def test_an_impossible_surface_is_an_error_not_an_endless_loop() -> None:
    """On a part as black as night no crack shows: planting gives up, naming kind and part."""
    black = replace(a_look(), colour=np.full_like(a_look().colour, -500.0))
    with pytest.raises(EdgeError, match="no acceptable crack in 300 draws on part 5"):
        plant(black, np.random.default_rng(1), "crack", number=5)


def test_redraws_are_counted_once_per_part() -> None:
    """A part that is made again after it was forgotten does not log its refusals again."""
    shop = PartShop(SimulatorConfig("square", FREE_SEED, defect_rate=1, kinds=("scuff",)))
    for number in range(1, 16):
        shop.part(number)
    log = list(shop.redraw_log)
    assert log
    assert all(isinstance(redraw, Redraw) for redraw in log)
    shop.part(1)
    for redraw in log:
        shop.part(redraw.number)
    assert shop.redraw_log == log


def test_the_line_reports_its_redraws_by_kind() -> None:
    """What a line refused while rendering can be read from it, by kind and one by one."""
    line = SimulatedLine(SimulatorConfig("square", FREE_SEED, defect_rate=1, kinds=("scuff",)))
    for number in range(1, 16):
        line.single(number)
    assert line.redraws == dict(Counter(redraw.kind for redraw in line.redraw_log))
    assert set(line.redraws) == {"scuff"}


@pytest.mark.parametrize(
    ("area_fraction", "name"),
    [(0.001, "0.1-0.3%"), (0.00299, "0.1-0.3%"), (0.003, "0.3-1%"), (0.01, "1-3%"), (0.03, "1-3%")],
)
def test_size_bins_meet_without_overlap(area_fraction: float, name: str) -> None:
    """Each area belongs to one bin; a bin's upper limit belongs to the next."""
    assert size_bin(area_fraction) == name
