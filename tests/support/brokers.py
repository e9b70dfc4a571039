"""A real mosquitto on loopback, and a subscriber that writes down what it hears."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "mosquitto"
HOST = "127.0.0.1"


PATIENCE = 3.0
"""Beside other tests a process may get a third of a core, or wait for the disk."""


def wait_until(is_true: Callable[[], bool], timeout_s: float = 10.0, what: str = "") -> None:
    """Wait for a claim to become true; fail with `what` if it does not.

    Args:
        timeout_s: within which it is true on a machine with time. How fast something has to be is
            no matter of this wait: PATIENCE times as long may pass.
    """
    timeout_s *= PATIENCE
    end_s = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < end_s, f"not within {timeout_s} s: {what or is_true}"
        time.sleep(0.02)


def patient_s(limit_s: float) -> float:
    """Return how long something may take that must not wait for what takes far longer.

    Args:
        limit_s: what is enough on a machine with time. What it would wait for by mistake has to
            last more than PATIENCE times as long, or the comparison tells nothing.
    """
    return PATIENCE * limit_s


def free_port() -> int:
    """Return a TCP port on loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class Mosquitto:
    """One broker with a store on disk: it may be stopped and started again on the same port.

    Args:
        lines: further lines of mosquitto.conf, in the listener's section.
        is_open: everybody may log in without a name.
    """

    def __init__(self, folder: Path, lines: str = "", is_open: bool = True) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.set_lines(lines, is_open)

    def set_lines(self, lines: str, is_open: bool = True) -> None:
        """Replace the configuration; takes effect at the next start."""
        (self._folder / "mosquitto.conf").write_text(
            f"user root\npersistence true\npersistence_location {self._folder}/\n"
            "max_queued_messages 0\n"
            f"listener {self.port} {HOST}\nallow_anonymous {str(is_open).lower()}\n{lines}\n"
        )

    def start(self) -> Mosquitto:
        """Start and wait until it listens."""
        with (self._folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(
                [MOSQUITTO, "-c", str(self._folder / "mosquitto.conf")], stdout=log, stderr=log
            )
        wait_until(self._listens, what=(self._folder / "mosquitto.log").read_text()[-500:])
        return self

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((HOST, self.port)) == 0

    def reload(self) -> None:
        """Read password and ACL files again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        """Stop in an orderly way: sessions and queued messages are stored."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None


class Listener:
    """A subscriber; `messages` holds (topic, payload as text, retained) in order of arrival."""

    def __init__(
        self,
        port: int,
        topic: str = "#",
        client_id: str | None = None,
        username: str | None = None,
        password: str | None = None,
    ) -> None:
        self.messages: list[tuple[str, str, bool]] = []
        self._topic = topic
        self._is_ready = False
        is_new = client_id is None
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id or "",
            protocol=MQTTProtocolVersion.MQTTv5,
        )
        self._client.reconnect_delay_set(0.1, 0.2)  # type: ignore[arg-type]  # it takes them
        if username is not None:
            self._client.username_pw_set(username, password)
        self._client.on_connect = lambda c, *_: c.subscribe(topic, qos=1)
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 0 if is_new else 3600
        self._client.connect(HOST, port, 30, clean_start=is_new, properties=properties)
        self._client.loop_start()
        wait_until(lambda: self._is_ready, what="subscription")

    def _on_subscribe(self, *_: object) -> None:
        self._is_ready = True

    def _on_message(self, _c: Client, _u: object, message: MQTTMessage) -> None:
        self.messages.append((message.topic, message.payload.decode(), bool(message.retain)))

    def bodies(self, end: str) -> list[dict[str, Any]]:
        """Return the JSON objects that came on topics with this ending."""
        return [json.loads(text) for topic, text, _ in list(self.messages)
                if topic.endswith(end) and text]  # fmt: skip

    def publish(self, topic: str, text: str, retain: bool = False) -> None:
        """Publish as this client; mosquitto 2.0.11 hangs up after one that its ACL denies."""
        wait_until(self._client.is_connected, what="connected")
        sent = self._client.publish(topic, text, qos=1, retain=retain)
        wait_until(lambda: sent.is_published() or not self._client.is_connected(), what=topic)

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()
