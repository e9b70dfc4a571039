"""The isolated camera against drivers that hang, crash and lie: real processes, real kills."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.brokers import patient_s

from edge_app.cameras.grabber import CameraState, Grabber
from edge_app.cameras.isolation.camera import IsolatedCamera, IsolatedDriver
from edge_app.cameras.isolation.process import SYSTEM_PYTHON
from edge_app.errors import CameraUnavailable, EndOfStream, FrameCorrupt, FrameTimeout

SILENCE_S = 2.0

MakeCamera = Callable[..., IsolatedCamera]


def driver_of(odd: str, **settings: Any) -> IsolatedDriver:
    return IsolatedDriver(
        "odd:", "tests.edge_app.cameras.odd_drivers", {"odd": odd, **settings}, "free"
    )


@pytest.fixture
def camera_of() -> Iterator[MakeCamera]:
    """Return a function that makes an isolated camera with an odd driver; closed at the end."""
    made: list[IsolatedCamera] = []

    def make(odd: str, open_s: float = 10.0, **settings: Any) -> IsolatedCamera:
        driver = driver_of(odd, **settings)
        made.append(IsolatedCamera(driver, "cam1", open_s=open_s, silence_s=SILENCE_S))
        return made[-1]

    yield make
    for camera in made:
        camera.close()


def is_running(pid: int) -> bool:
    """Tell whether a process exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_frames_arrive_in_order_with_their_own_time(camera_of: MakeCamera) -> None:
    """Pixels, numbers and capture times pass the process border unchanged."""
    camera = camera_of("Steady")
    camera.open()
    frames = [camera.read(5.0) for _ in range(10)]
    assert [int(f.pixels_hwc[0, 0, 0]) for f in frames] == list(range(1, 11))
    assert [f.frame_id for f in frames] == list(range(1, 11))
    assert all(f.pixels_hwc.shape == (4, 6, 3) for f in frames)
    assert all(0 <= time.time_ns() - f.captured_at_ns < 5e9 for f in frames)
    assert frames[0].source_number is None
    assert camera.describe().frame_hw == (4, 6)
    assert camera.describe().mode == "live"


def test_driver_call_that_never_returns_is_ended(camera_of: MakeCamera) -> None:
    """A read that hangs is told within the silence limit, and its process is gone."""
    camera = camera_of("Hangs")
    camera.open()
    camera.read(5.0)
    pid, asked_s = camera.pid, time.monotonic()
    with pytest.raises(CameraUnavailable, match=r"has not returned for 2 s; its process was ended"):
        camera.read(30.0)
    assert time.monotonic() - asked_s < patient_s(SILENCE_S + 1.0)
    assert pid is not None
    assert not is_running(pid)


def test_opening_that_never_returns_is_ended(camera_of: MakeCamera) -> None:
    """A driver that hangs in open is ended after the limit for opening."""
    camera = camera_of("HangsAtOpen", open_s=1.0)
    with pytest.raises(CameraUnavailable, match="has not returned for 1 s"):
        camera.open()


def test_closing_that_never_returns_is_ended(camera_of: MakeCamera) -> None:
    """A driver that hangs in close does not hold up the one who closes."""
    camera = camera_of("HangsAtClose")
    camera.open()
    pid, asked_s = camera.pid, time.monotonic()
    camera.close()
    assert time.monotonic() - asked_s < patient_s(3.0)
    assert pid is not None
    assert not is_running(pid)


def test_crash_of_the_driver_is_a_loss_of_the_camera_only(camera_of: MakeCamera) -> None:
    """A driver that aborts takes its own process along; the next open brings it back."""
    camera = camera_of("Crashes")
    camera.open()
    assert [camera.read(5.0).frame_id for _ in range(2)] == [1, 2]
    with pytest.raises(CameraUnavailable, match=r"has ended \(signal 6\)"):
        camera.read(5.0)
    camera.open()
    assert camera.read(5.0).frame_id == 1


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ("Absent", "There is no such camera. Plug it in."),
        ("Raises", "the driver raised ZeroDivisionError: a bug in the driver"),
    ],
)
def test_failure_to_open_is_told_in_the_drivers_words(
    camera_of: MakeCamera, odd: str, said: str
) -> None:
    """What the driver says of its failure reaches the log as it stands; no process is left."""
    camera = camera_of(odd)
    with pytest.raises(CameraUnavailable, match=said):
        camera.open()
    assert camera.pid is None


def test_unplug_is_told_and_the_camera_comes_back(camera_of: MakeCamera) -> None:
    """After the cable was pulled the same camera can be opened again."""
    camera = camera_of("Unplugged")
    for _ in range(2):
        camera.open()
        camera.read(5.0)
        camera.read(5.0)
        for _ in range(2):  # asked twice, it says the same
            with pytest.raises(CameraUnavailable, match="The cable was pulled"):
                camera.read(5.0)


def test_silence_of_the_camera_is_no_hang_of_the_driver(camera_of: MakeCamera) -> None:
    """A camera without frames whose driver returns stays open beyond the silence limit."""
    camera = camera_of("Silent")
    camera.open()
    pid = camera.pid
    for _ in range(3):
        with pytest.raises(FrameTimeout, match=r"no frame within 0\.5 s"):
            camera.read(0.5)
    assert camera.pid == pid


def test_half_frame_is_corrupt_and_the_next_is_whole(camera_of: MakeCamera) -> None:
    """Too few bytes never become a picture; the stream goes on behind them."""
    camera = camera_of("HalfFrame")
    camera.open()
    camera.read(5.0)
    with pytest.raises(FrameCorrupt, match="Half a frame: 6 x 4 pixels in Mono8 need 24 bytes, 12"):
        camera.read(5.0)
    assert int(camera.read(5.0).pixels_hwc[0, 0, 0]) == 3


def test_wrong_format_is_named(camera_of: MakeCamera) -> None:
    """A pixel format nobody understands is refused by its name, frame by frame."""
    camera = camera_of("WrongFormat")
    camera.open()
    with pytest.raises(FrameCorrupt, match="Confidence8, which is not understood"):
        camera.read(5.0)


def test_frames_lost_on_the_way_leave_a_gap(camera_of: MakeCamera) -> None:
    """A jump in the camera's own count is the same jump in the frames' numbers."""
    camera = camera_of("Gaps")
    camera.open()
    assert [camera.read(5.0).frame_id for _ in range(6)] == [1, 2, 5, 6, 9, 10]


def test_resolution_may_change_with_every_frame(camera_of: MakeCamera) -> None:
    """A larger picture gets a larger ring; no pixel of the one before is left in it."""
    camera = camera_of("Grows")
    camera.open()
    for n in range(1, 8):
        pixels = camera.read(5.0).pixels_hwc
        assert pixels.shape == (4 * n, 6 * n, 3)
        assert (pixels == n).all()


def test_reader_that_comes_late_misses_frames_by_number(camera_of: MakeCamera) -> None:
    """Frames that found the ring full leave a gap as wide as they were many; none is torn."""
    camera = camera_of("Steady", period_s=0.002)
    camera.open()
    camera.read(5.0)
    time.sleep(0.3)
    frames = [camera.read(5.0) for _ in range(12)]
    assert [int(f.pixels_hwc[0, 0, 0]) for f in frames] == [f.frame_id % 256 for f in frames]
    assert all((f.pixels_hwc == f.pixels_hwc[0, 0, 0]).all() for f in frames)
    assert frames[-1].frame_id > 13


def test_finite_stream_ends(camera_of: MakeCamera) -> None:
    """EndOfStream passes the process border as what it is."""
    camera = camera_of("Ends")
    camera.open()
    camera.read(5.0)
    camera.read(5.0)
    with pytest.raises(EndOfStream, match="all shown"):
        camera.read(5.0)


def test_missing_interpreter_is_named() -> None:
    """Without the Python that has the driver, the message says which one was looked for."""
    driver = IsolatedDriver("odd:", "x", {}, interpreter="/nowhere/python3")
    with pytest.raises(CameraUnavailable, match="/nowhere/python3: No such file"):
        IsolatedCamera(driver, "cam1").open()


def test_closed_camera_says_so(camera_of: MakeCamera) -> None:
    """Reading before open is an error with an instruction; closing twice is none."""
    camera = camera_of("Steady")
    camera.close()
    with pytest.raises(CameraUnavailable, match=r"is closed\. Open it before reading"):
        camera.read(0.1)


def test_secrets_are_not_on_the_command_line(camera_of: MakeCamera) -> None:
    """The driver's settings cannot be read from the process list."""
    camera = camera_of("Steady", password="hunter2")
    camera.open()
    assert b"hunter2" not in Path(f"/proc/{camera.pid}/cmdline").read_bytes()
    assert b"hunter2" not in Path(f"/proc/{camera.pid}/environ").read_bytes()


def test_killed_parent_leaves_no_child(tmp_path: Path) -> None:
    """When the app is killed outright, a driver that hangs dies with it."""
    program = (
        "from edge_app.cameras.isolation.camera import IsolatedCamera, IsolatedDriver\n"
        "camera = IsolatedCamera(IsolatedDriver('odd:', 'tests.edge_app.cameras.odd_drivers',"
        " {'odd': 'Hangs'}), 'cam1')\n"
        "camera.open(); camera.read(5.0); print(camera.pid, flush=True); input()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    assert parent.stdin is not None
    child_pid = int(parent.stdout.readline())
    assert is_running(child_pid)
    parent.kill()
    parent.wait(5.0)
    parent.stdout.close()
    parent.stdin.close()
    until_s = time.monotonic() + 5.0
    while is_running(child_pid) and time.monotonic() < until_s:
        time.sleep(0.02)
    assert not is_running(child_pid)


def test_child_needs_nothing_but_the_standard_library() -> None:
    """The child's own code runs under a bare Python: no numpy, no OpenCV, none of our packages."""
    python = SYSTEM_PYTHON if Path(SYSTEM_PYTHON).exists() else sys.executable
    program = (
        "import sys; sys.path.append('.')\n"
        "import edge_app.cameras.isolation.child, edge_app.cameras.pixel_format\n"
        "import importlib, pkgutil, edge_app.cameras.drivers as drivers\n"
        "for found in pkgutil.iter_modules(drivers.__path__, drivers.__name__ + '.'):\n"
        "    importlib.import_module(found.name)\n"
        "print([n for n in ('numpy', 'cv2', 'pydantic', 'av', 'pypylon', 'gi')"
        " if n in sys.modules])\n"
    )
    done = subprocess.run(
        [python, "-I", "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_grabber_brings_a_hung_camera_back(camera_of: MakeCamera) -> None:
    """Behind the grabber a driver that hangs again and again goes on delivering, one per life."""
    states: list[CameraState] = []
    grabber = Grabber(camera_of("Hangs"), "cam1", on_state=lambda state, why: states.append(state))
    grabber.start()
    frames = [grabber.next(8.0) for _ in range(2)]
    grabber.stop()
    assert None not in frames
    assert states[:2] == [CameraState.CAPTURING, CameraState.RECONNECTING]
