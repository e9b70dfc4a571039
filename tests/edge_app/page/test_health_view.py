"""Health in a real browser: what is wrong stands first, and says what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from people_pages import PeoplePage, people_page
from support.chromium import Browser, browser
from view_browser import SIZES_WH, open_url, seen, text

from edge_app.device_words import ADVICE, HEADLINES
from edge_app.page.views import STATIC
from edge_app.shown_state import CameraFacts, shown_state

pytestmark = pytest.mark.needs("chromium")

FIRST = "document.querySelector('.subject')"


def subjects(view: Browser) -> list[tuple[str, str]]:
    """Return (name, level) of each subject, in the order in which they stand."""
    found = view.run(
        "[...document.querySelectorAll('.subject')].map(s =>"
        " [s.querySelector('.subject-name').textContent, s.dataset.level])"
    )
    return [(name, level) for name, level in found]


def is_unwell(page: PeoplePage) -> None:
    """A camera that has stopped, a full disk, a broker that is gone."""
    page.state.set_camera("cam1", shown_state(CameraFacts("capturing")))
    page.state.set_camera("cam2", shown_state(CameraFacts("stalled")))
    page.state.set_broker("connecting: [Errno 111] Connection refused", False)
    page.state.set_health({"disk_free_bytes": 0, "outbox": {"reserve_released": True}})


def test_what_is_wrong_comes_first_with_what_to_do(tmp_path: Path) -> None:
    """On every size, in English and Korean, without a number of an error."""
    with (
        people_page(tmp_path / "page") as page,
        browser("chromium", tmp_path / "profile") as view,
    ):
        is_unwell(page)
        open_url(view, f"{page.url}/health")
        view.wait_for(f"{FIRST}?.dataset.level === 'bad'")
        levels = [level for _, level in subjects(view)]
        assert len(levels) == 10
        assert levels == sorted(levels, key=["bad", "warn", "unknown", "good"].index)
        assert text(view, "#summary") == f"Wrong: {levels.count('bad')}"
        names = [name for name, level in subjects(view) if level == "bad"]
        assert {"Cameras", "Disk"} <= set(names)
        words = text(view, "#subjects")
        assert "Camera cam2 has stopped sending pictures" in words
        assert "Free some space" in words
        assert "Errno" not in words
        seen(view, "health")
        open_url(view, f"{page.url}/health?lang=ko")
        view.wait_for(f"{FIRST}?.dataset.level === 'bad'")
        korean = text(view, "#subjects")
        assert "카메라 cam2" in korean
        assert "stopped sending" not in korean
        assert set(SIZES_WH) == {"desktop", "tablet", "phone"}


def test_a_device_that_is_gone_is_said_and_found_again(tmp_path: Path) -> None:
    """What was shown stays, under a bar that says it is old."""
    with (
        people_page(tmp_path / "page") as page,
        browser("chromium", tmp_path / "profile") as view,
    ):
        open_url(view, f"{page.url}/health")
        view.wait_for(f"!!{FIRST}")
        gone = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        view.call("Network.enable")
        view.call("Network.emulateNetworkConditions", offline=True, **gone)
        view.wait_for("!document.querySelector('#lost').hidden")
        assert "does not answer" in text(view, "#lost")
        assert len(subjects(view)) == 10
        view.call("Network.emulateNetworkConditions", offline=False, **gone)
        view.wait_for("document.querySelector('#lost').hidden")


def test_every_sentence_of_the_device_has_its_words() -> None:
    """The English ones are the device's own, so that both say the same; a new one is put here."""
    words = json.loads((STATIC / "words" / "health.en.json").read_text(encoding="utf-8"))
    for prefix, sentences in (("health_headline", HEADLINES), ("health_todo", ADVICE)):
        told = {key.replace(".", "_"): text for key, text in sentences.items() if text}
        found = {k.partition(".")[2]: v for k, v in words.items() if k.startswith(f"{prefix}.")}
        assert found == told
