"""Which pointers count: broken, replayed, withdrawn and overtaken ones over a real broker."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from support.brokers import wait_until
from support.deploy_pointers import PAYLOAD, pointer
from support.faulty_web_server import serving, status, whole
from support.workstation import Start, Station, incoming

from edge_app.agent.pull.puller import MAX_UNKNOWN_SLOTS

pytestmark = pytest.mark.needs("mosquitto")
PAYLOAD_SHA = hashlib.sha256(PAYLOAD).hexdigest()


def test_a_replayed_pointer_is_refused_and_fetches_nothing(station: Station, start: Start) -> None:
    """An older pointer that comes back is answered with the reason; the newer bundle stays."""
    device = start()
    newer_payload = PAYLOAD[::-1]
    with serving(whole(PAYLOAD)) as server, serving(whole(newer_payload)) as newer_server:
        older, newer = pointer(server.url), pointer(newer_server.url, newer_payload)
        for desired in (older, newer):
            station.place(desired)
            station.wait_for("committed", desired)
        station.place(older)
        last = station.wait_for("refused", older)
    assert "it was replayed" in last["reason"]
    assert device.store.active("main") == newer.sha256
    assert len(server.asked) == 1
    assert device.installs == [older.sha256, newer.sha256]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("no pointer", "Pointer refused: it: Invalid JSON"),
        ('{"sha256": "../../etc/passwd"}', "Pointer refused: message_id: Field required"),
        ("[" * 40_000, "Pointer refused: longer than 16384 bytes"),
    ],
)
def test_what_is_no_pointer_is_refused_in_words(
    station: Station, start: Start, text: str, why: str
) -> None:
    """Broken, hostile and endless payloads."""
    start()
    station.place_text(text)
    assert station.wait_for("refused")["reason"].startswith(why)


@pytest.mark.parametrize(
    "changed",
    [{"length": 0}, {"length": -5}, {"sha256": "../x"}, {"sha256": "A" * 64}, {"url": ""},
     {"product": "a/b"}, {"message_id": "1"}],
)  # fmt: skip
def test_a_pointer_with_an_impossible_entry_is_refused(
    station: Station, start: Start, changed: dict[str, Any]
) -> None:
    """Each entry is checked before anybody is contacted."""
    device = start()
    with serving(whole(PAYLOAD)) as server:
        wish = pointer(server.url).model_copy(update=changed)
        station.place(wish)
        reason = station.wait_for("refused")["reason"]
    assert reason.startswith(f"Pointer refused: {next(iter(changed))}: ")
    assert server.asked == []
    assert incoming(device) == []


def test_a_slot_that_the_device_has_not_is_named(station: Station, start: Start) -> None:
    """A pointer to another slot is refused on that slot's topic."""
    start()
    with serving(whole(PAYLOAD)) as server:
        wish = pointer(server.url)
        station.place(wish, "second")
        wait_until(lambda: bool(station.reports("second")))
        assert server.asked == []
    report = station.reports("second")[0]
    assert "no slot 'second', only main" in report["reason"]
    assert report["desired_id"] == wish.message_id


def test_a_flood_of_slots_that_are_not_here_is_answered_to_a_limit(
    station: Station, start: Start
) -> None:
    """Each answer would stand on the broker for good: after a handful no further slot is answered,
    and a pointer to the own slot is taken as ever."""
    device = start()
    with serving(whole(PAYLOAD)) as server:
        stray, wish = pointer(server.url), pointer(server.url)
        for number in range(MAX_UNKNOWN_SLOTS + 10):
            station.place(stray, f"stray-{number}")
        station.place(wish)
        wait_until(lambda: "committed" in [r["state"] for r in station.reports()])
    answered = [n for n in range(MAX_UNKNOWN_SLOTS + 10) if station.reports(f"stray-{n}")]
    assert answered == list(range(MAX_UNKNOWN_SLOTS))
    assert device.installs == [wish.sha256]


def test_a_withdrawn_pointer_ends_its_download(station: Station, start: Start) -> None:
    """An empty retained message cancels, says so, and leaves nothing on the disk."""
    device = start()
    with serving(status(503)) as server:
        wish = pointer(server.url)
        station.place(wish)
        wait_until(lambda: any("503" in r["reason"] for r in station.reports()))
        station.place(None)
        reason = station.wait_for("refused", wish)["reason"]
    assert reason == "Download ended: withdrawn by the workstation."
    wait_until(lambda: incoming(device) == [])


def test_a_wish_withdrawn_while_the_agent_was_away_is_not_carried_out(
    station: Station, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next start finds half a download but no pointer: it says so and clears up."""
    monkeypatch.setattr("edge_app.agent.pull.mqtt_client.SETTLE_S", 0.3)
    with serving(whole(PAYLOAD, cut_after=len(PAYLOAD) // 2), status(503)) as server:
        wish = pointer(server.url)
        station.place(wish)
        first = start()
        wait_until(lambda: any("503" in r["reason"] for r in station.reports()))
        first.stop()
        station.place(None)
        assert incoming(first) == [f"main-{wish.sha256}.partial"]
        second = start()
        reason = station.wait_for("refused", wish)["reason"]
    assert reason == "Download ended: withdrawn while the agent was away."
    wait_until(lambda: incoming(second) == [])
    assert second.installs == []


def test_a_newer_pointer_overtakes_a_download(station: Station, start: Start) -> None:
    """The older wish is told as ended, the newer one is carried out."""
    device = start()
    with serving(status(503)) as slow, serving(whole(PAYLOAD)) as server:
        older, newer = pointer(slow.url, PAYLOAD[::-1]), pointer(server.url)
        station.place(older)
        wait_until(lambda: any("503" in r["reason"] for r in station.reports()))
        station.place(newer)
        station.wait_for("committed", newer)
    ended = [r for r in station.reports() if r["desired_id"] == older.message_id][-1]
    assert ended["reason"] == "Download ended: overtaken by a newer pointer."
    assert device.installs == [newer.sha256]


def test_a_bundle_that_is_in_use_already_is_not_fetched(station: Station, start: Start) -> None:
    """A second push of the same bundle is answered at once."""
    device = start()
    with serving(whole(PAYLOAD)) as server:
        for desired in (pointer(server.url), pointer(server.url)):
            station.place(desired)
            last = station.wait_for("committed", desired)
        assert len(server.asked) == 1
    assert last["reason"] == "already in use"
    assert len(device.installs) == 1


@pytest.mark.parametrize("moment", ["verifying", "self_check", "shadow", "switching", "probation"])
def test_the_same_bundle_pushed_again_is_the_same_installation(
    station: Station, start: Start, moment: str
) -> None:
    """Whenever it comes: it goes on, once, and answers the newer pointer from then on; nobody is
    told of a refusal, and the commit belongs to an order."""
    device = start(step_s=0.4)
    with serving(whole(PAYLOAD)) as server:
        first = pointer(server.url)
        station.place(first)
        station.wait_for(moment, first)
        again = pointer(server.url)
        station.place(again)
        station.wait_for("committed", again)
    assert device.installs == [PAYLOAD_SHA]
    reports = [(r["state"], r["desired_id"]) for r in station.reports()]
    assert "refused" not in {state for state, _ in reports}
    begun = [i for i, (_, order) in enumerate(reports) if order == again.message_id]
    assert {order for _, order in reports[begun[0] :]} == {again.message_id}
    assert reports[begun[0]][0] == moment, "the workstation hears at once how far it is"
    assert {order for _, order in reports[: begun[0]]} == {first.message_id}
