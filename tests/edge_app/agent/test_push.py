"""Pointers over a real broker, files from a real server; only the installing is pretended."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from alerts import WHO
from brokers import HOST, Listener, Mosquitto, wait_until
from file_servers import FaultyHandler, serving, status, whole
from pointers import PAYLOAD, pointer
from processes import SCRIPT_ENVIRONMENT

from benchmarks.fleet_device import SimulatedDevice
from edge_app.agent.download import Downloader
from edge_app.agent.download_rules import DownloadRules
from edge_app.mqtt.deploy_messages import Desired
from edge_app.mqtt.settings import MqttSettings
from edge_app.mqtt.topics import Topics

pytestmark = pytest.mark.broker
PROCESS = Path(__file__).with_name("agent_process.py")
RULES = DownloadRules(
    allowed_hosts=(HOST,),
    max_bytes=len(PAYLOAD) + 16,
    give_up_after_s=5.0,
    retry_min_s=0.02,
    retry_max_s=0.1,
)
DESIRED, REPORTED = Topics(WHO).desired("main"), Topics(WHO).reported("main")
Start = Callable[..., SimulatedDevice]


class Station:
    """A workstation: places pointers, remembers every report."""

    def __init__(self, port: int) -> None:
        self._listener = Listener(port, WHO.root + "/#")

    def place(self, desired: Desired | None, slot: str = "main") -> None:
        self.place_text("" if desired is None else desired.payload().decode(), slot)

    def place_text(self, text: str, slot: str = "main") -> None:
        self._listener.publish(Topics(WHO).desired(slot), text, retain=True)

    def reports(self, slot: str = "main") -> list[dict[str, Any]]:
        return self._listener.bodies(f"/deploy/{slot}/reported")

    def states(self) -> list[str]:
        """Return the states in order, repeated percentages counted once."""
        states = [report["state"] for report in self.reports()]
        return [s for i, s in enumerate(states) if i == 0 or s != states[i - 1]]

    def wait_for(self, state: str, desired: Desired | None = None) -> dict[str, Any]:
        """Return the newest report once it has this state (and answers this pointer)."""

        def has_come() -> bool:
            newest = self.reports()[-1:]
            return bool(newest) and newest[0]["state"] == state and (
                desired is None or newest[0]["desired_id"] == desired.message_id
            )  # fmt: skip

        wait_until(has_come, 10.0, state)
        return self.reports()[-1]

    def agent_states(self) -> list[str]:
        return [body["state"] for body in self._listener.bodies("/agent/status")]

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def station(mosquitto: Mosquitto) -> Iterator[Station]:
    station = Station(mosquitto.port)
    yield station
    station.close()


@pytest.fixture
def start(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts a device on one and the same store."""
    started: list[SimulatedDevice] = []

    def make(slots: tuple[str, ...] = ("main",), bad: Collection[str] = ()) -> SimulatedDevice:
        settings = MqttSettings(HOST, mosquitto.port, reconnect_min_s=0.1, reconnect_max_s=0.3)
        device = SimulatedDevice(WHO, settings, tmp_path / "store", RULES, slots=slots, bad=bad)
        started.append(device)
        device.start()
        return device

    yield make
    for device in started:
        device.stop()


def incoming(device: SimulatedDevice) -> list[str]:
    return sorted(path.name for path in device.store.incoming.iterdir())


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


def test_a_replayed_pointer_is_refused_and_fetches_nothing(station: Station, start: Start) -> None:
    """An older pointer that comes back is answered with the reason; the newer bundle stays."""
    device = start()
    newer_payload = PAYLOAD[::-1]
    with serving(whole(PAYLOAD)) as server, serving(whole(newer_payload)) as newer_server:
        older, newer = pointer(server.url), pointer(newer_server.url, newer_payload)
        for desired in (older, newer):
            station.place(desired)
            station.wait_for("committed", desired)
        station.place(older)
        last = station.wait_for("refused", older)
    assert "it was replayed" in last["reason"]
    assert device.store.active("main") == newer.sha256
    assert len(server.asked) == 1
    assert device.installs == [older.sha256, newer.sha256]


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


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("no pointer", "Pointer refused: it: Invalid JSON"),
        ('{"sha256": "../../etc/passwd"}', "Pointer refused: message_id: Field required"),
        ("[" * 40_000, "Pointer refused: longer than 16384 bytes"),
    ],
)
def test_what_is_no_pointer_is_refused_in_words(
    station: Station, start: Start, text: str, why: str
) -> None:
    """Broken, hostile and endless payloads."""
    start()
    station.place_text(text)
    assert station.wait_for("refused")["reason"].startswith(why)


@pytest.mark.parametrize(
    "changed",
    [{"length": 0}, {"length": -5}, {"sha256": "../x"}, {"sha256": "A" * 64}, {"url": ""},
     {"product": "a/b"}, {"message_id": "1"}],
)  # fmt: skip
def test_a_pointer_with_an_impossible_entry_is_refused(
    station: Station, start: Start, changed: dict[str, Any]
) -> None:
    """Each entry is checked before anybody is contacted."""
    device = start()
    with serving(whole(PAYLOAD)) as server:
        wish = pointer(server.url).model_copy(update=changed)
        station.place(wish)
        reason = station.wait_for("refused")["reason"]
    assert reason.startswith(f"Pointer refused: {next(iter(changed))}: ")
    assert server.asked == []
    assert incoming(device) == []


def test_a_slot_that_the_device_has_not_is_named(station: Station, start: Start) -> None:
    """A pointer to another slot is refused on that slot's topic."""
    start()
    with serving(whole(PAYLOAD)) as server:
        wish = pointer(server.url)
        station.place(wish, "second")
        wait_until(lambda: bool(station.reports("second")))
        assert server.asked == []
    report = station.reports("second")[0]
    assert "no slot 'second', only main" in report["reason"]
    assert report["desired_id"] == wish.message_id


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


def test_a_withdrawn_pointer_ends_its_download(station: Station, start: Start) -> None:
    """An empty retained message cancels, says so, and leaves nothing on the disk."""
    device = start()
    with serving(status(503)) as server:
        wish = pointer(server.url)
        station.place(wish)
        wait_until(lambda: any("503" in r["reason"] for r in station.reports()))
        station.place(None)
        reason = station.wait_for("refused", wish)["reason"]
    assert reason == "Download ended: withdrawn by the workstation."
    wait_until(lambda: incoming(device) == [])


def test_a_wish_withdrawn_while_the_agent_was_away_is_not_carried_out(
    station: Station, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next start finds half a download but no pointer: it says so and clears up."""
    monkeypatch.setattr("edge_app.agent.link.SETTLE_S", 0.3)
    with serving(whole(PAYLOAD, cut_after=len(PAYLOAD) // 2), status(503)) as server:
        wish = pointer(server.url)
        station.place(wish)
        first = start()
        wait_until(lambda: any("503" in r["reason"] for r in station.reports()))
        first.stop()
        station.place(None)
        assert incoming(first) == [f"main-{wish.sha256}.partial"]
        second = start()
        reason = station.wait_for("refused", wish)["reason"]
    assert reason == "Download ended: withdrawn while the agent was away."
    wait_until(lambda: incoming(second) == [])
    assert second.installs == []


def test_a_newer_pointer_overtakes_a_download(station: Station, start: Start) -> None:
    """The older wish is told as ended, the newer one is carried out."""
    device = start()
    with serving(status(503)) as slow, serving(whole(PAYLOAD)) as server:
        older, newer = pointer(slow.url, PAYLOAD[::-1]), pointer(server.url)
        station.place(older)
        wait_until(lambda: any("503" in r["reason"] for r in station.reports()))
        station.place(newer)
        station.wait_for("committed", newer)
    ended = [r for r in station.reports() if r["desired_id"] == older.message_id][-1]
    assert ended["reason"] == "Download ended: overtaken by a newer pointer."
    assert device.installs == [newer.sha256]


def test_a_bundle_that_is_in_use_already_is_not_fetched(station: Station, start: Start) -> None:
    """A second push of the same bundle is answered at once."""
    device = start()
    with serving(whole(PAYLOAD)) as server:
        for desired in (pointer(server.url), pointer(server.url)):
            station.place(desired)
            last = station.wait_for("committed", desired)
        assert len(server.asked) == 1
    assert last["reason"] == "already in use"
    assert len(device.installs) == 1


def test_two_slots_that_want_one_bundle_get_it_each(station: Station, start: Start) -> None:
    """The same file for two slots at once is fetched for each."""
    device = start(("main", "second"))
    with serving(whole(PAYLOAD)) as server:
        for slot in ("main", "second"):
            station.place(pointer(server.url), slot)
        for slot in ("main", "second"):
            wait_until(lambda slot=slot: station.reports(slot)[-1:] != [] and
                       station.reports(slot)[-1]["state"] == "committed")  # fmt: skip
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
            wait_until(lambda device=device: len(device.installs) == 1)
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
    listener = Listener(other.port, REPORTED)
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
