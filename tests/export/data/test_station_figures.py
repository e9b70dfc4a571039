"""What a station's pictures look like, from training pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from export.data.crops import FoundPart, PartsFound
from export.data.dataset import Picture, scan_good_pictures
from export.data.station import station_of


def pictures(folder: Path) -> list[Picture]:
    for i in range(20):
        level = np.full((40, 60, 3), 100 + i, np.uint8)
        level[:, 30:] += 2 * np.uint8(i)
        cv2.imwrite(str(folder / f"{i:02d}.png"), level)
    return list(scan_good_pictures(folder).pictures)


def test_ranges_are_the_lowest_and_highest_of_the_pictures(tmp_path: Path) -> None:
    """Halves of 100 + i and 100 + 3 i: mean 100 + 2 i, deviation i."""
    spec = station_of(pictures(tmp_path))
    assert spec.grey_mean == (100.0, 138.0)
    assert spec.grey_std == (0.0, 19.0)
    assert spec.sharpness[0] == 0.0 < spec.sharpness[1]


def test_a_missing_product_is_ng_only_where_one_was_found_in_every_picture(tmp_path: Path) -> None:
    """A detector that overlooks one good part would call it missing."""
    some = pictures(tmp_path)
    part = FoundPart(0, (30.0, 20.0, 10.0, 10.0, 0.0))
    assert not station_of(some).missing_is_ng
    assert station_of(some, PartsFound([part])).missing_is_ng
    assert not station_of(some, PartsFound([part], empty=["00.png"])).missing_is_ng
    assert not station_of(some, PartsFound([])).missing_is_ng
