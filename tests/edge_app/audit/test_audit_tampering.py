"""What is changed in an audit is found, and by what."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.audit_files import entry, execute, rebuild, rows, write_audit

from edge_app.audit.head_copy import read_head, write_head
from edge_app.audit.log import AuditLog
from edge_app.audit.reader import every_record, latest
from edge_app.audit.records import Head, canonical, hash_of, heads_in
from edge_app.audit.verify import NamedHead, verify
from edge_app.errors import AuditError


def _other_why(path: Path) -> None:
    body = rows(path)[2][1].replace(b"hired", b"fired")
    execute(path, "UPDATE records SET body = ? WHERE seq = 3", body)


def _other_why_and_hash(path: Path) -> None:
    body = rows(path)[2][1].replace(b"hired", b"fired")
    execute(path, "UPDATE records SET body = ?, hash = ? WHERE seq = 3", body, hash_of(body))


def _removed(path: Path) -> None:
    execute(path, "DELETE FROM records WHERE seq = 3")


def _removed_and_renumbered(path: Path) -> None:
    _removed(path)
    execute(path, "UPDATE records SET seq = seq - 1 WHERE seq > 3")


def _inserted(path: Path) -> None:
    execute(path, "UPDATE records SET seq = -seq WHERE seq > 3")
    execute(path, "UPDATE records SET seq = 1 - seq WHERE seq < 0")
    execute(path, "INSERT INTO records SELECT 4, body, hash FROM records WHERE seq = 3")


def _swapped(path: Path) -> None:
    for a, b in ((3, -3), (4, 3), (-3, 4)):
        execute(path, "UPDATE records SET seq = ? WHERE seq = ?", b, a)


def _no_json(path: Path) -> None:
    execute(path, "UPDATE records SET body = ?, hash = ? WHERE seq = 3", b"{", hash_of(b"{"))


def _text_for_bytes(path: Path) -> None:
    execute(path, "UPDATE records SET body = 'x' WHERE seq = 3")


CHANGES = {
    "a word of a record": (_other_why, "record 3 was changed"),
    "a word and its hash": (_other_why_and_hash, "record 4 does not follow"),
    "a record removed": (_removed, "record 3 is missing"),
    "removed and renumbered": (_removed_and_renumbered, "record 3 does not follow"),
    "a record inserted": (_inserted, "record 4 does not follow"),
    "two swapped": (_swapped, "record 3 does not follow"),
    "no record at all": (_no_json, "record 3 is no record"),
    "text for bytes": (_text_for_bytes, "record 3 is no record"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_found_by_the_chain_itself(tmp_path: Path, name: str) -> None:
    """Without any head from elsewhere; and what is reported is where it begins."""
    path = tmp_path / "audit.sqlite"
    write_audit(path, 6)
    assert verify(path).is_whole
    change, said = CHANGES[name]
    change(path)
    found = verify(path)
    assert not found.is_whole
    assert said in found.findings[0], found.findings


def _forge(record: dict[str, Any]) -> None:
    record["why"] = "forged"


@pytest.mark.parametrize("last", [3, 6])
def test_a_chain_made_anew_is_found_by_a_head_kept_elsewhere(tmp_path: Path, last: int) -> None:
    """It is whole by itself: nothing else can tell. An older head does, too."""
    path = tmp_path / "audit.sqlite"
    write_audit(path, 6)
    kept = Head(rows(path)[last - 1][2], last)
    rebuild(path, _forge)
    assert verify(path).is_whole
    found = verify(path, [NamedHead(kept, "the journal")])
    assert found.findings == (
        f"the chain was made anew: record {last} is another than the journal knows",
    )


def test_a_cut_end_is_found_by_a_head_kept_elsewhere(tmp_path: Path) -> None:
    """The copy beside the file is enough, unless it is changed as well."""
    path = tmp_path / "audit.sqlite"
    head = write_audit(path, 6)
    execute(path, "DELETE FROM records WHERE seq > 4")
    own = read_head(path)
    assert own == head
    assert "the end is cut off" in verify(path, [NamedHead(own, "the copy")]).findings[0]
    write_head(path, verify(path).head)
    assert verify(path, [NamedHead(read_head(path) or Head(), "the copy")]).is_whole
    assert "knows 6 records" in verify(path, [NamedHead(head, "info")]).findings[0]


def test_heads_are_found_in_a_journal() -> None:
    """As the log line of every record has them."""
    lines = f"x audit head {'a' * 64}:7: limit\ny\naudit head {'b' * 64}:8: pause"
    assert heads_in(lines) == [Head("a" * 64, 7), Head("b" * 64, 8)]
    assert heads_in("no head: 12:30") == []


@pytest.mark.parametrize("name", CHANGES)
def test_the_writer_says_what_it_finds_and_goes_on(tmp_path: Path, name: str) -> None:
    """A changed file is said to be so, in the chain too; orders are recorded all the same."""
    path, told = tmp_path / "audit.sqlite", list[str | None]()
    write_audit(path, 6)
    CHANGES[name][0](path)
    log = AuditLog(path, on_trouble=told.append)
    try:
        recorded = log.record(entry(99))
    except AuditError:
        assert name in ("a record removed", "a record inserted")
    else:
        assert recorded.seq > 5
        events = [json.loads(body)["event"] for seq, body, _ in rows(path) if seq > 5]
        assert "audit_changed" in events
    log.close()
    assert told
    assert "changed from outside" in str(told[0]) or "somebody else" in str(told[0])


def test_a_damaged_file_is_kept_and_the_next_chain_names_its_head(tmp_path: Path) -> None:
    """Not a database any more: put aside, said, and orders go on."""
    path = tmp_path / "audit.sqlite"
    head = write_audit(path, 4)
    path.write_bytes(b"\0" * 5000)
    log = AuditLog(path)
    log.record(entry(50))
    log.close()
    assert path.with_name("audit.sqlite.corrupt-1").exists()
    first = next(iter(every_record(path)))
    assert first["event"] == "audit_begun"
    assert first["new"]["head"] == str(head)
    assert verify(path).is_whole


@pytest.mark.parametrize("answer", ["", "[", "[]", "17", '{"text": 5}', "[" * 100_000])
def test_a_damaged_answer_costs_the_answer_only(tmp_path: Path, answer: str) -> None:
    """The order is still known, so it is not carried out again."""
    path = tmp_path / "audit.sqlite"
    write_audit(path, 3)
    execute(path, "UPDATE orders SET answer = ?", answer)
    log = AuditLog(path)
    known = log.known(str(entry(1).order_id))
    log.close()
    assert known is not None
    assert known.seq == 2
    assert isinstance(known.answer, dict)


@pytest.mark.parametrize("spoil", [_no_json, _text_for_bytes])
def test_a_record_that_cannot_be_read_is_said_in_words(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    """By list and export."""
    path = tmp_path / "audit.sqlite"
    write_audit(path, 5)
    spoil(path)
    for read in (lambda: list(every_record(path)), lambda: latest(path, 10)):
        with pytest.raises(AuditError, match="verify"):
            read()


def test_the_canonical_form_is_one(tmp_path: Path) -> None:
    """What an export holds gives the same bytes again: it can be checked without this product."""
    path = tmp_path / "audit.sqlite"
    write_audit(path, 4)
    previous = "0" * 64
    for record in every_record(path):
        digest = record.pop("hash")
        assert record["previous"] == previous
        assert hash_of(canonical(json.loads(json.dumps(record)))) == digest
        previous = digest
