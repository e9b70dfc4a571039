"""Pausing inspection on the page: by an operator, with a reason, until it is ended."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from support.chromium import Browser, browser
from support.shown_line import shown_line, triggered
from view_browser import open_view, seen, text

pytestmark = pytest.mark.needs("chromium")


def order(view: Browser, button: str, why: str) -> None:
    """Give an order; clicked by script, since a live page's layout moves under a finger."""
    view.run(f"document.querySelector('#pause-form').elements.why.value = {why!r}")
    view.run(f"document.querySelector('{button}').click()")


def recorded(client: httpx.Client) -> dict[str, dict[str, object]]:
    found = client.get("/api/v1/audit").json()["records"]
    return {record["event"]: record for record in found}


def test_an_operator_pauses_with_a_reason_and_ends_the_pause(tmp_path: Path) -> None:
    with (
        shown_line(tmp_path / "line", {"belt": triggered(1.0, bad=0.0)}) as line,
        browser("chromium", tmp_path / "profile") as view,
    ):
        operator = line.client("operator")
        open_view(view, line, "/", operator)
        view.wait_for("document.querySelector('#pause-panel')?.hidden === false")
        view.run("document.querySelector('#pause-panel').open = true")
        view.tap("#pause-begin")
        assert "pause" not in recorded(operator), "a reason is asked for"
        order(view, "#pause-begin", "tool change")
        view.wait_for("document.querySelector('#pause-outcome').textContent !== ''")
        view.wait_for("document.querySelector('#pause-end').hidden === false")
        assert view.run("document.querySelector('#pause-begin').hidden")
        assert recorded(operator)["pause"]["why"] == "tool change"
        line.waits_for(
            lambda client: [
                p for p in client.get("/api/v1/parts").json()["parts"] if p["reason"] == "paused"
            ]
        )
        seen(view, "pause")
        order(view, "#pause-end", "tool changed")
        view.wait_for("document.querySelector('#pause-begin').hidden === false")
        assert recorded(operator)["resumed"]["why"] == "tool changed"
        assert text(view, "#pause-outcome")


def test_who_is_not_logged_in_is_asked_to_log_in(tmp_path: Path) -> None:
    with (
        shown_line(tmp_path / "line", {"belt": triggered(1.0, bad=0.0)}) as line,
        browser("chromium", tmp_path / "profile") as view,
    ):
        view.open(f"{line.url}/", (768, 1024))
        view.wait_for("document.querySelector('#pause-panel')?.hidden === false")
        view.run("document.querySelector('#pause-panel').open = true")
        order(view, "#pause-begin", "tool change")
        said = "document.querySelector('#why')?.textContent"
        view.wait_for(f"{said}?.includes('A pause has an author')")
        assert "pause" not in recorded(line.client("viewer"))
