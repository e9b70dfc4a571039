"""Pictures that are no pictures of a station: blank, noisy, blurred, inverted, of another scene."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from edge_app.records import F64Array, U8Array


def odd_scenes(good_hwc: U8Array, seed: int = 0) -> Iterator[tuple[str, U8Array]]:
    """Yield (name, picture) made of a good one, all of its size."""
    rng = np.random.default_rng(seed)
    shape = good_hwc.shape
    mean, std = good_hwc.mean(axis=(0, 1)), good_hwc.std(axis=(0, 1)) + 1

    def noisy(level: float | F64Array, by: float | F64Array) -> U8Array:
        pixels: U8Array = np.clip(rng.normal(level, by, shape), 0, 255).astype(np.uint8)
        return pixels

    yield "black", np.zeros(shape, np.uint8)
    yield "dark", noisy(3, 2)
    yield "white", np.full(shape, 255, np.uint8)
    yield "grey", np.full(shape, 128, np.uint8)
    yield "blank at the good one's light", noisy(mean, 2)
    yield "noise", rng.integers(0, 256, shape, dtype=np.uint8)
    yield "noise at the good one's light", noisy(mean, std)
    for share in (0.04, 0.1):
        sigma = share * min(shape[:2])
        yield f"blurred by {sigma:.0f} px", np.asarray(cv2.GaussianBlur(good_hwc, (0, 0), sigma))
    yield "inverted", 255 - good_hwc
    yield (
        "stripes",
        np.where((np.arange(shape[1]) // 9 % 2)[None, :, None], 230, 20).astype(np.uint8)
        * np.ones(shape, np.uint8),
    )
    text = np.full(shape, 235, np.uint8)
    for line in range(12, shape[0], 18):
        cv2.putText(text, "delivery note 4711", (3, line), 0, 0.5, (40, 30, 20), 1)
    yield "a delivery note", text
