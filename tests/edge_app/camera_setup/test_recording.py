"""Good parts into the training layout, and nothing else."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from support.pictures_read import picture_at
from support.small_bundles import write_pictures

from edge_app.bundle.archive import read_bundle
from edge_app.camera_setup.new_parts import NewWholeParts
from edge_app.camera_setup.recording import EverySoOften, record, snapshot
from edge_app.cameras.folder import FolderCamera
from edge_app.cameras.picture_listing import list_pictures
from edge_app.cameras.pictures import read_picture
from edge_app.cameras.protocol import CameraInfo, CameraMode
from edge_app.cameras.registry import open_camera
from edge_app.errors import ConfigError, EndOfStream, FrameCorrupt
from edge_app.model.loaded_model import load_model
from edge_app.records import Frame, U8Array


class ShowsPictures:
    """A camera that shows given pictures 0.1 s apart; None is an unreadable one."""

    def __init__(self, pictures: list[U8Array | None], mode: CameraMode = "live") -> None:
        self._pictures, self._mode = iter(pictures), mode
        self._count = 0
        self.is_open = False

    def open(self, resume_after: int | None = None) -> None:
        self.is_open = True

    def read(self, timeout_s: float) -> Frame:
        self._count += 1
        for pixels in self._pictures:
            if pixels is None:
                raise FrameCorrupt("torn")
            return Frame("cam", self._count, pixels, self._count * 100_000_000)
        raise EndOfStream("over")

    def close(self) -> None:
        self.is_open = False

    def describe(self) -> CameraInfo:
        return CameraInfo("shown:", self._mode, None, False, False)


def noise(seed: int, level: int = 90) -> U8Array:
    spread = np.random.default_rng(seed).integers(0, 5, (20, 30, 3))
    return np.clip(level + spread, 0, 255).astype(np.uint8)


def test_pictures_are_kept_without_loss_in_the_training_layout(tmp_path: Path) -> None:
    """DIR/train/good, numbered from 1, byte for byte what the camera gave."""
    shown = [noise(n) for n in range(3)]
    camera = ShowsPictures([*shown])
    recording = record(camera, "cam1", tmp_path, 10, EverySoOften(0))
    kept = list_pictures(tmp_path / "train" / "good")
    assert [p.name for p in kept] == [f"cam1-{n:06d}.png" for n in (1, 2, 3)]
    assert all(np.array_equal(read_picture(p), s) for p, s in zip(kept, shown, strict=True))
    assert (recording.kept, camera.is_open) == (3, False)


def test_a_second_recording_goes_on_behind_the_first(tmp_path: Path) -> None:
    """Nothing is overwritten; another camera's numbers are its own."""
    record(ShowsPictures([noise(1), noise(2)]), "cam1", tmp_path, 9, EverySoOften(0))
    record(ShowsPictures([noise(3)]), "cam1", tmp_path, 9, EverySoOften(0))
    record(ShowsPictures([noise(4)]), "cam2", tmp_path, 9, EverySoOften(0))
    names = [p.name for p in list_pictures(tmp_path / "train" / "good")]
    assert names == ["cam1-000001.png", "cam1-000002.png", "cam1-000003.png", "cam2-000001.png"]


def test_unusable_pictures_are_counted_not_kept(tmp_path: Path) -> None:
    """Black, white, repeated and torn pictures teach nothing good."""
    good = noise(1)
    shown = [good, good, noise(2, 0), noise(3, 252), None, noise(4)]
    recording = record(ShowsPictures(shown), "cam", tmp_path, 9, EverySoOften(0))
    assert recording.kept == 2
    assert recording.left_out == {
        "repeated picture": 1, "black picture": 1, "white picture": 1, "could not be read": 1,
    }  # fmt: skip


def test_the_pace_is_kept(tmp_path: Path) -> None:
    """Ten pictures 0.1 s apart, one wanted every 0.25 s: the first, fourth, seventh and tenth."""
    shown = [noise(n) for n in range(10)]
    recording = record(ShowsPictures([*shown]), "cam", tmp_path, 9, EverySoOften(0.25))
    assert recording.kept == 4


def test_nothing_is_recorded_where_nothing_is_trained(tmp_path: Path) -> None:
    """A folder below `test` would put test parts into the training; it is refused unmade."""
    camera = ShowsPictures([noise(1)])
    with pytest.raises(ConfigError, match="used for training"):
        record(camera, "cam", tmp_path / "screws" / "test" / "x", 1, EverySoOften(0))
    assert not (tmp_path / "screws").exists()


@pytest.mark.parametrize(("url", "least", "most"), [
    ("sim:tapered?seed=44&mode=file&parts=6&defect_rate=0", 5, 8),
    ("sim:tapered?seed=44&mode=numbered&parts=5&defect_rate=0", 5, 5),
])  # fmt: skip
def test_with_a_bundle_every_part_is_kept_about_once(
    url: str, least: int, most: int, tmp_path: Path
) -> None:
    """The shipped detector on the simulated line: a picture per new whole part, no empty belt."""
    bundle = Path(str(files("edge_app").joinpath("assets").joinpath("demo-tapered.bundle")))
    camera = open_camera(url, "cam")
    choice = NewWholeParts(load_model(read_bundle(bundle), 1), camera.describe())
    recording = record(camera, "cam", tmp_path, 99, choice)
    assert least <= recording.kept <= most, recording.left_out
    if "file" in url:
        assert sum(recording.left_out.values()) > recording.kept


def test_with_a_bundle_an_empty_picture_is_left_out(tmp_path: Path) -> None:
    """No product found: said, and not kept."""
    bundle = Path(str(files("edge_app").joinpath("assets").joinpath("demo-tapered.bundle")))
    folder = write_pictures(tmp_path / "in", 1, set())
    camera = FolderCamera(folder, "cam")
    choice = NewWholeParts(load_model(read_bundle(bundle), 1), camera.describe())
    recording = record(camera, "cam", tmp_path / "out", 9, choice)
    assert (recording.kept, recording.left_out) == (0, {"no product found": 1})


def test_a_snapshot_is_the_camera_s_picture(tmp_path: Path) -> None:
    """One PNG, exactly; another ending is refused before the camera is opened."""
    pixels = noise(5)
    assert snapshot(ShowsPictures([pixels]), tmp_path / "a.png") == (20, 30)
    assert np.array_equal(picture_at(tmp_path / "a.png"), pixels)
    camera = ShowsPictures([pixels])
    with pytest.raises(ConfigError, match=r"must end in \.png"):
        snapshot(camera, tmp_path / "a.jpg")
    assert not camera.is_open
