"""The health that the API answers: from a running line, from a silent one, from an earlier one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from people_pages import people_page
from support.agent_and_line import Line
from support.app_config import write_config
from support.brokers import wait_until
from support.small_bundles import write_pictures

from edge_app.config.load import load_config
from edge_app.ipc.page_link import LineState
from edge_app.page.api.models import DeviceHealth
from edge_app.page.health import Since, line_health
from edge_app.page.remote import SILENCE_S, RemoteLine
from edge_app.page.snapshot import state_json
from edge_app.page.source import LocalSource
from edge_app.page.state import PageState


def by_subject(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    DeviceHealth.model_validate({"subjects": found})
    return {subject["subject"]: subject for subject in found}


def test_a_viewer_reads_every_subject(tmp_path: Path) -> None:
    """Ten, each with its words; of what no line has said, that it is not known."""
    with people_page(tmp_path) as page:
        answer = page.person("viewer").get("/api/v1/health")
        assert answer.status_code == 200
        found = by_subject(answer.json()["subjects"])
        assert len(found) == 10
        assert found["page"]["headline"] == "This page hears from inspection."
        page.state.set_broker("connecting: [Errno 111] Connection refused", False)
        page.state.set_health({"disk_free_bytes": 0, "outbox": {"reserve_released": True}})
        found = by_subject(page.person("viewer", "bob").get("/api/v1/health").json()["subjects"])
        assert found["disk"]["level"] == "bad"
        assert found["disk"]["what_to_do"].startswith("Free some space")
        assert found["broker"]["details"][0]["text"] == "nothing answers at that address"


def test_a_running_device_is_well(tmp_path: Path) -> None:
    """Its cameras, model, history and audit are good; there is no agent and no broker, which is no
    fault; none of it is known from a configuration alone."""
    write_pictures(tmp_path / "in", 6, {3})
    url = "folder:in?loop=1&interval_s=0.05"
    config = write_config(tmp_path, url, 1, mqtt="enabled = false")
    line = Line(load_config(config)).start()
    since = Since()
    try:
        wait_until(lambda: len(line.verdicts) > 5, 30, "parts")
        known = ("cameras", "broker", "model", "history", "audit", "updates")
        wait_until(lambda: {health(line, since)[s]["level"] for s in known} == {"good"}, 20)
        found = health(line, since)
        assert found["cameras"]["headline"] == "Camera cam1 delivers pictures."
        assert found["model"]["details"][0]["text"] == "Slot main judges bright."
        assert found["broker"]["headline_key"] == "broker.not_used"
        assert found["updates"]["headline_key"] == "updates.not_used"
        assert found["disk"]["params"]["free_mb"] > 0
    finally:
        line.stop()


def health(line: Line, since: Since) -> dict[str, dict[str, Any]]:
    return by_subject(line_health(line.app.page_state, since))


def test_since_is_the_last_change_of_what_is_said() -> None:
    """Not of a figure in it."""
    now_ns = 1_790_000_000 * 10**9
    state = PageState(now_ns=lambda: now_ns)
    source = LocalSource(state)

    def disk(free: int) -> dict[str, Any]:
        state.set_health({"disk_free_bytes": free, "disk": {"total_bytes": 100 << 30}})
        return by_subject(source.health())["disk"]

    first = disk(50 << 30)
    now_ns += 60 * 10**9
    second = disk(49 << 30)
    assert (second["since"], second["params"] != first["params"]) == (first["since"], True)
    now_ns += 60 * 10**9
    assert disk(1 << 30)["since"] > first["since"]


def test_without_inspection_nothing_else_is_claimed() -> None:
    """Not running, silent, an inspection of an earlier release; then the line's own words."""
    clock_s = 100.0
    line = RemoteLine(lambda _: None, lambda: clock_s, lambda: 1_790_000_000 * 10**9)
    found = by_subject(line.health())
    assert (found["page"]["level"], found["page"]["since"]) == ("bad", None)
    assert found["page"]["headline_key"] == "page.not_running"
    assert {s["level"] for name, s in found.items() if name != "page"} == {"unknown"}
    state = PageState()
    line._keep(LineState(state=state_json(state), alerts=None))
    assert {s["level"] for s in by_subject(line.health()).values()} == {"unknown"}
    told = LocalSource(state).health()
    line._keep(LineState(state={**state_json(state), "health": told}, alerts=None))
    assert line.health() == told
    assert "health" not in line.state()
    clock_s += SILENCE_S + 1
    found = by_subject(line.health())
    assert found["page"]["headline_key"] == "page.silent"
    assert found["page"]["since"] == "2026-09-21T14:13:16.000000000Z"
