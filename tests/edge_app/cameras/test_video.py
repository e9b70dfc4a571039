"""A video file as a camera; the files are written and cut here."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_app.cameras.video import VideoCamera, from_url
from edge_app.cameras.video_container import missing_bytes
from edge_app.errors import CameraUnavailable, ConfigError, EndOfStream, FrameCorrupt
from edge_app.records import Frame

FPS = 20.0
NOW_NS = 1_700_000_000_000_000_000


def write_video(path: Path, frames: int, codec: str = "MJPG") -> Path:
    """Write 48 × 64 frames, ever brighter, with texture so that they take some room."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), FPS, (64, 48))
    assert writer.isOpened()
    texture = np.random.default_rng(3).integers(0, 60, (48, 64, 3), dtype=np.uint8)
    for number in range(frames):
        writer.write(texture + np.uint8(number * 5))
    writer.release()
    return path


def read_all(camera: VideoCamera) -> tuple[list[Frame], list[FrameCorrupt]]:
    frames, damage = [], []
    while True:
        try:
            frames.append(camera.read(0.1))
        except FrameCorrupt as error:
            damage.append(error)
        except EndOfStream:
            return frames, damage


@pytest.mark.parametrize(
    ("name", "codec"), [("a.avi", "MJPG"), ("a.mkv", "MJPG"), ("a.mp4", "mp4v")]
)
def test_whole_video_is_shown_then_ends(tmp_path: Path, name: str, codec: str) -> None:
    """All frames come, in order, as unnumbered BGR frames; then the stream has ended."""
    camera = VideoCamera(write_video(tmp_path / name, 30, codec), "cam1")
    camera.open()
    frames, damage = read_all(camera)
    assert (len(frames), damage) == (30, [])
    assert [frame.frame_id for frame in frames] == list(range(1, 31))
    brightness = [float(frame.pixels_hwc.mean()) for frame in frames]
    assert brightness == sorted(brightness)
    assert {frame.source_number for frame in frames} == {None}
    assert (frames[0].hw, camera.describe().frame_hw) == ((48, 64), (48, 64))
    with pytest.raises(EndOfStream, match="all 30 frames"):
        camera.read(0.1)
    camera.close()


def test_time_stamps_follow_the_recording(tmp_path: Path) -> None:
    """Frames are 1/fps apart and the last one is not in the future."""
    camera = VideoCamera(write_video(tmp_path / "a.avi", 20), "cam1", wall_ns=lambda: NOW_NS)
    camera.open()
    stamps_ns = [frame.captured_at_ns for frame in read_all(camera)[0]]
    assert set(np.diff(stamps_ns)) == {round(1e9 / FPS)}
    assert NOW_NS - 1.1e9 <= stamps_ns[0] < stamps_ns[-1] <= NOW_NS
    camera.close()


def test_each_frame_can_be_a_part(tmp_path: Path) -> None:
    """With parts=1 frames are numbered and reading resumes behind a given number."""
    path = write_video(tmp_path / "a.avi", 12)
    camera = from_url(f"video:{path}?parts=1", name="cam1")
    camera.open(resume_after=9)
    frames, _ = read_all(camera)
    assert [(f.source_number, f.frame_id, f.source_name) for f in frames] == [
        (10, 1, "a.avi#10"),
        (11, 2, "a.avi#11"),
        (12, 3, "a.avi#12"),
    ]
    info = camera.describe()
    assert (info.mode, info.is_numbered, info.can_resume) == ("file", True, True)
    camera.close()


def test_video_without_parts_starts_over(tmp_path: Path) -> None:
    """Frames that are no parts cannot be resumed: a number given is ignored."""
    camera = VideoCamera(write_video(tmp_path / "a.avi", 5), "cam1")
    camera.open(resume_after=3)
    assert len(read_all(camera)[0]) == 5
    assert not camera.describe().can_resume
    camera.close()


@pytest.mark.parametrize("name", ["a.avi", "a.mkv"])
def test_truncated_video_is_damage_not_an_end(tmp_path: Path, name: str) -> None:
    """Fewer frames than the header promises: told once, with both numbers, then the end."""
    path = write_video(tmp_path / name, 40)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    camera = VideoCamera(path, "cam1", parts=True)
    camera.open()
    frames, damage = read_all(camera)
    assert 10 <= len(frames) <= 25
    assert len(damage) == 1
    why = "its header promises 40" if name.endswith("avi") else "bytes are missing at its end"
    assert f"ends after frame {len(frames)}, " in str(damage[0])
    assert why in str(damage[0])
    assert damage[0].source_number == len(frames) + 1
    camera.close()


def test_video_without_one_readable_frame_is_damage(tmp_path: Path) -> None:
    """A header alone is not an empty video: it is told as damage before the end."""
    path = write_video(tmp_path / "a.avi", 1)
    raw = path.read_bytes()
    start = raw.index(b"movi")
    path.write_bytes(raw[:start] + raw[start : start + 4])
    camera = VideoCamera(path, "cam1")
    camera.open()
    frames, damage = read_all(camera)
    camera.close()
    assert frames == []
    assert "ends after frame 0, its header promises 1" in str(damage[0])


def test_mp4_without_its_index_cannot_be_opened(tmp_path: Path) -> None:
    """A cut mp4 has lost its index; the error says so and what to do."""
    path = write_video(tmp_path / "a.mp4", 30, "mp4v")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(CameraUnavailable, match="cut off before its index"):
        VideoCamera(path, "cam1").open()


def test_missing_and_empty_files_are_told_apart(tmp_path: Path) -> None:
    """Both errors name the file."""
    with pytest.raises(CameraUnavailable, match=r"b\.avi is not there"):
        VideoCamera(tmp_path / "b.avi", "cam1").open()
    (tmp_path / "c.avi").touch()
    with pytest.raises(CameraUnavailable, match=r"c\.avi \(0 bytes\) cannot be opened"):
        VideoCamera(tmp_path / "c.avi", "cam1").open()


def test_closed_video_says_so(tmp_path: Path) -> None:
    """Reading before open or after close is a clear error; closing twice is allowed."""
    camera = VideoCamera(write_video(tmp_path / "a.avi", 3), "cam1")
    with pytest.raises(CameraUnavailable, match="closed"):
        camera.read(0.1)
    camera.open()
    camera.close()
    camera.close()
    with pytest.raises(CameraUnavailable, match="closed"):
        camera.read(0.1)


def test_wrong_address_is_explained() -> None:
    """No path and unknown options are configuration errors."""
    with pytest.raises(ConfigError, match="names no file"):
        from_url("video:", name="cam1")
    with pytest.raises(ConfigError, match="did you mean 'parts'"):
        from_url("video:x.avi?part=1", name="cam1")


@pytest.mark.needs("the extra rtsp")
@pytest.mark.parametrize("odd", ["longer sound", "changing rate", "late start"])
@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_a_whole_file_is_whole_whatever_its_duration(tmp_path: Path, name: str, odd: str) -> None:
    """Twenty frames, and a duration that would hold many more: all shown, nothing is damaged, no
    capture lies in the future and times follow the recording."""
    import av

    path = tmp_path / name
    with av.open(str(path), "w") as file:
        video = file.add_stream("mpeg4", rate=20)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.time_base = video.codec_context.time_base = Fraction(1, 1000)
        sound = file.add_stream("pcm_s16le" if name == "a.mkv" else "aac", rate=8000)
        for number in range(20):
            pixels = np.full((48, 64, 3), 10 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="bgr24")
            frame.pts = number * 50
            frame.pts += 4000 if odd == "late start" else 0
            frame.pts += 200 * max(0, number - 10) if odd == "changing rate" else 0
            frame.time_base = Fraction(1, 1000)
            file.mux(video.encode(frame))
        if odd == "longer sound":
            quiet = av.AudioFrame.from_ndarray(
                np.zeros((1, 8000 * 6), np.int16), format="s16", layout="mono"
            )
            quiet.rate, quiet.pts = 8000, 0
            file.mux(sound.encode(quiet))
        file.mux(sound.encode(None))
        file.mux(video.encode(None))
    camera = VideoCamera(path, "cam1", wall_ns=lambda: NOW_NS)
    camera.open()
    frames, damage = read_all(camera)
    camera.close()
    assert damage == []
    assert len(frames) >= 19
    stamps_ns = [frame.captured_at_ns for frame in frames]
    assert stamps_ns == sorted(stamps_ns)
    assert stamps_ns[-1] <= NOW_NS
    assert abs(stamps_ns[3] - stamps_ns[2] - 50_000_000) < 2_000_000


def test_a_recording_without_a_length_is_not_called_cut(tmp_path: Path) -> None:
    """A live recorder writes no length: nothing says how long the file should be."""
    path = write_video(tmp_path / "a.mkv", 20)
    raw = bytearray(path.read_bytes())
    at = raw.index(b"\x18\x53\x80\x67") + 4
    size = 9 - raw[at].bit_length()
    raw[at : at + size] = ((1 << 7 * size + 1) - 1).to_bytes(size, "big")
    path.write_bytes(raw)
    assert missing_bytes(path) == 0
    camera = VideoCamera(path, "cam1")
    camera.open()
    frames, damage = read_all(camera)
    camera.close()
    assert (len(frames), damage) == (20, [])
