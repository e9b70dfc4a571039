"""Messages that are no reports: `status` lives, counts and names them, and shows the others."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from support.alert_drafts import WHO
from support.deploy_pointers import pointer
from support.mutations import NASTY, mutated, mutated_topic

from deploy.fleet.state import MAX_DEVICES, Fleet
from deploy.fleet.table import fleet_json, fleet_rows, fleet_table, trouble_lines
from edge_app.mqtt.deploy_messages import AgentStatus, Reported
from edge_app.mqtt.message_base import Message
from edge_app.mqtt.messages import DeviceInfo, DeviceStatus, ModelBody, SlotDescription
from edge_app.mqtt.timestamps import rfc3339
from edge_app.mqtt.topics import Topics

NOW_NS = 1_790_000_000_000_000_000
NOW = rfc3339(NOW_NS)
TOPICS = Topics(WHO)
MODEL = ModelBody(product="screws", serial=6, bundle_sha256="0" * 64, precision="fp32")
GOOD: tuple[tuple[str, Message], ...] = (
    (TOPICS.status, DeviceStatus(state="degraded", reason="why", session=1, since=NOW)),
    (TOPICS.info, DeviceInfo(hardware="x", slots=(SlotDescription(slot="main", model=MODEL),))),
    (TOPICS.agent_status, AgentStatus(state="online", since=NOW)),
    (TOPICS.desired("main"), pointer("https://station.plant/screws-7.bundle", serial=7)),
    (TOPICS.reported("main"), Reported(slot="main", state="shadow", sha256="ab" * 32, at=NOW)),
)


def drawn(fleet: Fleet) -> str:
    """Return what `edge-deploy status` prints of a fleet, in all its forms."""
    rows = fleet_rows(fleet, NOW_NS)
    fleet_json(rows)
    console = Console(file=io.StringIO(), width=200, color_system=None)
    console.print(fleet_table(rows))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue() + "\n".join(trouble_lines(fleet))


@pytest.mark.parametrize("count", [600, pytest.param(10_000, marks=pytest.mark.slow)])
def test_mutated_reports_cost_themselves_only(count: int) -> None:
    """Of every kind, on right and wrong topics; a good device beside them is shown as it is."""
    fleet = Fleet()
    for number in range(count):
        topic, message = GOOD[number % len(GOOD)]
        fleet.apply(
            mutated_topic(topic, number).replace("press-3", f"press-{number % 50}"),
            mutated(message.payload(), number),
        )
    assert fleet.messages == count
    assert count // 5 < fleet.unreadable < count
    for topic, message in GOOD:
        fleet.apply(topic.replace("press-3", "press-good"), message.payload())
    text = drawn(fleet)
    assert all(line.isprintable() for line in text.split("\n"))
    (row,) = (r for r in fleet_rows(fleet, NOW_NS) if r.device.endswith("press-good"))
    assert (row.inspection, row.agent, row.model) == ("degraded", "online", "screws 6")
    assert "could not be read" in text


@pytest.mark.parametrize("value", NASTY, ids=lambda value: repr(value)[:20])
def test_every_odd_reason_is_drawn(value: object) -> None:
    """Brackets, backslashes and terminal escapes in a reason are text."""
    fleet = Fleet()
    reason = str(value)[:1000].encode("utf-8", "replace").decode()
    message = Reported(slot="main", state="refused", sha256=None, reason=reason, at=NOW)
    fleet.apply(TOPICS.reported("main"), message.payload())
    assert all(line.isprintable() for line in drawn(fleet).split("\n"))


def test_a_time_that_is_none_is_named_and_the_fleet_is_shown() -> None:
    """One device's report of the 31st of February takes nothing from the others."""
    fleet = Fleet()
    topic, message = GOOD[4]
    bad = message.payload().replace(NOW.encode(), b"2026-02-31T10:00:00.000000000Z")
    fleet.apply(topic.replace("press-3", "press-4"), bad)
    fleet.apply(topic, message.payload())
    assert [row.state for row in fleet_rows(fleet, NOW_NS)] == ["shadow"]
    assert "press-4/deploy/main/reported: at: " in drawn(fleet)


def test_a_report_about_another_slot_than_its_topic_is_not_believed() -> None:
    """It is counted and named."""
    fleet = Fleet()
    fleet.apply(TOPICS.reported("other"), GOOD[4][1].payload())
    assert fleet.unreadable == 1
    assert "reports about slot 'main'" in trouble_lines(fleet)[0]


def test_a_flood_of_device_names_has_an_end() -> None:
    """What is beyond it is counted."""
    fleet = Fleet()
    status = GOOD[0][1].payload()
    for number in range(MAX_DEVICES + 10):
        fleet.apply(f"inspect/v1/a/b/{number}/status", status)
    assert len(fleet.devices) == MAX_DEVICES
    assert fleet.unreadable == 10
