"""The hold-out quarter: chosen by content, never with one part on both sides."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_app.errors import DataError
from export.data.dataset import Picture, scan_good_pictures
from export.data.split import split


def picture(number: int, group: int | None = None, folder: str = "") -> Picture:
    """A picture with the digest of its number, in the group of that number."""
    digest, part = (
        hashlib.sha256(str(n).encode()).hexdigest() if n is not None else ""
        for n in (number, group)
    )
    name = f"{folder}{number:03d}.png"
    return Picture(Path(name), name, digest, (4, 4), part)


def names(pictures: Sequence[Picture]) -> list[str]:
    return [p.name for p in pictures]


def test_a_quarter_is_held_out_as_ever() -> None:
    """Without near-duplicates: the quarter with the smallest digests, as 0.1.0 took it."""
    pictures = [picture(n) for n in range(40)]
    training, hold_out = split(pictures)
    smallest = sorted(pictures, key=lambda p: p.sha256)[:10]
    assert set(names(hold_out)) == set(names(smallest))
    assert len(training) == 30


def test_no_group_is_on_both_sides() -> None:
    """15 parts, 8 frames of each."""
    pictures = [picture(n, 1000 + n // 8) for n in range(120)]
    training, hold_out = split(pictures)
    assert not {p.group for p in training} & {p.group for p in hold_out}
    assert len(training) + len(hold_out) == 120
    assert 26 <= len(hold_out) <= 34


def test_order_and_names_do_not_decide() -> None:
    pictures = [picture(n, 1000 + n // 3) for n in range(60)]
    _, hold_out = split(pictures)
    moved = [picture(n, 1000 + n // 3, "shift-2/") for n in reversed(range(60))]
    assert {p.sha256 for p in split(moved)[1]} == {p.sha256 for p in hold_out}


@pytest.mark.parametrize(
    ("sizes", "held_out"), [((19, 1), 1), ((10, 10), 10), ((20,), 0), ((15, 5), 5), ((18, 1, 1), 2)]
)
def test_large_groups_train(sizes: tuple[int, ...], held_out: int) -> None:
    groups = [group for group, size in enumerate(sizes) for _ in range(size)]
    pictures = [picture(n, 100 + group) for n, group in enumerate(groups)]
    training, hold_out = split(pictures)
    assert (len(training), len(hold_out)) == (len(groups) - held_out, held_out)


def write_parts(folder: Path, parts: int, frames: int) -> None:
    """Pictures of `parts` different parts, `frames` noisy frames of each."""
    folder.mkdir()
    rng = np.random.default_rng(5)
    for part in range(parts):
        small = rng.integers(30, 220, (6, 8, 3)).astype(np.uint8)
        look = cv2.resize(small, (160, 120), interpolation=cv2.INTER_CUBIC).astype(float)
        for frame in range(frames):
            noisy = np.clip(look + rng.normal(0, 2, look.shape), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / f"{frame}-{part:02d}.png"), noisy)


def test_frames_of_a_video_never_cross_the_split(tmp_path: Path) -> None:
    write_parts(tmp_path / "good", parts=24, frames=4)
    good = scan_good_pictures(tmp_path)
    assert (len(good.pictures), good.parts) == (96, 24)
    assert any("96 pictures show 24 different parts" in w for w in good.warnings)
    training, hold_out = split(good.pictures)
    trained = {p.name.split("-")[1] for p in training}
    assert len(hold_out) == 24
    assert not trained & {p.name.split("-")[1] for p in hold_out}


def test_many_frames_of_few_parts_are_too_few(tmp_path: Path) -> None:
    write_parts(tmp_path / "good", parts=5, frames=8)
    with pytest.raises(DataError, match=r"40 pictures, but they show only 5 different parts"):
        scan_good_pictures(tmp_path)
