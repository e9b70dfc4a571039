"""Labels in formats that are not read, told by their content: better said than passed over."""

from __future__ import annotations

import json
import re
from pathlib import Path

_COCO_KEYS = {"images", "annotations", "categories"}


def foreign_format(path: Path, max_bytes: int) -> str | None:
    """Return the name of the format of a JSON or XML file of labels that is not read, or None."""
    try:
        if path.stat().st_size > max_bytes:
            return None
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return None
    if path.suffix.lower() == ".xml":
        is_voc = re.search(r"<annotation>", text) and "<object>" in text
        return "Pascal VOC" if is_voc else None
    if not all(f'"{key}"' in text for key in _COCO_KEYS):
        return None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return "COCO" if isinstance(content, dict) and content.keys() >= _COCO_KEYS else None
