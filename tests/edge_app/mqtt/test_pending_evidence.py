"""An alert is stored before its picture is written, and never waits long for it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.alert_drafts import draft
from support.outbox_damage import open_connection
from support.release_0_1_0 import run_on_release, unpack_release

from edge_app.errors import OutboxError
from edge_app.mqtt.messages import AlertDraft
from edge_app.mqtt.outbox import Outbox
from edge_app.mqtt.pending_evidence import EVIDENCE_WAIT_S

URL, SHA256 = "http://x/evidence/2026-01-01/a.jpg", "cd" * 32


class Clock:
    def __init__(self) -> None:
        self.now_ns = 10**9

    def __call__(self) -> int:
        return self.now_ns

    def pass_s(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outbox(tmp_path: Path, clock: Clock) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "o.db", reserve_bytes=0, monotonic_ns=clock)
    yield outbox
    outbox.close()


def store(outbox: Outbox, *alerts: AlertDraft, awaiting: bool = True) -> list[int]:
    return outbox.append(alerts, awaiting=[a.message_id for a in alerts] if awaiting else ())


def sent(outbox: Outbox) -> list[tuple[int, Any]]:
    """Return the number and the evidence of each alert that may go out now."""
    return [(a.seq, json.loads(a.body)["evidence"]) for a in outbox.next_batch(100)]


EVIDENCE = {"url": URL, "sha256": SHA256}


def test_evidence_in_time_is_one_message(outbox: Outbox) -> None:
    """An alert is held back until its picture is there, and then has it."""
    seqs = store(outbox, draft(1))
    assert sent(outbox) == []
    assert outbox.add_evidence(seqs, URL, SHA256)
    assert sent(outbox) == [(1, EVIDENCE)]


def test_the_alert_is_as_it_was_but_for_its_evidence(outbox: Outbox) -> None:
    """Adding the picture changes nothing else, not the last decimal and not the umlaut."""
    alert = draft(1).model_copy(update={"source_name": "Schräge Ä.png", "score": 0.1 + 0.2})
    outbox.add_evidence(store(outbox, alert), URL, SHA256)
    (stored,) = outbox.next_batch(1)
    assert json.loads(stored.body) == json.loads(alert.model_dump_json()) | {"evidence": EVIDENCE}


def test_without_its_evidence_an_alert_goes_after_half_a_second(
    outbox: Outbox, clock: Clock
) -> None:
    """Held back for EVIDENCE_WAIT_S from its commit, then sent; what comes later is too late."""
    seqs = store(outbox, draft(1))
    assert outbox.wait_s(9.0) == pytest.approx(EVIDENCE_WAIT_S)
    clock.pass_s(EVIDENCE_WAIT_S - 0.001)
    assert sent(outbox) == []
    clock.pass_s(0.001)
    assert outbox.wait_s(9.0) == 9.0
    assert sent(outbox) == [(1, None)]
    assert not outbox.add_evidence(seqs, URL, SHA256)
    assert sent(outbox) == [(1, None)], "sent again, it is the same message"


def test_an_alert_that_nobody_sent_still_takes_its_evidence(outbox: Outbox, clock: Clock) -> None:
    """While the broker is away the half second passes, and the picture is not too late."""
    seqs = store(outbox, draft(1))
    clock.pass_s(3600)
    assert outbox.add_evidence(seqs, URL, SHA256)
    assert sent(outbox) == [(1, EVIDENCE)]


def test_nothing_overtakes_an_alert_that_waits(outbox: Outbox, clock: Clock) -> None:
    """What comes behind waits too, so that seq goes out in order; half a second at most."""
    store(outbox, draft(1), awaiting=False)
    seqs = store(outbox, draft(2))
    store(outbox, draft(3), awaiting=False)
    assert [seq for seq, _ in sent(outbox)] == [1]
    clock.pass_s(0.3)
    store(outbox, draft(4))
    outbox.release(seqs)
    assert [seq for seq, _ in sent(outbox)] == [1, 2, 3]
    clock.pass_s(EVIDENCE_WAIT_S)
    assert [seq for seq, _ in sent(outbox)] == [1, 2, 3, 4]


def test_new_and_end_take_the_same_picture(outbox: Outbox, clock: Clock) -> None:
    """Where `new` is out already and `end` is not, `end` brings the picture."""
    seqs = store(outbox, draft(1), draft(1))
    clock.pass_s(EVIDENCE_WAIT_S)
    assert len(outbox.next_batch(1)) == 1
    assert outbox.add_evidence(seqs, URL, SHA256)
    assert sent(outbox) == [(1, None), (2, EVIDENCE)]


def test_after_a_kill_what_waited_goes_at_once_and_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The picture died with the process: its alert is there, is sent without, and that is said."""
    outbox = Outbox(tmp_path / "o.db", reserve_bytes=0)
    store(outbox, draft(1), draft(2))
    outbox.close()
    with caplog.at_level(logging.WARNING):
        again = Outbox(tmp_path / "o.db", reserve_bytes=0)
    assert "2 stored alerts go out without evidence" in caplog.text
    assert sent(again) == [(1, None), (2, None)]
    again.close()
    caplog.clear()
    Outbox(tmp_path / "o.db", reserve_bytes=0).close()
    assert caplog.text == ""


def test_a_failed_append_holds_nothing_back(outbox: Outbox) -> None:
    """A transaction that was undone leaves no waiting number behind: it is given out again."""
    first = draft(1)
    with pytest.raises(OverflowError):
        outbox.append([first], "cam1", 1 << 70, [first.message_id])
    assert store(outbox, draft(2), awaiting=False) == [1]
    assert [seq for seq, _ in sent(outbox)] == [1]


def test_what_the_full_outbox_only_counts_waits_for_nothing(tmp_path: Path) -> None:
    """At the limit an alert is a number; its picture finds no row and nothing is held back."""
    outbox = Outbox(tmp_path / "o.db", max_messages=1, reserve_bytes=0)
    assert store(outbox, draft(1), draft(2), draft(3)) == [1]
    assert outbox.add_evidence([1], URL, SHA256)
    outbox.delete(1)
    (gap,) = outbox.next_batch(10)
    assert json.loads(gap.body)["gap"]["count"] == 2
    outbox.close()


def test_a_corrupt_file_costs_the_wait_not_the_alert(tmp_path: Path, clock: Clock) -> None:
    """What is taken over from a broken file is sent at once, with or without its picture."""
    path = tmp_path / "o.db"
    outbox = Outbox(path, reserve_bytes=0, monotonic_ns=clock)
    seqs = store(outbox, *(draft(n) for n in range(50)))
    connection = open_connection(outbox)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute("PRAGMA cache_size=1")
    with path.open("r+b") as file:
        file.write(b"\x00" * path.stat().st_size)
    with pytest.raises(OutboxError):
        outbox.add_evidence(seqs, URL, SHA256)
    (last,) = store(outbox, draft(99), awaiting=False)
    assert [seq for seq, _ in sent(outbox)][-1] == last
    outbox.close()


OLD_READER = """
import json, sys
from pathlib import Path
from edge_app.mqtt.outbox import Outbox
outbox = Outbox(Path(sys.argv[1]), reserve_bytes=0)
rows = [(a.seq, json.loads(a.body)["evidence"]) for a in outbox.next_batch(100)]
outbox.delete(*(seq for seq, _ in rows))
print(json.dumps({"rows": rows, "depth": outbox.depth(), "note": outbox.note,
                  "last": outbox.last_finished("cam1"), "next": outbox.last_seq + 1}))
outbox.close()
"""


@pytest.mark.needs("the repository's history")
def test_release_0_1_0_opens_a_file_with_waiting_alerts_and_sends_them(tmp_path: Path) -> None:
    """Rolled back, the device of the field takes every row in order; back again, so do we."""
    path = tmp_path / "o.db"
    release = unpack_release(tmp_path / "release")
    ours = Outbox(path, reserve_bytes=0)
    alerts = [draft(n) for n in range(3)]
    ours.append(alerts, "cam1", 3, [a.message_id for a in alerts])
    ours.add_evidence([2], URL, SHA256)
    ours.close()
    found = json.loads(run_on_release(release, OLD_READER, str(path)))
    assert found["rows"] == [[1, None], [2, EVIDENCE], [3, None]]
    assert (found["depth"], found["note"], found["last"], found["next"]) == (0, "", 3, 4)
    again = Outbox(path, reserve_bytes=0)
    assert again.note == ""
    assert store(again, draft(4)) == [4]
    assert again.session == 3
    again.close()


OLD_WRITER = """
import sys
from pathlib import Path
from edge_app.mqtt.messages import AlertDraft
from edge_app.mqtt.outbox import Outbox
outbox = Outbox(Path(sys.argv[1]), reserve_bytes=0)
print(outbox.append([AlertDraft.model_validate_json(sys.argv[2])], "cam1", 7))
outbox.close()
"""


@pytest.mark.needs("the repository's history")
def test_a_file_of_release_0_1_0_opens_here(tmp_path: Path) -> None:
    """What waited in the field's outbox is sent, and new alerts may wait for evidence there."""
    path = tmp_path / "o.db"
    release = unpack_release(tmp_path / "release")
    run_on_release(release, OLD_WRITER, str(path), draft(1).model_dump_json())
    ours = Outbox(path, reserve_bytes=0)
    assert (sent(ours), ours.last_finished("cam1"), ours.session) == ([(1, None)], 7, 2)
    seqs = store(ours, draft(2))
    assert ours.add_evidence(seqs, URL, SHA256)
    assert sent(ours) == [(1, None), (2, EVIDENCE)]
    ours.close()
