"""Pictures that only the device itself can open are said to be so, where others watch."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from support.small_bundles import write_bright_bundle, write_pictures

from edge_app.config.load import config_of
from edge_app.runtime.evidence_setup import warn_of_local_evidence


@pytest.mark.parametrize(
    ("broker", "evidence", "is_said"),
    [
        ("plant", {}, True),
        ("127.0.0.1", {}, False),
        ("plant", {"base_url": "https://proxy.plant/press-3"}, False),
        ("plant", {"enabled": False}, False),
    ],
)
def test_addresses_that_nobody_else_can_open_are_told(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    broker: str,
    evidence: dict[str, object],
    is_said: bool,
) -> None:
    """A page on loopback and a broker elsewhere: the log says what to set."""
    write_bright_bundle(tmp_path / "a.bundle")
    write_pictures(tmp_path / "in", 1, set())
    config = config_of(
        {
            "device": {"site": "s", "line": "l", "device": "d", "state_dir": "state"},
            "bundle": {"path": "a.bundle", "allow_unsigned": True},
            "camera": [{"name": "cam1", "url": "folder:in"}],
            "mqtt": {"host": broker},
            "evidence": evidence,
        },
        tmp_path,
        "test",
    )
    with caplog.at_level(logging.WARNING):
        warn_of_local_evidence(config)
    assert ("only this device can open that" in caplog.text) == is_said
