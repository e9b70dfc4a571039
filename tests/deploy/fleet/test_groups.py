"""The TOML of groups on the workstation."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.fleet.groups import load_group
from edge_app.errors import ConfigError


def write(folder: Path, text: str) -> Path:
    path = folder / "groups.toml"
    path.write_text(text)
    return path


def test_a_group_is_its_devices_in_order_each_once(tmp_path: Path) -> None:
    """The order of the file decides who is the canary."""
    path = write(tmp_path, '[groups]\npresses = ["g/l/b", "g/l/a", "g/l/b"]\n')
    assert [str(who) for who in load_group(path, "presses")] == ["g/l/b", "g/l/a"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[groups]\npilot = ["g/l/a"]', r"has no group 'presses', only pilot"),
        ("[groups]\npresses = []", r"is empty; expected at least one"),
        ('[groups]\npresses = ["press-3"]', r"'press-3' is not named in full"),
        ('[groups]\npresses = ["g/l/+"]', r"device '\+' cannot be part of an MQTT topic"),
        ("[groups]\npresses = 3", r"wrong at groups\.presses"),
        ('presses = ["g/l/a"]', r"Expected a table \[groups\]"),
        ("[groups", r"is not valid TOML"),
    ],
)
def test_a_wrong_file_is_explained(tmp_path: Path, text: str, why: str) -> None:
    """Every mistake has its own words."""
    with pytest.raises(ConfigError, match=why):
        load_group(write(tmp_path, text), "presses")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The path is in the message."""
    with pytest.raises(ConfigError, match=r"groups\.toml cannot be read"):
        load_group(tmp_path / "groups.toml", "presses")
