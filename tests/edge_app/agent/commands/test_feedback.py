"""Feedback over MQTT: verified by the agent, recorded by a real desk behind a real socket."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from support.brokers import wait_until
from support.history_parts import alarm, verdict
from support.operator_commands import command, operator, operator_keys
from support.operator_feedback import feedback
from support.review_rig import ReviewRig, author, four_parts
from support.signed_bundles import Signer

from edge_app.agent.commands.feedback import MAX_WAITING, FeedbackDesk, FeedbackHandler
from edge_app.agent.commands.journal import CommandJournal
from edge_app.audit.reader import every_record
from edge_app.bundle.trusted_keys import REVOKED, load_trust
from edge_app.ipc.order_client import OrderClient
from edge_app.ipc.order_schema import MarkPart, OrderAnswer
from edge_app.ipc.order_server import OrderServer
from edge_app.mqtt.command_messages import Command, CommandAnswer
from edge_app.mqtt.topics import DeviceName

WHO = DeviceName("a", "b", "c")
STRANGER = Signer("stranger")


class Device:
    """An agent's ear for feedback, inspection's desk, and what was answered."""

    def __init__(self, folder: Path) -> None:
        self.rig = ReviewRig(folder)
        self.rig.judge(four_parts())
        self.keys = operator_keys(folder / "operators")
        self.answers: list[CommandAnswer] = []
        self.orders: list[MarkPart] = []
        self.server = OrderServer(folder / "orders.sock", self.rig.desk.execute)
        self.server.start()
        self.state = folder / "state"
        self.handler = self.make()
        self.handler.start()

    def make(self) -> FeedbackHandler:
        """Return the handler as a start of the agent makes it."""
        journal = CommandJournal(self.state, lambda: datetime.now(timezone.utc), "feedback.json")
        desk = FeedbackDesk(self._give, lambda: load_trust(self.keys))
        now_ns = lambda: int(datetime.now(timezone.utc).timestamp() * 1e9)  # noqa: E731
        return FeedbackHandler(desk, WHO, journal, self.answers.append, now_ns)

    def _give(self, order: MarkPart) -> OrderAnswer:
        self.orders.append(order)
        return OrderClient(self.server.path).send(order)

    def restart(self) -> None:
        self.handler.stop()
        self.handler = self.make()
        self.handler.start()

    def close(self) -> None:
        self.handler.stop()
        self.server.stop()
        self.rig.close()

    def say(self, given: Command | bytes, is_retained: bool = False) -> CommandAnswer:
        """Send a message and return its answer."""
        payload = given if isinstance(given, bytes) else given.payload()
        count = len(self.answers)
        self.handler.take(payload, is_retained)
        wait_until(lambda: len(self.answers) > count, 10, "an answer")
        assert self.answers[-1].command_sha256 == hashlib.sha256(payload).hexdigest()
        return self.answers[-1]

    def records(self) -> list[dict[str, Any]]:
        if not (self.rig.folder / "audit.sqlite").exists():
            return []
        return [
            r for r in every_record(self.rig.folder / "audit.sqlite") if r["event"] == "decision"
        ]


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    made = Device(tmp_path)
    yield made
    made.close()


def test_what_an_operator_says_is_a_proposal_in_the_keys_name(device: Device) -> None:
    """With class, region and note; the audit names the key and the way it came."""
    region = ((1.0, 2.0), (30.0, 2.0), (30.0, 20.5))
    given = feedback(WHO, "c-2", "right", defect_class="crack", region=region, note="at the rim")
    answer = device.say(given)
    assert (answer.is_done, answer.text) == (True, "c-2 (NG): the verdict is right.")
    assert (answer.verb, answer.part_id) == ("feedback", "c-2")
    (said,) = device.rig.part(2)["decisions"]
    assert (said["mark"], said["class"], said["note"]) == ("right", "crack", "at the rim")
    assert said["region"] == [list(p) for p in region]
    assert said["author"] == f"operator {operator().key_id[:16]}"
    assert (said["acceptance"], said["accepted_at"], said["role"]) == (None, None, "")
    (record,) = device.records()
    assert (record["author"]["kind"], record["via"]) == ("key", "mqtt")
    accept = device.rig.give(
        "accept", 2, author("eva", "engineer"), accepted=True, decision=said["id"]
    )
    assert accept.is_done


def forged(given: Command) -> bytes:
    """Return a message whose order was changed after it was signed."""
    order = given.order.replace("false_alarm", "right")
    assert order != given.order
    return given.model_copy(update={"order": order}).payload()


def unsigned(given: Command) -> bytes:
    body = json.loads(given.payload())
    del body["signature"]
    return json.dumps(body).encode()


def badly_signed(given: Command) -> bytes:
    return given.model_copy(update={"signature": base64.b64encode(b"x" * 70).decode()}).payload()


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "no message": (lambda: b"false_alarm", "Invalid JSON"),
    "too long": (lambda: b"x" * 20_000, "longer than 16384 bytes"),
    "unsigned": (lambda: unsigned(feedback(WHO, "c-2")), "signature: Field required"),
    "signed with rubbish": (lambda: badly_signed(feedback(WHO, "c-2")), "its signature is not"),
    "forged": (lambda: forged(feedback(WHO, "c-2")), "It was altered on its way"),
    "a stranger's": (lambda: feedback(WHO, "c-2", by=STRANGER).payload(), "no operator's here"),
    "a command": (lambda: command(WHO, "beta").payload(), "verb: Input should be 'feedback'"),
    "expired": (lambda: feedback(WHO, "c-2", age_s=90).payload(), "it expired at"),
    "of tomorrow": (lambda: feedback(WHO, "c-2", age_s=-900).payload(), "still to come"),
    "valid too long": (lambda: feedback(WHO, "c-2", life_s=3600).payload(), "it is valid for"),
    "another device's": (
        lambda: feedback(DeviceName("a", "b", "d"), "c-2").payload(),
        "it is for a/b/d, this device is a/b/c",
    ),
    "a part that never was": (
        lambda: feedback(WHO, "c-77").payload(),
        "There is no part c-77 here",
    ),
    "a mark that its verdict does not take": (
        lambda: feedback(WHO, "c-1", "false_alarm").payload(),
        "c-1 is OK: it can be marked right or missed or unsure",
    ),
    "no mark": (lambda: feedback(WHO, "c-2", "bad").payload(), "mark: Input should be 'right'"),
    "a region that is none": (
        lambda: feedback(WHO, "c-2", region=((0.0, 0.0),)).payload(),
        "region: Tuple should have at least 3 items",
    ),
    "a point outside": (
        lambda: feedback(WHO, "c-2", region=((-1.0, 0.0),) * 3).payload(),
        "region.0.0: Input should be greater than or equal to 0",
    ),
    "escapes": (lambda: feedback(WHO, "c-2", note="\x1b[2J").payload(), "note: Value error"),
    "more than is known": (
        lambda: _with(feedback(WHO, "c-2"), accepted=True),
        "accepted: Extra inputs",
    ),
}


def _with(given: Command, **more: Any) -> bytes:
    from deploy.fleet.signed_command import sign_order

    return sign_order(json.dumps(json.loads(given.order) | more), operator().key).payload()


@pytest.mark.parametrize("what", REFUSED)
def test_refused_and_said(device: Device, what: str) -> None:
    """Nothing is marked and nothing recorded; the answer says why, and the next one is taken."""
    make, words = REFUSED[what]
    answer = device.say(make())
    assert not answer.is_done
    assert answer.text.startswith("Feedback refused: ")
    assert words in answer.text
    assert all(device.rig.part(n)["decisions"] == [] for n in (1, 2, 3, 4))
    assert device.records() == []
    assert device.say(feedback(WHO, "c-2")).is_done


def test_a_replay_is_refused_also_after_a_restart(device: Device) -> None:
    """And so is other content under an id that was used."""
    first = feedback(WHO, "c-2", "false_alarm")
    assert device.say(first).is_done
    assert device.say(feedback(WHO, "c-2", "right")).is_done
    for _ in range(2):
        answer = device.say(first)
        assert not answer.is_done
        assert "the device took it before; it was sent twice, or replayed" in answer.text
        device.restart()
    number = json.loads(first.order)["command_id"]
    assert not device.say(feedback(WHO, "c-3", "missed", command_id=number)).is_done
    assert [(m, c) for _, m, c in device.rig.marks(2)] == [("false_alarm", False), ("right", True)]
    assert len(device.records()) == 2


def test_a_kill_between_inspections_answer_and_the_agents_record_marks_once(
    device: Device,
) -> None:
    """The agent does not remember it: the same bytes get the same answer, and no second record."""
    given = feedback(WHO, "c-2")
    first = device.say(given)
    (device.state / "feedback.json").unlink()
    device.restart()
    again = device.say(given)
    assert (again.is_done, again.text) == (True, first.text)
    assert len(device.orders) == 2
    assert len(device.records()) == 1
    assert len(device.rig.marks(2)) == 1


def test_a_retained_message_is_refused_and_an_empty_one_says_nothing(device: Device) -> None:
    answer = device.say(feedback(WHO, "c-2"), is_retained=True)
    assert "it was retained on the broker" in answer.text
    device.handler.take(b"", False)
    assert device.say(feedback(WHO, "c-2")).is_done
    assert len(device.answers) == 2


def test_a_revoked_key_counts_no_more_at_once(device: Device) -> None:
    operator_keys(device.keys, operator(), operator("other"))
    assert device.say(feedback(WHO, "c-2")).is_done
    (device.keys / REVOKED).write_text(f"{operator().key_id}\n")
    assert "revoked key" in device.say(feedback(WHO, "c-3")).text
    assert device.say(feedback(WHO, "c-3", by=operator("other"))).is_done


def test_the_newest_part_of_a_name_that_has_left_is_meant(device: Device) -> None:
    """One that is still in the picture is not."""
    device.rig.judge([verdict(1, "NG", 3.0)])
    assert device.say(feedback(WHO, "c-1", "false_alarm")).is_done
    assert device.rig.marks(1) == []
    assert [m for _, m, _ in device.rig.marks(5)] == ["false_alarm"]
    event = alarm(verdict(8, "NG", 3.0))
    device.rig.writer.expect([event])
    device.rig.writer.alarmed([event])
    wait_until(lambda: not device.rig.writer.holds_alerts(), 10)
    assert (
        "There is no part c-8 here, or no longer, or it has not left"
        in device.say(feedback(WHO, "c-8")).text
    )


def test_without_inspection_it_is_said_and_can_be_sent_again(device: Device) -> None:
    given = feedback(WHO, "c-2")
    device.server.stop()
    answer = device.say(given)
    assert not answer.is_done
    assert "Inspection takes no orders" in answer.text
    device.server = OrderServer(device.rig.folder / "orders.sock", device.rig.desk.execute)
    device.server.start()
    assert device.say(given).is_done


def test_a_flood_is_answered_and_ends(device: Device) -> None:
    """More than can wait is refused in words, at once."""
    device.handler.stop()
    device.handler = device.make()  # nobody takes any
    for _ in range(MAX_WAITING):
        device.handler.take(b"{}", False)
    assert device.answers == []
    device.handler.take(b"{}", False)
    assert device.answers[-1].text == "Feedback refused: too much of it waits. Send it later."
