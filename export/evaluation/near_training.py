"""Which good test pictures show a part nearly as the bundle has seen it in training.

A bundle keeps digests, no pictures: they are compared with those pictures of the data set's own
good folder that it was trained or calibrated on. Where there are none nothing is found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path

from calibration.parts.groups import groups_of, thumbnail
from edge_app.cameras.picture_listing import list_pictures
from edge_app.cameras.pictures import read_picture
from edge_app.errors import CameraError, DataError
from edge_app.records import F32Array
from export.data.layouts import find_good_folder


def near_duplicates(
    good: Sequence[Path], data: Path, seen_sha256: Collection[str]
) -> frozenset[int]:
    """Return the indices of the good test pictures that are near-duplicates of training pictures.

    Args:
        good: good test pictures.
        data: the data set's folder, or `test` in it.
        seen_sha256: digests of the pictures that trained the bundle or set its threshold.
    """
    paths = [*_trained_on(data, seen_sha256), *good]
    thumbs: dict[int, F32Array] = {}
    for index, path in enumerate(paths):
        try:
            thumbs[index] = thumbnail(read_picture(path))
        except CameraError:  # an unreadable picture is nobody's duplicate
            continue
    first_good = len(paths) - len(good)
    if not any(index < first_good for index in thumbs):
        return frozenset()
    kept = list(thumbs)
    groups = groups_of(list(thumbs.values()), lambda i: read_picture(paths[kept[i]]))
    trained = {g for g, index in zip(groups, kept, strict=True) if index < first_good}
    return frozenset(
        index - first_good
        for g, index in zip(groups, kept, strict=True)
        if index >= first_good and g in trained
    )


def _trained_on(data: Path, seen_sha256: Collection[str]) -> list[Path]:
    if not seen_sha256:
        return []
    try:
        folder = find_good_folder(data.parent if data.name.lower() == "test" else data)
        listed = list_pictures(folder)
        return [p for p in listed if hashlib.sha256(p.read_bytes()).hexdigest() in seen_sha256]
    except (CameraError, DataError, OSError):  # the data set holds no training pictures
        return []
