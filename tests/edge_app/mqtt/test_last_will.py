"""A device that vanishes is seen to be gone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.alert_drafts import WHO
from support.brokers import Listener, Mosquitto, wait_until
from support.child_processes import SCRIPT_ENVIRONMENT

DEVICE = Path(__file__).with_name("device_process.py")


@pytest.mark.needs("mosquitto")
def test_a_killed_device_is_offline_for_everybody(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """After SIGKILL the broker publishes the retained status `offline` of that session."""
    listener = Listener(mosquitto.port, WHO.root + "/status")
    device = subprocess.Popen(
        [sys.executable, str(DEVICE), str(mosquitto.port), str(tmp_path / "o.db")],
        stdout=subprocess.PIPE,
        env=SCRIPT_ENVIRONMENT,
    )
    assert device.stdout is not None
    with device.stdout:
        assert device.stdout.readline() == b"connected\n"
        device.kill()
    device.wait(10)
    wait_until(lambda: len(listener.bodies("/status")) == 2)
    online, offline = listener.bodies("/status")
    assert (online["state"], offline["state"]) == ("online", "offline")
    assert (offline["session"], offline["since"]) == (1, None)
    late = Listener(mosquitto.port, WHO.root + "/status")
    wait_until(lambda: [b["state"] for b in late.bodies("/status")] == ["offline"])
    listener.close()
    late.close()
