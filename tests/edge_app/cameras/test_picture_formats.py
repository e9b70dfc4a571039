"""One rule for orientation, alpha, depth, pages and size, whatever the file's format."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support import picture_files as files

from edge_app.cameras import pictures as reader
from edge_app.cameras.picture_listing import list_pictures
from edge_app.cameras.pictures import (
    FIRST_PAGE,
    NO_ALPHA,
    TURNED,
    TWELVE_BITS,
    load_picture,
    read_picture,
    read_values,
)
from edge_app.errors import CameraUnavailable, FrameCorrupt

BGR = np.random.default_rng(3).integers(0, 255, (6, 9, 3), np.uint8)
RGB = np.ascontiguousarray(BGR[:, :, ::-1])
UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: np.rot90(p, -1),  # stored lying, shown a quarter clockwise
    7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
    8: lambda p: np.rot90(p),
}
WRITERS: dict[str, Callable[[int, str], bytes]] = {
    "png": lambda o, order: files.png(BGR, o, order),
    "webp": lambda o, order: files.webp(BGR, o, order),
    "tif": lambda o, order: files.tiff(RGB, o, order),
    "tiff": lambda o, order: files.tiff(RGB.astype(np.uint16) * 257, o, order),
}


def saved(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", WRITERS)
def test_every_orientation_is_applied(
    tmp_path: Path, ending: str, orientation: int, order: str
) -> None:
    """Lossless formats: exactly the pixels as a person sees them, and it is said."""
    path = saved(tmp_path / f"a.{ending}", WRITERS[ending](orientation, order))
    found = load_picture(path)
    np.testing.assert_array_equal(found.pixels_hwc, UPRIGHT[orientation](BGR))
    assert found.pixels_hwc.flags["C_CONTIGUOUS"]
    assert (TURNED in found.notes) == (orientation != 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_is_turned_as_opencv_turns_it(tmp_path: Path, orientation: int) -> None:
    """Another implementation of the same rule: imread's own."""
    path = saved(tmp_path / "a.jpg", files.jpeg(np.repeat(BGR, 8, axis=1), orientation))
    np.testing.assert_array_equal(read_picture(path), cv2.imread(str(path)))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_makes_no_sense_is_none(tmp_path: Path, orientation: int) -> None:
    found = load_picture(saved(tmp_path / "a.png", files.png(BGR, orientation)))
    np.testing.assert_array_equal(found.pixels_hwc, BGR)
    assert not found.notes


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("extra_sample", [0, 1, 2])
def test_alpha_in_a_tiff_is_dropped_not_blended(
    tmp_path: Path, extra_sample: int, dtype: type
) -> None:
    """Whatever the tag calls the fourth channel, colours stay as they are stored."""
    scale = 257 if dtype is np.uint16 else 1
    rgba = np.dstack([RGB, RGB[:, :, :1] // 2]).astype(dtype) * dtype(scale)
    found = load_picture(saved(tmp_path / "a.tif", files.tiff(rgba, 6, extra_sample=extra_sample)))
    np.testing.assert_array_equal(found.pixels_hwc, UPRIGHT[6](BGR))
    assert set(found.notes) == {NO_ALPHA, TURNED}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_whose_zero_is_white_is_not_a_negative(
    tmp_path: Path, dtype: type[np.unsignedinteger[Any]]
) -> None:
    grey = np.linspace(0, np.iinfo(dtype).max, 54).reshape(6, 9).astype(dtype)
    path = saved(tmp_path / "a.tif", files.tiff(np.invert(grey), photometric=0))
    expected = grey >> 8 if dtype is np.uint16 else grey
    np.testing.assert_array_equal(read_picture(path)[:, :, 0], expected)


def test_of_several_pages_the_first_is_read_and_said(tmp_path: Path) -> None:
    found = load_picture(saved(tmp_path / "a.tif", files.tiff(RGB, pages=3)))
    np.testing.assert_array_equal(found.pixels_hwc, BGR)
    assert found.notes == (FIRST_PAGE,)


def test_a_folder_of_pages_that_leads_in_a_circle_ends(tmp_path: Path) -> None:
    """The second page names itself as the third."""
    raw = bytearray(files.tiff(RGB, pages=2))
    (first,) = struct.unpack_from("<I", raw, 4)
    (count,) = struct.unpack_from("<H", raw, first)
    second = first + 2 + 12 * count + 4
    struct.pack_into("<I", raw, len(raw) - 4, second)
    assert load_picture(saved(tmp_path / "a.tif", bytes(raw))).notes == (FIRST_PAGE,)


def test_twelve_bits_in_colour_are_said_and_alpha_does_not_count(tmp_path: Path) -> None:
    """An opaque alpha of 65535 does not make 16 bits of 12."""
    colours = RGB.astype(np.uint16) * 16
    rgba = np.dstack([colours, np.full((6, 9), 65535, np.uint16)])
    found = load_picture(saved(tmp_path / "a.tif", files.tiff(rgba, extra_sample=2)))
    np.testing.assert_array_equal(found.pixels_hwc, BGR)
    assert set(found.notes) == {TWELVE_BITS, NO_ALPHA}


def test_values_of_a_mask_keep_their_depth_and_are_turned(tmp_path: Path) -> None:
    mask = np.zeros((6, 9), np.uint16)
    mask[1, 2] = 1
    path = saved(tmp_path / "m.tif", files.tiff(mask, 6))
    np.testing.assert_array_equal(read_values(path), UPRIGHT[6](mask))


def png_of_size(w: int, h: int) -> bytes:
    """A small file that promises a large picture."""
    raw = bytearray(files.png(BGR))
    struct.pack_into(">II", raw, 16, w, h)
    return bytes(raw)


def test_a_picture_too_large_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its header: more pixels than allowed, or more memory than half of what is free."""
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    path = saved(tmp_path / "a.png", png_of_size(40_000, 30_000))
    with pytest.raises(FrameCorrupt, match=r"40000×30000 pixels need .* 250 million pixels"):
        read_picture(path)
    path = saved(tmp_path / "b.png", png_of_size(6_000, 5_000))
    monkeypatch.setattr(reader, "available_mb", lambda: 400)
    with pytest.raises(FrameCorrupt, match=r"257 MB; .* half of the memory .*\(400 MB\)"):
        read_picture(path)


@pytest.mark.parametrize("ending", [".jpg", ".bmp", ".tif", ".webp"])
def test_the_header_gives_every_formats_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    """The limit holds for all of them."""
    monkeypatch.setattr(reader, "MAX_PIXELS", 53)
    _, encoded = cv2.imencode(ending, BGR)
    with pytest.raises(FrameCorrupt, match="9×6 pixels"):
        read_picture(saved(tmp_path / f"a{ending}", encoded.tobytes()))


def test_a_pipe_is_refused_and_does_not_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(FrameCorrupt, match="pipe, socket or device"):
        read_picture(tmp_path / "a.png")


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
def test_damaged_headers_are_refused_by_name_and_nothing_else_happens(
    tmp_path: Path, ending: str
) -> None:
    """Every cut and a thousand flipped bytes: a picture, or FrameCorrupt."""
    whole = files.jpeg(BGR, 6) if ending == "jpg" else WRITERS[ending](6, "<")
    rng = np.random.default_rng(11)
    path = tmp_path / f"a.{ending}"
    for cut in range(min(len(whole), 120)):
        with pytest.raises(FrameCorrupt, match=rf"a\.{ending} cannot be used"):
            read_picture(saved(path, whole[:cut]))
    for _ in range(1000):
        raw = bytearray(whole)
        raw[int(rng.integers(len(raw)))] = int(rng.integers(256))
        with suppress(FrameCorrupt):
            assert read_picture(saved(path, bytes(raw))).ndim == 3


@pytest.mark.needs("the extra heic")
def test_heic_is_read_upright(tmp_path: Path) -> None:
    import pillow_heif

    smooth = np.full((64, 96, 3), (30, 90, 200), np.uint8)
    smooth[:, :48] = (200, 90, 30)
    picture = pillow_heif.from_bytes("RGB", (96, 64), smooth.tobytes())
    picture.save(tmp_path / "a.heic", quality=-1)
    found = load_picture(tmp_path / "a.heic").pixels_hwc
    assert abs(found.astype(int) - smooth[:, :, ::-1]).max() <= 4
    assert [p.name for p in list_pictures(tmp_path)] == ["a.heic"]
    (tmp_path / "b.heic").write_bytes((tmp_path / "a.heic").read_bytes()[:200])
    with pytest.raises(FrameCorrupt, match=r"b\.heic cannot be used: pillow-heif refuses"):
        read_picture(tmp_path / "b.heic")


def test_heic_without_its_library_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "a.heic", b"\0\0\0\x18ftypheic" + bytes(40))
    monkeypatch.setattr(reader, "find_spec", lambda _: None)
    with pytest.raises(FrameCorrupt, match=r"pip install 'cropliq-edge\[heic\]', or save it"):
        read_picture(path)
    endings = tuple(e for e in reader.PICTURE_ENDINGS if e not in reader.HEIC_ENDINGS)
    monkeypatch.setattr("edge_app.cameras.picture_listing.PICTURE_ENDINGS", endings)
    with pytest.raises(CameraUnavailable, match=r"\.heic — HEIC needs pillow-heif.* \(1\)"):
        list_pictures(tmp_path)
