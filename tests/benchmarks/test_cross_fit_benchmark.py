"""The cross-fit proof: what a draw says, how draws become a row, how a stopped run goes on."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.cross_fit import HEAD, make_draws, rate_of, summary_of, table_of
from benchmarks.cross_fit_pool import DEFECTS_A_PART, make_pool
from edge_app.records import JsonObject

pytestmark = pytest.mark.needs("the extra train")

DIGEST = "a" * 64


def draw(rate_good: float, rate_odd: float, bound: float = 0.07) -> JsonObject:
    return {
        "odd": 1, "terms": ["memory"], "bound": bound, "rate_good": rate_good,
        "rate_odd": rate_odd, "recall": 0.5, "shift": 0.25,
    }  # fmt: skip


def test_odd_parts_count_among_the_further_parts_too() -> None:
    """2.5 % odd ones, all alarmed, on top of 2 % of the others."""
    assert rate_of(draw(0.02, 1.0), 0.025) == pytest.approx(0.975 * 0.02 + 0.025)


def test_a_row_counts_the_draws_within_the_bound() -> None:
    """Of four draws one is over the bound with its odd parts, none without them."""
    draws = [draw(0.02, 0.1), draw(0.07, 0.0), draw(0.0, 0.0), draw(0.06, 0.9)]
    row = dict(zip(HEAD, summary_of({"n": 40, "odd": 0.025, "draws": draws}), strict=True))
    assert row["draws within it"] == "3 of 4"
    assert row["share, exact 95 %"] == "75% (19% to 99%)"
    assert row["the same on good ones alone"] == "4 of 4"
    assert row["shift"] == "+0.25"


def crops(count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.clip(rng.normal(120, 12, (count, 32, 64, 3)), 0, 255).astype(np.uint8)


def test_defects_lie_where_their_part_is() -> None:
    """Of part i those at DEFECTS_A_PART · i: most of their pixels are the part's."""
    pool = make_pool(crops(6))
    assert len(pool.defects) == len(pool.labels) == 6 * DEFECTS_A_PART
    for index, defect in enumerate(pool.defect_crops):
        same = [(defect == crop).mean() for crop in pool.crops]
        assert int(np.argmax(same)) == index // DEFECTS_A_PART


@pytest.mark.slow
def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path) -> None:
    """The first draw stays as it is, the second comes to it, and another folder's first is the
    same."""
    pool = make_pool(crops(40))

    def run(results: Path, draws: int) -> list[JsonObject]:
        args = argparse.Namespace(
            pool=40, tested=20, draws=draws, sizes=[12], odd=[0.1], budget="30m", results=results
        )
        make_draws(pool, args, DIGEST)
        (file,) = results.glob("*.json")
        found: list[JsonObject] = json.loads(file.read_text())["draws"]
        return found

    first = run(tmp_path / "parts", 1)
    both = run(tmp_path / "parts", 2)
    assert [both[0]] == first == run(tmp_path / "again", 1)
    assert len(both) == 2
    assert len(table_of(tmp_path / "parts", "aaaa").splitlines()) == 3
    assert len(table_of(tmp_path / "parts", "bbbb").splitlines()) == 2
