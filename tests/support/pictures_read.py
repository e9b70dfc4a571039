"""Pictures read by OpenCV that are known to be there: no test asks for None first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def picture_at(path: Path, flags: int = cv2.IMREAD_COLOR) -> NDArray[Any]:
    """Return a file's picture, (h, w, 3) or as the flags say; the test fails if there is none."""
    pixels = cv2.imread(str(path), flags)
    assert pixels is not None, f"no picture: {path}"
    return pixels


def picture_of(encoded: bytes, flags: int = cv2.IMREAD_COLOR) -> NDArray[Any]:
    """Return the picture that some bytes are, like `picture_at`."""
    pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)
    assert pixels is not None, f"no picture: {len(encoded)} bytes"
    return pixels
