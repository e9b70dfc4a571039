"""The contact sheet of `check-data`: what is odd first, then good parts evenly spread."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edge_app.errors import CameraError
from edge_app.imaging.upright_crop import letterbox
from edge_app.records import U8Array
from export.data.picture import Picture
from export.data.survey import Survey

TILE_HW = (150, 190)
CAPTION_PX = 18
COLUMNS = 6
MOST = 48
MOST_GROUPS, MOST_OF_A_GROUP = 4, 3

_PLAIN_BGR, _ODD_BGR = (200, 200, 200), (80, 160, 255)


def contact_sheet(seen: Survey) -> U8Array:
    """Return uint8 (h, w, 3) BGR, at most MOST pictures; orange captions say what is odd."""
    tiles = [_tile(picture, why) for picture, why in _chosen(seen)]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % COLUMNS)
    rows = [np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)]
    return np.asarray(np.vstack(rows), np.uint8)


def write_sheet(pixels_hwc: U8Array, path: Path) -> Path:
    """Write the sheet as PNG and return where.

    Raises:
        OSError: it cannot be written.
    """
    path.write_bytes(cv2.imencode(".png", pixels_hwc)[1].tobytes())
    return path


def _chosen(seen: Survey) -> list[tuple[Picture, str]]:
    by_name = {p.name: p for p in seen.pictures}
    odd = dict(seen.looks.blank)
    for number, names in enumerate(seen.groups[:MOST_GROUPS], 1):
        odd.update(dict.fromkeys(names[:MOST_OF_A_GROUP], f"one part: {number}"))
    usual = seen.sizes.most_common(1)[0][0]
    odd.update(
        {p.name: "another size" for p in seen.pictures if p.hw != usual and p.name not in odd}
    )
    shown = list(odd)[: MOST // 2]
    rest = [p.name for p in seen.pictures if p.name not in odd]
    places = min(MOST - len(shown), len(rest))
    spread = [rest[i * len(rest) // places] for i in range(places)]
    return [(by_name[name], odd.get(name, "")) for name in (*shown, *spread)]


def _tile(picture: Picture, why: str) -> U8Array:
    try:
        pixels = letterbox(picture.read(), TILE_HW)[0]
    except CameraError:  # gone since it was read
        pixels, why = np.zeros((*TILE_HW, 3), np.uint8), "cannot be read any more"
    strip = np.zeros((CAPTION_PX, TILE_HW[1], 3), np.uint8)
    text = f"{Path(picture.name).name[-14:]} {why}".encode("ascii", "replace").decode()
    colour = _ODD_BGR if why else _PLAIN_BGR
    cv2.putText(strip, text, (3, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.34, colour, 1, cv2.LINE_AA)
    return np.vstack([pixels, strip])
