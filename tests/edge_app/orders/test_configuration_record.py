"""What the audit says of a configuration: every key, no password, only what changed."""

from __future__ import annotations

import json
from pathlib import Path

from support.app_config import write_config

from edge_app.config.load import load_config
from edge_app.orders.configuration_record import (
    MAX_CHANGES,
    changes_between,
    digest_of,
    flat_configuration,
)

ADDRESS = "rtsp://anna:pa/ss@10.0.0.7/s?token=geheim"


def test_no_password_is_recorded(tmp_path: Path) -> None:
    """Of a camera's address the host stays; a changed password alone is not seen."""
    first = flat_configuration(load_config(write_config(tmp_path, ADDRESS, 1883)))
    text = json.dumps(first)
    assert "pa/ss" not in text
    assert "geheim" not in text
    assert "10.0.0.7" in str(first["cameras[0].url"])
    other = flat_configuration(
        load_config(write_config(tmp_path, ADDRESS.replace("pa/ss", "other"), 1883))
    )
    assert digest_of(first) == digest_of(other)


def test_only_what_differs_is_named() -> None:
    """Changed, added and removed keys, in their order; many are counted."""
    old, new = {"a": 1, "b": 2, "c": [1]}, {"a": 1, "b": 3, "d": "x"}
    assert changes_between(old, new) == [
        {"key": "b", "old": 2, "new": 3},
        {"key": "c", "old": [1], "new": None},
        {"key": "d", "old": None, "new": "x"},
    ]
    many = changes_between({}, {f"k{n:03}": n for n in range(MAX_CHANGES + 7)})
    assert len(many) == MAX_CHANGES + 1
    assert many[-1]["new"] == "7 more"
