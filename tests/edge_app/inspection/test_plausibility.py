"""A score below the limit is no proof: pictures of nothing and of something else are never OK."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.odd_scenes import odd_scenes
from support.small_bundles import CROP_HW, bright_files, bright_manifest

from edge_app.bundle.archive import read_bundle, write_bundle
from edge_app.bundle.manifest import GoldenPart, GoldenPicture
from edge_app.cameras.registry import open_camera
from edge_app.errors import EndOfStream, FrameTimeout
from edge_app.imaging.upright_crop import CropSpec, upright_crop, whole_frame_box
from edge_app.inspection.judge import Limits
from edge_app.inspection.plausibility import IMPLAUSIBLE, plausibility_of
from edge_app.model.loaded_model import LoadedModel, load_model
from edge_app.model.offline import inspect_pictures, offline_line, pictures_at
from edge_app.records import Frame, U8Array, VerdictState

HW = (96, 192)
BLIND = Limits(1e9, 1e9, "nothing is bad")
"""Limits under which every picture is good by its score."""


def station_picture(seed: int, hw: tuple[int, int] = HW) -> U8Array:
    """Return a fixed scene under light of its own: a fixture, a part with a hole, some grain."""
    rng = np.random.default_rng(seed)
    h, w = hw
    pixels = np.full((*hw, 3), (70, 60, 50), np.float64)
    x, y = int(w * 0.1 + rng.integers(-2, 3)), int(h * 0.2 + rng.integers(-2, 3))
    pixels[y : y + h // 2, x : x + int(w * 0.7)] = (150, 155, 165)
    cv2.circle(pixels, (int(w * 0.35), h // 2), h // 8, (60, 60, 60), -1)
    pixels = pixels * rng.uniform(0.8, 1.2) + rng.normal(0, 3, (*hw, 3))
    return np.clip(pixels, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A whole-frame bundle with eight golden pictures whose scores never say NG."""
    files, golden = bright_files(), []
    for seed in range(8):
        ok, data = cv2.imencode(".jpg", station_picture(seed), [cv2.IMWRITE_JPEG_QUALITY, 92])
        assert ok
        name = f"golden/{seed}.jpg"
        files[name] = data.tobytes()
        part = GoldenPart(box_cxcywhr=whole_frame_box(HW), score=100.0, verdict="OK")
        golden.append(GoldenPicture(file=name, parts=(part,)))
    plain = bright_manifest()
    variant = plain.variants[0].model_copy(update={"golden": tuple(golden)})
    path = tmp_path_factory.mktemp("bundle") / "a.bundle"
    write_bundle(path, plain.model_copy(update={"variants": (variant,)}), files)
    loaded = load_model(read_bundle(path)).with_limits(BLIND)
    assert loaded.plausibility is not None
    return loaded


def wrongs() -> list[tuple[str, U8Array]]:
    return list(odd_scenes(station_picture(900)))


def test_good_parts_stay_good(model: LoadedModel) -> None:
    """Two hundred further parts, light from 0.8 to 1.2 of the middle, are OK as before."""
    assert model.plausibility is not None
    spec = CropSpec(CROP_HW, 0.0, stretch=True)
    for seed in range(100, 300):
        crop = upright_crop(station_picture(seed), whole_frame_box(HW), spec)
        assert model.plausibility.why_not(crop) == ""


def board_picture(seed: int) -> U8Array:
    """Return a board: thin bright tracks on dark, nowhere the same; as rich in detail as noise."""
    rng = np.random.default_rng(seed)
    pixels = np.full((192, 192, 3), 40, np.uint8)
    for _ in range(1500):
        x, y = (int(v) for v in rng.integers(0, 192, 2))
        length = int(rng.integers(3, 10))
        end = (x + length, y) if rng.random() < 0.5 else (x, y + length)
        cv2.line(pixels, (x, y), end, (200, 200, 200), 1)
    return np.clip(pixels + rng.normal(0, 2, pixels.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("references", [4, 8, 12])
def test_noise_is_told_from_a_product_that_is_as_rich_in_detail(references: int) -> None:
    """Of the same light, contrast and colour: in a picture of anything neighbours are alike at some
    scale. Further boards, darker and noisier ones too, stay good."""
    plausibility = plausibility_of([board_picture(seed) for seed in range(references)])
    assert plausibility is not None
    rng = np.random.default_rng(7)
    for seed in range(50, 80):
        board = board_picture(seed)
        mean, std = board.mean(), board.std()
        grey = np.clip(rng.normal(mean, std, board.shape[:2]), 0, 255).astype(np.uint8)
        assert plausibility.why_not(np.repeat(grey[:, :, None], 3, axis=2)) != "", seed
        noisy = np.clip(board + rng.normal(0, 8, board.shape), 0, 255).astype(np.uint8)
        darker = (board * 0.8).astype(np.uint8)
        for good in (board, noisy, darker):
            assert plausibility.why_not(good) == "", seed


@pytest.mark.parametrize("side", [1, 2, 3, 9])
def test_a_crop_of_a_few_pixels_has_figures(side: int) -> None:
    """Down to one pixel; halved until nothing is left to compare."""
    crop = np.full((side, side, 3), 90, np.uint8)
    plausibility = plausibility_of([crop] * 4)
    assert plausibility is not None
    assert plausibility.why_not(crop) == ""


@pytest.mark.parametrize("through", ["folder", "watch", "video", "inspect"])
def test_no_odd_scene_is_ok_through_any_file_source(
    model: LoadedModel, through: str, tmp_path: Path
) -> None:
    """Each is NOT_INSPECTED with its reason, and the good picture behind them is OK."""
    shown = [*wrongs(), ("good", station_picture(901))]
    if through == "inspect":
        folder = write_pictures(tmp_path / "pictures", shown)
        results = list(inspect_pictures(model, pictures_at(folder)))
        json.dumps(results, allow_nan=False)
        seen = [(r["verdict"], r["reason"]) for r in results]
    else:
        seen = list(judged(model, through, tmp_path, shown))
    assert seen[-1] == ("OK", "")
    assert [s for s in seen[:-1] if s != ("NOT_INSPECTED", IMPLAUSIBLE)] == []
    assert len(seen) == len(shown)


def judged(
    model: LoadedModel, through: str, tmp_path: Path, shown: list[tuple[str, U8Array]]
) -> Iterator[tuple[str, str]]:
    """Yield verdict and reason of every picture, read by a camera."""
    line = offline_line(model)
    if through == "video":
        file = tmp_path / "a.avi"
        writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), 10, HW[::-1])
        for _, pixels in shown:
            writer.write(pixels)
        writer.release()
        camera = open_camera(f"video:{file}?parts=1", "cam1")
    else:
        folder = write_pictures(tmp_path / "pictures", shown)
        options = "?settle_s=0" if through == "watch" else ""
        camera = open_camera(f"{through}:{folder}{options}", "cam1")
    camera.open()
    for _ in shown:
        try:
            report = line.inspect(camera.read(3.0))
        except (EndOfStream, FrameTimeout):
            break
        (verdict,) = report.finished
        yield verdict.state.value, verdict.reason
    camera.close()
    shutil.rmtree(tmp_path, ignore_errors=True)


def write_pictures(folder: Path, shown: list[tuple[str, U8Array]]) -> Path:
    folder.mkdir()
    for number, (_, pixels) in enumerate(shown):
        cv2.imwrite(str(folder / f"{number:03d}.png"), pixels)
    return folder


def test_what_is_bad_stays_bad(model: LoadedModel, caplog: pytest.LogCaptureFixture) -> None:
    """NG by the score is NG whatever the picture looks like: the check takes back only an OK."""
    strict = offline_line(model.with_limits(Limits(0.0, 0.0, "everything is bad")))
    wrong = dict(wrongs())["noise"]
    report = strict.inspect(Frame("cam1", 1, wrong, 0, source_number=1))
    assert report.finished[0].state is VerdictState.NG
    line = offline_line(model)
    for number in (1, 2):
        line.inspect(Frame("cam1", number, wrong, 0, source_number=number, source_name="n.png"))
    told = [r.getMessage() for r in caplog.records]
    assert told == ["cam1: n.png can be no picture of this part: " + told[0].partition("part: ")[2]]


def test_too_few_golden_parts_say_nothing() -> None:
    """Three pictures show nothing of how parts vary; a bundle without any judges as before."""
    assert plausibility_of([station_picture(n) for n in range(3)]) is None
    assert plausibility_of([]) is None


def test_textures_without_a_common_look_are_not_asked_for_one() -> None:
    """Parts that differ everywhere, such as wood, are judged by light, detail and colour alone."""
    rng = np.random.default_rng(1)

    def texture() -> U8Array:
        rough = rng.normal(120, 30, (24, 48)).astype(np.float32)
        pixels = cv2.resize(rough, (192, 96), interpolation=cv2.INTER_CUBIC)
        pixels = pixels + rng.normal(0, 3, pixels.shape)
        return np.clip(np.repeat(pixels[..., None], 3, 2), 0, 255).astype(np.uint8)

    found = plausibility_of([texture() for _ in range(10)])
    assert found is not None
    assert [found.why_not(texture()) for _ in range(100)] == [""] * 100
    for name, pixels in odd_scenes(texture()):
        if name != "inverted":  # one of these inverted is another of these
            assert found.why_not(pixels), name
