"""A guaranteed limit from parts of past days: the workstation's rule, and what never enters it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.history_parts import MODEL, verdict
from support.review_rig import ReviewRig, author

from calibration.thresholds.threshold import choose_threshold
from edge_app.binomial import rate_bound
from edge_app.records import Evidence, KeepReason, PartVerdict, VerdictState
from edge_app.replay.guaranteed_limit import (
    GoodParts,
    LimitQuestion,
    Proposal,
    Source,
    guaranteed_rank,
    proposal_of,
    propose,
)

FOREVER = 2**62
NONE = np.zeros(0)


def question(present: float, rate: float, source: Source = "days") -> LimitQuestion:
    return LimitQuestion(
        source,
        0,
        FOREVER,
        MODEL.bundle_sha256,
        MODEL.precision,
        present,
        rate,
    )


@pytest.mark.parametrize("count", [40, 59, 60, 300, 2000])
@pytest.mark.parametrize("rate", [0.005, 0.02, 0.05])
def test_the_rule_is_the_workstations(count: int, rate: float) -> None:
    """The same limit as `edge-calibrate thresholds` gives for these scores, or none where it gives
    no guarantee; one rank more would break the bound."""
    scores = np.random.default_rng(count).gamma(4.0, 1.0, count)
    found = proposal_of(GoodParts(scores, NONE, 0), question(1e6, rate))
    theirs = choose_threshold(scores, rate)
    assert (found.limit is not None) == theirs.is_guaranteed
    if found.limit is None:
        assert (found.problem, found.needed) == ("too_few", theirs.needed_count)
        return
    assert found.limit == theirs.threshold
    assert found.alarmed_after == theirs.false_alarms == found.rank - 1
    assert found.rate_bound == theirs.rate_bound <= rate
    assert rate_bound(found.rank, count) > rate


def test_a_guarantee_holds_as_often_as_it_says() -> None:
    """Of 400 limits from 200 good parts each, about 95 % or more keep the true rate."""
    rng = np.random.default_rng(7)
    kept = 0
    for _ in range(400):
        scores = rng.exponential(1.0, 200)
        limit = proposal_of(GoodParts(scores, NONE, 0), question(1e6, 0.05)).limit
        assert limit is not None
        kept += np.exp(-limit) <= 0.05
    assert 372 <= kept <= 400


def test_no_parts_carry_nothing() -> None:
    found = proposal_of(GoodParts(NONE, NONE, 0), question(2.0, 0.01))
    assert (found.limit, found.rank, found.rate_bound, found.problem) == (None, 0, None, "too_few")
    assert guaranteed_rank(0, 0.01) == 0


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[ReviewRig]:
    made = ReviewRig(tmp_path)
    yield made
    made.close()


def part(number: int, score: float) -> PartVerdict:
    return verdict(number, "NG" if score >= 2.0 else "OK", score)


def of(
    rig: ReviewRig, rate: float = 0.05, source: Source = "days", present: float = 2.0
) -> Proposal:
    return propose(rig.path, question(present, rate, source))


def judged(rig: ReviewRig, count: int, *more: PartVerdict) -> None:
    """Let good parts leave with scores of 0.01 to COUNT / 100, then others."""
    rig.judge([*(part(n, n / 100) for n in range(1, count + 1)), *more])


def test_every_part_of_the_days_counts_but_those_that_people_called_bad(rig: ReviewRig) -> None:
    """Taken out, marked as missed or as right: left out and counted by themselves. A false alarm
    is a good part, and so is a part that nobody or that people contradict each other on."""
    judged(rig, 100, *(part(n, 3.0) for n in (101, 102, 103)))
    before = of(rig, 0.1)
    assert (before.parts, before.unreviewed, before.excluded_bad) == (103, 3, 0)
    assert rig.give("settle", 101, author(), outcome="taken_out").is_done
    assert rig.give("mark", 102, author(), mark="false_alarm").is_done
    assert rig.give("mark", 100, author(), mark="missed").is_done
    after = of(rig, 0.1)
    assert (after.parts, after.unreviewed, after.excluded_bad) == (101, 1, 2)
    assert (after.alarmed_before, after.bad_before) == (2, 1)
    assert before.limit is not None
    assert after.limit is not None
    assert after.limit < before.limit < 2.0
    assert (after.bad_after, after.alarmed_after) == (2, after.rank - 1)
    assert rig.give("mark", 100, author("bert"), mark="right").is_done
    assert of(rig, 0.1).excluded_bad == 1, "disputed is not bad"


def test_marks_by_their_score_move_nothing(rig: ReviewRig) -> None:
    """People who look at the highest scores only, and find them right, change no limit."""
    judged(rig, 100)
    before = of(rig)
    for number in range(90, 101):
        assert rig.give("mark", number, author(), mark="right").is_done
    assert of(rig) == before


def test_golden_others_and_unjudged_parts_never_count(rig: ReviewRig) -> None:
    other = replace(part(102, 9.0), model=replace(MODEL, precision="int8"))
    unjudged = replace(verdict(103), state=VerdictState.NOT_INSPECTED, score=None)
    judged(rig, 100, replace(part(101, 9.0), golden="g"), other, unjudged)
    assert of(rig).parts == 100


def test_a_limit_is_only_lowered(rig: ReviewRig) -> None:
    """NG parts that nobody looked at count as good: they may keep the limit up, never raise it."""
    judged(rig, 60, *(part(n, 5.0) for n in range(61, 81)))
    found = of(rig)
    assert (found.limit, found.problem, found.unreviewed) == (None, "not_lower", 20)
    assert (found.alarmed_after, found.bad_after) == (found.alarmed_before, found.bad_before)


def test_the_random_sample_counts_once_people_have_seen_all_of_it(rig: ReviewRig) -> None:
    """Parts that were kept for their score are in no sample; one that nobody looked at, or of which
    nobody could tell, leaves nothing guaranteed."""
    judged(rig, 70)
    for number in range(1, 71):
        reasons: tuple[KeepReason, ...] = ("near_miss",) if number > 65 else ("random",)
        rig.writer.kept_part(
            part(number, number / 100), reasons, Evidence("http://d/1.jpg", "c" * 64)
        )
    for number in range(1, 65):
        assert rig.give("mark", number, author(), mark="right").is_done
    assert rig.give("mark", 65, author(), mark="unsure").is_done
    found = of(rig, source="random")
    assert (found.parts, found.unreviewed, found.problem) == (65, 1, "not_reviewed")
    assert found.limit is None
    assert rig.give("mark", 65, author(), mark="missed").is_done
    found = of(rig, source="random")
    assert (found.parts, found.excluded_bad, found.problem) == (64, 1, "")
    assert found.limit == pytest.approx(0.64)
    assert (found.rank, found.bad_after) == (1, 1)
