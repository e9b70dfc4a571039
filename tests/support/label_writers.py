"""The same oriented boxes, written as the label tools of this world write them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np

from edge_app.imaging.oriented_box import corners_of
from edge_app.records import BoxCxcywhr

Boxes = Mapping[str, tuple[BoxCxcywhr, ...]]
"""Picture's path below the data set → its products, frame pixels with centres at whole numbers."""

FrameHw = tuple[int, int]
Writer = Callable[[Path, Boxes, FrameHw, str], None]


def edge_corners(box: BoxCxcywhr) -> np.ndarray:
    """Return (4, 2) corners counted from the picture's edge, as label tools do."""
    return np.array(corners_of(box)) + 0.5


def yolo_line(box: BoxCxcywhr, frame_hw: FrameHw, class_id: int = 0) -> str:
    shares = edge_corners(box) / frame_hw[::-1]
    return f"{class_id} " + " ".join(f"{v:.6f}" for v in shares.ravel()) + "\n"


def upright_line(box: BoxCxcywhr, frame_hw: FrameHw, class_id: int = 0) -> str:
    shares = edge_corners(box) / frame_hw[::-1]
    (x0, y0), (x1, y1) = shares.min(axis=0), shares.max(axis=0)
    return f"{class_id} {(x0 + x1) / 2:.6f} {(y0 + y1) / 2:.6f} {x1 - x0:.6f} {y1 - y0:.6f}\n"


def _text(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


def beside(folder: Path, boxes: Boxes, frame_hw: FrameHw, label: str) -> None:
    """YOLO-OBB beside the pictures, with class names and a README."""
    for name, found in boxes.items():
        _text(
            folder,
            str(Path(name).with_suffix(".txt")),
            "".join(yolo_line(b, frame_hw) for b in found),
        )
    _text(folder, "classes.txt", label + "\n")
    _text(folder, "README.txt", "12 good parts of Monday\n")


def in_labels(folder: Path, boxes: Boxes, frame_hw: FrameHw, label: str) -> None:
    """YOLO-OBB in `labels/`, in the pictures' sub-folders."""
    for name, found in boxes.items():
        text = "".join(yolo_line(b, frame_hw) for b in found)
        _text(folder / "labels", str(Path(name).with_suffix(".txt")), text)
    _text(folder / "labels", "classes.txt", label + "\n")


def roboflow(folder: Path, boxes: Boxes, frame_hw: FrameHw, label: str) -> None:
    """Roboflow's YOLO-OBB export: `train/images`, `train/labels`, data.yaml, two READMEs."""
    for name, found in boxes.items():
        parts = ["labels" if p == "images" else p for p in Path(name).with_suffix(".txt").parts]
        where = "/".join(parts) if "labels" in parts else f"labels/{'/'.join(parts)}"
        _text(folder, where, "".join(yolo_line(b, frame_hw) for b in found))
    names = f"train: ../train/images\nval: ../valid/images\n\nnc: 1\nnames: ['{label}']\n"
    _text(folder, "data.yaml", names)
    _text(folder, "README.dataset.txt", "parts > 2026-11-29\nProvided by a Roboflow user\n")
    _text(folder, "README.roboflow.txt", "\nparts - v1\n==========\n20 images\n")


def roboflow_outlines(folder: Path, boxes: Boxes, frame_hw: FrameHw, label: str) -> None:
    """Roboflow's segmentation export: outlines of many corners."""
    for name, found in boxes.items():
        lines = ""
        for box in found:
            shares = _dense(edge_corners(box)) / frame_hw[::-1]
            lines += "0 " + " ".join(f"{v:.6f}" for v in shares.ravel()) + "\n"
        _text(folder / "labels", str(Path(name).with_suffix(".txt")), lines)
    _text(folder, "data.yaml", f"nc: 1\nnames:\n- {label}\n")


def cvat_yolo(folder: Path, boxes: Boxes, frame_hw: FrameHw, label: str) -> None:
    """CVAT's `YOLO 1.1`: obj_train_data, obj.names, obj.data, train.txt; upright boxes."""
    for name, found in boxes.items():
        text = "".join(upright_line(b, frame_hw) for b in found)
        _text(folder / "obj_train_data", str(Path(name).with_suffix(".txt")), text)
    _text(folder, "obj.names", label + "\n")
    _text(folder, "obj.data", "classes = 1\ntrain = data/train.txt\nnames = data/obj.names\n")
    _text(folder, "train.txt", "".join(f"data/obj_train_data/{name}\n" for name in boxes))


def cvat_xml(folder: Path, boxes: Boxes, frame_hw: FrameHw, label: str) -> None:
    """CVAT's `CVAT for images 1.1`: turned boxes, every second one as a polygon."""
    h, w = frame_hw
    text = '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n'
    for number, (name, found) in enumerate(boxes.items()):
        text += f'<image id="{number}" name={quoteattr(name)} width="{w}" height="{h}">\n'
        for box in found:
            text += _cvat_shape(box, label, is_polygon=bool(number % 2))
        text += "</image>\n"
    _text(folder, "annotations.xml", text + "</annotations>\n")


def _cvat_shape(box: BoxCxcywhr, label: str, is_polygon: bool) -> str:
    if is_polygon:
        points = ";".join(f"{x:.2f},{y:.2f}" for x, y in _dense(edge_corners(box)))
        return f'<polygon label={quoteattr(label)} occluded="0" points="{points}" z_order="0"/>\n'
    cx, cy, w, h, angle_rad = box
    x0, y0, x1, y1 = cx + 0.5 - w / 2, cy + 0.5 - h / 2, cx + 0.5 + w / 2, cy + 0.5 + h / 2
    turn = math.degrees(angle_rad) % 360
    return (
        f'<box label={quoteattr(label)} occluded="0" xtl="{x0:.2f}" ytl="{y0:.2f}" '
        f'xbr="{x1:.2f}" ybr="{y1:.2f}" rotation="{turn:.2f}" z_order="0"/>\n'
    )


def labelme(folder: Path, boxes: Boxes, frame_hw: FrameHw, label: str) -> None:
    """labelme: a JSON beside each picture, polygons."""
    for name, found in boxes.items():
        shapes = [
            {
                "label": label,
                "points": _dense(edge_corners(box)).round(2).tolist(),
                "group_id": None,
                "shape_type": "polygon",
                "flags": {},
            }
            for box in found
        ]
        content: dict[str, Any] = {
            "version": "5.4.1",
            "flags": {},
            "shapes": shapes,
            "imagePath": Path(name).name,
            "imageData": None,
            "imageHeight": frame_hw[0],
            "imageWidth": frame_hw[1],
        }
        _text(folder, str(Path(name).with_suffix(".json")), json.dumps(content, indent=2))


def _dense(corners: np.ndarray, between: int = 5) -> np.ndarray:
    """Return a polygon's corners with points between them, as a person clicks them."""
    ahead = np.roll(corners, -1, axis=0)
    steps = np.arange(between)[:, None] / between
    return np.concatenate([a + (b - a) * steps for a, b in zip(corners, ahead, strict=True)])


WRITERS: dict[str, Writer] = {
    "YOLO-OBB beside": beside,
    "YOLO-OBB in labels/": in_labels,
    "Roboflow": roboflow,
    "Roboflow outlines": roboflow_outlines,
    "CVAT YOLO": cvat_yolo,
    "CVAT XML": cvat_xml,
    "labelme": labelme,
}
UPRIGHT = ("CVAT YOLO",)
"""Formats that do not say how a part lies."""
