"""Brokers that do not take what we say: ACLs and logins."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from support.alert_drafts import WHO, draft
from support.brokers import Listener, Mosquitto, wait_until

from edge_app.mqtt import dial as dial_module
from edge_app.mqtt.connection import MQTT_311
from edge_app.mqtt.outbox import Outbox
from edge_app.mqtt.publisher import Publisher

pytestmark = pytest.mark.needs("mosquitto")
Start = Callable[..., Publisher]
DEVICE_USER = "graz/line-2/press-3"


@pytest.fixture(params=["MQTT 5", "MQTT 3.1.1"])
def protocol(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Speak one of the two protocols only."""
    if request.param == "MQTT 3.1.1":
        monkeypatch.setattr(dial_module, "MQTT_5", MQTT_311)
    return str(request.param)


@pytest.fixture
def logins(tmp_path: Path) -> Callable[..., str]:
    """Return a function that makes a password file and gives its configuration line."""

    def make(*users: str) -> str:
        path = tmp_path / "passwords"
        for index, user in enumerate(users):
            flags = ["-c"] if index == 0 else []
            command = ["mosquitto_passwd", *flags, "-b", str(path), user, "secret"]
            subprocess.run(command, check=True)
        (tmp_path / "password").write_text("secret\n")
        return f"password_file {path}"

    return make


def user(tmp_path: Path, name: str) -> dict[str, Any]:
    return {"username": name, "password_file": tmp_path / "password"}


def test_a_refused_publish_degrades_and_deletes_nothing(
    start_mosquitto: Callable[..., Mosquitto],
    outbox: Outbox,
    start_publisher: Start,
    tmp_path: Path,
    protocol: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An ACL that denies everything is noticed in both protocols; once it is gone all arrives."""
    monkeypatch.setattr("edge_app.mqtt.delivery.ECHO_TIMEOUT_S", 0.5)
    acl = tmp_path / "acl"
    acl.write_text("topic read other/#\n")
    broker = start_mosquitto(f"acl_file {acl}")
    outbox.append([draft(n) for n in range(30)])
    publisher = start_publisher(broker.port)
    wait_until(lambda: publisher.state.startswith("degraded: publish refused"), 10, protocol)
    assert outbox.depth() == 30
    acl.write_text("topic readwrite #\n")
    broker.reload()
    wait_until(lambda: publisher.state == "connected" and outbox.depth() == 0)


def test_an_acl_that_denies_only_alerts_is_noticed_too(
    start_mosquitto: Callable[..., Mosquitto],
    outbox: Outbox,
    start_publisher: Start,
    tmp_path: Path,
    protocol: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The probe passes, the alert does not: nothing is deleted, and the status says degraded."""
    monkeypatch.setattr("edge_app.mqtt.delivery.ECHO_TIMEOUT_S", 0.5)
    acl = tmp_path / "acl"
    root = WHO.root
    acl.write_text("".join(f"topic readwrite {root}/{t}\n" for t in ("probe", "status", "info")))
    broker = start_mosquitto(f"acl_file {acl}")
    outbox.append([draft(n) for n in range(30)])
    listener = Listener(broker.port, f"{root}/status")
    publisher = start_publisher(broker.port)
    wait_until(lambda: any(b["state"] == "degraded" for b in listener.bodies("/status")))
    assert publisher.state.startswith("degraded: publish refused")
    assert outbox.depth() == 30
    listener.close()


def test_a_refused_login_is_named_and_loses_nothing(
    start_mosquitto: Callable[..., Mosquitto],
    outbox: Outbox,
    start_publisher: Start,
    tmp_path: Path,
    logins: Callable[..., str],
    protocol: str,
) -> None:
    """The state says that the broker refused the login; with the right password all arrives."""
    broker = start_mosquitto(logins(DEVICE_USER), is_open=False)
    (tmp_path / "password").write_text("wrong\n")
    outbox.append([draft(1)])
    publisher = start_publisher(broker.port, **user(tmp_path, DEVICE_USER))
    wait_until(lambda: publisher.state.startswith("degraded: broker refused the login: "), 10)
    assert outbox.depth() == 1
    (tmp_path / "password").write_text("secret\n")
    wait_until(lambda: publisher.state == "connected" and outbox.depth() == 0)


def test_a_missing_password_file_is_named(outbox: Outbox, start_publisher: Start) -> None:
    """Secrets come from files; an unreadable one is said in words and retried."""
    publisher = start_publisher(1, username="x", password_file=Path("/nowhere/password"))
    wait_until(lambda: "password_file /nowhere/password cannot be read" in publisher.state)
    assert publisher.state.startswith("degraded: ")


def test_the_shipped_acl_lets_a_device_do_its_work(
    start_mosquitto: Callable[..., Mosquitto],
    outbox: Outbox,
    start_publisher: Start,
    tmp_path: Path,
    logins: Callable[..., str],
    protocol: str,
) -> None:
    """With mosquitto.acl a device delivers in both protocols, and the user `watch` reads it."""
    acl = files("edge_app.mqtt") / "mosquitto.acl"
    lines = f"{logins(DEVICE_USER, 'watch')}\nacl_file {acl}"
    broker = start_mosquitto(lines, is_open=False)
    watcher = Listener(broker.port, "inspect/v1/#", username="watch", password="secret")
    outbox.append([draft(n) for n in range(30)])
    publisher = start_publisher(broker.port, **user(tmp_path, DEVICE_USER))
    publisher.set_camera_state("cam1", "capturing")
    wait_until(lambda: publisher.state == "connected" and outbox.depth() == 0, 10, protocol)
    wait_until(lambda: len(watcher.bodies("/alert")) == 30)
    wait_until(lambda: len(watcher.bodies("/state")) == 1)
    watcher.close()


def test_with_the_shipped_acl_nobody_writes_anothers_topics(
    start_mosquitto: Callable[..., Mosquitto], logins: Callable[..., str]
) -> None:
    """Neither another device nor a watcher can speak for a device."""
    acl = files("edge_app.mqtt") / "mosquitto.acl"
    other = "graz/line-2/press-4"
    lines = f"{logins(DEVICE_USER, other, 'watch')}\nacl_file {acl}"
    broker = start_mosquitto(lines, is_open=False)
    watcher = Listener(broker.port, "inspect/v1/#", username="watch", password="secret")
    curious = Listener(broker.port, "inspect/v1/#", username=other, password="secret")
    for name in (other, "watch"):
        forger = Listener(broker.port, "nothing", username=name, password="secret")
        for topic in ("status", "cam/cam1/alert", "cam/cam1/alarm"):
            forger.publish(f"{WHO.root}/{topic}", "forged")
        forger.close()
    own = f"inspect/v1/{other}/status"
    curious.publish(own, "mine")
    wait_until(lambda: bool(watcher.messages) and bool(curious.messages))
    for listener in (watcher, curious):
        assert [(topic, text) for topic, text, _ in listener.messages] == [(own, "mine")]
        listener.close()


def test_with_the_shipped_acl_no_device_overhears_another(
    start_mosquitto: Callable[..., Mosquitto],
    outbox: Outbox,
    start_publisher: Start,
    tmp_path: Path,
    logins: Callable[..., str],
) -> None:
    """A device that subscribes to everything gets nothing of what another says."""
    acl = files("edge_app.mqtt") / "mosquitto.acl"
    other = "graz/line-2/press-4"
    lines = f"{logins(DEVICE_USER, other)}\nacl_file {acl}"
    broker = start_mosquitto(lines, is_open=False)
    curious = Listener(broker.port, "#", username=other, password="secret")
    outbox.append([draft(1)])
    publisher = start_publisher(broker.port, **user(tmp_path, DEVICE_USER))
    wait_until(lambda: publisher.state == "connected" and outbox.depth() == 0)
    curious.publish(f"inspect/v1/{other}/status", "mine")
    wait_until(lambda: bool(curious.messages))
    assert [text for _, text, _ in curious.messages] == ["mine"]
    curious.close()
