"""The shipped ACL: inspection, agent, workstation and watcher each do their own work only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.alert_drafts import WHO
from support.broker_logins import PASSWORD, acl_lines
from support.brokers import HOST, Listener, Mosquitto, wait_until
from support.deploy_pointers import PAYLOAD, pointer
from support.faulty_web_server import serving, whole

from benchmarks.fleet_device import SimulatedDevice
from edge_app.agent.pull.download_rules import DownloadRules
from edge_app.mqtt import dial as dial_module
from edge_app.mqtt.connection import MQTT_311
from edge_app.mqtt.settings import MqttSettings
from edge_app.mqtt.topics import DeviceName, Topics

pytestmark = pytest.mark.needs("mosquitto")
OTHER = DeviceName("graz", "line-2", "press-4")
RUN, AGENT, OTHER_RUN, OTHER_AGENT = str(WHO), WHO.root, str(OTHER), OTHER.root
MINE, THEIRS = Topics(WHO), Topics(OTHER)
AGENT_TOPICS = (MINE.agent_status, MINE.reported("main"))
RUN_TOPICS = (MINE.status, MINE.info, MINE.alert("cam1"), MINE.alarm_level("cam1"))


@pytest.fixture
def broker(start_mosquitto: Callable[..., Mosquitto], tmp_path: Path) -> Mosquitto:
    users = (RUN, AGENT, OTHER_RUN, OTHER_AGENT, "watch", "deploy")
    return start_mosquitto(acl_lines(tmp_path, *users), is_open=False)


@pytest.fixture
def connect(broker: Mosquitto) -> Iterator[Callable[..., Listener]]:
    """Return a function that logs somebody in."""
    listeners: list[Listener] = []

    def make(user: str, topic: str = "inspect/v1/#") -> Listener:
        listeners.append(Listener(broker.port, topic, username=user, password=PASSWORD))
        return listeners[-1]

    yield make
    for listener in listeners:
        listener.close()


@pytest.mark.parametrize("protocol", ["MQTT 5", "MQTT 3.1.1"])
def test_with_the_shipped_acl_a_push_goes_all_the_way(
    broker: Mosquitto,
    connect: Callable[..., Listener],
    tmp_path: Path,
    protocol: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The workstation's user places a pointer, the agent's user carries it out, watch reads it."""
    if protocol == "MQTT 3.1.1":
        monkeypatch.setattr(dial_module, "MQTT_5", MQTT_311)
    watcher, deploy = connect("watch"), connect("deploy")
    settings = MqttSettings(
        HOST, broker.port, username=AGENT, password_file=tmp_path / "password",
        reconnect_min_s=0.1,
    )  # fmt: skip
    rules = DownloadRules(allowed_hosts=(HOST,), max_bytes=len(PAYLOAD))
    device = SimulatedDevice(WHO, settings, tmp_path / "store", rules)
    device.start()
    with serving(whole(PAYLOAD)) as server:
        deploy.publish(MINE.desired("main"), pointer(server.url).payload().decode(), retain=True)
        wait_until(lambda: [b["state"] for b in watcher.bodies("/reported")][-1:] == ["committed"])
    device.stop()
    wait_until(lambda: watcher.bodies("/agent/status")[-1]["state"] == "stopped")


@pytest.mark.parametrize(
    ("user", "topics"),
    [
        pytest.param(OTHER_AGENT, (*AGENT_TOPICS, *RUN_TOPICS), id="another agent"),
        pytest.param(OTHER_RUN, (*AGENT_TOPICS, *RUN_TOPICS), id="another inspection"),
        pytest.param(RUN, (*AGENT_TOPICS, MINE.desired("main")), id="own inspection"),
        pytest.param(AGENT, (*RUN_TOPICS, MINE.desired("main")), id="own agent"),
        pytest.param("deploy", (*AGENT_TOPICS, *RUN_TOPICS), id="workstation"),
        pytest.param("watch", (*AGENT_TOPICS, MINE.desired("main")), id="watcher"),
    ],
)
def test_nobody_writes_what_is_anothers(
    connect: Callable[..., Listener], user: str, topics: tuple[str, ...]
) -> None:
    """What is forged is dropped by the broker: only the agent's own words arrive."""
    watcher = connect("watch")
    forger = connect(user, "nothing")
    for topic in topics:
        forger.publish(topic, "forged")
    honest = connect(AGENT, "nothing")
    honest.publish(MINE.agent_status, "mine")
    wait_until(lambda: bool(watcher.messages))
    assert [(topic, text) for topic, text, _ in watcher.messages] == [(MINE.agent_status, "mine")]


@pytest.mark.parametrize("user", [RUN, OTHER_RUN, OTHER_AGENT])
def test_pointers_are_read_by_their_own_agent_only(
    connect: Callable[..., Listener], user: str
) -> None:
    """Where a bundle lies is not for inspection's login, nor for other devices."""
    curious, agent, deploy = connect(user, "#"), connect(AGENT, "#"), connect("deploy", "nothing")
    deploy.publish(MINE.desired("main"), "pointer")
    wait_until(lambda: bool(agent.messages))
    assert curious.messages == []


@pytest.mark.parametrize("protocol", ["MQTT 5", "MQTT 3.1.1"])
def test_an_agent_with_inspections_login_says_once_what_is_wrong(
    broker: Mosquitto,
    tmp_path: Path,
    protocol: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The log names the topic and what the ACL has to allow; repeats are not warnings."""
    if protocol == "MQTT 3.1.1":
        monkeypatch.setattr(dial_module, "MQTT_5", MQTT_311)
    settings = MqttSettings(
        HOST, broker.port, username=RUN, password_file=tmp_path / "password",
        reconnect_min_s=0.05, reconnect_max_s=0.1,
    )  # fmt: skip
    device = SimulatedDevice(WHO, settings, tmp_path / "store", DownloadRules((), 1))
    caplog.set_level("DEBUG", "edge_app.agent.pull.mqtt_client")

    def refusals() -> list[str]:
        advice = "the broker's ACL must let the agent's user use its agent/ and deploy/ topics"
        return [r.levelname for r in caplog.records if advice in r.getMessage()]

    device.start()
    wait_until(lambda: len(refusals()) > 2)
    device.stop()
    assert refusals().count("WARNING") == 1
