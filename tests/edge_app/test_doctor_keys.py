"""The doctor says whose signatures count here, until when, and who could change that."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from deploy.keys import generate_key
from edge_app.config import config_of
from edge_app.config_model import AppConfig
from edge_app.doctor_checks import Check
from edge_app.doctor_keys import check_keys

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=timezone.utc)
DAY = timedelta(days=1)


def config(folder: Path, keys: str | None = "keys") -> AppConfig:
    (folder / "a.bundle").touch()
    bundle = {"path": "a.bundle"} | ({} if keys is None else {"trusted_keys_dir": keys})
    document = {
        "device": {"site": "graz", "line": "l2", "device": "d3"},
        "bundle": bundle,
        "camera": [{"name": "cam1", "url": "folder:in"}],
    }
    return config_of(document, folder, "test")


def check(folder: Path, *ends: datetime | None) -> Check:
    """Return the answer for a folder with a key for each end."""
    for number, end in enumerate(ends):
        generate_key(folder / "keys", f"key{number}", None, end)
    if ends:
        (folder / "keys").chmod(0o755)
    return check_keys(config(folder), NOON)


def test_keys_are_named_with_their_end(tmp_path: Path) -> None:
    """Names, ids and ends of the keys that count, and the number of revoked ones."""
    found = check(tmp_path, None, NOON + 100 * DAY)
    assert found.state == "ok"
    assert "key0 (" in found.detail
    assert "until 2027-03-02" in found.detail
    assert found.detail.endswith("0 revoked.")


def test_the_last_key_about_to_end_is_a_warning(tmp_path: Path) -> None:
    """A month ahead it is said that soon nothing can be installed; another key silences it."""
    assert check(tmp_path, NOON + 29 * DAY).state == "warning"
    generate_key(tmp_path / "keys", "next", None, None)
    assert check(tmp_path).state == "ok"


@pytest.mark.parametrize("name", ["", "key0.pub"])
def test_keys_that_others_can_write_are_a_warning(tmp_path: Path, name: str) -> None:
    """Whoever can write the folder or a key in it decides what is inspected."""
    check(tmp_path, None)
    (tmp_path / "keys" / name).chmod(0o777)
    found = check_keys(config(tmp_path), NOON)
    assert found.state == "warning"
    assert "chmod go-w" in found.advice


def test_no_keys(tmp_path: Path) -> None:
    """No folder configured is a choice; one that is not there is a failure."""
    assert check_keys(config(tmp_path, None), NOON).state == "absent"
    assert check_keys(config(tmp_path), NOON).state == "fail"
