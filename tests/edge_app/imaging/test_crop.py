"""Cutting pixels: letterbox and upright crop, checked on pixels and by numeric round trips."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from edge_app.errors import ShapeError
from edge_app.imaging.oriented_box import corners_of
from edge_app.imaging.upright_crop import (
    LETTERBOX_GREY,
    CropSpec,
    Shrink,
    crop_box,
    crop_corners,
    crop_to_frame,
    grey_crop,
    letterbox,
    upright_crop,
    whole_frame_box,
)
from edge_app.records import BoxCxcywhr, U8Array


def with_dot(hw: tuple[int, int], xy: tuple[float, float], radius: float = 6.0) -> U8Array:
    """Return a black picture with a soft white dot centred at `xy` (pixel centres whole)."""
    y, x = np.mgrid[: hw[0], : hw[1]]
    dot = np.exp(-((x - xy[0]) ** 2 + (y - xy[1]) ** 2) / (2 * radius**2))
    return np.repeat(np.rint(255 * dot)[..., None], 3, axis=2).astype(np.uint8)


def centroid(pixels: U8Array) -> tuple[float, float]:
    """Return the centre of brightness of a picture, grey letterbox bars counted as black."""
    weight = pixels[..., 0].astype(np.float64)
    weight[weight == LETTERBOX_GREY] = 0
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]]
    return float((x * weight).sum() / weight.sum()), float((y * weight).sum() / weight.sum())


@pytest.mark.parametrize(
    "frame_hw", [(96, 128), (97, 131), (301, 87), (60, 400), (257, 343)], ids=str
)
@pytest.mark.parametrize("shrink", ["area", "pyramid"])
def test_letterbox_and_back_finds_the_same_point(frame_hw: tuple[int, int], shrink: Shrink) -> None:
    """A dot seen in the letterbox maps back to where it is in the frame, to a third of a pixel."""
    at = (frame_hw[1] * 0.7, frame_hw[0] * 0.3)
    image, mapping = letterbox(with_dot(frame_hw, at, 4.0), (128, 160), shrink)
    x, y = centroid(image)  # pixel centres whole; the detector counts from the edge
    back = mapping.box_to_frame((x + 0.5, y + 0.5, 1.0, 1.0, 0.0))
    assert back[:2] == pytest.approx(at, abs=0.34)


def test_letterbox_box_keeps_its_angle_and_scales_its_sides() -> None:
    """Halving a 200 × 400 frame: centre counted from the edge, sides doubled back, same angle."""
    _, mapping = letterbox(np.zeros((200, 400, 3), np.uint8), (150, 200))
    assert (mapping.scale, mapping.pad_x, mapping.pad_y) == (0.5, 0.0, 25.0)
    box = mapping.box_to_frame((100.0, 75.0, 30.0, 10.0, 0.3))
    assert box == pytest.approx((199.5, 99.5, 60.0, 20.0, 0.3))


@pytest.mark.parametrize("shrink", ["area", "pyramid"])
@pytest.mark.parametrize(
    "frame_hw", [(63, 95), (65, 97), (96, 128), (127, 191), (301, 87)], ids=str
)
def test_letterbox_sees_every_pixel(frame_hw: tuple[int, int], shrink: Shrink) -> None:
    """Whatever the shrink, a bright pixel anywhere in the frame leaves its trace in the input."""
    rng = np.random.default_rng(frame_hw[0])
    for _ in range(200):
        frame = np.zeros((*frame_hw, 3), np.uint8)
        frame[rng.integers(frame_hw[0]), rng.integers(frame_hw[1])] = LETTERBOX_GREY - 1
        image, _ = letterbox(frame, (64, 96), shrink)
        assert ((image > 0) & (image != LETTERBOX_GREY)).any()


@pytest.mark.parametrize("frame_hw", [(640, 480), (768, 1024), (769, 1025), (2048, 2448)], ids=str)
def test_pyramid_looks_like_the_mean(frame_hw: tuple[int, int]) -> None:
    """On a scene with edges and grain the two ways to shrink differ by less than a grey level."""
    rng = np.random.default_rng(frame_hw[0])
    coarse = rng.integers(0, 255, (frame_hw[0] // 64, frame_hw[1] // 64, 3), np.uint8)
    scene = cv2.resize(coarse, frame_hw[::-1], interpolation=cv2.INTER_LINEAR)
    frame = np.asarray(np.clip(scene + rng.normal(0, 3, (*frame_hw, 3)), 0, 255), np.uint8)
    exact, fit = letterbox(frame, (256, 320), "area")
    fast, same_fit = letterbox(frame, (256, 320), "pyramid")
    assert fit == same_fit
    assert np.abs(exact.astype(int) - fast).mean() < 1.0


@pytest.mark.parametrize("shrink", ["area", "pyramid"])
@pytest.mark.parametrize("hw", [(1, 1), (1, 1000), (1000, 1), (3, 7)], ids=str)
def test_letterbox_into_a_used_buffer_is_the_same_picture(
    hw: tuple[int, int], shrink: Shrink
) -> None:
    """What an earlier frame of another shape left in the buffer does not show."""
    picture = np.random.default_rng(3).integers(0, 256, (*hw, 3), np.uint8)
    buffer = np.full((64, 96, 3), 7, np.uint8)
    image, fit = letterbox(picture, (64, 96), shrink, buffer)
    fresh, same_fit = letterbox(picture, (64, 96), shrink)
    assert image is buffer
    assert fit == same_fit
    np.testing.assert_array_equal(image, fresh)


@pytest.mark.parametrize("shrink", ["area", "pyramid"])
@pytest.mark.parametrize("hw", [(1, 1), (1, 1000), (1000, 1), (3, 7)], ids=str)
def test_letterbox_takes_pictures_of_any_size(hw: tuple[int, int], shrink: Shrink) -> None:
    """Even one pixel fills its share of the input, on grey."""
    image, _ = letterbox(np.full((*hw, 3), 255, np.uint8), (64, 96), shrink)
    assert image.shape == (64, 96, 3)
    assert (image == 255).any()
    assert set(np.unique(image)) <= {LETTERBOX_GREY, 255}


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((0, 5, 3), np.uint8),
        np.zeros((5, 5), np.uint8),
        np.zeros((5, 5, 4), np.uint8),
        np.zeros((5, 5, 3), np.float32),
    ],
    ids=["empty", "grey", "alpha", "float"],
)
def test_what_is_no_picture_is_refused(picture: U8Array) -> None:
    """Both cutters name the shape and dtype they got."""
    with pytest.raises(ShapeError, match="uint8"):
        letterbox(picture, (32, 32))
    with pytest.raises(ShapeError, match="uint8"):
        upright_crop(picture, (2.0, 2.0, 2.0, 2.0, 0.0), CropSpec((4, 4), 0.0))


@pytest.mark.parametrize("angle_rad", [0.0, 0.5, math.pi / 2, -2.2, math.pi])
def test_a_point_of_the_frame_is_found_in_the_crop(angle_rad: float) -> None:
    """Frame → crop → frame through the pixels agrees with the matrix to a fifth of a pixel."""
    box = (150.0, 100.0, 120.0, 60.0, angle_rad)
    spec = CropSpec((64, 120), 0.1)
    at = (150.0 + 25 * math.cos(angle_rad), 100.0 + 25 * math.sin(angle_rad))
    crop = upright_crop(with_dot((200, 300), at), box, spec)
    x, y = centroid(crop)
    assert crop_to_frame(box, spec) @ (x, y, 1.0) == pytest.approx(at, abs=0.2)
    assert x > 60
    assert y == pytest.approx(31.5, abs=0.2)


def test_the_crop_of_an_unturned_box_is_the_same_pixels() -> None:
    """Angle 0, no margin, same size: a plain slice, bit for bit."""
    frame = np.random.default_rng(1).integers(0, 256, (40, 60, 3), np.uint8)
    box: BoxCxcywhr = (24.5, 14.5, 20.0, 10.0, 0.0)  # covers columns 15..34 and rows 10..19
    crop = upright_crop(frame, box, CropSpec((10, 20), 0.0))
    assert np.array_equal(crop, frame[10:20, 15:35])


def test_the_products_direction_points_right_in_the_crop() -> None:
    """A part that points down comes out pointing right: its lower half is the crop's right half."""
    frame = np.zeros((80, 60, 3), np.uint8)
    frame[40:70, 25:35] = 255
    crop = upright_crop(frame, (29.5, 39.5, 60.0, 12.0, math.pi / 2), CropSpec((12, 60), 0.0))
    assert crop[:, 31:58].mean() > 200
    assert crop[:, :28].max() == 0


def test_crop_corners_are_the_edges_of_the_corner_pixels() -> None:
    """The outline runs half a pixel outside the outermost pixel centres."""
    box, spec = (50.0, 40.0, 30.0, 10.0, 0.4), CropSpec((16, 48), 0.12)
    matrix = crop_to_frame(box, spec)
    edges = [(-0.5, -0.5), (47.5, -0.5), (47.5, 15.5), (-0.5, 15.5)]
    expected = [tuple(matrix @ (x, y, 1.0)) for x, y in edges]
    assert np.allclose(crop_corners(box, spec), expected)


@pytest.mark.parametrize("box_wh", [(100.0, 10.0), (10.0, 100.0), (30.0, 30.0)])
def test_a_part_is_never_squeezed_and_never_cut(box_wh: tuple[float, float]) -> None:
    """Both axes get one scale, and the box with its margin lies inside the crop."""
    spec = CropSpec((32, 64), 0.1)
    _, _, w, h, _ = crop_box((0.0, 0.0, *box_wh, 0.3), spec)
    assert w / 64 == pytest.approx(h / 32)
    assert w >= box_wh[0] * 1.2 - 1e-9
    assert h >= box_wh[1] * 1.2 - 1e-9


def test_stretch_fills_both_axes() -> None:
    """A whole frame of another aspect fills the crop exactly."""
    spec = CropSpec((32, 64), 0.0, stretch=True)
    box = whole_frame_box((100, 50))
    assert crop_box(box, spec) == box
    corners = [(-0.5, -0.5), (49.5, -0.5), (49.5, 99.5), (-0.5, 99.5)]
    assert list(crop_corners(box, spec)) == corners == list(corners_of(box))


def test_outside_the_frame_the_border_is_repeated() -> None:
    """A box that leaves the frame shows the border's colour, not black."""
    frame = np.full((20, 30, 3), 200, np.uint8)
    crop = upright_crop(frame, (0.0, 0.0, 40.0, 20.0, 0.7), CropSpec((20, 40), 0.2))
    assert crop.min() == 200


def test_a_degenerate_box_gives_a_crop_and_no_nan() -> None:
    """Zero sides are possible from a network; the crop keeps its size."""
    spec = CropSpec((8, 16), 0.1)
    crop = upright_crop(np.full((9, 9, 3), 7, np.uint8), (4.0, 4.0, 0.0, 0.0, 0.0), spec)
    assert crop.shape == (8, 16, 3)
    assert np.isfinite(crop_to_frame((4.0, 4.0, 0.0, 0.0, 0.0), spec)).all()


def test_a_one_pixel_frame_can_be_cropped() -> None:
    """The smallest picture there is."""
    frame = np.full((1, 1, 3), 90, np.uint8)
    assert (upright_crop(frame, whole_frame_box((1, 1)), CropSpec((4, 6), 0.0)) == 90).all()


def test_crop_matrix_agrees_with_opencvs_affine_through_three_corners() -> None:
    """Built another way, from three corner pairs, the map is the same."""
    box, spec = (70.0, 30.0, 44.0, 20.0, -1.1), CropSpec((24, 48), 0.05)
    source = np.array([[-0.5, -0.5], [47.5, -0.5], [47.5, 23.5]], np.float32)
    target = np.array(crop_corners(box, spec)[:3], np.float32)
    assert np.allclose(cv2.getAffineTransform(source, target), crop_to_frame(box, spec), atol=1e-4)


def test_a_large_part_is_averaged_into_its_crop_not_sampled() -> None:
    """Stripes one pixel wide, shrunk three times, come out as even grey and not as a pattern."""
    stripes = np.zeros((300, 300, 3), np.uint8)
    stripes[:, ::2] = 200
    crop = upright_crop(stripes, (149.5, 149.5, 192.0, 192.0, 0.0), CropSpec((64, 64), 0.0))
    assert abs(float(crop.mean()) - 100) < 2
    assert float(crop[4:-4, 4:-4].std()) < 40  # three samples of stripes: 67 and 133
    assert float(cv2.resize(stripes, (100, 100), interpolation=cv2.INTER_NEAREST).std()) > 90


def test_an_averaged_crop_lies_where_a_sampled_one_does() -> None:
    """A bright spot keeps its place to a fifth of a crop pixel, turned and shrunk three times."""
    frame = np.zeros((400, 400, 3), np.uint8)
    cv2.circle(frame, (230, 190), 12, (255, 255, 255), -1)
    box, spec = (200.0, 200.0, 240.0, 192.0, 0.4), CropSpec((64, 80), 0.0)
    y, x = np.nonzero(upright_crop(frame, box, spec)[..., 0] > 127)
    expected = np.linalg.inv(np.vstack([crop_to_frame(box, spec), [0, 0, 1]])) @ (230, 190, 1)
    assert np.hypot(x.mean() - expected[0], y.mean() - expected[1]) < 0.2


@pytest.mark.parametrize("seed", range(20))
def test_cutting_from_a_part_of_the_frame_changes_nothing(seed: int) -> None:
    """Boxes inside, across and beyond the border: the pixels are those of one warp of the whole
    frame, rounded once in a thousand to the next grey level; the grey crop is the crop in grey.
    """
    rng = np.random.default_rng(seed)
    frame = rng.integers(0, 256, (300, 400, 3), np.uint8)
    spec = CropSpec((64, 160), margin=0.1)
    x, y = rng.uniform(-100, 500), rng.uniform(-100, 400)
    box: BoxCxcywhr = (float(x), float(y), 130.0, 50.0, float(rng.uniform(-3, 3)))
    expected = cv2.warpAffine(
        frame, crop_to_frame(box, spec), (160, 64),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    crop = upright_crop(frame, box, spec)
    apart = np.abs(crop.astype(int) - expected)
    assert apart.max() <= 1
    assert (apart > 0).mean() < 0.01
    assert np.array_equal(grey_crop(frame, box, spec), cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY))
