"""A device reduced to outbox and publisher: numbered bad parts, resumed after every kill.

Usage: python -m benchmarks.outbox_chaos_device PORT STATE_FOLDER PARTS PART_MS
Ends with 0 when every part is finished and the broker has every alert.
"""

from __future__ import annotations

import secrets
import sys
import time
from pathlib import Path

from edge_app.mqtt.messages import AlertDraft, alert_from_event
from edge_app.mqtt.outbox import Outbox
from edge_app.mqtt.publisher import MqttSettings, Publisher
from edge_app.mqtt.timestamps import uuid7
from edge_app.mqtt.topics import DeviceName
from edge_app.records import AlarmEvent, EventKind, PartVerdict, VerdictState

WHO = DeviceName("bench", "chaos", "device")
CAMERA = "cam1"


def bad_part(number: int) -> AlertDraft:
    """Return the alert of one numbered bad part."""
    now_ns = time.time_ns()
    verdict = PartVerdict(
        camera=CAMERA,
        part_id=f"{CAMERA}-{number:06d}",
        state=VerdictState.NG,
        reason="",
        score=2.0,
        threshold=1.0,
        threshold_id="chaos",
        frame_id=number,
        frame_hw=(480, 640),
        captured_at_ns=now_ns,
        model=None,
        source_number=number,
    )
    event = AlarmEvent(EventKind.NEW, CAMERA, f"alarm-{number}", verdict)
    message_id = uuid7(now_ns, secrets.randbits)
    return alert_from_event(event, WHO, message_id=message_id, clock_synchronised=True)


def main(port: int, state: Path, parts: int, part_ms: float) -> None:
    """Finish the parts that are left, then wait until the broker has everything."""
    outbox = Outbox(state / "outbox.db")
    settings = MqttSettings("127.0.0.1", port, reconnect_min_s=0.1, reconnect_max_s=0.5)
    publisher = Publisher(settings, WHO, outbox)
    publisher.start()
    last = outbox.last_finished(CAMERA)
    for number in range(0 if last is None else last + 1, parts):
        outbox.append([bad_part(number)], CAMERA, number)
        publisher.wake()
        time.sleep(part_ms / 1000)
    while outbox.depth() > 0:
        time.sleep(0.05)
    publisher.stop()
    outbox.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
