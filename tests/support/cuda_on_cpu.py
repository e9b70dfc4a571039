"""The CUDA kernels' own text, compiled as C++ and run on the CPU, one thread after the other."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_app.backends.cuda_kernels import SOURCE
from edge_app.imaging.upright_crop import LETTERBOX_GREY, CropSpec, crop_to_frame, letterbox_fit
from edge_app.records import BoxCxcywhr, U8Array

PRELUDE = """
#include <algorithm>
#include <cmath>
using std::max; using std::min;
#define __global__
#define __device__
struct Index { int x, y, z; };
static thread_local Index blockIdx, threadIdx = {0, 0, 0}, blockDim = {1, 1, 1};
"""

LOOPS = """
extern "C" void run_letterbox(const unsigned char* s, int sh, int sw, unsigned char* t, int th,
                              int tw, int nh, int nw, int py, int px, unsigned char grey) {
    for (blockIdx.y = 0; blockIdx.y < th; ++blockIdx.y)
        for (blockIdx.x = 0; blockIdx.x < tw; ++blockIdx.x)
            letterbox(s, sh, sw, t, th, tw, nh, nw, py, px, grey);
}
extern "C" void run_crops(const unsigned char* s, int sh, int sw, unsigned char* t, int n, int h,
                          int w, const float* m) {
    for (blockIdx.z = 0; blockIdx.z < n; ++blockIdx.z)
        for (blockIdx.y = 0; blockIdx.y < h; ++blockIdx.y)
            for (blockIdx.x = 0; blockIdx.x < w; ++blockIdx.x)
                upright_crops(s, sh, sw, t, n, h, w, m);
}
"""


class KernelsOnCpu:
    """Both kernels behind the functions of `edge_app/imaging/upright_crop.py`."""

    def __init__(self, folder: Path) -> None:
        source, library = folder / "kernels.cpp", folder / "kernels.so"
        source.write_text(PRELUDE + SOURCE + LOOPS)
        command = ["g++", "-O2", "-Wall", "-Werror", "-shared", "-fPIC"]
        subprocess.run([*command, str(source), "-o", str(library)], check=True, timeout=120)
        self._library = ctypes.CDLL(str(library))

    def letterbox(self, pixels_hwc: U8Array, target_hw: tuple[int, int]) -> U8Array:
        """Return the letterboxed picture."""
        fit, new_hw = letterbox_fit((pixels_hwc.shape[0], pixels_hwc.shape[1]), target_hw)
        out = np.zeros((*target_hw, 3), np.uint8)
        self._library.run_letterbox(
            _pointer(pixels_hwc), *pixels_hwc.shape[:2], _pointer(out), *target_hw,
            *new_hw, int(fit.pad_y), int(fit.pad_x), ctypes.c_ubyte(LETTERBOX_GREY),
        )  # fmt: skip
        return out

    def crops(self, pixels_hwc: U8Array, boxes: list[BoxCxcywhr], spec: CropSpec) -> U8Array:
        """Return all crops, (n, crop_h, crop_w, 3)."""
        maps = np.stack([crop_to_frame(box, spec) for box in boxes]).astype(np.float32)
        out = np.zeros((len(boxes), *spec.crop_hw, 3), np.uint8)
        self._library.run_crops(
            _pointer(pixels_hwc), *pixels_hwc.shape[:2], _pointer(out), len(boxes), *spec.crop_hw,
            _pointer(maps),
        )  # fmt: skip
        return out


def _pointer(array: NDArray[np.generic]) -> ctypes.c_void_p:
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.ctypes.data)
