"""The limit in a browser: what it would have done, who may change it, and the change itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest
from support.chromium import Browser, browser
from support.shown_line import ShownLine, shown_line, triggered
from view_browser import open_view, press, seen, size, text

pytestmark = pytest.mark.needs("chromium")

PARTS = 60
DRAWN = "!!document.querySelector('#chart .bar')"
COUNTED = "document.querySelector('#counting').textContent.match(/^Parts: [\\d,]+\\./) !== null"


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShownLine]:
    """A line that has had some parts, and is paused."""
    folder = tmp_path_factory.mktemp("limit")
    with shown_line(folder, {"belt": triggered(rate=8, bad=0.3)}) as running:
        running.waits_for(lambda client: len(judged(client)) >= PARTS, 120)
        body = {"minutes": 60, "why": "the tests look at what was inspected"}
        with closing(running.client("engineer")) as engineer:
            assert engineer.post("/api/v1/pause", json=body).status_code == 200
            running.waits_for(is_at_rest, 60)
        yield running


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser("chromium", tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def judged(client: httpx.Client) -> list[dict[str, Any]]:
    """Return the parts with a verdict."""
    found = client.get("/api/v1/parts?limit=500").json().get("parts", [])
    return [part for part in found if part["state"] != "NOT_INSPECTED" and part["is_final"]]


def is_at_rest(client: httpx.Client) -> bool:
    """Tell whether the parts that were under way when the pause began have their rows."""
    newest = client.get("/api/v1/parts?limit=3").json()["parts"]
    return {(part["state"], part["is_final"]) for part in newest} == {("NOT_INSPECTED", True)}


def slide(view: Browser, bins: int) -> None:
    view.run(
        f"(s => {{ s.value = {bins}; s.dispatchEvent(new Event('input')); }})"
        "(document.querySelector('#slider'))"
    )


def counts(view: Browser) -> dict[str, list[int]]:
    """Return name → parts with the present limit, and with the one that is tried."""
    rows: dict[str, list[int]] = view.run(
        "Object.fromEntries([...document.querySelectorAll('#counts tr')].map(r => [r.className,"
        " [...r.querySelectorAll('strong')].map(e => Number(e.textContent.replace(/,/g, '')))]))"
    )
    return rows


def test_a_limit_that_is_tried_says_what_it_would_have_done(line: ShownLine, view: Browser) -> None:
    """Alarmed, suspect and passed are those of the recorded scores; parts that flip are shown, the
    nearest first; the nominal rate is that of the calibration's own scores."""
    with closing(line.client("viewer")) as viewer:
        (limits,) = viewer.get("/api/v1/limits").json()["limits"]
        parts = judged(viewer)
        limit, calibration = limits["score_threshold"], limits["calibration"]
        open_view(view, line, "/limit", viewer)
        view.wait_for(DRAWN)
        view.wait_for(COUNTED)
        now = counts(view)
        assert now["alarmed"] == [sum(p["score"] >= limit for p in parts)] * 2
        assert now["suspect"] == [sum(p["is_suspect"] for p in parts)] * 2
        assert sum(row[0] for row in now.values()) == len(parts)
        assert view.run("document.querySelector('#flips').children.length") == 0
        view.run("document.querySelector('#slider').focus()")
        press(view, "ArrowLeft")
        assert view.run("Number(document.querySelector('#slider').value)") == -1
        slide(view, -40)
        tried = limit - 40 * (limit - calibration["low"]) / 80
        flipped = sorted((p["score"] for p in parts if tried <= p["score"] < limit), reverse=True)
        assert counts(view)["alarmed"][1] == now["alarmed"][0] + len(flipped)
        shown = view.run("[...document.querySelectorAll('#flips a')].map(a => a.href)")
        ids = [int(href.rpartition("=")[2]) for href in shown]
        by_id = {part["id"]: part["score"] for part in parts}
        assert [by_id[number] for number in ids] == flipped[:24]
        assert f"Passing parts that would be alarms: {len(flipped)}" in text(view, "#flips-title")
        assert f"calibration's {calibration['good_parts']:,} good parts" in text(view, "#nominal")
        seen(view, "limit")
        slide(view, 119)
        passed = sum(p["score"] < limit + 119 * (limit - calibration["low"]) / 80 for p in parts)
        assert counts(view)["alarmed"][1] == len(parts) - passed


def test_whoever_may_not_change_it_sees_why(line: ShownLine, view: Browser) -> None:
    """A viewer and an operator read and try; no button, but the words."""
    for role in ("viewer", "operator"):
        with closing(line.client(role, f"{role}-2")) as client:
            open_view(view, line, "/limit", client)
            view.wait_for(DRAWN)
            assert view.run("document.querySelector('#read-only').hidden") is False
            assert "Only an engineer changes limits" in text(view, "#read-only")
            for css in ("#apply", "#undo", "#why-field"):
                assert view.run(f"document.querySelector('{css}').hidden"), css


def test_an_engineer_changes_the_limit_with_a_reason_and_takes_it_back(
    line: ShownLine, view: Browser
) -> None:
    """Without a reason nothing happens; with one the next part has the new limit, and the audit the
    author; undone it is the old one."""
    with closing(line.client("engineer", "eva")) as engineer:
        (old,) = engineer.get("/api/v1/limits").json()["limits"]
        open_view(view, line, "/limit", engineer)
        size(view, "tablet")
        view.wait_for(DRAWN)
        assert view.run("document.querySelector('#apply').disabled")
        slide(view, 20)
        view.tap("#apply")
        assert engineer.get("/api/v1/limits").json()["limits"] == [old], "no reason, no change"
        view.run("document.querySelector('#why').value = 'light scratches are accepted'")
        view.tap("#apply")
        view.wait_for("document.querySelector('#outcome').textContent.includes('Audit record')")
        (new,) = engineer.get("/api/v1/limits").json()["limits"]
        width = (old["score_threshold"] - old["calibration"]["low"]) / 80
        expected = old["score_threshold"] + 20 * width
        assert new["score_threshold"] == pytest.approx(expected, rel=1e-5)
        view.wait_for(
            f"document.querySelector('#judging').textContent.includes('{new['threshold_id']}')"
        )
        record = engineer.get("/api/v1/audit?limit=1").json()["records"][0]
        assert (record["author"]["name"], record["why"]) == ("eva", "light scratches are accepted")
        view.run("document.querySelector('#why').value = 'too many were missed'")
        view.wait_for("!document.querySelector('#undo').disabled")
        view.tap("#undo")
        view.wait_for("document.querySelector('#undo').disabled")
        (again,) = engineer.get("/api/v1/limits").json()["limits"]
        assert again == old


def test_marks_stand_over_their_scores(line: ShownLine, view: Browser) -> None:
    """A false alarm and a right one: each with its sign above its bar."""
    with closing(line.client("operator", "otto")) as operator:
        bad = [part for part in judged(operator) if part["state"] == "NG"][:2]
        for part, mark in zip(bad, ("false_alarm", "right"), strict=True):
            body = {"part_id": part["part_id"], "mark": mark}
            answer = operator.post(f"/api/v1/parts/{part['id']}/decisions", json=body)
            assert answer.status_code == 200, answer.text
        open_view(view, line, "/limit", operator)
        view.wait_for("document.querySelectorAll('#chart .mark.false_alarm').length === 2")
        assert view.run("document.querySelectorAll('#chart .mark.right').length") == 2
        assert view.run("document.querySelector('.key.missed').hidden")


def test_a_device_that_is_gone_is_said(line: ShownLine, view: Browser) -> None:
    """No empty chart that looks like no parts."""
    open_view(view, line, "/limit")
    view.wait_for(DRAWN)
    gone = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    view.call("Network.emulateNetworkConditions", offline=True, **gone)
    view.run(
        "(s => { s.value = 'today'; s.dispatchEvent(new Event('change')); })"
        "(document.querySelector('#days'))"
    )
    view.wait_for("document.querySelector('#trouble').textContent.includes('does not answer')")
    view.call("Network.emulateNetworkConditions", offline=False, **gone)
