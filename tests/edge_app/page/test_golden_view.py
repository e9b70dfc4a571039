"""Golden parts on the Line and Health views, and a guaranteed limit on the Limit view."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from people_pages import PeoplePage, people_page
from support.chromium import Browser, browser
from support.history_parts import MODEL, verdict
from support.review_rig import ReviewRig
from view_browser import open_url, seen, text

from edge_app.ipc.order_schema import AnyOrder, LimitState, OrderAnswer, SetLimit, ShowGolden
from edge_app.ipc.peers import Peer

pytestmark = pytest.mark.needs("chromium")

PRESENT = 2.0
GOLDEN: dict[str, Any] = {
    "name": "scratch-7", "camera": "belt-1", "times": ["06:05", "14:05"], "due_at": None,
    "left_min": None, "is_announced": False, "outcome": "passed",
    "outcome_at": "2026-11-30T06:07:00.000000000Z", "part_id": "belt-1-1", "is_alarmed": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PeoplePage]:
    with people_page(tmp_path_factory.mktemp("golden") / "page") as served:
        served.shows_a_part()
        served.inspection = answers
        yield served


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser("chromium", tmp_path_factory.mktemp("profile")) as found:
        yield found


def answers(order: AnyOrder, peer: Peer) -> OrderAnswer:
    """Answer as inspection does, with one slot."""
    state = LimitState(
        slot="main", product="demo", serial=3, sha256=MODEL.bundle_sha256,
        precision=MODEL.precision, threshold_id="calibrated-1", score_threshold=PRESENT,
        suspect_threshold=None, map_threshold=1.0, bundle_score_threshold=PRESENT,
    )  # fmt: skip
    limits = (state,) if order.type == "show_limits" else ()
    return OrderAnswer(is_done=True, text=f"{order.type} done.", audit_seq=1, limits=limits)


def test_a_golden_part_that_is_due_is_announced_by_an_operator(
    page: PeoplePage, view: Browser
) -> None:
    """The page says that it is due and until when, that another one was missed, and gives the order
    in the operator's name."""
    due = {**GOLDEN, "due_at": "2026-11-30T14:05:00.000000000Z", "left_min": 11.2}
    missed = {**GOLDEN, "name": "dent-2", "outcome": "missed", "is_alarmed": True}
    page.state.set_health({"golden": {"parts": [due, missed]}})
    operator = page.person("operator", "anna")
    open_url(view, f"{page.url}/", dict(operator.cookies))
    view.wait_for("document.querySelectorAll('#golden-list li').length === 2")
    assert view.run("document.querySelector('#golden-panel').open")
    assert "Due: 12 minutes left" in text(view, "#golden-list li")
    notes = text(view, "#notes")
    assert "Golden part scratch-7 is due: lay it under camera belt-1 within 12 minutes." in notes
    assert "Golden part dent-2 was not called bad at camera belt-1: bad parts may pass." in notes
    view.run("document.querySelector('#golden-list button').click()")
    view.wait_for("document.querySelector('#golden-outcome').textContent !== ''")
    (given,) = [order for order in page.orders if isinstance(order, ShowGolden)]
    assert (given.name, given.author.name, given.author.role) == ("scratch-7", "anna", "operator")
    seen(view, "golden")
    open_url(view, f"{page.url}/health", dict(operator.cookies))
    said = "document.querySelector('#subjects')?.textContent"
    view.wait_for(f"{said}?.includes('Golden part dent-2 was not recognised')")


def test_a_line_without_golden_parts_says_nothing_of_them(page: PeoplePage, view: Browser) -> None:
    page.state.set_health({})
    open_url(view, f"{page.url}/")
    view.wait_for("document.querySelector('#pause-panel')?.hidden === false")
    assert view.run("document.querySelector('#golden-panel').hidden")


def test_an_engineer_confirms_a_guaranteed_limit(page: PeoplePage, view: Browser) -> None:
    """Proposed with n and k; set with a reason, and the order says what it rests on."""
    rig = ReviewRig(page.history.parent)
    now_ns = time.time_ns()
    scores = [n / 1000 for n in range(1, 701)]
    judged = [
        replace(verdict(n, score=score), captured_at_ns=now_ns - n * 10**9)
        for n, score in enumerate(scores, 1)
    ]
    rig.judge(judged)
    rig.close()
    eva = page.engineer()
    open_url(view, f"{page.url}/limit", dict(eva.cookies))
    view.wait_for("document.querySelector('#counts')?.children.length > 0")
    view.run("document.querySelector('#rate').value = '0.01'")
    view.run("document.querySelector('#tighten button[type=submit]').click()")
    view.wait_for("document.querySelector('#use-proposal')?.hidden === false")
    said = text(view, "#proposal-words")
    assert "at most 1 % of good parts are alarmed, with 95 % confidence" in said
    assert "from n = 700 parts, k = " in said
    seen(view, "tighten")
    view.run("document.querySelector('#why').value = 'two weeks of good parts'")
    view.run("document.querySelector('#use-proposal').click()")
    view.wait_for("document.querySelector('#outcome').textContent !== ''")
    (given,) = [order for order in page.orders if isinstance(order, SetLimit)]
    basis = given.guaranteed
    assert basis is not None
    assert (basis.source, basis.parts, basis.rate) == ("days", 700, 0.01)
    assert given.score_threshold == pytest.approx(scores[700 - basis.rank])
    assert given.score_threshold is not None
    assert given.score_threshold > scores[700 - basis.rank]
    assert given.why == "two weeks of good parts"
