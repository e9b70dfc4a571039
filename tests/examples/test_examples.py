"""The examples do what they say, as a reader runs them."""

from __future__ import annotations

import ast
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.publish as publish
import pytest
from support.app_config import running, write_config
from support.brokers import HOST, Mosquitto
from support.small_bundles import write_bright_bundle, write_pictures

EXAMPLES = Path(__file__).parents[2] / "examples"
TOPIC = "inspect/v1/graz/l2/d3/cam/cam1/alert"


def test_every_example_is_named_in_their_readme() -> None:
    """The table has every file and folder, and only those."""
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    here = {p.name for p in EXAMPLES.iterdir() if p.name not in ("README.md", "__pycache__")}
    assert here == {name for name in here if f"]({name}" in text}


def test_a_folder_is_judged(tmp_path: Path) -> None:
    """Three pictures, the second bad: a line each, in order, and exit code 1."""
    bundle = write_bright_bundle(tmp_path / "a.bundle")
    pictures = write_pictures(tmp_path / "pictures", 3, {2})
    command = [sys.executable, str(EXAMPLES / "judge_folder.py"), str(bundle), str(pictures)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == ["OK", "NG", "OK"]
    assert [line[2] for line in lines] == ["0001.png", "0002.png", "0003.png"]
    assert float(lines[1][1]) > 150


def test_the_subscriber_has_twenty_lines() -> None:
    """What the documents promise: statements, without imports, blank lines and its docstring."""
    text = (EXAMPLES / "subscribe_alerts.py").read_text(encoding="utf-8")
    body = [n for n in ast.parse(text).body[1:] if not isinstance(n, (ast.Import, ast.ImportFrom))]
    lines = [text.splitlines()[n.lineno - 1 : n.end_lineno] for n in body]
    assert len([line for block in lines for line in block if line.strip()]) <= 20


class Subscriber:
    """The example, running; its lines of both streams as they come."""

    def __init__(self, port: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / "subscribe_alerts.py"), HOST, str(port)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self._lines.put(line)

    def next(self) -> str:
        try:
            return self._lines.get(timeout=30).rstrip()
        except queue.Empty:
            raise AssertionError("no line, not within 30 s") from None

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()


@pytest.fixture
def subscriber(mosquitto: Mosquitto) -> Iterator[Subscriber]:
    """Return the example, subscribed: it has answered to a first message."""
    started = Subscriber(mosquitto.port)
    for _ in range(60):
        publish.single(TOPIC, "{}", qos=1, hostname=HOST, port=mosquitto.port)
        try:
            started._lines.get(timeout=0.5)
            break
        except queue.Empty:
            continue
    yield started
    started.stop()


@pytest.mark.needs("mosquitto")
def test_a_device_s_alert_is_printed_once(
    subscriber: Subscriber, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """The installed app finds one bad part among three; what comes twice is printed once."""
    pictures = write_pictures(tmp_path / "pictures", 3, {2})
    with running(write_config(tmp_path, f"folder:{pictures}", mosquitto.port)):
        line = subscriber.next()
        while "cannot be read" in line:
            line = subscriber.next()
    topic, _, words = line.partition(" ")
    assert topic == TOPIC
    event, part_id, verdict, _ = json.loads(words)
    assert (event, verdict) == ("new", "NG")
    assert part_id


@pytest.mark.needs("mosquitto")
def test_what_cannot_be_read_costs_itself_only(
    subscriber: Subscriber, mosquitto: Mosquitto
) -> None:
    """Brackets without end, another shape, bytes that are no text, then an alert, twice."""
    alert = {
        "message_id": "1",
        "event": "new",
        "part_id": "p\x1b[2J",
        "verdict": "NG",
        "reason": "",
    }
    body = json.dumps(alert)
    for payload in (b"[" * 100_000, b"7", b"\xff\xfe", b'{"message_id": []}', body, body):
        publish.single(TOPIC, payload, qos=1, hostname=HOST, port=mosquitto.port)
    alert["message_id"] = "2"
    publish.single(TOPIC, json.dumps(alert), qos=1, hostname=HOST, port=mosquitto.port)
    lines = [subscriber.next() for _ in range(6)]
    while lines[0].endswith("KeyError('message_id')"):  # the fixture's
        lines = [*lines[1:], subscriber.next()]
    assert [line.startswith("cannot be read") for line in lines] == [True] * 4 + [False] * 2
    assert "\x1b" not in "".join(lines)
