"""Orders on a running line: limits between two parts, pauses without alerts, over restarts."""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support import agent_and_line
from support.activation_bundles import manifest_of, write_release
from support.agent_and_line import Line
from support.app_config import write_config
from support.brokers import wait_until
from support.order_makers import order
from support.small_bundles import write_pictures

from edge_app.cli.main import main
from edge_app.config.load import load_config
from edge_app.history.ledger import check_history
from edge_app.history.part_filter import PartFilter
from edge_app.history.reader import HistoryReader
from edge_app.ipc.order_client import OrderClient
from edge_app.ipc.order_schema import AnyOrder, LimitState, OrderAnswer
from edge_app.mqtt.messages import DeviceInfo

GOOD_SCORE, BAD_SCORE = 100.0, 250.0
"""What the brightness inspector makes of pictures; its bundle's limit lies between."""


class Device:
    """A running device without a broker."""

    def __init__(self, config: Path) -> None:
        self.config = load_config(config)
        self.state = self.config.device.state_dir
        self.line = Line(self.config).start()
        wait_until(lambda: len(self.line.verdicts) > 2, 30, "parts")
        wait_until((self.state / "orders.sock").exists, 30, "the socket")

    def give(self, given: AnyOrder) -> OrderAnswer:
        return OrderClient(self.state / "orders.sock").send(given, 20)

    def limits(self) -> LimitState:
        (state,) = self.give(order("show_limits")).limits
        return state

    def set_limit(self, value: float) -> OrderAnswer:
        digest = self.limits().sha256
        answer = self.give(order("set_limit", score_threshold=value, for_sha256=digest))
        assert answer.is_done, answer.text
        return answer

    @property
    def info(self) -> DeviceInfo:
        return self.line.app._info_with_models()

    def more_parts(self, count: int = 3) -> None:
        seen = len(self.line.verdicts)
        wait_until(lambda: len(self.line.verdicts) >= seen + count, 30, "more parts")

    def alerts(self) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.state / "outbox.sqlite")) as connection:
            rows = connection.execute("SELECT body FROM alerts ORDER BY seq").fetchall()
        return [json.loads(row[0]) for row in rows]


@contextmanager
def running(config: Path) -> Iterator[Device]:
    device = Device(config)
    try:
        yield device
    finally:
        device.line.stop()


def folder_config(tmp_path: Path, *bad: int) -> Path:
    write_pictures(tmp_path / "in", 6, set(bad))
    url = "folder:in?loop=1&interval_s=0.05"
    return write_config(tmp_path, url, 1, mqtt="enabled = false")


def test_a_limit_holds_between_two_parts_and_over_a_restart(tmp_path: Path) -> None:
    """Every part has one limit and its id; the page, `info` and the history have the same; undone
    it is the bundle's own again."""
    config = folder_config(tmp_path)
    with running(config) as device:
        before = device.limits()
        assert before.calibration is not None
        assert max(before.calibration.top) < before.score_threshold
        assert sum(before.calibration.counts) == before.calibration.good_parts
        assert device.line.verdicts[-1].state.value == "OK"
        answer = device.set_limit(GOOD_SCORE - 10)
        device.more_parts()
        now = device.limits()
        assert now.threshold_id in answer.text
        assert now.threshold_id != before.threshold_id
        assert (now.score_threshold, now.steps) == (GOOD_SCORE - 10, 1)
        last = device.line.verdicts[-1]
        assert (last.state.value, last.threshold_id) == ("NG", now.threshold_id)
        ids = [k for k, _ in itertools.groupby(v.threshold_id for v in device.line.verdicts)]
        assert ids == [before.threshold_id, now.threshold_id]
        assert {(v.state.value, v.threshold_id) for v in device.line.verdicts} == {
            ("OK", before.threshold_id), ("NG", now.threshold_id)
        }  # fmt: skip
        (slot,) = device.info.slots
        assert slot.threshold_id == now.threshold_id
        wait_until(lambda: device.info.audit_head == answer.audit_head, 10, "the head in info")
        audit = device.line.app._status._read_health().audit
        assert audit is not None
        assert (audit.head, audit.waiting, audit.trouble) == (answer.audit_head, 0, "")
        assert now.threshold_id in dict(device.line.app.page_state.facts().bundle)["Threshold"]
    with running(config) as device:
        assert device.limits() == now
        assert {v.threshold_id for v in device.line.verdicts} == {now.threshold_id}
        assert device.give(order("undo_limit")).is_done
        device.more_parts()
        assert device.limits() == before
        refused = device.give(order("undo_limit"))
        assert not refused.is_done
        assert "nothing" in refused.text
    recorded = {
        part["threshold_id"]
        for part in HistoryReader(device.state / "history.sqlite").every_part(PartFilter())
    }
    assert recorded == {before.threshold_id, now.threshold_id}
    told = {alert["threshold_id"] for alert in device.alerts() if alert["event"] == "new"}
    assert told == {now.threshold_id}


def test_a_pause_lets_parts_pass_without_alerts(tmp_path: Path) -> None:
    """They are NOT_INSPECTED (paused), every one with its row; bad ones before and after have their
    alerts; the numbers add up."""
    config = folder_config(tmp_path, 2, 4)
    with running(config) as device:
        assert device.give(order("pause", minutes=5, camera="cam1")).is_done
        wait_until(lambda: device.line.verdicts[-1].reason == "paused", 10, "the pause")
        started = len(device.line.verdicts)
        shown = device.line.app._status.shown()["cam1"]
        assert (shown.state, shown.is_inspecting, shown.wire) == ("paused", False, "blind")
        assert "a test" in shown.reason
        device.more_parts(10)
        paused = device.line.verdicts[started:]
        assert {(v.state.value, v.reason) for v in paused} == {("NOT_INSPECTED", "paused")}
        assert device.give(order("resume")).is_done
        wait_until(lambda: device.line.verdicts[-1].reason == "", 10, "the end of the pause")
        assert device.line.app._status.shown()["cam1"].state == "capturing"
        device.more_parts(8)
    told = {alert["part_id"] for alert in device.alerts()}
    verdicts = {v.part_id: v for v in device.line.verdicts}
    assert told == {p for p, v in verdicts.items() if v.state.value == "NG"}
    assert any(v.reason == "paused" for v in verdicts.values())
    history = device.state / "history.sqlite"
    assert check_history(history).is_whole
    rows = list(HistoryReader(history).every_part(PartFilter()))
    assert {r["part_id"]: r["reason"] for r in rows} == {p: v.reason for p, v in verdicts.items()}


def test_a_pause_goes_on_after_a_restart(tmp_path: Path) -> None:
    """From the first part on; a resume ends it."""
    config = folder_config(tmp_path)
    with running(config) as device:
        assert device.give(order("pause", minutes=5)).is_done
    with running(config) as device:
        assert {v.reason for v in device.line.verdicts} == {"paused"}
        assert device.give(order("resume")).is_done
        wait_until(lambda: device.line.verdicts[-1].state.value == "OK", 10, "inspection")


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """limit, pause, resume and audit, as root types them; without a running device they say so."""
    config = folder_config(tmp_path)
    assert main(["limit", "show", "--config", str(config)]) == 2
    assert "edge-app run" in capsys.readouterr().err

    def say(*words: str) -> tuple[int, str]:
        code = main([words[0], *words[1:], "--config", str(config)])
        done = capsys.readouterr()
        return code, done.out + done.err

    why = ("--why", "scratches are accepted")
    with running(config):
        assert say("limit", "show")[1].count("the bundle's own") == 1
        code, text = say("limit", "set", "--limit", "160", *why)
        assert (code, "the limit is 160" in text) == (0, True), text
        assert "set here, 1 change" in say("limit", "show")[1]
        assert say("limit", "set", "--limit", "160000", *why)[0] == 1
        assert say("limit", "set", "--limit", "160", "--bundle", "b" * 64, *why)[0] == 1
        assert say("limit", "set", "--limit", "160", "--bundle", "b", *why)[0] == 2
        assert say("limit", "set", "--limit", "160", "--slot", "x", *why)[0] == 2
        assert say("limit", "undo", *why)[0] == 0
        assert say("limit", "undo", *why)[0] == 1
        assert say("pause", "--minutes", "5", *why)[0] == 0
        assert say("resume", *why)[0] == 0
        assert say("resume", *why)[0] == 1
        text = say("audit", "list")[1]
        assert text.count("scratches are accepted") == 4
        assert "limit_undone main" in text
        code, text = say("audit", "verify")
        assert (code, "whole" in text) == (0, True)
        head = text.split("head ")[1].split()[0]
        assert say("audit", "verify", "--head", head)[0] == 0
        assert say("audit", "verify", "--head", f"{'0' * 64}:2")[0] == 1
        (tmp_path / "journal").write_text(f"nov 30 audit head {head}: resumed\n")
        assert say("audit", "verify", "--heads", str(tmp_path / "journal"))[0] == 0
        assert say("audit", "verify", "--heads", str(config))[0] == 2
        assert say("audit", "export", "--jsonl", str(tmp_path / "a.jsonl"))[0] == 0
    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    assert [json.loads(line)["seq"] for line in lines] == list(range(1, len(lines) + 1))


def test_the_audit_tells_of_starts_and_what_changed(tmp_path: Path) -> None:
    """Each start with the configuration's digest and the keys that differ; passwords are masked."""
    config = folder_config(tmp_path)
    with running(config):
        pass
    config.write_text(config.read_text().replace("reserve_mb = 1", "reserve_mb = 2"))
    with running(config):
        pass
    with running(config) as device:
        pass
    from edge_app.audit.reader import every_record

    starts = [
        r for r in every_record(device.state / "audit.sqlite") if r["event"] == "configuration"
    ]
    first, second, third = (start["new"] for start in starts)
    assert len(first["changes"]) > 50
    assert second["changes"] == [{"key": "outbox.reserve_mb", "old": 1, "new": 2}]
    assert third["changes"] == []
    assert starts[2]["old"] == second["digest"] == third["digest"] != first["digest"]
    assert first["slots"]["main"]["score_threshold"] == 150.0
    assert first["store_id"] == third["store_id"] != ""
    for file in device.state.glob("outbox.sqlite*"):
        file.unlink()
    with running(config) as device:
        pass
    (numbering,) = [
        r for r in every_record(device.state / "audit.sqlite") if r["event"] == "numbering"
    ]
    assert numbering["old"] == first["store_id"]
    assert numbering["new"] == device.line.app.outbox.store_id != first["store_id"]


def test_a_limit_lapses_with_another_bundle(tmp_path: Path) -> None:
    """And is there again with the one that it was set for; hand-overs are in the audit."""
    from edge_app.audit.reader import every_record

    config = agent_and_line.write_config(tmp_path)
    for product, serial in (("alpha", 1), ("beta", 1)):
        manifest = manifest_of(product, serial, 150.0)
        write_release(tmp_path / f"{product}.bundle", manifest)
    with agent_and_line.device(config, tries_here=True) as (agent, line):
        socket = agent.config.device.state_dir / "orders.sock"
        assert agent.install(tmp_path / "alpha.bundle").state == "committed"
        (alpha,) = OrderClient(socket).send(order("show_limits"), 20).limits
        given = order("set_limit", score_threshold=140.0, for_sha256=alpha.sha256)
        assert OrderClient(socket).send(given, 20).is_done
        assert agent.install(tmp_path / "beta.bundle").state == "committed"
        (beta,) = OrderClient(socket).send(order("show_limits"), 20).limits
        assert (beta.product, beta.score_threshold, beta.steps) == ("beta", 150.0, 0)
        late = order("set_limit", score_threshold=130.0, for_sha256=alpha.sha256)
        refused = OrderClient(socket).send(late, 20)
        assert not refused.is_done
        assert "the order is for" in refused.text
        assert agent.select("alpha")[0]
        wait_until(lambda: line.judges == "alpha 1", 20)
        (again,) = OrderClient(socket).send(order("show_limits"), 20).limits
        assert (again.product, again.score_threshold, again.steps) == ("alpha", 140.0, 1)
        wait_until(lambda: line.verdicts[-1].threshold == 140.0, 20)
    path = agent.config.device.state_dir / "audit.sqlite"
    told = [
        (r["event"], r["new"]["product"]) for r in every_record(path) if r["event"] == "product"
    ]
    assert told == [("product", "alpha"), ("product", "beta"), ("product", "alpha")]


def test_what_is_said_of_a_bad_part_changes_nothing_but_the_record(tmp_path: Path) -> None:
    """Settled as good on a running line: its row, its alerts and the lamp stay as they were; over
    the restart all that was said is there."""
    config = folder_config(tmp_path, 2, 4)
    config.write_text(
        config.read_text(encoding="utf-8").replace(
            "[[camera]]\n", "[[camera]]\nalarm_debounce_s = 3600.0\n"
        ),
        encoding="utf-8",
    )
    with running(config) as device:
        reader = HistoryReader(device.state / "history.sqlite", shows_names=True)
        history = device.line.app._history
        assert history is not None
        wait_until(lambda: history.health().parts > 5, 20, "rows")
        wait_until(lambda: reader.waiting()[0] >= 2, 20, "bad parts that wait")
        part = reader.waiting()[1][0]
        number, part_id = int(part["id"]), str(part["part_id"])
        level = device.line.app._sink._levels["cam1"]
        assert level._is_on

        def kept() -> tuple[object, ...]:
            with closing(sqlite3.connect(device.state / "history.sqlite")) as connection:
                row = connection.execute("SELECT * FROM parts WHERE id = ?", (number,)).fetchone()
            waiting = [json.loads(a.body) for a in device.line.app.outbox.next_batch(50)]
            alerts = [a for a in waiting if a["part_id"] == part_id]
            assert alerts
            return row, alerts, level._is_on

        before = kept()
        said = device.give(order("settle", part=number, part_id=part_id, outcome="good"))
        assert said.is_done, said.text
        marked = order("mark", part=number, part_id=part_id, mark="unsure", note="ask again")
        assert device.give(marked).is_done
        assert device.give(marked).is_done
        assert kept() == before
        assert number not in {p["id"] for p in reader.waiting()[1]}
    with running(config):
        found = reader.part(number)
        assert found is not None
        assert [d["mark"] for d in found["decisions"]] == ["false_alarm", "unsure"]
        assert found["take_out"]["outcome"] == "good"
        assert check_history(device.state / "history.sqlite").is_whole
