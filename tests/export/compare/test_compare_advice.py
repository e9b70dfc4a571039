"""The recommendation: the best that is fast enough, and what cannot be told apart from it."""

from __future__ import annotations

import numpy as np
import pytest

from export.compare.advice import AtLimit, Contender, advise
from export.compare.chart import speed_chart
from export.evaluation.operating_point import Verdicts, operating_figures


def contender(name: str, apart: float, picture_ms: float, seed: int = 0) -> Contender:
    """Return a method whose defective pictures score `apart` standard deviations higher."""
    rng = np.random.default_rng(seed)
    return Contender(name, rng.normal(0, 1, 60), rng.normal(apart, 1, 60), picture_ms)


def test_the_best_is_taken_where_time_does_not_matter() -> None:
    """Without a limit the highest AUROC wins, however slow."""
    found = advise([contender("quick", 1, 5), contender("sharp", 4, 500)], None)
    assert found.method == "sharp"
    assert found.alike == ()


def test_what_is_too_slow_is_left_out() -> None:
    """With a limit the best of the fast ones is taken, and the sentence names the limit."""
    found = advise([contender("quick", 1, 5), contender("sharp", 4, 500)], 20)
    assert found.method == "quick"
    assert "within 20 ms a picture" in found.text


def test_a_faster_method_that_is_not_worse_is_named() -> None:
    """Two methods that the pictures do not tell apart: the faster one is offered."""
    found = advise([contender("slow", 3, 80), contender("quick", 2.9, 5, seed=1)], None)
    assert set(found.alike) | {found.method} == {"slow", "quick"}
    if found.method == "slow":
        assert "quick is faster (5.0 ms" in found.text


def test_no_method_is_fast_enough() -> None:
    """Nothing is recommended; the fastest and its time are named."""
    found = advise([contender("a", 2, 30), contender("b", 2, 40)], 10)
    assert found.method is None
    assert "the fastest, a, takes 30.0 ms" in found.text


def test_no_method_was_measured() -> None:
    """All failed: the page says so instead of naming one."""
    assert advise([], None).method is None


def test_pictures_that_were_not_inspected_count_as_most_anomalous() -> None:
    """Infinite scores neither break the comparison nor make a method better than it is."""
    blind = Contender("blind", np.full(10, np.inf), np.full(10, np.inf), 1.0)
    assert blind.auroc == 0.5
    blind_to_good = Contender("blind", np.full(60, np.inf), np.zeros(60), 1.0)
    assert advise([blind_to_good, contender("seeing", 3, 9)], None).method == "seeing"


def limited(apart: float, limit: float, name: str) -> Contender:
    """Return a method with a limit of its own, measured as an evaluation does."""
    made = contender(name, apart, 9.0)
    good, bad = made.good > limit, made.bad > limit
    found = operating_figures(Verdicts(made.good, good), Verdicts(made.bad, bad))
    at_limit = AtLimit(found["caught"], len(bad), found["value"], found["efficiency"])
    return Contender(name, made.good, made.bad, 9.0, at_limit)


def test_what_cannot_alarm_at_its_limit_is_not_recommended() -> None:
    """The scores separate perfectly, and the limit lies above all of them: 0 of 60 caught."""
    found = advise([limited(9, 50, "sharp"), limited(3, 1.5, "usable")], None)
    assert found.method == "usable"
    assert "sharp" not in found.alike
    assert "sharp (image AUROC 1.0000) catches 0 of 60 defective pictures" in found.text


@pytest.mark.parametrize("limit", [50.0, 11.2, -50.0])
def test_a_limit_above_or_below_everything_is_no_limit(limit: float) -> None:
    """None caught, one or two caught, or everything an alarm: nothing is recommended."""
    only = limited(9, limit, "sharp")
    assert only.auroc == 1.0
    found = advise([only], None)
    assert found.method is None
    assert "none alarms usefully at its own limit" in found.text
    assert "sharp" in found.text


def test_the_chart_names_every_method_once() -> None:
    """One point and one name per method, also for a single method and for equal figures."""
    points = [("a<b", 10.0, 0.9, 0.8, 0.95), ("c", 10.0, 0.9, 0.8, 0.95)]
    chart = speed_chart(points, "c", 20.0)
    assert chart.count("<circle") == 2
    assert "a&lt;b" in chart
    assert "asked for" in chart
    assert speed_chart(points[:1], None, None).count("<circle") == 1
