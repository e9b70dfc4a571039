"""Preprocessing on the GPU: a frame goes up once, letterbox and crops are sampled from it there.

On an integrated GPU (Jetson) the pinned frame is read in place and nothing goes up at all.
"""

from __future__ import annotations

import importlib
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_app.backends.cuda_kernels import SOURCE
from edge_app.backends.cuda_memory import Buffer, Cuda, open_cuda
from edge_app.errors import ModelError, ShapeError
from edge_app.imaging.upright_crop import (
    LETTERBOX_GREY,
    CropSpec,
    Letterbox,
    crop_to_frame,
    letterbox_fit,
)
from edge_app.records import BoxCxcywhr, U8Array

BLOCK = (16, 16, 1)
"""Threads per block: 256, a multiple of a warp, square because the sampling is local both ways."""

FLOATS_PER_CROP = 6


NAME = "GPU preprocessing"


@dataclass(slots=True)
class _Held:
    """What a sampler has on the GPU; see `tensorrt._Held`."""

    cuda: Cuda
    stream: Any
    letterbox: Any
    crops: Any
    buffers: list[Buffer]

    def release(self) -> None:
        """Release everything."""
        with self.cuda.current(f"{NAME}: releasing it"):
            while self.buffers:
                self.buffers.pop().close()
            self.letterbox = self.crops = self.stream = None


class GpuSampler:
    """Letterboxes and crops frames on the GPU. Not thread-safe: one thread owns it.

    Args:
        frame_hw: the largest frame.
        target_hw: the detector's input.
        spec: how crops are cut.
        max_crops: most crops of one frame.

    Raises:
        ModelError: no GPU, no pycuda, or the kernels cannot be compiled.
    """

    def __init__(
        self,
        frame_hw: tuple[int, int],
        target_hw: tuple[int, int],
        spec: CropSpec,
        max_crops: int,
    ) -> None:
        self._cuda = open_cuda()
        self._frame_hw, self._target_hw, self._spec = frame_hw, target_hw, spec
        self._max_crops = max_crops
        self._now_hw = frame_hw
        self._held = held = _Held(self._cuda, None, None, None, [])
        self._release = weakref.finalize(self, held.release)
        self._release.atexit = False
        with self._cuda.current(NAME):
            module = _compile()
            held.letterbox = module.get_function("letterbox")
            held.crops = module.get_function("upright_crops")
            held.stream = self._cuda.new_stream()
            self._frame = self._buffer((*frame_hw, 3), "uint8")
            self._fitted = self._buffer((*target_hw, 3), "uint8")
            self._maps = self._buffer((max_crops, FLOATS_PER_CROP), "float32")
            self._cut = self._buffer((max_crops, *spec.crop_hw, 3), "uint8")

    def _buffer(self, shape: tuple[int, ...], dtype: str) -> Buffer:
        buffer = Buffer(self._cuda, shape, dtype)
        self._held.buffers.append(buffer)
        return buffer

    def take(self, pixels_hwc: U8Array) -> None:
        """Bring a frame to the GPU; letterbox and crops are of this frame from now on.

        Raises:
            ShapeError: it is not uint8 (h, w, 3), or larger than announced.
        """
        h, w = pixels_hwc.shape[:2]
        is_right = pixels_hwc.dtype == np.uint8 and pixels_hwc.shape == (h, w, 3)
        if not is_right or not 0 < h * w <= self._frame_hw[0] * self._frame_hw[1]:
            raise ShapeError(
                f"the GPU holds frames up to uint8 {(*self._frame_hw, 3)}, got "
                f"{pixels_hwc.dtype} {pixels_hwc.shape}"
            )
        self._now_hw = (h, w)
        with self._cuda.current(NAME):
            self._frame.fill(pixels_hwc)
            self._frame.upload(h * w * 3, self._held.stream)

    def letterbox(self) -> tuple[U8Array, Letterbox]:
        """Return the frame fitted into the detector's input, and the mapping."""
        fit, new_hw = letterbox_fit(self._now_hw, self._target_hw)
        numbers = (*self._target_hw, *new_hw, int(fit.pad_y), int(fit.pad_x))
        th, tw, nh, nw, pad_y, pad_x = map(np.int32, numbers)
        with self._cuda.current(NAME):
            self._held.letterbox(
                np.uintp(self._frame.address), *map(np.int32, self._now_hw),
                np.uintp(self._fitted.address), th, tw, nh, nw, pad_y, pad_x,
                np.uint8(LETTERBOX_GREY),
                block=BLOCK, grid=_grid(self._target_hw, 1), stream=self._held.stream,
            )  # fmt: skip
            self._fitted.download(self._target_hw[0] * self._target_hw[1] * 3, self._held.stream)
            self._held.stream.synchronize()
        return np.asarray(self._fitted.taken((*self._target_hw, 3)), np.uint8), fit

    def crops(self, boxes: Sequence[BoxCxcywhr]) -> U8Array:
        """Return the upright crops of the boxes, uint8 (n, crop_h, crop_w, 3).

        Raises:
            ShapeError: more boxes than announced.
        """
        if len(boxes) > self._max_crops:
            raise ShapeError(f"the GPU cuts at most {self._max_crops} crops, got {len(boxes)}")
        shape = (len(boxes), *self._spec.crop_hw, 3)
        if not boxes:
            return np.zeros(shape, np.uint8)
        maps = np.stack([crop_to_frame(box, self._spec) for box in boxes]).astype(np.float32)
        count, h, w = map(np.int32, shape[:3])
        with self._cuda.current(NAME):
            self._maps.fill(maps)
            self._maps.upload(maps.size, self._held.stream)
            self._held.crops(
                np.uintp(self._frame.address), *map(np.int32, self._now_hw),
                np.uintp(self._cut.address), count, h, w, np.uintp(self._maps.address),
                block=BLOCK, grid=_grid(self._spec.crop_hw, len(boxes)), stream=self._held.stream,
            )  # fmt: skip
            self._cut.download(int(np.prod(shape)), self._held.stream)
            self._held.stream.synchronize()
        return np.asarray(self._cut.taken(shape), np.uint8)

    def close(self) -> None:
        """Release the GPU's memory; may be called twice."""
        self._release()


def _grid(hw: tuple[int, int], depth: int) -> tuple[int, int, int]:
    """Return how many blocks cover a picture, x first."""
    return -(-hw[1] // BLOCK[0]), -(-hw[0] // BLOCK[1]), depth


def _compile() -> Any:
    """Return the compiled kernels; pycuda keeps them in its own cache."""
    try:
        compiler: Any = importlib.import_module("pycuda.compiler")
        return compiler.SourceModule(SOURCE, no_extern_c=True)
    except Exception as error:  # pycuda's and nvcc's errors share no base
        raise ModelError(
            f"The CUDA kernels cannot be compiled: {error}. pycuda needs nvcc (JetPack's CUDA "
            "toolkit) in PATH."
        ) from error
