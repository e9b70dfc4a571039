"""Golden parts on a running line: the alerts, the history, the figures and the audit of them."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from support.app_config import write_config
from support.brokers import wait_until
from support.order_makers import order
from support.small_bundles import write_pictures
from test_orders_on_line import Device, running

from edge_app.audit.reader import every_record
from edge_app.audit.schema import AUDIT_FILE
from edge_app.errors import HistoryError
from edge_app.history.part_filter import PartFilter
from edge_app.history.reader import HistoryReader
from edge_app.mqtt.messages import Alert, AlertDraft
from edge_app.page.notices import notices_of
from edge_app.runtime.waiting_alarms import alarm_of

DAY = 2**62


def golden_config(folder: Path, golden: str, *bad: int) -> Path:
    """Return the configuration of a line whose camera shows the same files again and again: one of
    them, replayed, is the golden part."""
    write_pictures(folder / "in", 6, set(bad))
    table = f'[[golden_part]]\nname = "g"\ncamera = "cam1"\ntimes = ["00:00"]\n{golden}\n'
    return write_config(
        folder, "folder:in?loop=1&interval_s=0.1", 1, mqtt="enabled = false", more=table
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "in").iterdir())


def checks(device: Device) -> list[dict[str, Any]]:
    try:
        return HistoryReader(device.state / "history.sqlite").golden_checks(0, DAY)
    except HistoryError:
        return []  # it is being made


def figures(device: Device) -> dict[str, Any]:
    (part,) = device.line.app._orders._golden.watch.figures()["parts"]
    assert isinstance(part, dict)
    return part


def test_a_replayed_reject_is_recognised_and_is_in_no_figure(tmp_path: Path) -> None:
    """Its alert, its row and its result name it; it does not wait to be taken out, is in no count,
    cannot be marked; what became of it is in history and audit, once each."""
    write_pictures(tmp_path / "in", 6, {2, 4})
    bad = names(tmp_path)[1]
    config = golden_config(tmp_path, f'serial = "{bad}"', 2, 4)
    with running(config) as device:
        wait_until(lambda: len(checks(device)) >= 2, 60, "two checks")
        golden = [part for part in device.line.verdicts if part.golden]
        refused = device.give(order("mark", part_id=golden[0].part_id, mark="false_alarm"))
        assert not refused.is_done
        assert "golden part g, a test of the line: it is not marked" in refused.text
    alerts = device.alerts()
    assert {v.source_name for v in golden} == {bad}
    assert {a["golden"] for a in alerts if a["source_name"] == bad} == {"g"}
    assert {a["golden"] for a in alerts if a["source_name"] != bad} == {None}
    assert not [a for a in alerts if a["golden_check"]]
    reader = HistoryReader(device.state / "history.sqlite")
    rows = list(reader.every_part(PartFilter(golden=True)))
    assert {(r["source_name"], r["state"], r["golden"]) for r in rows} == {(bad, "NG", "g")}
    assert all(row["take_out"] is None for row in rows)
    others = list(reader.every_part(PartFilter(golden=False)))
    assert bad not in {row["source_name"] for row in others}
    waiting, _ = reader.waiting()
    bad_ones = sum(row["state"] == "NG" for row in others)
    assert waiting == bad_ones > 0
    counted = reader.counts(0, DAY)
    assert sum(c["ng"] for c in counted) == bad_ones
    assert sum(c["ok"] + c["ng"] + c["not_inspected"] for c in counted) == len(others)
    found = checks(device)
    assert {(c["outcome"], c["state"]) for c in found} == {("passed", "NG")}
    assert {c["part_id"] for c in found} <= {row["part_id"] for row in rows}
    noted = [r for r in every_record(device.state / AUDIT_FILE) if r["event"] == "golden_check"]
    assert len({record["new"]["part_id"] for record in noted}) == len(noted) >= 2


def test_a_reject_that_passes_as_good_is_an_alarm_over_restarts(tmp_path: Path) -> None:
    """One alert of its own that 0.1.0's consumers read as NOT_INSPECTED, no row of a part, no lamp;
    the page and `degraded` say it, after a restart too."""
    write_pictures(tmp_path / "in", 6, set())
    config = golden_config(tmp_path, f'serial = "{names(tmp_path)[3]}"')
    with running(config) as device:
        wait_until(lambda: figures(device)["is_alarmed"], 60, "the alarm")
        wait_until((device.state / "golden.json").exists, 30, "the file")
        wait_until(lambda: "golden" in device.line.app.page_state.facts().health, 30, "figures")
        lamp = device.line.app._sink._levels["cam1"].change()
    before = device.alerts()[0]
    assert (before["event"], before["verdict"], before["reason"]) == (
        "new", "NOT_INSPECTED", "golden_missed",
    )  # fmt: skip
    assert before["golden_check"] == {
        "name": "g", "outcome": "missed", "due_at": before["golden_check"]["due_at"], "found": "OK",
        "found_classes": [], "expected_class": None,
    }  # fmt: skip
    assert lamp is None
    assert alarm_of(json.dumps(before)) is None, "the history takes no part in from it"
    AlertDraft.model_validate(before)
    reader = HistoryReader(device.state / "history.sqlite")
    assert not [p for p in reader.every_part(PartFilter()) if p["reason"].startswith("golden")]
    assert {c["outcome"] for c in checks(device)} == {"missed"}
    with closing(sqlite3.connect(device.state / "history.sqlite")) as connection:
        assert connection.execute("SELECT count(*) FROM take_out").fetchone() == (0,)
    with running(config) as device:
        assert figures(device)["is_alarmed"]
        device.more_parts(7)
        notices = device.line.app.page_state
        wait_until(lambda: bool(notices.facts().health.get("golden")), 30, "figures")
        assert "golden_missed" in {notice.code for notice in notices_of(notices.facts())}
    told = device.alerts()
    assert {a["alarm_id"] for a in told} == {before["alarm_id"]}
    assert {a["event"] for a in told[1:]} == {"update"}


def test_an_old_consumer_reads_the_alarm() -> None:
    """The keys that release 0.1.0 requires of an alert are there, with the values that it knows."""
    fields = Alert.model_fields
    assert fields["golden"].default is None
    assert fields["golden_check"].default is None


def test_who_may_announce(tmp_path: Path) -> None:
    """Operators and engineers; a viewer and a name that nobody configured are refused in words."""
    config = golden_config(tmp_path, "")
    with running(config) as device:
        person = {"kind": "person", "name": "vera", "role": "viewer"}
        refused = device.give(order("show_golden", person, name="g"))
        assert "vera may not do that" in refused.text
        unknown = device.give(order("show_golden", name="h"))
        assert (unknown.is_done, "the configuration has: g" in unknown.text) == (False, True)
        done = device.give(order("show_golden", {**person, "role": "operator"}, name="g"))
        assert done.is_done
        assert "the next part is taken for golden part g" in done.text
        wait_until(lambda: len(checks(device)) == 1, 60, "the check")
        device.more_parts()
        assert len(checks(device)) == 1, "one part for one word"
        events = [r["event"] for r in every_record(device.state / AUDIT_FILE)]
        assert events.count("golden_announced") == 1
