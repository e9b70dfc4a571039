"""A guaranteed limit is set where inspection counts the same; the audit has what it rests on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.brokers import wait_until
from support.order_makers import order
from test_orders_on_line import GOOD_SCORE, folder_config, running

from edge_app.audit.reader import every_record
from edge_app.audit.schema import AUDIT_FILE
from edge_app.history.schema import HISTORY_FILE
from edge_app.replay.guaranteed_limit import LimitQuestion, propose

RATE = 0.05
ENOUGH = 70


def test_inspection_counts_again_before_it_sets_a_guaranteed_limit(tmp_path: Path) -> None:
    """Another n, k, limit or time is refused, and nothing is recorded; the right ones are recorded
    with n, k, days and counts, and the limit holds over a restart."""
    config = folder_config(tmp_path)
    with running(config) as device:
        path = device.state / HISTORY_FILE
        wait_until(lambda: len(device.line.verdicts) > ENOUGH, 120, "parts")
        now, end_ns = device.limits(), device.line.verdicts[ENOUGH].captured_at_ns
        question = LimitQuestion(
            "days", 0, end_ns, now.sha256, now.precision, now.score_threshold, RATE
        )
        wait_until(lambda: propose(path, question).parts >= ENOUGH, 60, "rows")
        found = propose(path, question)
        basis: dict[str, Any] = {
            "source": "days", "from_ns": 0, "to_ns": end_ns, "rate": RATE,
            "parts": found.parts, "rank": found.rank,
        }  # fmt: skip
        given: dict[str, Any] = {"score_threshold": found.limit, "for_sha256": now.sha256}
        wrong = (
            (given, {**basis, "parts": found.parts + 1}),
            (given, {**basis, "rank": found.rank + 1}),
            (given, {**basis, "to_ns": 1}),
            ({**given, "score_threshold": GOOD_SCORE + 1}, basis),
        )
        for values, rests_on in wrong:
            refused = device.give(order("set_limit", guaranteed=rests_on, **values))
            assert not refused.is_done
            assert "These parts carry another limit by now" in refused.text
        assert device.limits() == now
        answer = device.give(order("set_limit", guaranteed=basis, **given))
        assert answer.is_done, answer.text
        assert (
            "Guaranteed: at most 5 % of good parts with 95 % confidence, from n = " in answer.text
        )
        assert device.limits().score_threshold == found.limit
    (record,) = [r for r in every_record(device.state / AUDIT_FILE) if r["event"] == "limit"]
    kept = record["new"]["guaranteed"]
    assert {name: kept[name] for name in basis} == basis
    assert (kept["confidence"], kept["alarmed_after"]) == (0.95, found.alarmed_after)
    with running(config) as device:
        assert device.limits().score_threshold == found.limit
