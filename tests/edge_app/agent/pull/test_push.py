"""Pointers over a real broker, files from a real server; only the installing is pretended."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from support.alert_drafts import WHO
from support.brokers import HOST, Listener, Mosquitto, wait_until
from support.child_processes import SCRIPT_ENVIRONMENT
from support.deploy_pointers import PAYLOAD, pointer
from support.faulty_web_server import FaultyHandler, serving, status, whole
from support.workstation import RULES, Start, Station, incoming

from benchmarks.fleet_device import SimulatedDevice
from edge_app.agent.pull.download import Downloader
from edge_app.mqtt.settings import MqttSettings
from edge_app.mqtt.topics import Topics

pytestmark = pytest.mark.needs("mosquitto")
PROCESS = Path(__file__).with_name("agent_process.py")


def test_a_pushed_bundle_is_fetched_installed_and_every_state_told(
    station: Station, start: Start
) -> None:
    """From the pointer to `committed`, all states in order, with the pointer's id."""
    device = start()
    with serving(whole(PAYLOAD)) as server:
        desired = pointer(server.url)
        station.place(desired)
        last = station.wait_for("committed", desired)
    assert station.states() == [
        "downloading", "verifying", "self_check", "shadow", "switching", "probation", "committed",
    ]  # fmt: skip
    assert {report["desired_id"] for report in station.reports()} == {desired.message_id}
    assert last["sha256"] == desired.sha256 == device.store.active("main")
    assert station.reports()[0]["percent"] == 0.0


def test_a_pointer_placed_while_the_device_is_away_is_found_at_its_start(
    station: Station, start: Start
) -> None:
    """The broker keeps the wish."""
    with serving(whole(PAYLOAD)) as server:
        desired = pointer(server.url)
        station.place(desired)
        start()
        station.wait_for("committed", desired)


def test_a_refused_bundle_leaves_the_old_one_and_says_why(station: Station, start: Start) -> None:
    """The agent's refusal reaches the station; the slot's bundle stays; nothing is left behind."""
    bad = PAYLOAD[::-1]
    device = start(bad={hashlib.sha256(bad).hexdigest()})
    with serving(whole(PAYLOAD)) as server, serving(whole(bad)) as bad_server:
        good = pointer(server.url)
        station.place(good)
        station.wait_for("committed", good)
        wish = pointer(bad_server.url, bad)
        station.place(wish)
        last = station.wait_for("refused", wish)
    assert last["reason"] == "golden set: 3 verdicts differ"
    assert device.store.active("main") == good.sha256
    assert incoming(device) == []


def test_a_broker_that_comes_back_does_not_repeat_an_update(
    station: Station, start: Start, mosquitto: Mosquitto
) -> None:
    """The retained pointer is delivered again at each connection and ignored."""
    device = start()
    with serving(whole(PAYLOAD)) as server:
        desired = pointer(server.url)
        station.place(desired)
        station.wait_for("committed", desired)
        mosquitto.stop()
        mosquitto.start()
        before = len(station.agent_states())
        wait_until(lambda: len(station.agent_states()) > before, what="agent is back")
        station.place_text("no pointer at all")
        station.wait_for("refused")
    assert len(server.asked) == 1
    assert device.installs == [desired.sha256]


def test_a_download_that_fails_for_good_is_reported(station: Station, start: Start) -> None:
    """The download's own words are the reason."""
    device = start()
    with serving(status(404)) as server:
        wish = pointer(server.url)
        station.place(wish)
        reason = station.wait_for("refused", wish)["reason"]
    assert "answers with status 404" in reason
    assert incoming(device) == []
    assert device.installs == []


def test_an_unforeseen_failure_is_reported_too(
    station: Station, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No wish stays unanswered, whatever breaks."""

    def broken(*_: object, **__: object) -> Path:
        raise RuntimeError("cosmic ray")

    monkeypatch.setattr(Downloader, "fetch", broken)
    start()
    wish = pointer("http://127.0.0.1:1/a.bundle")
    station.place(wish)
    assert "RuntimeError('cosmic ray')" in station.wait_for("refused", wish)["reason"]


def test_two_slots_that_want_one_bundle_get_it_each(station: Station, start: Start) -> None:
    """The same file for two slots at once is fetched for each."""
    device = start(("main", "second"))
    with serving(whole(PAYLOAD)) as server:
        for slot in ("main", "second"):
            station.place(pointer(server.url), slot)
        for slot in ("main", "second"):
            wait_until(partial(lambda slot: station.reports(slot)[-1:] != [] and
                       station.reports(slot)[-1]["state"] == "committed", slot))  # fmt: skip
    assert device.store.active("main") == device.store.active("second")


def test_an_agent_that_is_killed_is_offline_and_resumes_its_download(
    station: Station, start: Start, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """SIGKILL in the middle: the will says offline; the next start asks for the rest only."""
    first_half_is_out = threading.Event()

    def half_then_silence(handler: FaultyHandler) -> None:
        handler.head(200, Content_Length=len(PAYLOAD))
        handler.wfile.write(PAYLOAD[: len(PAYLOAD) // 2])
        first_half_is_out.set()
        handler.rfile.read(1)  # until the device is gone

    command = [sys.executable, str(PROCESS), str(mosquitto.port), str(tmp_path / "store")]
    agent = subprocess.Popen(command, env=SCRIPT_ENVIRONMENT)
    with serving(half_then_silence, whole(PAYLOAD)) as server:
        desired = pointer(server.url)
        station.place(desired)
        partial = tmp_path / "store" / "incoming" / f"main-{desired.sha256}.partial"
        wait_until(lambda: partial.exists() and partial.stat().st_size > 0, 15.0, "first half")
        agent.kill()
        agent.wait(10)
        wait_until(lambda: station.agent_states()[-1] == "offline")
        had = partial.stat().st_size
        start()
        station.wait_for("committed", desired)
    assert station.agent_states()[-1] == "online"
    assert server.asked[-1][1] == f"bytes={had}-"


def test_a_bundle_over_which_the_agent_keeps_ending_is_refused(
    station: Station, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After three starts without a result the fourth refuses it instead of trying again."""
    monkeypatch.setattr(SimulatedDevice, "_pretend", lambda self, file, slot: self.installs.append(
        file.name))  # fmt: skip
    with serving(whole(PAYLOAD)) as server:
        wish = pointer(server.url)
        station.place(wish)
        for _ in range(3):
            device = start()
            wait_until(partial(lambda device: len(device.installs) == 1, device))
            device.stop()
        start()
        reason = station.wait_for("refused", wish)["reason"]
    assert reason == "Bundle refused: the agent ended 3 times while installing it."
    assert len(server.asked) == 1


def test_a_new_broker_is_told_what_the_old_one_knew(
    station: Station, start: Start, start_mosquitto: Callable[..., Mosquitto], tmp_path: Path
) -> None:
    """The last report of each slot is kept on the device and said again at its start."""
    device = start()
    with serving(whole(PAYLOAD)) as server:
        desired = pointer(server.url)
        station.place(desired)
        station.wait_for("committed", desired)
    device.stop()
    other = start_mosquitto()
    listener = Listener(other.port, Topics(WHO).reported("main"))
    again = SimulatedDevice(WHO, MqttSettings(HOST, other.port), tmp_path / "store", RULES)
    again.start()
    wait_until(lambda: [b["state"] for b in listener.bodies("reported")] == ["committed"])
    again.stop()
    listener.close()


def test_an_orderly_end_is_told(station: Station, start: Start) -> None:
    """`agent/status` says stopped, not offline."""
    device = start()
    wait_until(lambda: station.agent_states() == ["online"])
    device.stop()
    wait_until(lambda: station.agent_states() == ["online", "stopped"])
