"""YOLO's label files: a line per product, numbers as shares of the picture.

| Numbers in a line | Meaning |
|---|---|
| 9 | class and four corners (YOLO-OBB) |
| 5 | class and an upright box: centre x, centre y, width, height (Roboflow, CVAT's `YOLO 1.1`) |
| 7, 11, 13, ... | class and the corners of an outline (YOLO segmentation) |

An empty file says: no product here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from edge_app.errors import DataError
from export.labels.given.marks import BEYOND, Form, Mark, checked, upright_corners

NAME_FILES = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "obj.names")
"""Where class names stand."""

_WHAT = (
    "expected a class and four corners (nine numbers), an upright box (five) or an outline (seven, "
    "eleven or more), as shares of the picture"
)


def is_label_text(text: str) -> bool:
    """Tell whether a text beside a picture can be its labels: empty, or a line starts as one."""
    lines = [line for line in text.splitlines() if line.strip()]
    return not lines or any(_is_number(line.split()[0]) for line in lines)


def yolo_marks(
    text: str, frame_hw: tuple[int, int], where: str, names: Sequence[str] = ()
) -> list[Mark]:
    """Return the products of one label file.

    Args:
        where: the file's name for sentences.
        names: of the classes, in their order; where there is none the number is the label.

    Raises:
        DataError: a line is malformed, with file and line.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            values = _numbers(line, f"{where}, line {number}")
            found.append(_mark(values, line.strip(), frame_hw, f"{where}, line {number}", names))
    return found


def class_names(file: Path) -> tuple[str, ...]:
    """Return the class names that a file of NAME_FILES lists; none if it lists none."""
    text = file.read_text(encoding="utf-8", errors="replace")
    if file.suffix in (".txt", ".names"):
        return tuple(line.strip() for line in text.splitlines() if line.strip())
    found = re.search(r"^names[ \t]*:[ \t]*(.*(?:\n(?:[ \t]+|-[ \t]*)\S.*)*)", text, re.MULTILINE)
    if not found:
        return ()
    first, _, rest = found[1].partition("\n")
    inline = re.match(r"[\[{](.*)[\]}]", (first + " " + rest).replace("\n", " ").strip())
    entries = inline[1].split(",") if inline else rest.splitlines()
    plain = (re.sub(r"^\s*(?:-\s*)?(?:\d+\s*:\s*)?", "", e).strip() for e in entries)
    return tuple(entry.strip("'\" ") for entry in plain if entry.strip("'\" "))


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _numbers(line: str, where: str) -> list[float]:
    words = line.split()
    values = [float(word) for word in words] if all(map(_is_number, words)) else []
    count = len(values)
    is_one = count == 5 or (count >= 7 and count % 2 == 1)
    if not is_one or not all(map(math.isfinite, values)) or values[0] < 0 or values[0] % 1:
        raise DataError(
            f"{where} is not a YOLO-OBB label: {_WHAT}, got {line.strip()[:60]!r}. Correct or "
            "remove the line."
        )
    return values


def _mark(
    values: list[float],
    line: str,
    frame_hw: tuple[int, int],
    where: str,
    names: Sequence[str],
) -> Mark:
    class_id, shares = int(values[0]), values[1:]
    form: Form = {4: "upright", 8: "box"}.get(len(shares), "outline")  # type: ignore[assignment]
    if form == "upright":
        cx, cy, w, h = shares
        if min(w, h) <= 0:
            raise DataError(f"{where}: a box {w:g} wide and {h:g} high encloses nothing: {line!r}.")
        corners = upright_corners(cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
    else:
        corners = [shares[i : i + 2] for i in range(0, len(shares), 2)]
    if not all(-BEYOND <= v <= 1 + BEYOND for corner in corners for v in corner):
        raise DataError(
            f"{where}: corners are fractions of the picture, 0 to 1 (at most {BEYOND:g} beyond, "
            f"where a turned box crosses the border), got {line[:60]!r}. Divide pixels by the "
            "picture's width and height."
        )
    height, width = frame_hw
    pixels = [[x * width, y * height] for x, y in corners]
    label = names[class_id] if class_id < len(names) else str(class_id)
    return Mark(label, checked(pixels, frame_hw, where, line), form)
