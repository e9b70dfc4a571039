"""Near-duplicates of one part share a group; different good parts in one fixture do not."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
import pytest

from calibration.parts.groups import perceptual_groups
from edge_app.records import U8Array
from edge_app.simulator.config import SimulatorConfig
from edge_app.simulator.scene import good_line
from edge_app.simulator.truth import Product


@cache
def parts(count: int, product: Product = "tapered") -> tuple[U8Array, ...]:
    """Different good parts of the simulated line, at half size."""
    line = good_line(SimulatorConfig(product=product, seed=3))
    singles = (line.single(number)[0] for number in range(1, count + 1))
    return tuple(half_size(p) for p in singles)


def groups_of(pictures: list[U8Array]) -> tuple[int, ...]:
    return perceptual_groups(pictures, read=lambda pixels: pixels)


def shot(part: U8Array, rng: np.random.Generator, texture: float = 0.0) -> U8Array:
    """The part once more: sensor noise, another brightness, and where asked another surface."""
    h, w = part.shape[:2]
    spots = cv2.resize(rng.normal(0, 1, (30, 40)), (w, h), interpolation=cv2.INTER_CUBIC)
    noise = rng.normal(0, 2, part.shape) + rng.normal(0, 2)
    return np.clip(part + texture * spots[..., None] + noise, 0, 255).astype(np.uint8)


def jpeg(pixels: U8Array, quality: int) -> U8Array:
    encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)


def half_size(pixels: U8Array) -> U8Array:
    smaller = cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return np.asarray(smaller, np.uint8)


@pytest.mark.parametrize("product", ["tapered", "round"])
def test_different_parts_share_no_group(product: Product) -> None:
    assert groups_of(list(parts(40, product))) == tuple(range(40))


@pytest.mark.parametrize(
    "copy",
    [
        lambda p: jpeg(p, 97),
        lambda p: jpeg(p, 75),
        lambda p: cv2.add(p, np.full_like(p, 1)),
        lambda p: cv2.add(p, np.full_like(p, 8)),
        half_size,
    ],
    ids=["jpeg 97", "jpeg 75", "one level brighter", "eight levels brighter", "half size"],
)
def test_a_copy_shares_its_originals_group(copy: Callable[[U8Array], U8Array]) -> None:
    originals = list(parts(24))
    groups = groups_of([*originals, *(copy(p) for p in originals)])
    assert groups == (*range(24), *range(24))


def test_frames_of_a_video_share_their_parts_group() -> None:
    rng = np.random.default_rng(0)
    groups = groups_of([shot(part, rng) for part in parts(15) for _ in range(8)])
    assert groups == tuple(number for number in range(15) for _ in range(8))


@pytest.mark.parametrize("texture", [0.0, 1.0, 2.0, 6.0])
def test_parts_in_one_fixture_are_not_joined(texture: float) -> None:
    rng = np.random.default_rng(1)
    groups = groups_of([shot(parts(1)[0], rng, texture) for _ in range(60)])
    assert len(set(groups)) == 60


@pytest.mark.parametrize("texture", [0.0, 2.0])
def test_two_products_in_one_fixture_are_not_two_groups(texture: float) -> None:
    rng = np.random.default_rng(2)
    bases = (parts(1)[0], parts(1, "round")[0])
    groups = groups_of([shot(base, rng, texture) for base in bases for _ in range(30)])
    assert len(set(groups)) == 60


def test_frames_in_one_fixture_share_their_parts_group() -> None:
    rng = np.random.default_rng(3)
    fixed = [shot(parts(1)[0], rng, 6.0) for _ in range(20)]
    groups = groups_of([shot(part, rng) for part in fixed for _ in range(4)])
    assert groups == tuple(number for number in range(20) for _ in range(4))


def test_a_defect_in_one_place_or_another_colour_is_not_the_same_picture() -> None:
    pictures = list(parts(20))
    scratched = pictures[0].copy()
    cv2.circle(
        scratched, (scratched.shape[1] // 2, scratched.shape[0] // 2), 12, (255, 255, 255), -1
    )
    tinted = np.clip(pictures[1].astype(int) + np.array([9, 0, -3]), 0, 255).astype(np.uint8)
    groups = groups_of([*pictures, scratched, tinted])
    assert groups == tuple(range(22))


def test_order_does_not_matter() -> None:
    rng = np.random.default_rng(4)
    pictures = [shot(part, rng) for part in parts(20) for _ in range(3)]
    order = rng.permutation(len(pictures))
    straight, shuffled = groups_of(pictures), groups_of([pictures[i] for i in order])
    for i, j in itertools.combinations(range(len(order)), 2):
        assert (straight[order[i]] == straight[order[j]]) == (shuffled[i] == shuffled[j])


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_few_pictures(count: int) -> None:
    assert groups_of(list(parts(3))[:count]) == tuple(range(count))


def test_two_equal_pictures_are_one() -> None:
    assert groups_of([parts(1)[0], parts(1)[0].copy()]) == (0, 0)


def test_each_picture_is_read_once_where_nothing_is_alike() -> None:
    read: list[int] = []

    def reads(index: int) -> U8Array:
        read.append(index)
        return parts(10)[index]

    perceptual_groups(range(10), read=reads)
    assert read == list(range(10))
