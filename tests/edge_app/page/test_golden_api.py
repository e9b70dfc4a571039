"""Golden parts and guaranteed limits over the API."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from people_pages import PeoplePage, people_page
from support.history_parts import MODEL, START_NS, verdict
from support.review_rig import ReviewRig

from edge_app.history.times import time_text
from edge_app.ipc.order_schema import AnyOrder, LimitState, OrderAnswer
from edge_app.ipc.peers import Peer
from edge_app.page.api.golden import GoldenChecks
from edge_app.page.api.guaranteed import GuaranteedLimit
from edge_app.records import GoldenCheck, VerdictState

SPAN = {"from": time_text(START_NS), "to": time_text(START_NS + 3600 * 10**9)}


def answers(order: AnyOrder, peer: Peer) -> OrderAnswer:
    state = LimitState(
        slot="main", product="demo", serial=3, sha256=MODEL.bundle_sha256,
        precision=MODEL.precision, threshold_id="calibrated-1", score_threshold=2.0,
        suspect_threshold=None, map_threshold=1.0, bundle_score_threshold=2.0,
    )  # fmt: skip
    return OrderAnswer(is_done=True, text=f"{order.type}.", limits=(state,))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PeoplePage]:
    """A page whose history has 60 good parts, a golden one, and what became of it."""
    folder: Path = tmp_path_factory.mktemp("golden-api") / "page"
    with people_page(folder) as served:
        served.inspection = answers
        rig = ReviewRig(folder)
        rig.judge([verdict(n, score=n / 100) for n in range(1, 61)])
        rig.judge([replace(verdict(61, "NG", 9.0), golden="g")])
        check = GoldenCheck("g", "c", "passed", time.time_ns(), None, "c-61", VerdictState.NG, 9.0)
        rig.writer.golden_checked(check, "one")
        rig.close()
        yield served


def test_checks_are_answered_and_parts_say_that_they_are_golden(page: PeoplePage) -> None:
    client = page.client()
    found = GoldenChecks.model_validate(client.get("/api/v1/golden-checks").json())
    (check,) = found.checks
    assert (check.name, check.outcome, check.due_at, check.state) == ("g", "passed", None, "NG")
    parts = client.get("/api/v1/parts", params={"golden": "true"}).json()["parts"]
    assert [(part["part_id"], part["golden"]) for part in parts] == [("c-61", "g")]
    others = client.get("/api/v1/parts", params={"golden": "false"}).json()["parts"]
    assert len(others) == 60
    assert {part["golden"] for part in others} == {None}
    long_ago = {"from": "2020-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}
    assert client.get("/api/v1/golden-checks", params=long_ago).status_code == 400


def test_a_limit_is_proposed_and_changes_nothing(page: PeoplePage) -> None:
    """With n, k, rate and confidence; where too few parts carry the rate, how many it takes."""
    client, path = page.client(), "/api/v1/limits/main/guaranteed"
    orders = len(page.orders)
    given = GuaranteedLimit.model_validate(client.get(path, params={**SPAN, "rate": "0.05"}).json())
    assert (given.parts, given.rank, given.confidence, given.problem) == (60, 1, 0.95, "")
    assert given.limit == pytest.approx(0.6)
    assert (given.alarmed_before, given.alarmed_after, given.unreviewed) == (0, 0, 0)
    few = GuaranteedLimit.model_validate(client.get(path, params=SPAN).json())
    assert (few.limit, few.problem, few.needed) == (None, "too_few", 598)
    assert {order.type for order in page.orders[orders:]} == {"show_limits"}


@pytest.mark.parametrize(
    ("path", "values", "status"),
    [
        ("main", {"rate": "0.3"}, 400),
        ("main", {"source": "kept"}, 400),
        ("main", {"to": "2027-12-31T00:00:00Z"}, 400),
        ("main", {"to": SPAN["from"]}, 400),
        ("other", {}, 404),
    ],
)
def test_what_cannot_be_proposed_is_refused(
    page: PeoplePage, path: str, values: dict[str, str], status: int
) -> None:
    answer = page.client().get(f"/api/v1/limits/{path}/guaranteed", params={**SPAN, **values})
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]


def test_without_the_days_nothing_is_proposed(page: PeoplePage) -> None:
    answer = page.client().get("/api/v1/limits/main/guaranteed")
    assert "In the address, from: Field required." in answer.json()["detail"]
