"""What `camera list` finds, and what it says of stacks that are not there."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from support.brokers import wait_until
from support.fake_gige_camera import GigeCamera

from edge_app.camera_setup import finding


def device(sys_class: Path, name: str, index: str, text: str) -> None:
    folder = sys_class / name
    folder.mkdir(parents=True)
    (folder / "index").write_text(index + "\n")
    (folder / "name").write_text(text + "\n")


def test_v4l2_devices_by_number_without_metadata_nodes(tmp_path: Path) -> None:
    """A camera's second node carries no picture; video10 comes after video2."""
    device(tmp_path, "video10", "0", "Arducam")
    device(tmp_path, "video2", "0", "HD Webcam")
    device(tmp_path, "video3", "1", "HD Webcam")
    stack = finding.find_v4l2(tmp_path)
    assert stack.found == (("v4l2:/dev/video2", "HD Webcam"), ("v4l2:/dev/video10", "Arducam"))


def test_a_kernel_without_video_says_so(tmp_path: Path) -> None:
    """No class folder: nothing is found, and the sentence names it."""
    stack = finding.find_v4l2(tmp_path / "none")
    assert stack.found == ()
    assert "does not exist" in stack.note


# pylon crashes at import where the warnings about its SWIG types are errors.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.needs("the extra basler")
def test_emulated_basler_cameras_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """With PYLON_CAMEMU=2 pylon shows two, each with the address that opens it."""
    monkeypatch.setenv("PYLON_CAMEMU", "2")
    found = finding.find_basler().found
    assert len(found) == 2
    assert all(url.startswith("basler:0815-") for url, _ in found)


@pytest.mark.needs("Aravis' tools")
def test_a_gige_vision_camera_on_the_network_is_found() -> None:
    """Aravis' own fake camera on loopback, asked for by its own tool."""
    with GigeCamera():
        wanted = ("aravis:Aravis-Fake-GV01", "at 127.0.0.1")
        wait_until(lambda: wanted in finding.find_aravis().found, 30)


def test_a_missing_tool_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without aravis-tools the note is the command that brings them."""
    monkeypatch.setenv("PATH", "")
    assert "apt-get install aravis-tools-cli" in finding.find_aravis().note


def test_the_aravis_tool_s_lines_become_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cameras are taken from the tool's list; its complaints are not."""
    tool = tmp_path / finding.ARV_TOOL
    tool.write_text("#!/bin/sh\necho 'Aravis-Fake-GV01 (127.0.0.1)'\necho 'No device found'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert finding.find_aravis().found == (("aravis:Aravis-Fake-GV01", "at 127.0.0.1"),)


@pytest.mark.parametrize("error", [OSError(30, "Read-only file system"), RuntimeError("shm")])
def test_a_stack_that_fails_costs_itself(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """A library that cannot be loaded, e.g. with a read-only /dev/shm: the others are shown."""

    def fail(name: str) -> None:
        raise error

    monkeypatch.setattr(importlib, "import_module", fail)
    stacks = finding.find_cameras()
    assert [s.name for s in stacks] == [finding.V4L2, finding.BASLER, finding.ARAVIS]
    assert str(error) in stacks[1].note
