"""The kernels' arithmetic against OpenCV, and their syntax through NVIDIA's own compiler."""

from __future__ import annotations

import ctypes
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.cuda_on_cpu import KernelsOnCpu
from support.needs import needing, nvrtc_libraries

from edge_app.backends.cuda_kernels import SOURCE
from edge_app.bundle.archive import read_bundle
from edge_app.imaging.upright_crop import CropSpec, letterbox, letterbox_fit, upright_crop
from edge_app.inspection import alignment, detector, orientation
from edge_app.model import offline
from edge_app.model.golden_check import check_golden
from edge_app.model.loaded_model import load_model
from edge_app.records import BoxCxcywhr, U8Array

GREY_LEVEL = 1.0


@pytest.fixture(scope="module")
@needing("g++")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> KernelsOnCpu:
    """Return the kernels compiled for the CPU."""
    return KernelsOnCpu(tmp_path_factory.mktemp("kernels"))


def _scene(hw: tuple[int, int]) -> U8Array:
    """Return a picture with grain, edges and a gradient."""
    rng = np.random.default_rng(hw[0])
    coarse = rng.integers(0, 255, (max(1, hw[0] // 9), max(1, hw[1] // 9), 3), np.uint8)
    picture = cv2.resize(coarse, hw[::-1], interpolation=cv2.INTER_NEAREST)
    grain = rng.normal(0, 6, (*hw, 3))
    return np.asarray(np.clip(picture + grain, 0, 255), np.uint8)


@pytest.mark.parametrize(
    ("frame_hw", "target_hw"),
    [
        ((768, 1024), (256, 320)),
        ((480, 640), (640, 640)),
        ((101, 77), (64, 96)),
        ((60, 80), (256, 320)),
        ((1, 1), (32, 32)),
        ((3, 500), (64, 64)),
    ],
)
def test_letterbox_is_opencvs(
    kernels: KernelsOnCpu, frame_hw: tuple[int, int], target_hw: tuple[int, int]
) -> None:
    """Shrunk, enlarged, non-square and one-pixel frames differ by less than a grey level."""
    picture = _scene(frame_hw)
    expected, _ = letterbox(picture, target_hw)
    difference = np.abs(kernels.letterbox(picture, target_hw).astype(int) - expected)
    assert difference.mean() < GREY_LEVEL
    assert difference.max() <= 2


BOXES: list[BoxCxcywhr] = [
    (320.0, 240.0, 200.0, 60.0, 0.0),
    (300.5, 200.25, 210.0, 50.0, 0.6),
    (320.0, 240.0, 30.0, 12.0, -2.8),
    (5.0, 3.0, 200.0, 60.0, 1.2),
    (900.0, 700.0, 100.0, 60.0, 0.3),
]


def test_crops_are_opencvs(kernels: KernelsOnCpu) -> None:
    """Upright, turned, enlarged, cut off and wholly outside crops differ by under a grey level."""
    picture, spec = _scene((480, 640)), CropSpec((64, 224), 0.1)
    cut = kernels.crops(picture, BOXES, spec)
    for crop, box in zip(cut, BOXES, strict=True):
        difference = np.abs(crop.astype(int) - upright_crop(picture, box, spec))
        assert difference.mean() < GREY_LEVEL, box


def test_crop_of_one_pixel_is_that_pixel(kernels: KernelsOnCpu) -> None:
    """A frame of one pixel gives crops of its colour everywhere."""
    picture = np.array([[[10, 20, 30]]], np.uint8)
    (crop,) = kernels.crops(picture, [(0.0, 0.0, 8.0, 4.0, 0.7)], CropSpec((16, 32), 0.1))
    assert (crop == picture[0, 0]).all()


def test_golden_set_has_the_same_verdicts(
    kernels: KernelsOnCpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the kernels in OpenCV's place the demo bundle's golden set keeps every verdict."""

    def fitted(
        pixels_hwc: U8Array, target_hw: tuple[int, int], shrink: str, _out: U8Array
    ) -> object:
        assert shrink == "area"  # the kernels' way
        fit, _ = letterbox_fit((pixels_hwc.shape[0], pixels_hwc.shape[1]), target_hw)
        return kernels.letterbox(pixels_hwc, target_hw), fit

    def cut(pixels_hwc: U8Array, box: BoxCxcywhr, spec: CropSpec) -> U8Array:
        return kernels.crops(pixels_hwc, [box], spec)[0]

    monkeypatch.setattr(detector, "letterbox", fitted)
    for module in (alignment, orientation, offline):
        monkeypatch.setattr(module, "upright_crop", cut)
    bundle = read_bundle(Path(str(files("edge_app").joinpath("assets/demo-tapered.bundle"))))
    loose = bundle.variant().tolerances.model_copy(update={"score_relative": 1.0})
    variant = bundle.variant().model_copy(update={"tolerances": loose})
    manifest = bundle.manifest.model_copy(update={"variants": (variant,)})
    object.__setattr__(bundle, "manifest", manifest)
    result = check_golden(load_model(bundle, 1), bundle)
    assert result.reason == ""
    assert result.pictures == len(variant.golden)
    print(f"worst IoU {result.worst_iou:.4f}, score {result.worst_score_difference:.2%}")


@pytest.mark.needs("NVIDIA's runtime compiler")
@pytest.mark.parametrize("architecture", ["compute_87", "compute_86", "compute_110"])
def test_kernels_compile_ahead_of_time_for_jetsons(architecture: str) -> None:
    """NVIDIA's runtime compiler accepts the text for Orin (8.7), Ampere (8.6) and Thor (11.0)."""
    nvrtc = ctypes.CDLL(str(nvrtc_libraries()[0]))
    program = ctypes.c_void_p()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), SOURCE.encode(), b"kernels.cu", 0, None, None)
    options = (ctypes.c_char_p * 1)(f"--gpu-architecture={architecture}".encode())
    code = nvrtc.nvrtcCompileProgram(program, 1, options)
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value + 1)
    nvrtc.nvrtcGetProgramLog(program, log)
    assert code == 0, log.value.decode()
    nvrtc.nvrtcGetPTXSize(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value + 1)
    nvrtc.nvrtcGetPTX(program, text)
    assert b".entry letterbox" in text.value
    assert b".entry upright_crops" in text.value
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
