"""Which pictures are fit to be judged, and what people are told of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest

from edge_app.cameras.picture_figures import (
    focus_figure,
    grey,
    grey_range,
    likeness,
    sharpness,
    sparse_grey,
)
from edge_app.cameras.picture_health import PictureFault, PictureHealth
from edge_app.cameras.registry import open_camera
from edge_app.cameras.scene_reference import LOOK_EVERY_NS, LOOKS
from edge_app.records import U8Array

Change = Callable[[U8Array], U8Array]
HW = (192, 256)


def belt_pictures(count: int) -> Iterator[U8Array]:
    """The simulated line, a picture every 2 s; small, so that a test is quick."""
    camera = open_camera("sim:square?seed=44&mode=file&fps=0.5&parts=400", "cam")
    camera.open()
    for _ in range(count):
        pixels = camera.read(1).pixels_hwc
        yield np.ascontiguousarray(cv2.resize(pixels, (400, 300), interpolation=cv2.INTER_AREA))


@pytest.fixture(scope="module")
def belt() -> list[U8Array]:
    """First two minutes, and one more."""
    return list(belt_pictures(2 * LOOKS + 40))


def told(belt: list[U8Array], change: Change, light: float = 1.0) -> set[str]:
    """Return the faults found after the first good minutes, when every picture is changed."""
    health, found = PictureHealth(), set()
    for number, pixels in enumerate(belt):
        is_later = number >= 2 * LOOKS
        shown = change(pixels) if is_later else pixels
        if is_later and light != 1:
            shown = np.asarray(np.rint(shown * light), dtype=np.uint8)
        finding = health.look(shown, number * LOOK_EVERY_NS)
        found |= {finding.fault.value} if finding else set()
    return found


def shifted(dx: float, dy: float, turn_deg: float = 0.0) -> Change:
    def change(pixels: U8Array) -> U8Array:
        h, w = pixels.shape[:2]
        matrix = np.asarray(cv2.getRotationMatrix2D((w / 2, h / 2), turn_deg, 1), float)
        matrix[:, 2] += (dx, dy)
        moved = cv2.warpAffine(pixels, matrix, (w, h), borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(moved, dtype=np.uint8)

    return change


def blurred(sigma_px: float) -> Change:
    return lambda pixels: np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma_px), dtype=np.uint8)


def same(pixels: U8Array) -> U8Array:
    return pixels


@pytest.mark.parametrize(
    ("change", "light", "expected"),
    [
        pytest.param(same, 1.0, set(), id="nothing changes"),
        pytest.param(same, 0.7, set(), id="the light loses 30 %"),
        pytest.param(blurred(0.3), 1.0, set(), id="a breath of blur"),
        pytest.param(blurred(2.5), 1.0, {"blurred"}, id="out of focus"),
        pytest.param(shifted(0, 0.5), 1.0, set(), id="trembles by half a pixel"),
        pytest.param(shifted(0, 6), 1.0, {"moved"}, id="moved across the rails"),
        pytest.param(shifted(0, 0, 3), 1.0, {"moved"}, id="turned by 3 degrees"),
    ],
)
def test_what_is_told_against_the_first_minutes(
    belt: list[U8Array], change: Change, light: float, expected: set[str]
) -> None:
    """A moving belt with parts is learnt for two minutes; then lens, mount or light change."""
    assert told(belt, change, light) == expected


def test_a_move_is_told_in_the_camera_s_pixels(belt: list[U8Array]) -> None:
    """Moved 12 px down across the rails: the sentence says so to within the thumbnail's pixel."""
    health, whys = PictureHealth(), set()
    for number, pixels in enumerate(belt):
        shown = shifted(0, 12)(pixels) if number >= 2 * LOOKS else pixels
        finding = health.look(shown, number * LOOK_EVERY_NS)
        whys |= {finding.why} if finding else set()
    assert any("+12 px down" in why for why in whys), whys


def test_a_scene_without_anything_fixed_is_not_compared() -> None:
    """On a belt of mere noise nobody can say that the camera moved, so nobody does."""
    rng, health = np.random.default_rng(7), PictureHealth()
    for number in range(3 * LOOKS):
        noise = rng.integers(80, 160, (*HW, 3), dtype=np.uint8)
        assert health.look(noise, number * LOOK_EVERY_NS) is None


def test_another_product_is_learnt_anew(belt: list[U8Array]) -> None:
    """After a changeover the scene may be another one; nobody calls the camera moved for it."""
    health = PictureHealth()
    for number, pixels in enumerate(belt):
        if number == 2 * LOOKS:
            health.learn_anew()
        shown = pixels if number < 2 * LOOKS else shifted(0, 12)(pixels)
        assert health.look(shown, number * LOOK_EVERY_NS) is None


def test_another_resolution_is_learnt_anew(belt: list[U8Array]) -> None:
    """A camera that changes its picture's size in the middle is no moved camera."""
    health = PictureHealth()
    for number, pixels in enumerate(belt):
        shown = pixels if number < 2 * LOOKS else np.ascontiguousarray(pixels[:200, :300])
        assert health.look(shown, number * LOOK_EVERY_NS) is None


def noisy(level: int, seed: int = 1) -> U8Array:
    spread = np.random.default_rng(seed).integers(0, 4, (*HW, 3))
    return np.clip(level + spread, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("level", "fault"),
    [(0, PictureFault.BLACK), (20, None), (225, None), (252, PictureFault.WHITE)],
)
def test_black_and_white(level: int, fault: PictureFault | None) -> None:
    """A covered and a saturated sensor are told apart from a dark and a bright scene."""
    finding = PictureHealth().look(noisy(level), 0)
    assert (finding.fault if finding else None) is fault


def test_a_few_hot_pixels_do_not_hide_a_black_picture() -> None:
    """Ten glowing pixels of fifty thousand: still black. A part of one per cent: not black."""
    pixels = noisy(0)
    pixels[10, 10:20] = 255
    assert PictureHealth().look(pixels, 0) is not None
    pixels[40:60, 40:70] = 120
    assert PictureHealth().look(pixels, 0) is None


def test_the_same_bytes_again_are_a_repeat_however_they_come() -> None:
    """A copy in other memory is a repeat; one pixel's last bit makes it a new picture."""
    health, first = PictureHealth(), noisy(100)
    assert health.look(first, 0) is None
    finding = health.look(first.copy(), 1)
    assert finding is not None
    assert finding.fault is PictureFault.REPEATED
    other = first.copy()
    other[-1, -1, -1] ^= 1
    assert health.look(other, 2) is None


def test_faults_that_are_not_watched_for_are_not_found() -> None:
    """A backlit scene may be white, a compressed stream may repeat a still picture."""
    health = PictureHealth([PictureFault.BLACK])
    assert health.look(noisy(254), 0) is None
    assert health.look(noisy(254), 1) is None
    assert health.look(noisy(0), 2) is not None


@pytest.mark.parametrize("hw", [(1, 1), (1, 500), (2, 3), (700, 1)])
def test_odd_sizes_are_looked_at_too(hw: tuple[int, int]) -> None:
    """From one pixel to one line: nothing is raised, however long it goes on."""
    rng, health = np.random.default_rng(2), PictureHealth()
    for number in range(3 * LOOKS):
        pixels = rng.integers(60, 200, (*hw, 3), dtype=np.uint8)
        health.look(pixels, number * LOOK_EVERY_NS)


def test_the_acuity_of_a_known_edge() -> None:
    """An edge behind a Gaussian of 2 px has the slope 0.4 / 2 per pixel, bright or dim."""
    for low, high in ((20, 220), (60, 100)):
        step = np.full((200, 300), low, np.uint8)
        step[:, 150:] = high
        soft = np.asarray(cv2.GaussianBlur(step, (0, 0), 2.0), np.uint8)
        assert sharpness(soft).acuity == pytest.approx(0.2, rel=0.12)
    assert sharpness(np.full((5, 5), 9, np.uint8)).acuity == 0


def test_the_focus_figure_falls_with_every_blur() -> None:
    """The sharper of two pictures of one scene has the larger figure."""
    scene = np.random.default_rng(4).integers(0, 255, (120, 160), dtype=np.uint8)
    figures = [focus_figure(scene)]
    figures += [focus_figure(np.asarray(cv2.GaussianBlur(scene, (0, 0), s))) for s in (1, 2, 4)]
    assert figures == sorted(figures, reverse=True)


def test_likeness_finds_where_the_scene_went() -> None:
    """A scene shifted by (5, -3) is found there, whatever its brightness."""
    rng = np.random.default_rng(9)
    grain = rng.uniform(0, 255, (150, 200)).astype(np.float32)
    scene = np.asarray(cv2.GaussianBlur(grain, (0, 0), 3), np.float32)
    moved = np.roll(scene, (-3, 5), (0, 1)) * 0.5 + 20
    found = likeness(scene, moved.astype(np.float32))
    assert found.shift_xy == (5, -3)
    assert found.best > 0.99
    assert found.in_place < 0.7


def test_brightness_is_read_without_averaging() -> None:
    """One bright line in a hundred keeps its level in the sparse picture's range."""
    pixels = np.full((512, 512, 3), 50, np.uint8)
    pixels[::64] = 250
    assert grey_range(sparse_grey(pixels)) == (50, 250)
    assert grey(pixels).shape == (512, 512)
