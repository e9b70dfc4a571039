"""From an address to a camera."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_app.cameras.folder import FolderCamera
from edge_app.cameras.registry import FAMILIES, describe_schemes, family_of, open_camera
from edge_app.cameras.source_url import anchor_path, parse_source_url
from edge_app.cameras.video import VideoCamera
from edge_app.errors import ConfigError


def test_scheme_chooses_the_camera() -> None:
    """folder: and video: give their cameras, upper case too; nothing is opened yet."""
    assert isinstance(open_camera("folder:/nowhere", "cam1"), FolderCamera)
    assert isinstance(open_camera("VIDEO:/nowhere.avi", "cam1"), VideoCamera)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("foldr:/x", "unknown scheme 'foldr' .did you mean 'folder'?"),
        ("qqq:/x", "unknown scheme 'qqq'. Known: sim, folder, video"),
        ("/srv/pictures", "has no scheme. Write it like"),
        ("", "has no scheme"),
        ("gige:123", "unknown scheme 'gige'. Known: sim, folder, .*basler, aravis, rtsp"),
    ],
)
def test_unusable_address_is_explained(url: str, said: str) -> None:
    """Unknown schemes name the nearest known one, or all there are."""
    with pytest.raises(ConfigError, match=said):
        open_camera(url, "cam1")


def test_every_scheme_is_described() -> None:
    """The help text has one line per scheme, beginning with a whole address."""
    lines = describe_schemes().splitlines()
    assert len(lines) == len(FAMILIES)
    for line, family in zip(lines, FAMILIES, strict=True):
        assert line.startswith(f"{family.scheme}:")


@pytest.mark.parametrize("family", FAMILIES)
def test_every_example_address_opens(family: object) -> None:
    """What the help shows can be written as it stands."""
    example = family.example  # type: ignore[attr-defined]
    assert family_of(example) is family
    open_camera(example, "cam1").describe()


def test_relative_path_is_anchored_with_its_options() -> None:
    """A relative path counts from the folder given; an absolute one stays."""
    assert anchor_path("folder:a b/ü?loop=1", Path("/srv")) == "folder:/srv/a b/ü?loop=1"
    assert anchor_path("video:///x/y.avi", Path("/srv")) == "video:/x/y.avi"


def test_path_is_taken_literally() -> None:
    """Percent signs and colons in file names mean themselves."""
    assert parse_source_url("video:/a%20b:c.avi").path == "/a%20b:c.avi"
