"""Which commands a device takes: every wrong one is refused in words."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from support.alert_drafts import WHO
from support.operator_commands import command, operator
from support.signed_bundles import Signer, trusting

from edge_app.agent.commands.handler import CommandHandler, Orders
from edge_app.agent.commands.journal import MAX_REMEMBERED, CommandJournal
from edge_app.agent.commands.rules import MAX_COMMAND_BYTES, read_command
from edge_app.bundle.trusted_keys import TrustPolicy
from edge_app.errors import CommandError
from edge_app.ipc.protocol import Requester
from edge_app.mqtt.command_messages import Command
from edge_app.mqtt.topics import DeviceName

STRANGER = Signer("stranger")
OTHER = DeviceName("graz", "line-2", "press-4")
ID = "01990000-0000-7000-8000-000000000001"


def now() -> datetime:
    return datetime.now(timezone.utc)


def refusal(payload: bytes, trust: TrustPolicy | None = None, at: datetime | None = None) -> str:
    """Return why a command is refused."""
    with pytest.raises(CommandError) as error:
        read_command(payload, trust or trusting(operator().public()), WHO, at or now())
    return str(error.value)


def test_an_operators_command_is_taken() -> None:
    """Signed, for this device, in time: the order comes out as it was given."""
    given = command(WHO, "beta", slot="second")
    order, key = read_command(given.payload(), trusting(operator().public()), WHO, now())
    assert key.key_id == operator().key_id
    assert (order.product, order.slot, order.verb) == ("beta", "second", "select_product")


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"beta", "Command refused: it: Invalid JSON"),
        (b"{}", "Command refused: order: Field required"),
        (b"[" * (MAX_COMMAND_BYTES + 1), f"Command refused: longer than {MAX_COMMAND_BYTES}"),
        (b'{"order": "{}", "key_id": "x", "signature": ""}', "Command refused: key_id: "),
    ],
    ids=["no JSON", "nothing in it", "endless", "no key id"],
)
def test_what_is_no_command_is_refused(payload: bytes, why: str) -> None:
    """Broken and hostile payloads are named for what they are."""
    assert refusal(payload).startswith(why)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"product": "a/b"}, "product: String should match pattern"),
        ({"product": ""}, "product: String should match pattern"),
        ({"slot": ""}, "slot: String should have at least 1"),
        ({"command_id": "1"}, "command_id: String should match pattern"),
        ({"verb": "format_disk"}, "verb: Input should be 'select_product'"),
        ({"expires_at": "tomorrow"}, "expires_at: String should match pattern"),
        ({"issued_at": "9999-99-99T99:99:99.999999999Z"}, "is no time"),
        ({"device": str(OTHER)}, f"it is for {OTHER}, this device is {WHO}"),
    ],
)
def test_a_signed_order_with_an_impossible_entry_is_refused(
    changed: dict[str, Any], why: str
) -> None:
    """An operator's key vouches for who asks, not for what is asked."""
    assert why in refusal(command(WHO, **{"product": "beta", **changed}).payload())


def test_an_order_with_more_in_it_than_this_version_knows_is_refused() -> None:
    """What a newer version means by a further entry is not left out in silence."""
    from deploy.fleet.signed_command import sign_order

    text = json.dumps(json.loads(command(WHO, "beta").order) | {"also": "stop the line"})
    assert "also: Extra inputs" in refusal(sign_order(text, operator().key).payload())


def test_a_strangers_command_is_refused() -> None:
    """The message names the keys that count."""
    why = refusal(command(WHO, "beta", by=STRANGER).payload())
    assert "which is no operator's here. Operators: operator (" in why


def test_a_revoked_operators_command_is_refused() -> None:
    """A key on the list counts no more, though its file is still there."""
    trust = trusting(operator().public(), revoked=[operator().key_id])
    assert "the revoked key" in refusal(command(WHO, "beta").payload(), trust)


def test_an_expired_operators_command_is_refused() -> None:
    """A key's last day is its last day."""
    trust = trusting(operator().public(now() - timedelta(days=1)))
    assert "the key operator expired on" in refusal(command(WHO, "beta").payload(), trust)


@pytest.mark.parametrize("case", ["key", "stale", "from the future"])
def test_by_a_clock_that_may_be_wrong_the_refusal_says_so(case: str) -> None:
    """Never taken, and the advice is to set the clock; by a right one it is to send it again."""
    trust = trusting(operator().public(now() - timedelta(days=1) if case == "key" else None))
    given = command(WHO, "beta", age_s={"stale": 3600.0, "from the future": -3600.0}.get(case, 0.0))
    with pytest.raises(CommandError) as error:
        read_command(given.payload(), trust, WHO, now(), "no time source has set this clock")
    assert "But no time source has set this clock: set it (NTP) first" in str(error.value)
    assert "time source" not in refusal(given.payload(), trust)


@pytest.mark.parametrize(("jump_s", "waits_s", "is_late"), [
    (366 * 86_400, 30, False), (-366 * 86_400, 30, False), (-366 * 86_400, 61, True), (0, 61, True),
])  # fmt: skip
def test_how_long_a_command_may_wait_for_its_turn_is_not_the_wall_clocks_to_say(
    tmp_path: Path, jump_s: int, waits_s: int, is_late: bool
) -> None:
    """Set a year ahead or back in the meantime: it counts for its minute, neither less nor more."""
    clock = {"wall_ns": time.time_ns(), "steady_s": 100.0}
    taken: list[Callable[[], bool]] = []

    def select(
        slot: str, product: str, answer: object, is_late: Callable[[], bool], by: Requester
    ) -> None:
        assert (by.kind, by.via) == ("key", "mqtt")
        assert by.name.endswith(operator().key_id[:16])
        taken.append(is_late)

    handler = CommandHandler(
        Orders(select, lambda: trusting(operator().public())),
        WHO,
        CommandJournal(tmp_path, now),
        ["main"],
        print,
        lambda: int(clock["wall_ns"]),
        lambda: clock["steady_s"],
    )
    handler.take("select_product", command(WHO, "beta", life_s=60).payload(), False)
    clock["steady_s"] += waits_s
    clock["wall_ns"] += (waits_s + jump_s) * 1_000_000_000
    assert taken[0]() == is_late


@pytest.mark.parametrize("entry", ["product", "slot", "device"])
def test_an_altered_order_is_refused(entry: str) -> None:
    """One changed entry under an honest signature."""
    given = command(OTHER, "beta")
    forged = json.loads(given.order) | {entry: str(WHO) if entry == "device" else "alpha"}
    altered = given.model_copy(update={"order": json.dumps(forged)})
    assert "its signature is not the one of key operator" in refusal(altered.payload())


@pytest.mark.parametrize("signature", ["", "no base64!", "AAAA"])
def test_a_command_without_its_signature_is_refused(signature: str) -> None:
    """Missing, damaged or made-up signatures."""
    given = command(WHO, "beta").model_copy(update={"signature": signature})
    assert "its signature is" in refusal(given.payload())


def test_a_bundles_signature_does_not_pass_as_a_command() -> None:
    """The same key over the same text, but as a bundle's list of files."""
    import base64

    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    from edge_app.bundle.signature import pae

    given = command(WHO, "beta")
    as_bundle = operator().key.sign(pae(given.order.encode()), ec.ECDSA(hashes.SHA256()))
    forged = given.model_copy(update={"signature": base64.b64encode(as_bundle).decode()})
    assert "its signature is not the one" in refusal(forged.payload())


@pytest.mark.parametrize(
    ("age_s", "life_s", "why"),
    [
        (61, 60, "it expired at"),
        (3600, 7200, "it is valid for 2:00:00, at most 0:10:00 may be"),
        (-120, 60, "which is still to come"),
        (0, -5, "it expired at"),
    ],
    ids=["stale", "valid too long", "from the future", "born expired"],
)
def test_a_command_out_of_its_time_is_refused(age_s: float, life_s: float, why: str) -> None:
    """Stale commands, and such as could be kept for later."""
    assert why in refusal(command(WHO, "beta", age_s=age_s, life_s=life_s).payload())


def test_each_command_is_taken_once(tmp_path: Path) -> None:
    """A second one of the same id is refused, also after a restart."""
    clock = [now()]
    journal = CommandJournal(tmp_path / "state", lambda: clock[0])
    journal.take(ID, clock[0] + timedelta(seconds=60))
    for again in (journal, CommandJournal(tmp_path / "state", lambda: clock[0])):
        with pytest.raises(CommandError, match="took it before"):
            again.take(ID, clock[0] + timedelta(seconds=60))


def test_a_clock_that_is_set_back_brings_no_command_back(tmp_path: Path) -> None:
    """Expired, others taken since, the clock set back before its expiry: still taken once only; and
    what is remembered of the time ahead refuses no new command."""
    clock = [now()]
    journal = CommandJournal(tmp_path / "state", lambda: clock[0])
    end = clock[0] + timedelta(seconds=60)
    journal.take(ID, end)
    clock[0] += timedelta(hours=1)
    for number in range(3):
        journal.take(f"later-{number}", clock[0] + timedelta(seconds=60))
    clock[0] -= timedelta(hours=1)
    for again in (journal, CommandJournal(tmp_path / "state", lambda: clock[0])):
        with pytest.raises(CommandError, match="took it before"):
            again.take(ID, end)
    journal.take("new", end)


def test_the_oldest_command_is_forgotten_first(tmp_path: Path) -> None:
    """The memory holds the newest, expired or not; its file stays small."""
    folder, end = tmp_path / "state", now() - timedelta(hours=1)
    folder.mkdir()
    known = {
        f"{number:08d}": (end + timedelta(seconds=number)).isoformat()
        for number in range(MAX_REMEMBERED)
    }
    (folder / "commands.json").write_text(json.dumps({"commands": known}))
    CommandJournal(folder, now).take(ID, now() + timedelta(seconds=9))
    kept = json.loads((folder / "commands.json").read_text())["commands"]
    assert set(known) - set(kept) == {"00000000"}
    assert ID in kept


def test_a_machine_gone_wild_is_stopped(tmp_path: Path) -> None:
    """The memory of commands does not grow without end: beyond it they are refused."""
    folder = tmp_path / "state"
    folder.mkdir()
    end = now() + timedelta(minutes=5)
    known = {f"{number:08d}": end.isoformat() for number in range(MAX_REMEMBERED)}
    (folder / "commands.json").write_text(json.dumps({"commands": known}))
    with pytest.raises(CommandError, match="Stop what sends them"):
        CommandJournal(folder, now).take(ID, end)


def test_a_command_that_cannot_be_remembered_is_refused(tmp_path: Path) -> None:
    """Without its memory on disk it could be replayed."""
    (tmp_path / "state").write_text("no folder")
    with pytest.raises(CommandError, match="so it could be replayed"):
        CommandJournal(tmp_path / "state", now).take(ID, now() + timedelta(seconds=9))


def test_an_unreadable_memory_starts_anew_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A damaged file does not stop changeovers."""
    (tmp_path / "commands.json").write_text("{")
    CommandJournal(tmp_path, now).take(ID, now() + timedelta(seconds=9))
    assert "starts empty" in caplog.text


def test_a_command_reads_back_as_it_was_sent() -> None:
    """The order's text, which is what was signed, survives the message unchanged."""
    given = command(WHO, "beta")
    assert Command.model_validate_json(given.payload()).order == given.order


def test_a_remembered_time_without_a_zone_is_damage(tmp_path: Path) -> None:
    """It cannot be compared with the clock: the journal starts empty, and takes commands."""
    (tmp_path / "commands.json").write_text('{"commands": {"a": "2026-11-29T12:00:00"}}')
    CommandJournal(tmp_path, now).take(ID, now() + timedelta(minutes=1))
