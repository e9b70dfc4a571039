"""`edge-app camera`, as installed."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from support.brokers import free_port, wait_until
from support.checkerboard import FLAT, HW, NO_BEND, seen
from support.child_processes import takes_ctrl_c

from edge_app.imaging.camera_calibration import load_geometry

EDGE_APP = str(Path(sys.executable).with_name("edge-app"))


def camera(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [EDGE_APP, "camera", *args], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_ready_camera_passes_the_trial() -> None:
    """Every figure is told, nothing is wrong, exit code 0; --json says the same."""
    done = camera("test", "sim:tapered?mode=numbered&parts=3", "--seconds", "30")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1024 x 768 pixels" in done.stdout
    assert "PROBLEM" not in done.stdout
    again = camera("test", "sim:square?mode=numbered&parts=3", "--seconds", "30", "--json")
    told = json.loads(again.stdout)
    assert (told["frames"], told["problems"]) == (3, [])


def test_a_dark_camera_fails_the_trial(tmp_path: Path) -> None:
    """Black pictures: the problem is named and the exit code is 1."""
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((40, 60, 3), number, np.uint8))
    done = camera("test", f"folder:{tmp_path}")
    assert done.returncode == 1
    assert "PROBLEM        3 of 3 pictures: black picture" in done.stdout


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("test", "simm:tapered"), "did you mean 'sim'"),
        (("snapshot", "folder:/nowhere", "--out", "a.png"), "Name an existing folder"),
        (("test", "cam9", "--config", "CONFIG"), "no camera named 'cam9'. Known: cam1"),
    ],
)
def test_mistakes_are_explained(args: tuple[str, ...], told: str, tmp_path: Path) -> None:
    """Wrong scheme, missing folder, unknown name: one sentence, exit code 2."""
    config = tmp_path / "edge-app.toml"
    config.write_text(
        '[device]\nsite = "s"\nline = "l"\ndevice = "d"\n[bundle]\npath = "edge-app.toml"\n'
        '[[camera]]\nname = "cam1"\nurl = "sim:round"\n'
    )
    done = camera(*(str(config) if a == "CONFIG" else a for a in args))
    assert done.returncode == 2
    assert told in done.stderr


def test_recording_by_the_camera_s_name_in_the_configuration(tmp_path: Path) -> None:
    """The configuration's camera, ten pictures, straight into the training layout."""
    config = tmp_path / "edge-app.toml"
    config.write_text(
        '[device]\nsite = "s"\nline = "l"\ndevice = "d"\n[bundle]\npath = "edge-app.toml"\n'
        '[[camera]]\nname = "cam1"\nurl = "sim:round?mode=numbered&parts=4"\n'
    )
    out = tmp_path / "data"
    done = camera("record", "cam1", "--config", str(config), "--out", str(out), "--interval-s", "0")
    assert done.returncode == 0, done.stderr
    assert len(list((out / "train" / "good").glob("cam1-*.png"))) == 4
    assert f"4 pictures in {out}/train/good" in done.stdout


def test_a_board_becomes_a_calibration_that_the_configuration_takes(tmp_path: Path) -> None:
    """One picture of a flat board: the file is written, and a camera's table accepts it."""
    (tmp_path / "board").mkdir()
    cv2.imwrite(str(tmp_path / "board" / "1.png"), seen(*FLAT, NO_BEND))
    out = tmp_path / "cam1.calibration.json"
    options = ["--corners", "8x5", "--square-mm", "10", "--views", "1", "--out", str(out)]
    done = camera("calibrate", f"folder:{tmp_path}/board", *options)
    assert done.returncode == 0, done.stderr
    assert "view 1 of 1: the board is seen" in done.stdout
    assert load_geometry(out).frame_hw == HW
    wrong = camera("calibrate", f"folder:{tmp_path}/board", *options, "--corners", "9x6")
    assert wrong.returncode == 2
    assert "No board with 9 x 6 inner corners" in wrong.stderr


def test_help_lists_the_addresses() -> None:
    """What can be written as an address stands in the help, one line a scheme."""
    text = camera("--help").stdout
    assert "sim:tapered" in text
    assert "v4l2:/dev/video0" in text


LOOKS = 4
FOCUS_FIGURE = r'<span id="focus">\d+</span>'
LIVE_PICTURE = r'<img[^>]*src="blob:http'


def _dumped(url: str, profile: Path) -> str:
    """Return the page's elements as a browser has them a few seconds after opening it."""
    return subprocess.run(
        [
            "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-sync",
            f"--user-data-dir={profile}", "--virtual-time-budget=4000", "--dump-dom", url,
        ],
        capture_output=True, text=True, timeout=60, check=True,
    ).stdout  # fmt: skip


@pytest.mark.needs("chromium")
def test_the_focus_page_in_a_browser(tmp_path: Path) -> None:
    """Live picture, focus figure, histogram and light are seen; Ctrl-C ends it in order."""
    port = free_port()
    command = [EDGE_APP, "camera", "focus", "sim:tapered?fps=5", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=takes_ctrl_c)
    url = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=url, trust_env=False) as client:
            wait_until(lambda: _is_showing(client), 20)
            assert client.post("/api/setup/forget-best").status_code == 204
            assert client.get("/frame.jpg").headers["content-type"] == "image/jpeg"
        seen = ""
        for attempt in range(LOOKS):  # a browser on a busy machine may print before the first fetch
            seen = _dumped(url, tmp_path / str(attempt))
            if re.search(FOCUS_FIGURE, seen) and re.search(LIVE_PICTURE, seen):
                break
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 0
    finally:
        process.kill()
        process.communicate()
    assert "Camera: capturing" in seen
    assert re.search(FOCUS_FIGURE, seen)
    assert re.search(LIVE_PICTURE, seen), "the live picture is shown"
    assert seen.count('<rect x="') >= 64, "the histogram has its bars"
    assert "1024 × 768" in seen


def _is_showing(client: httpx.Client) -> bool:
    try:
        return "focus" in client.get("/api/setup").json()
    except httpx.TransportError:
        return False
