"""Odd pictures through folder and watch: each costs itself, the good ones between come whole."""

from __future__ import annotations

import struct
import time
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from support import picture_files

from edge_app.cameras import pictures
from edge_app.cameras.grabber import Grabber, Unjudged
from edge_app.cameras.picture_health import PictureHealth
from edge_app.cameras.registry import open_camera
from edge_app.records import Frame

GOOD = np.random.default_rng(8).integers(40, 200, (24, 32, 3), dtype=np.uint8)
ENDINGS = (".png", ".jpg", ".bmp", ".tif", ".webp")


def encoded(ending: str, pixels: np.ndarray) -> bytes:
    ok, data = cv2.imencode(ending, pixels)
    assert ok
    return data.tobytes()


def claims(h: int, w: int) -> bytes:
    """Return a PNG that says it has so many pixels and holds none."""
    head = struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    body = zlib.compress(b"\0" * 64)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", len(head))
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + struct.pack(">I", len(body))
        + b"IDAT"
        + body
        + struct.pack(">I", zlib.crc32(b"IDAT" + body))
        + struct.pack(">I", 0)
        + b"IEND"
        + struct.pack(">I", zlib.crc32(b"IEND"))
    )


def odd_picture(rng: np.random.Generator) -> tuple[str, bytes]:
    """Return an ending and a file's bytes: odd in size, depth, format, or damaged."""
    ending = str(rng.choice(ENDINGS))
    kind = int(rng.integers(0, 12))
    if kind == 0:  # one pixel, one row, one column
        h, w = ((1, 1), (1, 700), (700, 1))[int(rng.integers(3))]
        return ending, encoded(ending, rng.integers(0, 256, (h, w, 3), dtype=np.uint8))
    if kind == 1:  # 16 bits
        deep = rng.integers(0, 65536, (9, 11, 3), dtype=np.uint16)
        ending = str(rng.choice((".png", ".tif")))
        return ending, encoded(ending, deep)
    if kind == 2:  # alpha, grey
        channels = int(rng.choice((1, 4)))
        shape = (9, 11) if channels == 1 else (9, 11, 4)
        return ".png", encoded(".png", rng.integers(0, 256, shape, dtype=np.uint8))
    if kind == 3:  # turned
        make = (picture_files.jpeg, picture_files.png, picture_files.webp)[int(rng.integers(3))]
        name = {"jpeg": ".jpg"}.get(make.__name__, f".{make.__name__}")
        return name, make(GOOD, int(rng.integers(1, 9)))
    if kind == 4:  # says it is huge
        sizes = [(1 << 16, 1 << 16), (2**31 - 1, 1), (1, 2**31 - 1), (50_000, 50_000), (0, 0)]
        return ".png", claims(*sizes[int(rng.integers(len(sizes)))])
    if kind == 5:  # another format than its name says
        return str(rng.choice(ENDINGS)), encoded(ending, GOOD)
    if kind == 6:
        return ending, b""
    if kind == 7:
        return ending, rng.bytes(int(rng.integers(1, 3000)))
    whole = bytearray(encoded(ending, GOOD))
    if kind in (8, 9):  # cut
        return ending, bytes(whole[: int(rng.integers(1, len(whole)))])
    for _ in range(int(rng.integers(1, 30))):  # bits flipped
        whole[int(rng.integers(len(whole)))] ^= 1 << int(rng.integers(8))
    return ending, bytes(whole)


def write_all(folder: Path, count: int, seed: int) -> list[str]:
    """Write odd pictures, a good one after each ten; return all names in order."""
    rng = np.random.default_rng(seed)
    names = []
    for number in range(count):
        ending, data = odd_picture(rng)
        if number % 10 == 9:
            ending, data = ".png", encoded(".png", GOOD)
        names.append(f"{number:05d}{'g' if number % 10 == 9 else 'x'}{ending}")
        (folder / names[-1]).write_bytes(data)
    return names


def run(url: str, count: int, limit_s: float) -> list[Frame | Unjudged]:
    grabber = Grabber(open_camera(url, "cam1"), "cam1", health=PictureHealth())
    grabber.start()
    seen: list[Frame | Unjudged] = []
    until_s = time.monotonic() + limit_s
    while len(seen) < count and time.monotonic() < until_s and not grabber.is_finished():
        item = grabber.next(0.2)
        if item is not None:
            seen.append(item)
    grabber.stop()
    assert grabber.counts().reconnects == 0
    return seen


def check(seen: list[Frame | Unjudged], names: list[str]) -> None:
    """Every picture came out once; the good ones whole, the others somehow."""
    assert sorted(str(item.source_name) for item in seen) == sorted(names)
    assert [item.source_number for item in seen] == list(range(1, len(names) + 1))
    for item in seen:
        assert isinstance(item, Frame | Unjudged)
        if isinstance(item, Frame):
            assert item.pixels_hwc.dtype == np.uint8
            assert item.pixels_hwc.ndim == 3
        if "g" in str(item.source_name)[:6]:
            assert isinstance(item, Frame)
            assert (item.pixels_hwc == GOOD).all()


@pytest.mark.parametrize(
    ("count", "seed"),
    [(60, 1), pytest.param(1000, 2, marks=[pytest.mark.slow, pytest.mark.timeout(600)])],
)
@pytest.mark.parametrize("through", ["folder", "watch"])
def test_each_odd_picture_costs_itself(tmp_path: Path, through: str, count: int, seed: int) -> None:
    """Sizes, depths, formats, lies about the size, cuts and flipped bits, in their order."""
    names = write_all(tmp_path, count, seed)
    options = "?settle_s=0&give_up_s=0" if through == "watch" else ""
    check(run(f"{through}:{tmp_path}{options}", count, 20 + count / 4), names)


@pytest.mark.parametrize("through", ["folder", "watch"])
@pytest.mark.parametrize("step", ["_decoded", "_to_8_bit", "_upright", "_to_bgr"])
def test_a_picture_without_memory_costs_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, through: str, step: str
) -> None:
    """Whichever step of reading finds no memory: the next picture follows."""
    names = write_all(tmp_path, 30, 3)
    names = [n for n in names if "g" in n[:6]]
    for file in tmp_path.iterdir():
        if file.name not in names:
            file.unlink()
    plain, calls = getattr(pictures, step), [0]

    def failing(*args: object) -> object:
        calls[0] += 1
        if calls[0] == 2:
            raise MemoryError
        return plain(*args)

    monkeypatch.setattr(pictures, step, failing)
    options = "?settle_s=0&give_up_s=0" if through == "watch" else ""
    seen = run(f"{through}:{tmp_path}{options}", 3, 20)
    assert [isinstance(item, Frame) for item in seen] == [True, False, True]
    assert getattr(seen[1], "reason", "") == "corrupt_picture"
