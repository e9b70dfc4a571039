"""labelme's JSON beside a picture: polygons, rectangles and circles, in pixels."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from edge_app.errors import DataError
from export.labels.given.marks import Form, Mark, checked, upright_corners

_CIRCLE_CORNERS = 48


@dataclass(frozen=True, slots=True)
class LabelmeFile:
    """What one file says.

    Attributes:
        picture: the picture's file name as labelme saw it; "" if it does not say.
        flags: those that are set for the whole picture.
        shapes: as they stand.
        frame_hw: the picture's size then; None if it does not say.
    """

    picture: str
    flags: tuple[str, ...]
    shapes: tuple[Any, ...]
    frame_hw: tuple[int, int] | None


def read_labelme(text: str, where: str) -> LabelmeFile | None:
    """Return what a JSON text says; None where it is JSON of another kind.

    Raises:
        DataError: it is no JSON, or begins like labelme's and goes on otherwise.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        at = getattr(error, "lineno", 1)
        raise DataError(
            f"{where}, line {at}: the labels are no JSON ({getattr(error, 'msg', error)}). Save "
            "them again, or remove the file."
        ) from error
    if not isinstance(content, dict) or "shapes" not in content:
        return None
    shapes, flags = content["shapes"], content.get("flags") or {}
    if not isinstance(shapes, list) or not isinstance(flags, dict):
        raise DataError(f"{where}: its shapes or flags are none. Save it with labelme again.")
    name = content.get("imagePath")
    h, w = content.get("imageHeight"), content.get("imageWidth")
    return LabelmeFile(
        PurePosixPath(name.replace("\\", "/")).name if isinstance(name, str) else "",
        tuple(str(flag) for flag, is_set in flags.items() if is_set),
        tuple(shapes),
        (h, w) if isinstance(h, int) and isinstance(w, int) else None,
    )


def labelme_marks(found: LabelmeFile, frame_hw: tuple[int, int], where: str) -> list[Mark]:
    """Return the products of a file.

    Raises:
        DataError: it was drawn on a picture of another size, or a shape cannot be a product.
    """
    if found.frame_hw not in (None, frame_hw):
        (then_h, then_w), (h, w) = found.frame_hw or (0, 0), frame_hw
        raise DataError(
            f"{where}: drawn on {then_w}×{then_h} pixels, the picture has {w}×{h}. Label the "
            "picture as it is."
        )
    return [
        _mark(shape, frame_hw, f"{where}, shape {number}")
        for number, shape in enumerate(found.shapes, 1)
    ]


def _mark(shape: Any, frame_hw: tuple[int, int], where: str) -> Mark:
    kind = shape.get("shape_type", "polygon") if isinstance(shape, Mapping) else None
    points = _points(shape)
    if kind is None or points is None:
        raise DataError(f"{where}: expected points as pairs of numbers, got {str(shape)[:60]!r}.")
    form: Form = "outline"
    if kind == "rectangle" and len(points) == 2:
        form, corners = "upright", upright_corners(*points[0], *points[1])
    elif kind == "circle" and len(points) == 2:
        corners = _circle(points)
    elif kind in ("polygon", "rectangle", "rotation", "oriented_rectangle") and len(points) > 2:
        form, corners = ("box" if kind != "polygon" and len(points) == 4 else "outline"), points
    else:
        raise DataError(
            f"{where}: a {str(kind)[:30]} of {len(points)} points is no product: expected a "
            "polygon, a rectangle or a circle."
        )
    label = str(shape.get("label") or "")
    return Mark(label, checked(corners, frame_hw, where, str(shape.get("points"))), form)


def _points(shape: Any) -> list[list[float]] | None:
    points = shape.get("points") if isinstance(shape, Mapping) else None
    if not isinstance(points, list):
        return None
    for point in points:
        is_pair = isinstance(point, list) and len(point) == 2
        if not is_pair or not all(type(v) in (int, float) for v in point):
            return None
    return [[float(v) for v in point] for point in points]


def _circle(points: list[list[float]]) -> list[list[float]]:
    (cx, cy), (x, y) = points
    radius = math.hypot(x - cx, y - cy)
    turns = [2 * math.pi * i / _CIRCLE_CORNERS for i in range(_CIRCLE_CORNERS)]
    return [[cx + radius * math.cos(t), cy + radius * math.sin(t)] for t in turns]
