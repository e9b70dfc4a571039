"""The publisher against a real mosquitto."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from functools import partial

import pytest
from support.alert_drafts import WHO, bad_part, draft
from support.brokers import Listener, Mosquitto, patient_s, wait_until

from edge_app.mqtt.messages import Health, result_from_verdict
from edge_app.mqtt.outbox import Outbox
from edge_app.mqtt.publisher import Publisher
from edge_app.mqtt.timestamps import rfc3339

pytestmark = pytest.mark.needs("mosquitto")
Start = Callable[..., Publisher]
ROOT = WHO.root


def first_numbers(bodies: list[dict[str, object]]) -> list[object]:
    """Return each seq at its first occurrence, in order of arrival."""
    return list(dict.fromkeys(body["seq"] for body in bodies))


def test_alerts_arrive_in_order_and_leave_the_outbox(
    mosquitto: Mosquitto, outbox: Outbox, start_publisher: Start
) -> None:
    """What waited at the start is marked as replayed, what came later is not; all is deleted."""
    listener = Listener(mosquitto.port, f"{ROOT}/#")
    outbox.append([draft(n) for n in range(60)])
    publisher = start_publisher(mosquitto.port)
    wait_until(lambda: publisher.state == "connected" and outbox.depth() == 0)
    outbox.append([draft(60)])
    publisher.wake()
    wait_until(lambda: len(listener.bodies("/alert")) == 61)
    bodies = listener.bodies("/alert")
    assert [body["seq"] for body in bodies] == list(range(1, 62))
    assert [body["replayed"] for body in bodies] == [True] * 60 + [False]
    wait_until(lambda: outbox.depth() == 0)
    listener.close()


def test_the_start_says_who_is_there_and_clears_old_alarm_levels(
    mosquitto: Mosquitto, start_publisher: Start
) -> None:
    """Retained status and info appear, a level left on is off, a removed camera's is gone."""
    listener = Listener(mosquitto.port, f"{ROOT}/#")
    for camera in ("cam1", "removed"):
        listener.publish(f"{ROOT}/cam/{camera}/alarm", '{"is_on":true}', retain=True)
    publisher = start_publisher(mosquitto.port)
    publisher.set_camera_state("cam1", "capturing")
    wait_until(lambda: any(not text for topic, text, _ in listener.messages if "removed" in topic))
    wait_until(lambda: bool(listener.bodies("/state")))
    late = Listener(mosquitto.port, f"{ROOT}/#")
    wait_until(lambda: len(late.messages) >= 4)
    retained = {t.removeprefix(ROOT): json.loads(text) for t, text, kept in late.messages if kept}
    assert retained["/status"]["state"] == "online"
    assert retained["/info"]["hardware"] == "test"
    assert retained["/cam/cam1/alarm"]["is_on"] is False
    assert retained["/cam/cam1/state"]["state"] == "capturing"
    assert not any("removed" in topic for topic in retained)
    listener.close()
    late.close()


def test_the_alarm_level_follows_and_stays_for_late_subscribers(
    mosquitto: Mosquitto, start_publisher: Start
) -> None:
    """A lamp that is switched on later sees the current level."""
    publisher = start_publisher(mosquitto.port)
    publisher.set_alarm_level("cam1", True, "part-7")
    wait_until(lambda: publisher.state == "connected")
    publisher.set_alarm_level("cam1", True, "part-8")
    time.sleep(0.3)
    late = Listener(mosquitto.port, f"{ROOT}/cam/cam1/alarm")
    wait_until(lambda: bool(late.messages))
    body = late.bodies("/alarm")[-1]
    assert (body["is_on"], body["part_id"]) == (True, "part-8")
    late.close()


def test_a_broker_that_comes_and_goes_loses_nothing_and_keeps_the_order(
    mosquitto: Mosquitto, outbox: Outbox, start_publisher: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """A subscriber with a persistent session gets every alert, first occurrences in order."""
    caplog.set_level(logging.DEBUG, "edge_app.mqtt.publisher")
    listener = Listener(mosquitto.port, f"{ROOT}/cam/+/alert", client_id="keeps-session")
    publisher = start_publisher(mosquitto.port)
    for number in range(120):
        outbox.append([draft(number)], "cam1", number)
        publisher.wake()
        if number in (30, 70):
            mosquitto.stop()
        if number in (50, 90):
            mosquitto.start()
    wait_until(lambda: outbox.depth() == 0, 20, "outbox empty")
    wait_until(lambda: len(first_numbers(listener.bodies("/alert"))) == 120, 20, "all arrived")
    bodies = listener.bodies("/alert")
    assert first_numbers(bodies) == list(range(1, 121))
    assert any(body["replayed"] for body in bodies)
    levels = [record.levelno for record in caplog.records]
    assert levels.count(logging.WARNING) <= 2
    assert logging.INFO in levels
    listener.close()


def test_stop_sends_what_waits_and_says_stopped(
    mosquitto: Mosquitto, outbox: Outbox, start_publisher: Start
) -> None:
    """An orderly end leaves the status `stopped`, not the last will."""
    listener = Listener(mosquitto.port, f"{ROOT}/#")
    publisher = start_publisher(mosquitto.port)
    wait_until(lambda: publisher.state == "connected")
    outbox.append([draft(n) for n in range(40)])
    publisher.stop(5)
    wait_until(lambda: any(b["state"] == "stopped" for b in listener.bodies("/status")))
    assert outbox.depth() == 0
    assert publisher.state == "stopped"
    assert [b["state"] for b in listener.bodies("/status")] == ["online", "stopped"]
    listener.close()


def test_stop_without_a_broker_is_quick_and_keeps_everything(
    outbox: Outbox, start_publisher: Start
) -> None:
    """No broker: the state says so, stopping does not hang, the alerts stay."""
    outbox.append([draft(1)])
    publisher = start_publisher(1)
    wait_until(lambda: "no MQTT connection to 127.0.0.1:1" in publisher.last_error)
    assert publisher.state == "connecting"
    begin_s = time.monotonic()
    publisher.stop(30)
    assert time.monotonic() - begin_s < patient_s(3)
    assert outbox.depth() == 1


def test_health_and_results_are_sent_and_counted_when_they_cannot(
    mosquitto: Mosquitto, outbox: Outbox, start_publisher: Start
) -> None:
    """QoS 0 messages go out while connected and are counted while not."""
    listener = Listener(mosquitto.port, f"{ROOT}/#")
    result = result_from_verdict(bad_part(1), WHO, clock_synchronised=True, published_at_ns=1)
    health = Health(session=1, at=rfc3339(1), uptime_s=1.0, outbox=outbox.health())
    publisher = start_publisher(mosquitto.port)
    wait_until(lambda: publisher.state == "connected")
    publisher.publish_result(result)
    publisher.publish_health(health)
    wait_until(lambda: bool(listener.bodies("/result")) and bool(listener.bodies("/health")))
    assert publisher.messages_dropped == 0
    publisher.stop()
    publisher.publish_result(result)
    assert publisher.messages_dropped == 1
    listener.close()


def test_a_reason_of_the_apps_own_makes_the_status_degraded(
    mosquitto: Mosquitto, start_publisher: Start
) -> None:
    """set_degraded is published and taken back; the broker's state stays connected."""
    listener = Listener(mosquitto.port, f"{ROOT}/status")
    publisher = start_publisher(mosquitto.port)
    wait_until(lambda: publisher.state == "connected")
    publisher.set_degraded("no model")
    wait_until(lambda: len(listener.bodies("/status")) == 2)
    publisher.set_degraded(None)
    wait_until(lambda: len(listener.bodies("/status")) == 3)
    said = [(b["state"], b["reason"]) for b in listener.bodies("/status")]
    assert said == [("online", ""), ("degraded", "no model"), ("online", "")]
    assert publisher.state == "connected"
    listener.close()


def test_each_source_of_trouble_takes_back_its_own_reason_only(
    mosquitto: Mosquitto, start_publisher: Start
) -> None:
    """The alarm store works again while a detector still fails: still degraded, for that reason."""
    listener = Listener(mosquitto.port, f"{ROOT}/status")
    publisher = start_publisher(mosquitto.port)
    wait_until(lambda: publisher.state == "connected")
    publisher.set_degraded("alarm store cannot be written")
    publisher.set_degraded("cam1: the detector fails", "detector of cam1")
    wait_until(lambda: any("; " in b["reason"] for b in listener.bodies("/status")))
    publisher.set_degraded(None)
    wait_until(lambda: listener.bodies("/status")[-1]["reason"] == "cam1: the detector fails")
    publisher.set_degraded(None, "detector of cam1")
    wait_until(lambda: listener.bodies("/status")[-1]["state"] == "online")
    listener.close()


def test_a_message_that_cannot_be_sent_does_not_end_the_publisher(
    mosquitto: Mosquitto, outbox: Outbox, start_publisher: Start
) -> None:
    """A camera name that no topic can hold is shown as degraded; the alerts behind it go out."""
    publisher = start_publisher(mosquitto.port)
    wait_until(lambda: publisher.state == "connected")
    outbox.append([draft(1, camera="cam+"), draft(2), draft(3)])
    publisher.wake()
    wait_until(lambda: publisher.state.startswith("degraded: stored alert 1 cannot be sent"))
    wait_until(lambda: outbox.depth() == 1)
    outbox.delete(1)
    wait_until(lambda: publisher.state == "connected")


def test_the_heart_beats_with_and_without_a_broker(
    mosquitto: Mosquitto, start_publisher: Start
) -> None:
    """Connected, cut off and waiting to try again: the loop goes round, the broker was tried."""
    publisher = start_publisher(mosquitto.port, reconnect_min_s=5.0, reconnect_max_s=5.0)
    wait_until(lambda: publisher.has_tried_broker)
    for is_up in (True, False):
        if not is_up:
            mosquitto.stop()
            wait_until(lambda: publisher.state == "connecting")
        before_ns = publisher.heartbeat_ns()
        wait_until(partial(lambda before: publisher.heartbeat_ns() > before, before_ns), 1.5)
    assert publisher.has_tried_broker
