"""White spots: benign, seeded, and without a say in any other pixel or truth."""

from __future__ import annotations

import numpy as np
import pytest

from edge_app.cameras.registry import open_camera
from edge_app.errors import ConfigError
from edge_app.simulator.config import SimulatorConfig
from edge_app.simulator.scene import SimulatedLine
from edge_app.simulator.spots import BRIGHTER, has_spots


def line(spot_rate: float, **more: float) -> SimulatedLine:
    return SimulatedLine(SimulatorConfig("tapered", seed=7, spot_rate=spot_rate, **more))  # type: ignore[arg-type]


def test_spots_brighten_a_few_places_and_are_no_defect() -> None:
    """The same part with and without: nothing is darker, little changes, the truth is the same."""
    with_them, without = line(1.0, defect_rate=0), line(0.0, defect_rate=0)
    for number in (1, 2):
        spotted, truth = with_them.single(number)
        plain, same = without.single(number)
        assert truth == same
        change = spotted.astype(int) - plain.astype(int)
        assert change.max() > BRIGHTER[0] / 2
        assert 20 < np.count_nonzero(change.max(axis=2) > 10) < 1500
        assert change.min() >= -6  # the camera's own noise follows the light


def test_a_share_of_the_parts_has_them_and_the_others_are_as_before() -> None:
    """Which parts have spots depends on seed and number alone; planted defects stay as they are."""
    rate = 0.3
    numbers = range(1, 9)
    spotted = {n for n in numbers if has_spots(7, n, rate)}
    assert 0 < len(spotted) < len(numbers)
    some, none = line(rate, defect_rate=1.0), line(0.0, defect_rate=1.0)
    for number in numbers:
        one, truth = some.single(number)
        other, same = none.single(number)
        assert np.array_equal(one, other) is (number not in spotted)
        assert [p.defect and p.defect.kind for p in truth.parts] == [
            p.defect and p.defect.kind for p in same.parts
        ]
    share = np.mean([has_spots(7, n, 0.05) for n in range(4000)])
    assert share == pytest.approx(0.05, abs=0.012)


def test_a_camera_asks_for_them() -> None:
    """`spots=0.05` in the address; a share above 1 is refused."""
    open_camera("sim:tapered?seed=7&parts=3&spots=0.05", "c")
    with pytest.raises(ConfigError, match="spots must be 0 to 1"):
        open_camera("sim:tapered?spots=2", "c")
