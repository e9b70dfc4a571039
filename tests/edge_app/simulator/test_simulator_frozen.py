"""The difficulty is frozen (docs/decisions/0004): a change here needs a new decision record."""

from __future__ import annotations

import pytest

from edge_app.simulator.config import SimulatorConfig
from edge_app.simulator.part import PartShop
from edge_app.simulator.scene import SimulatedLine
from edge_app.simulator.truth import (
    AREA_LIMITS,
    CONTRAST_LIMITS,
    KINDS,
    PRODUCTS,
    RESERVED_KIND,
    SEEDS,
    Product,
)

FIRST_TEST_DEFECTS = (
    (1, "pit", 0.00269, 18.49),
    (2, "stain", 0.00158, 27.23),
    (3, "chip", 0.00704, 32.98),
    (4, "scratch", 0.00146, 38.51),
    (5, "crack", 0.00208, 6.76),
    (6, "pit", 0.00110, 28.58),
    (7, "misprint", 0.00136, 22.61),
    (8, "chip", 0.00211, 15.72),
    (9, "scratch", 0.00363, 23.78),
    (10, "scuff", 0.00259, 27.04),
    (11, "stain", 0.00314, 29.64),
    (12, "stain", 0.00676, 14.05),
)
MEAN_GREY = {
    "tapered": 70.34,
    "square": 71.17,
    "round": 70.54,
}


def test_the_stated_limits_and_streams_are_the_frozen_ones() -> None:
    """Limits, kinds, seeds and the default belt are as every published figure used them."""
    plain = SimulatorConfig()
    assert AREA_LIMITS == (0.001, 0.03)
    assert CONTRAST_LIMITS == (6.0, 40.0)
    assert (*KINDS, RESERVED_KIND) == (
        "scratch", "pit", "stain", "crack", "chip", "scuff", "misprint", "foreign_fibre",
    )  # fmt: skip
    assert SEEDS == {"training": 11, "calibration": 22, "golden": 33, "test": 44}
    assert (plain.product, plain.defect_rate) == ("tapered", 0.1)
    assert (plain.advance_px, plain.pitch_px, plain.jitter_px) == (240, 480, 36)


def test_the_first_defects_of_the_test_stream_are_the_frozen_ones() -> None:
    """Number, kind, area (1 %) and contrast (1 %) of the test stream's first defects stand."""
    shop = PartShop(SimulatorConfig(seed=SEEDS["test"], defect_rate=1))
    marks = [(n, mark) for n in range(1, 13) if (mark := shop.part(n).mark) is not None]
    assert [(n, mark.kind) for n, mark in marks] == [row[:2] for row in FIRST_TEST_DEFECTS]
    for (_, mark), (_, _, area_fraction, contrast) in zip(marks, FIRST_TEST_DEFECTS, strict=True):
        assert mark.area_fraction == pytest.approx(area_fraction, rel=0.01)
        assert mark.contrast == pytest.approx(contrast, rel=0.01)


@pytest.mark.parametrize("product", PRODUCTS)
def test_the_pictures_keep_their_brightness(product: Product) -> None:
    """The mean grey of one picture of each product stands to 0.2 grey levels."""
    line = SimulatedLine(SimulatorConfig(product, seed=SEEDS["test"]))
    assert line.single(1)[0].mean() == pytest.approx(MEAN_GREY[product], abs=0.2)
