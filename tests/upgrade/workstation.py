"""The other end of the wire: hears what a device publishes, offers it bundles, places pointers.

Like `field_device.py` it knows the messages, not the code. It speaks MQTT 3.1.1, for the embedded
broker.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from field_device import wait_until
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

HOST = "127.0.0.1"
ROOT = "inspect/v1/graz/l2/d3"


class Workstation:
    """A client of the broker.

    Attributes:
        heard: (topic, payload) of every message, in order of arrival.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.heard: list[tuple[str, bytes]] = []
        ready = threading.Event()
        client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv311)
        client.on_connect = lambda c, *_: c.subscribe(f"{ROOT}/#", qos=1)
        client.on_subscribe = lambda *_: ready.set()
        client.on_message = self._hear
        client.connect(HOST, port)
        client.loop_start()
        self._client = client
        assert ready.wait(10), "no subscription"

    def _hear(self, _client: Client, _user: object, message: MQTTMessage) -> None:
        self.heard.append((message.topic, bytes(message.payload)))

    def bodies(self, end: str) -> list[dict[str, Any]]:
        """Return the JSON objects that came on topics with this ending."""
        return [
            json.loads(text) for topic, text in list(self.heard) if topic.endswith(end) and text
        ]

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts in order of arrival, each once: a device may send one again."""
        return list({alert["message_id"]: alert for alert in self.bodies("/alert")}.values())

    def forget(self) -> None:
        """Forget what was heard: another run of the device begins."""
        self.heard.clear()

    def place(self, pointer: dict[str, Any]) -> None:
        """Place a retained pointer to a bundle, once inspection and agent are at the broker.

        Not before: the embedded broker hands a new subscriber every retained message, whatever it
        has subscribed to, and inspection clears retained messages that are not its own.
        """
        for end in ("d3/status", "agent/status"):
            wait_until(lambda e=end: bool(self.bodies(e)), f"{end} at the broker")  # type: ignore[misc]
        self._publish("deploy/main/desired", json.dumps(pointer), retain=True)

    def command(self, text: str) -> dict[str, Any]:
        """Give a signed command and return the answer to it."""
        digest = hashlib.sha256(text.encode()).hexdigest()

        def answers() -> list[dict[str, Any]]:
            return [a for a in self.bodies("/agent/answer") if a["command_sha256"] == digest]

        wait_until(lambda: bool(self.bodies("/agent/status")), "the agent at the broker")
        self._publish("cmd/select_product", text)
        wait_until(lambda: bool(answers()), "an answer")
        return answers()[0]

    def _publish(self, topic: str, text: str, retain: bool = False) -> None:
        self._client.publish(f"{ROOT}/{topic}", text, qos=1, retain=retain).wait_for_publish(10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def pointer_to(bundle: Path, url: str) -> dict[str, Any]:
    """Return a fresh pointer to a bundle, such as `edge-deploy push` places."""
    data, now_ns = bundle.read_bytes(), time.time_ns()
    product, _, serial = bundle.stem.rpartition("-")
    seconds, ns = divmod(now_ns, 10**9)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    text = f"{(now_ns // 10**6 << 80) | 7 << 76 | 2 << 62 | secrets.randbits(62):032x}"
    return {
        "schema_version": 1,
        "message_id": "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:])),
        "issued_at": f"{stamp}.{ns:09d}Z",
        "product": product,
        "serial": int(serial),
        "sha256": hashlib.sha256(data).hexdigest(),
        "length": len(data),
        "url": url,
    }


class _Handler(BaseHTTPRequestHandler):
    server: BundleServer

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        if self.server.stops_at is not None and len(self.server.asked) > 1:
            self.send_error(503)
            return
        first = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        data = self.server.bundle.read_bytes()
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(data) - first))
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        self.wfile.write(data[first : self.server.stops_at])

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class BundleServer(ThreadingHTTPServer):
    """Offers one bundle with ranges; `asked` has the Range header of every request.

    Args:
        stops_at: it hangs up after so many bytes, and is out of order from then on.
    """

    daemon_threads = True

    def __init__(self, bundle: Path, stops_at: int | None = None) -> None:
        super().__init__((HOST, 0), _Handler)
        self.bundle, self.stops_at = bundle, stops_at
        self.asked: list[str | None] = []
        self.url = f"http://{HOST}:{self.server_address[1]}/{bundle.name}"


@contextmanager
def serving(bundle: Path, stops_at: int | None = None) -> Iterator[BundleServer]:
    """Run a server of one bundle."""
    with BundleServer(bundle, stops_at) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
