"""The short form of benchmarks/fleet.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize(
    "devices",
    [pytest.param(8, id="8 devices"), pytest.param(50, id="50 devices", marks=pytest.mark.slow)],
)
def test_a_fleet_takes_good_bundles_and_a_bad_one_stops_at_the_canary(devices: int) -> None:
    """Push to all, roll-out, bad bundle: all as they should be, with few messages per device."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.fleet", "--devices", str(devices), "--mb", "1"],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["ok"]
    assert figures["bad_devices_asked"] == 1
    assert figures["rollout"] == f"{devices} of {devices} committed, 0 failed, 0 under way"
    assert figures["push_served_mb"] == devices
    assert 8 <= figures["push_messages_per_device"] <= 20
