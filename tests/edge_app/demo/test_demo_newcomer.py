"""What a newcomer sees of the demo: no error line, each alarm, and how sure the counts are."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from paho.mqtt import publish
from paho.mqtt.client import MQTTv311
from rich.console import Console
from support.alert_drafts import WHO, draft
from support.brokers import HOST, wait_until

from edge_app.demo.broker import EmbeddedBroker
from edge_app.demo.report import print_summary
from edge_app.demo.subscriber import COUNTS, WatchProcess
from edge_app.mqtt.messages import Alert
from edge_app.mqtt.topics import alert_filter
from edge_app.records import JsonObject

COMMAND = str(Path(sys.executable).with_name("edge-deploy"))
ALERT = f"{WHO.root}/cam/cam1/alert"


def send(broker: EmbeddedBroker, topic: str, text: str, retain: bool = False) -> None:
    publish.single(
        topic, text, qos=1, retain=retain, hostname=HOST, port=broker.port, protocol=MQTTv311
    )


def alert(seq: int) -> str:
    later = {"seq": seq, "session": 1, "published_at": "2026-11-22T05:02:14.123456789Z"}
    return Alert(**draft(seq).model_dump(), **later, replayed=False).payload().decode()


@pytest.mark.needs("the extra demo")
def test_what_nobody_subscribed_to_is_no_error_of_the_watcher() -> None:
    """The embedded broker sends a new subscriber retained messages of other topics too: they are
    passed over without a word, and the alert behind them is shown."""
    with EmbeddedBroker() as broker:
        for topic in ("cam/cam1/alarm", "cam/cam1/state", "status"):
            send(broker, f"{WHO.root}/{topic}", '{"no": "alert"}', retain=True)
        command = [COMMAND, "watch", "--broker", f"{HOST}:{broker.port}", "--count", "1"]
        with subprocess.Popen(
            [*command, "--timeout-s", "30", "--client-id", "w"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            wait_until(lambda: broker.has_subscribers(alert_filter(), ["w"]), 20, "the watcher")
            send(broker, ALERT, alert(1))
            out, notes = process.communicate(timeout=40)
    assert process.returncode == 0
    assert "cam1" in out
    assert [line for line in notes.splitlines() if "watching" not in line] == []


@pytest.mark.needs("the extra demo")
def test_the_first_and_the_last_alarm_are_counted() -> None:
    """Whoever waits for the watcher misses no alarm at the beginning, and none at the end."""
    with EmbeddedBroker() as broker:
        watch = WatchProcess(broker.port, shows_table=False)
        assert not broker.has_subscribers(alert_filter(), watch.clients)
        watch.start()
        wait_until(lambda: broker.has_subscribers(alert_filter(), [COUNTS]), 20, "the watcher")
        for seq in (1, 2, 3):
            send(broker, ALERT, alert(seq))
        watch.wait_for(3)
        assert watch.stop()["alerts_received"] == 3


@pytest.mark.parametrize(
    ("caught", "defective", "false", "parts", "said"),
    [
        (
            1,
            1,
            0,
            10,
            ["1 of 1 (95 %: 2 % to 100 %)", "0 of 9 (95 %: 0 % to 34 %)", "at least 2 %"],
        ),
        (9, 10, 1, 110, ["9 of 10 (95 %: 55 % to 100 %)", "1 of 100 (95 %: 0 % to 6 %)"]),
        (0, 0, 0, 8, ["none seen", "Too few parts to say"]),
        (0, 0, 0, 0, ["Too few parts to say"]),
    ],
)
def test_the_summary_says_how_sure_it_is(
    caught: int, defective: int, false: int, parts: int, said: list[str]
) -> None:
    """Exact 95 % intervals, rounded away from what would sound better."""
    summary: JsonObject = {
        "product": "tapered", "parts": parts, "defective": defective, "caught": caught,
        "false_alarms": false, "not_inspected": 0, "alerts_received": caught, "located": caught,
        "frames_per_second": 10.0, "suspect": 0, "recall_by_kind": {}, "recall_by_size": {},
        "reserved_kind": {"kind": "crack", "parts": 0, "caught": 0},
    }  # fmt: skip
    out = io.StringIO()
    print_summary(summary, Console(file=out, width=200))
    for text in said:
        assert text in out.getvalue()
