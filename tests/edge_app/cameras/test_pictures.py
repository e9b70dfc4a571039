"""Picture files, written by OpenCV or by hand, in every format and depth the product promises."""

from __future__ import annotations

import logging
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_app.cameras.picture_listing import list_pictures
from edge_app.cameras.pictures import TWELVE_BITS, load_picture, read_picture
from edge_app.errors import CameraUnavailable, FrameCorrupt

HW = (6, 9)


def picture(channels: int, dtype: type = np.uint8, hw: tuple[int, int] = HW) -> np.ndarray:
    top = np.iinfo(dtype).max
    shape = hw if channels == 1 else (*hw, channels)
    return np.random.default_rng(7).integers(0, top, shape, dtype=dtype, endpoint=True)


def write(path: Path, pixels: np.ndarray) -> Path:
    is_written, encoded = cv2.imencode(path.suffix, pixels)
    assert is_written
    encoded.tofile(path)
    return path


def png_bytes(colour_type: int, bit_depth: int, rows: list[bytes], width: int) -> bytes:
    """Return a PNG made by hand: OpenCV writes no grey + alpha."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, len(rows), bit_depth, colour_type, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("ending", [".png", ".bmp", ".tif", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3])
def test_8_bit_pixels_arrive_unchanged(tmp_path: Path, ending: str, channels: int) -> None:
    """Lossless 8-bit files give exactly the written pixels; grey is repeated into BGR."""
    pixels = picture(channels)
    read = read_picture(write(tmp_path / f"a{ending}", pixels))
    expected = pixels if channels == 3 else np.repeat(pixels[:, :, None], 3, axis=2)
    assert read.dtype == np.uint8
    assert read.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(read, expected)


@pytest.mark.parametrize("ending", [".jpg", ".jpeg", ".JPG"])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_arrives_within_its_loss(tmp_path: Path, ending: str, channels: int) -> None:
    """A smooth JPEG comes back as BGR with the same shape and nearly the same values."""
    pixels = np.full((40, 70, 3), (30, 90, 200), np.uint8)
    pixels = pixels if channels == 3 else np.ascontiguousarray(pixels[:, :, 0])
    read = read_picture(write(tmp_path / f"a{ending}", pixels))
    assert read.shape == (40, 70, 3)
    assert abs(read.astype(int) - pixels.reshape(40, 70, -1)).max() <= 3


@pytest.mark.parametrize("ending", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bit_drops_the_low_byte(tmp_path: Path, ending: str, channels: int) -> None:
    """16 bit is scaled by a fixed rule, whatever the picture's own extremes are."""
    pixels = picture(channels, np.uint16)
    read = read_picture(write(tmp_path / f"a{ending}", pixels))
    colours = (pixels >> 8).astype(np.uint8).reshape(*HW, channels)[:, :, :3]
    np.testing.assert_array_equal(read, np.broadcast_to(colours, (*HW, 3)))


@pytest.mark.parametrize(("brightest", "read"), [(1023, 63), (4095, 255), (4096, 16), (9999, 39)])
def test_values_below_4096_are_12_bits(tmp_path: Path, brightest: int, read: int) -> None:
    """12 bits in 16 are recognised by the highest value, and a dark picture is not stretched."""
    pixels = np.linspace(0, brightest, 54).reshape(HW).astype(np.uint16)
    found = load_picture(write(tmp_path / "dark.png", pixels))
    assert found.pixels_hwc.max() == read
    assert (TWELVE_BITS in found.notes) == (brightest < 4096)


@pytest.mark.parametrize("ending", [".png", ".tif", ".bmp"])
def test_alpha_is_dropped_not_blended(tmp_path: Path, ending: str) -> None:
    """A transparent pixel keeps its colour."""
    pixels = picture(4)
    pixels[:, :, 3] = 0
    read = read_picture(write(tmp_path / f"a{ending}", pixels))
    np.testing.assert_array_equal(read, pixels[:, :, :3])


@pytest.mark.parametrize("bit_depth", [8, 16])
def test_grey_with_alpha_is_read(tmp_path: Path, bit_depth: int) -> None:
    """PNG colour type 4 gives its grey in all three channels."""
    one = b"\x50\x10" if bit_depth == 8 else b"\x50\x77\x10\x10"
    path = tmp_path / "ga.png"
    path.write_bytes(png_bytes(4, bit_depth, [one * 5, one * 5, one * 5], 5))
    np.testing.assert_array_equal(read_picture(path), np.full((3, 5, 3), 0x50, np.uint8))


@pytest.mark.parametrize("hw", [(1, 1), (1, 300), (300, 1)])
@pytest.mark.parametrize("ending", [".png", ".bmp", ".tif", ".jpg"])
def test_smallest_and_thinnest_pictures_are_read(
    tmp_path: Path, ending: str, hw: tuple[int, int]
) -> None:
    """One pixel, one row and one column are pictures too."""
    assert read_picture(write(tmp_path / f"a{ending}", picture(3, hw=hw))).shape == (*hw, 3)


def test_names_outside_ascii_are_read(tmp_path: Path) -> None:
    """Umlauts, blanks and other scripts in folder and file name do no harm."""
    folder = tmp_path / "Prüfteile 検査"
    folder.mkdir()
    assert read_picture(write(folder / "Öse 1 №.png", picture(3))).shape == (*HW, 3)


@pytest.mark.parametrize("ending", [".jpg", ".png", ".bmp", ".tif", ".webp"])
@pytest.mark.parametrize("kept", [0.03, 0.5, 0.9])
def test_truncated_picture_is_corrupt(tmp_path: Path, ending: str, kept: float) -> None:
    """A file cut off anywhere is refused, never shown half grey."""
    path = write(tmp_path / f"a{ending}", picture(3, hw=(60, 90)))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(FrameCorrupt, match=r"cannot be used: .*Replace or remove"):
        read_picture(path)


def test_jpeg_cut_behind_its_thumbnail_is_corrupt(tmp_path: Path) -> None:
    """An end marker inside the header, as a thumbnail has one, does not hide the missing one."""
    _, encoded = cv2.imencode(".jpg", picture(3, hw=(60, 90)))
    raw = encoded.tobytes()
    thumbnail = b"Exif\0\0" + b"\xff\xd8 little picture \xff\xd9"
    header = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    path = tmp_path / "a.jpg"
    path.write_bytes(raw[:2] + header + raw[2:])
    assert read_picture(path).shape == (60, 90, 3)
    path.write_bytes(raw[:2] + header + raw[2:-900])
    with pytest.raises(FrameCorrupt, match="end marker is missing"):
        read_picture(path)


def test_jpeg_with_bytes_behind_its_end_is_read(tmp_path: Path) -> None:
    """Cameras pad their files; what follows the end marker does not matter."""
    path = write(tmp_path / "a.jpg", picture(3))
    path.write_bytes(path.read_bytes() + b"\0" * 512)
    assert read_picture(path).shape == (*HW, 3)


def test_bit_flip_in_png_is_corrupt(tmp_path: Path) -> None:
    """PNG's checksum catches one flipped bit in the middle."""
    path = write(tmp_path / "a.png", picture(3, hw=(60, 90)))
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(FrameCorrupt):
        read_picture(path)


def test_unusable_files_say_why(tmp_path: Path) -> None:
    """Empty, missing, a folder, text, and float pixels: each has its own reason."""
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "text.png").write_text("not a picture")
    write(tmp_path / "float.tif", np.zeros(HW, np.float32))
    for name, reason in {
        "empty.png": "0 bytes",
        "missing.png": "No such file",
        "folder.png": "Is a directory",
        "text.png": "13 bytes are no complete",
        "float.tif": "float32; expected 8 or 16 bit",
    }.items():
        with pytest.raises(FrameCorrupt, match=reason):
            read_picture(tmp_path / name)


def test_pictures_are_listed_in_natural_order(tmp_path: Path) -> None:
    """part2 comes before part10, in sub-folders too, and equal numbers keep one fixed order."""
    names = ["b/part10.png", "b/part2.png", "a1/x.JPG", "a10/x.tif", "a2/x.bmp", "01.png", "1.png"]
    for name in reversed(names):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    listed = [path.relative_to(tmp_path).as_posix() for path in list_pictures(tmp_path)]
    assert listed == [
        "01.png",
        "1.png",
        "a1/x.JPG",
        "a2/x.bmp",
        "a10/x.tif",
        "b/part2.png",
        "b/part10.png",
    ]
    flat = list_pictures(tmp_path, recursive=False)
    assert [path.name for path in flat] == ["01.png", "1.png"]


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    """What macOS and thumbnailers leave behind is not taken for a part."""
    for name in ["._a.png", ".thumbs/a.png", "a.png"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in list_pictures(tmp_path)] == ["a.png"]


def test_left_out_endings_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Files with other endings are named by ending and count."""
    for name in ["a.png", "b.gif", "c.gif", "notes"]:
        (tmp_path / name).touch()
    with caplog.at_level(logging.INFO):
        list_pictures(tmp_path)
    assert "left out .gif (2), no ending (1)" in caplog.text


def test_folder_without_pictures_says_what_it_holds(tmp_path: Path) -> None:
    """The error names the endings expected and those found."""
    with pytest.raises(CameraUnavailable, match="found no file at all"):
        list_pictures(tmp_path)
    (tmp_path / "a.gif").touch()
    with pytest.raises(CameraUnavailable, match=r"Expected \.jpg, .*found \.gif \(1\)"):
        list_pictures(tmp_path)


def test_folder_that_is_none_says_so(tmp_path: Path) -> None:
    """A missing folder and a file in its place are told apart."""
    with pytest.raises(CameraUnavailable, match="is not there"):
        list_pictures(tmp_path / "missing")
    (tmp_path / "file").touch()
    with pytest.raises(CameraUnavailable, match="is a file"):
        list_pictures(tmp_path / "file")


@pytest.mark.needs("an ordinary user")
def test_locked_folder_is_an_error_not_a_gap(tmp_path: Path) -> None:
    """A sub-folder without read permission is not silently left out."""
    (tmp_path / "a.png").touch()
    (tmp_path / "locked").mkdir(mode=0)
    with pytest.raises(CameraUnavailable, match="Check its rights"):
        list_pictures(tmp_path)
