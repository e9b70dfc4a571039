"""CVAT's `annotations.xml` (`CVAT for images 1.1`): all pictures' shapes, in pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from xml.etree import ElementTree

from edge_app.errors import DataError
from export.labels.given.marks import Form, Mark, checked, turned_corners, upright_corners

_ELLIPSE_CORNERS = 48


@dataclass(frozen=True, slots=True, eq=False)
class CvatImage:
    """What the file says of one picture.

    Attributes:
        name: as CVAT knows it: a path below the task's folder.
        frame_hw: its size there; None if the file does not say.
        shapes: the elements.
        tags: labels of the whole picture.
    """

    name: str
    frame_hw: tuple[int, int] | None
    shapes: tuple[ElementTree.Element, ...]
    tags: tuple[str, ...]


def read_cvat(text: str, where: str) -> tuple[CvatImage, ...] | None:
    """Return the pictures that have a shape or a tag; None where the XML is of another kind.

    A picture without both has not been labelled yet, for all one can tell.

    Raises:
        DataError: it is no XML, declares entities, or is of a video.
    """
    if "<!ENTITY" in text:
        raise DataError(f"{where} declares XML entities, which no labels need. Export it again.")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise DataError(
            f"{where}, line {error.position[0]}: the labels are no XML: {error}."
        ) from error
    if root.tag != "annotations":
        return None
    if root.find("track") is not None:
        raise DataError(
            f"{where} holds tracks of a video. Export the task as 'CVAT for images 1.1'."
        )
    found = []
    for image in root.iter("image"):
        shapes = tuple(e for e in image if e.get("label") is not None and e.tag != "tag")
        tags = tuple(e.get("label") or "" for e in image if e.tag == "tag")
        if shapes or tags:
            found.append(CvatImage(image.get("name") or "", _size(image), shapes, tags))
    return tuple(found)


def cvat_marks(image: CvatImage, frame_hw: tuple[int, int], where: str) -> list[Mark]:
    """Return the products of a picture.

    Raises:
        DataError: it was drawn on a picture of another size, or a shape cannot be a product.
    """
    where = f"{where}, image {image.name!r}"
    if image.frame_hw not in (None, frame_hw):
        (then_h, then_w), (h, w) = image.frame_hw or (0, 0), frame_hw
        raise DataError(
            f"{where}: drawn on {then_w}×{then_h} pixels, the picture has {w}×{h}. Label the "
            "picture as it is."
        )
    return [_mark(element, frame_hw, where) for element in image.shapes]


def _size(image: ElementTree.Element) -> tuple[int, int] | None:
    h, w = image.get("height", ""), image.get("width", "")
    return (int(h), int(w)) if h.isdecimal() and w.isdecimal() else None


def _mark(element: ElementTree.Element, frame_hw: tuple[int, int], where: str) -> Mark:
    got = f"{element.tag} {dict(element.attrib)}"
    try:
        form, corners = _corners(element)
    except (ValueError, KeyError) as error:
        raise DataError(f"{where}: {got[:90]!r} cannot be read: {error}.") from error
    return Mark(element.get("label") or "", checked(corners, frame_hw, where, got), form)


def _corners(element: ElementTree.Element) -> tuple[Form, list[list[float]]]:
    values = element.attrib
    if element.tag == "box":
        sides = (float(values[key]) for key in ("xtl", "ytl", "xbr", "ybr"))
        corners, turn = upright_corners(*sides), float(values.get("rotation", "0"))
        return ("box", turned_corners(corners, turn)) if turn else ("upright", corners)
    if element.tag == "polygon":
        points = [[float(v) for v in pair.split(",")] for pair in values["points"].split(";")]
        if len(points) < 3 or any(len(pair) != 2 for pair in points):
            raise ValueError("expected three points or more")
        return "outline", points
    if element.tag == "ellipse":
        cx, cy, rx, ry = (float(values[key]) for key in ("cx", "cy", "rx", "ry"))
        turns = [2 * math.pi * i / _ELLIPSE_CORNERS for i in range(_ELLIPSE_CORNERS)]
        round_it = [[cx + rx * math.cos(t), cy + ry * math.sin(t)] for t in turns]
        return "outline", turned_corners(round_it, float(values.get("rotation", "0")))
    raise ValueError("expected a box, a polygon or an ellipse")
