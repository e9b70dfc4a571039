"""The page in a real browser: Debian's chromium, headless."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from page_reports import make_event, make_report, make_verdict

from edge_app.alerts.evidence import EvidenceStore
from edge_app.page.server import LivePage
from edge_app.page.state import PageState
from edge_app.records import EventKind, VerdictState
from edge_app.shown_state import CameraFacts, shown_state

pytestmark = pytest.mark.needs("chromium")


def seen_by_a_person(url: str, profile: Path, window: str = "1280,900") -> str:
    """Return the page's text as the browser has it after four seconds of its own time."""
    command = [
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
        "--no-first-run", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", f"--user-data-dir={profile}", f"--window-size={window}",
        "--virtual-time-budget=4000", "--dump-dom", url,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return re.sub(r"<template.*?</template>", "", done.stdout, flags=re.DOTALL)


def text_of(dom: str, css_class: str) -> str:
    """Return the text of the first element with a class or an id."""
    found = re.search(rf'(?:class|id)="{css_class}"[^>]*>([^<]*)<', dom)
    assert found is not None, f"no element {css_class}"
    return found[1]


def test_a_person_sees_verdict_alert_and_connections(
    page: LivePage, state: PageState, store: EvidenceStore, tmp_path: Path
) -> None:
    """NG part: the banner, its score against the limit, the alert's card and its picture."""
    bad = make_verdict(VerdictState.NG)
    evidence = store.save(bad.part_id, np.full((200, 320, 3), 90, np.uint8))
    state.set_camera("belt-1", shown_state(CameraFacts("capturing")))
    state.set_broker("connected", is_good=True)
    state.set_bundle({"Product": "tapered", "Serial": "3"})
    state.show(make_report(seen=(bad,), events=(make_event(EventKind.NEW, bad),)))
    state.add_picture(make_event(EventKind.NEW, bad, evidence))
    dom = seen_by_a_person(page.url, tmp_path / "profile")
    assert 'data-verdict="NG"' in dom
    assert text_of(dom, "verdict") == "NG"
    assert text_of(dom, "word") == "NG"
    assert text_of(dom, "todo") == "Take this part out."
    assert text_of(dom, "score") == "171 % of the limit"
    assert text_of(dom, "raw soft") == "score 13.5, limit 7.9"
    assert text_of(dom, "alert-score") == "171 % of the limit"
    assert "Broker: connected" in dom
    assert text_of(dom, "text") == "Inspecting"
    assert "<dd>tapered</dd>" in dom
    assert re.search(r'<img[^>]*src="blob:http', dom), "the live picture is shown"
    assert "/evidence/" in dom
    assert 'class="defect"' in dom, "the thumbnail marks the defect"
    assert "Page: live" in dom


def test_a_stalled_camera_never_leaves_ok_standing(
    page: LivePage, state: PageState, tmp_path: Path
) -> None:
    """The last part was good, then the camera stalls: the banner says NOT INSPECTING."""
    state.show(make_report(finished=(make_verdict(VerdictState.OK),)))
    state.set_camera("belt-1", shown_state(CameraFacts("stalled")))
    state.set_broker("unreachable for 12 s - 3 alerts wait safely on disk", is_good=False)
    dom = seen_by_a_person(page.url, tmp_path / "profile", "390,844")
    assert text_of(dom, "word") == "NOT INSPECTING"
    assert text_of(dom, "verdict") == "NOT INSPECTING"
    assert text_of(dom, "which") == "Not inspecting: no pictures"
    assert "camera's cable and power" in text_of(dom, "todo")
    assert not re.search(r'class="stage"[^>]*data-verdict="OK"', dom)
    assert "3 alerts wait safely on disk" in dom
    assert "was OK." in dom


def test_a_suspect_part_is_amber_with_its_own_word_and_counted(
    page: LivePage, state: PageState, tmp_path: Path
) -> None:
    """OK (suspect): another colour than OK and than NOT INSPECTED, no alert."""
    state.set_camera("belt-1", shown_state(CameraFacts("capturing")))
    state.show(make_report(finished=(make_verdict(VerdictState.OK, is_suspect=True),)))
    dom = seen_by_a_person(page.url, tmp_path / "profile")
    assert re.search(r'class="stage"[^>]*data-verdict="SUSPECT"', dom)
    assert text_of(dom, "word") == "OK (suspect)"
    assert text_of(dom, "verdict") == "OK (suspect)"
    assert re.search(r'data-figure="suspect">1<', dom)
    assert re.search(r'data-figure="ng">0', dom)
    assert "/evidence/2026" not in dom


def test_names_are_text_never_markup(page: LivePage, state: PageState, tmp_path: Path) -> None:
    """A file named like a script is shown as its name."""
    nasty = "<img src=x onerror=document.title='owned'>.png"
    bad = make_verdict(VerdictState.NG, nasty)
    state.show(make_report(seen=(bad,), events=(make_event(EventKind.NEW, bad),)))
    dom = seen_by_a_person(page.url, tmp_path / "profile")
    assert re.search(r"<title[^>]*>CropLiq Edge", dom)
    assert "&lt;img src=x onerror" in dom
