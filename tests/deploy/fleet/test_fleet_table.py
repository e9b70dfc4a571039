"""What the status table says of a fleet, from messages alone."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console
from support.deploy_pointers import pointer

from deploy.fleet.state import Fleet, fleet_filters
from deploy.fleet.table import FleetRow, fleet_rows, fleet_table
from edge_app.mqtt.deploy_messages import AgentStatus, Desired, Reported
from edge_app.mqtt.message_base import Message
from edge_app.mqtt.messages import DeviceInfo, DeviceStatus, ModelBody, SlotDescription
from edge_app.mqtt.timestamps import rfc3339
from edge_app.mqtt.topics import DeviceName, Topics

NOW_NS = 1_790_000_000_000_000_000
PRESS = DeviceName("graz", "line-2", "press-3")
TOPICS = Topics(PRESS)
WISH = pointer("https://station.plant/screws-7.bundle", serial=7)


def heard(*messages: tuple[str, Message | bytes]) -> list[FleetRow]:
    """Return the rows after these messages."""
    fleet = Fleet()
    for topic, message in messages:
        fleet.apply(topic, message if isinstance(message, bytes) else message.payload())
    return fleet_rows(fleet, NOW_NS)


def reported(**changed: Any) -> tuple[str, Reported]:
    fields = {
        "slot": "main", "state": "downloading", "sha256": WISH.sha256, "serial": 7,
        "product": "screws", "desired_id": WISH.message_id,
        "at": rfc3339(NOW_NS - 90_000_000_000),
    }  # fmt: skip
    return TOPICS.reported("main"), Reported(**(fields | changed))


def desired(wish: Desired = WISH) -> tuple[str, Desired]:
    return TOPICS.desired("main"), wish


def state(session: int, at_s: int | None, state: str = "online") -> tuple[str, DeviceStatus]:
    since = None if at_s is None else rfc3339(NOW_NS + at_s * 10**9)
    return TOPICS.status, DeviceStatus(state=state, reason="", session=session, since=since)


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ([(7, 1), (7, 2), (7, 1)], "two machines are this device"),  # restored from one backup
        ([(7, 1), (7, None), (9, 2), (7, None), (7, 1)], "two machines are this device"),
        ([(9, 1), (8, 2), (9, 1)], "two machines are this device"),
        ([(9, 1), (9, None), (8, 2)], "its count of starts went back from 9 to 8"),
        ([(7, 1), (7, None), (7, 1), (7, 1), (8, 2), (8, 3), (9, 4)], ""),
        ([(7, None), (7, None)], ""),
    ],
    ids=["one backup", "after last wills", "a copy", "an old image", "right", "away"],
)
def test_two_machines_that_are_one_device_are_named(
    states: list[tuple[int, int | None]], said: str
) -> None:
    """Its own state, sent again at each connection, tells: an earlier one never comes again."""
    (row,) = heard(*(state(n, at, "offline" if at is None else "online") for n, at in states))
    assert said in row.reason
    assert bool(row.reason) == bool(said)


def test_two_machines_stay_named_while_one_is_away() -> None:
    """The next states are right again; the name is still used twice."""
    rows = heard(state(7, 1), state(7, 2), state(7, 1), state(8, 3), state(9, 4))
    assert "two machines are this device" in rows[0].reason


def test_a_device_that_only_inspects_has_a_row() -> None:
    """No agent, no update: the model in use, the state of the inspection and its reason."""
    model = ModelBody(product="screws", serial=6, bundle_sha256="0" * 64, precision="fp32")
    info = DeviceInfo(hardware="x", slots=(SlotDescription(slot="main", model=model),))
    status = DeviceStatus(state="degraded", reason="no engine", session=1, since=None)
    assert heard((TOPICS.info, info), (TOPICS.status, status)) == [
        FleetRow(
            device="graz/line-2/press-3",
            inspection="degraded",
            agent="-",
            slot="main",
            model="screws 6",
            update="-",
            state="-",
            for_s=None,
            reason="degraded: no engine",
        )
    ]


@pytest.mark.parametrize(
    ("messages", "state"),
    [
        ([desired()], "asked"),
        ([desired(), reported(percent=41.6)], "downloading 42 %"),
        ([desired(), reported(state="committed")], "committed"),
        ([reported(state="committed", desired_id=None)], "committed"),
        ([reported(state="committed", sha256="1" * 64, desired_id=None), desired()], "asked"),
        ([desired(), reported(state="refused", sha256=None, desired_id=None)], "asked"),
        ([desired(), (TOPICS.desired("main"), b"")], "-"),
    ],
)
def test_the_state_is_that_of_the_newest_wish(
    messages: list[tuple[str, Message]], state: str
) -> None:
    """A wish that was not answered yet is `asked`, whatever was reported before it."""
    assert [row.state for row in heard(*messages)] == [state]


def test_what_is_none_of_ours_is_counted_and_ignored() -> None:
    """Broken messages and odd topics change nothing."""
    fleet = Fleet()
    for topic, payload in (
        (TOPICS.status, b"no json"),
        (TOPICS.reported("main"), b"{}"),
        ("inspect/v1/too/short", b"{}"),
        (f"{PRESS.root}/cam/cam1/alert", b"{}"),
    ):
        fleet.apply(topic, payload)
    assert (fleet.messages, fleet.unreadable) == (4, 3)
    assert not any(row.state != "-" for row in fleet_rows(fleet, NOW_NS))


def test_rows_are_sorted_and_slots_apart() -> None:
    """One row per slot, devices by name."""
    other = Topics(DeviceName("graz", "line-1", "press-1"))
    online = AgentStatus(state="online", since=None)
    rows = heard(desired(), (TOPICS.desired("second"), WISH), (other.agent_status, online))
    assert [(row.device, row.slot, row.agent) for row in rows] == [
        ("graz/line-1/press-1", "-", "online"),
        ("graz/line-2/press-3", "main", "-"),
        ("graz/line-2/press-3", "second", "-"),
    ]


def test_the_table_shows_reasons_as_they_are() -> None:
    """Brackets in a reason are text, not markup; ages have a fitting unit."""
    rows = heard(desired(), reported(state="refused", reason="[red]no [/] host"))
    out = StringIO()
    Console(file=out, width=200).print(fleet_table(rows))
    assert "[red]no [/] host" in out.getvalue()
    assert "screws 7" in out.getvalue()
    assert "90 s" in out.getvalue()


def test_one_device_or_all_are_subscribed() -> None:
    """The filters hold no more than the table needs."""
    assert "inspect/v1/+/+/+/deploy/+/reported" in fleet_filters()
    assert all(topic.startswith(f"{PRESS.root}/") for topic in fleet_filters(PRESS))
