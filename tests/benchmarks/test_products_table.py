"""The tables of the products benchmark, and what false alarms they allow, by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.products_cells import Key, Limit, Outcome, cell_of, read_cells, write_cell
from benchmarks.products_statistics import summed
from benchmarks.products_table import (
    Counts,
    alarm_table,
    counts_of,
    main_table,
    paired_texts,
    pooled,
    set_efficiency,
    tables,
)
from calibration.thresholds.alarm_counts import alarm_chances, quantile
from edge_app.errors import DataError
from edge_app.records import JsonObject
from export.evaluation.data import GOOD


def cell(
    good: Sequence[float | None],
    bad: Sequence[float | None],
    limit: float = 10,
    *,
    name: str = "screws",
    seed: int = 0,
    arm: str = "ours",
    rank: int | None = None,
    failed: str = "",
) -> JsonObject:
    """Return a cell whose pictures have these scores; None is not inspected."""

    def row(kind: str, number: int, score: float | None) -> JsonObject:
        verdict = "NOT_INSPECTED" if score is None else "NG" if score >= limit else "OK"
        picture = f"{kind}/{number:03d}.png"
        return {"picture": picture, "kind": kind, "score": score, "verdict": verdict}

    rows = [row(GOOD, i, s) for i, s in enumerate(good)]
    rows += [row("scratch", i, s) for i, s in enumerate(bad)]
    at = Limit(limit, 0.02, rank, None if rank is None else 99)
    outcome = Outcome(failed, "patchcore", at, rows, 0, 60.0, 5.0)
    if failed:
        outcome = Outcome(failed, "", None, (), 0, 60.0, 0.0)
    return cell_of(Key(name, seed, arm, "a" * 64), "d", (len(good), len(bad)), outcome)


def cells(*found: JsonObject) -> dict[tuple[str, str], list[JsonObject]]:
    by: dict[tuple[str, str], list[JsonObject]] = {}
    for one in found:
        by.setdefault((one["set"], one["arm"]), []).append(one)
    return by


def line(table: str, start: str) -> list[str]:
    """Return the cells of the table's row that starts so."""
    (found,) = [r for r in table.splitlines() if r.startswith(f"| {start} |")]
    return [text.strip() for text in found.strip("|").split("|")]


def test_one_good_score_allows_every_number_of_alarms_alike() -> None:
    """k = n = 1: the rate is uniform, so of 2 parts 0, 1 or 2 alarm with a third each."""
    assert alarm_chances(1, 1, 1) == pytest.approx([0.5, 0.5])
    assert alarm_chances(1, 1, 2) == pytest.approx([1 / 3] * 3)


def test_the_mean_number_of_alarms_is_k_of_n_plus_1() -> None:
    """k = 2 of 99, 50 judged: 50 × 2 / 100 = 1 alarm on average; all chances add up to 1."""
    chances = alarm_chances(2, 99, 50)
    assert chances.sum() == pytest.approx(1)
    assert (chances * np.arange(51)).sum() == pytest.approx(1)
    assert alarm_chances(1, 9, 1)[1] == pytest.approx(1 / 10)


def test_simulated_limits_alarm_as_often() -> None:
    """10,000 limits drawn as the 2nd largest of 49 uniform scores, 20 further parts each."""
    rng = np.random.default_rng(1)
    limits = np.sort(rng.random((10_000, 49)), axis=1)[:, -2]
    alarms = (rng.random((10_000, 20)) >= limits[:, None]).sum(axis=1)
    seen = np.bincount(alarms, minlength=21) / 10_000
    assert seen == pytest.approx(alarm_chances(2, 49, 20), abs=0.015)


@pytest.mark.parametrize(("rank", "good", "judged"), [(0, 5, 1), (6, 5, 1), (1, 5, -1)])
def test_a_rank_that_is_none_is_refused(rank: int, good: int, judged: int) -> None:
    """n scores have ranks 1 to n."""
    with pytest.raises(DataError, match=f"rank {rank} of {good}"):
        alarm_chances(rank, good, judged)


def test_quantiles_and_sums_of_counts() -> None:
    """Of 0.9, 0.09, 0.01 the 90 % quantile is 0, the 99 % one 1; two coins add up."""
    chances = np.array([0.9, 0.09, 0.01])
    assert [quantile(chances, share) for share in (0.9, 0.95, 0.99, 0.999)] == [0, 1, 1, 2]
    assert summed([np.array([0.5, 0.5])] * 2) == pytest.approx([0.25, 0.5, 0.25])
    assert summed([]) == pytest.approx([1.0])


def test_a_cell_is_read_as_it_was_written(tmp_path: Path) -> None:
    """One picture a line, in a file named by set, seed and code."""
    one = cell([0, None, 11], [12, 3])
    file = Key("screws", 0, "ours", "a" * 64).file(tmp_path)
    write_cell(one, file)
    assert file == tmp_path / "test" / "ours" / f"screws-seed0-{'a' * 12}.json"
    assert read_cells(tmp_path, "test") == [one]
    assert read_cells(tmp_path, "training-goods") == []
    assert '["good/001.png", "good", null, "NOT_INSPECTED"]' in file.read_text()
    assert one["figures"]["not_inspected"] == {"good": 1, "bad": 0}
    # not inspected ranks highest: of 6 pairs 12 wins 2, 3 wins 1
    assert one["figures"]["image_auroc"] == pytest.approx(3 / 6)


@pytest.mark.parametrize("text", ["{", "[]", '{"set": "a"}'])
def test_a_file_that_is_no_cell_is_named(tmp_path: Path, text: str) -> None:
    """The message says which file to remove."""
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "odd.json").write_text(text)
    with pytest.raises(DataError, match=r"odd\.json is no result"):
        read_cells(tmp_path, "test")


def test_counts_by_hand() -> None:
    """Limit 10: 2 of 4 caught, 1 of 3 inspected good alarmed; best at 6: 3 caught, 1 alarm."""
    found = counts_of(cell([0, 1, 12, None], [15, 11, 6, None]))
    assert found == Counts(2, 4, 1, 3, 3, 1, 1, 1)
    # (2/4 - 1/3) over (3/4 - 1/3)
    assert found.efficiency == pytest.approx((1 / 6) / (5 / 12))


def test_a_set_without_a_bundle_catches_nothing() -> None:
    """Its efficiency is 0 in the mean, and its defects are missed in the pool."""
    refused = cell([1] * 3, [1] * 5, failed="the detector finds no product")
    assert counts_of(refused) == Counts(0, 5, 0, 0, 5, 0, 3, 5)
    assert set_efficiency([refused, cell([0], [20])]) == 0.5
    total = pooled([counts_of(refused), counts_of(cell([0] * 5, [20] * 5))])
    assert (total.caught, total.bad, total.efficiency) == (5, 10, 0.5)


def test_what_separates_nothing_has_no_efficiency() -> None:
    """It is left out of the mean and said to be none."""
    deaf = cell([1, 2, 3], [1, 2, 3])
    assert counts_of(deaf).efficiency is None
    text = main_table(cells(deaf, cell([0], [20], name="tiles")), ["screws", "tiles"], ["ours"])
    assert line(text, "screws")[1].endswith("none")
    assert line(text, "mean of the sets")[1].endswith("1.00 (1 sets)")


def test_missing_cells_are_empty_and_pools_are_by_size() -> None:
    """A set with 30 of each kind is pooled apart; an arm without any cell has nothing at all."""
    large = cell([0] * 29 + [12], [20] * 27 + [1] * 3, name="tiles")
    text = main_table(cells(large, cell([0], [20])), ["tiles", "screws"], ["ours", "0.1.0"])
    # AUROC (27 × 30 + 3 × 29) / 900; efficiency (27/30 - 1/30) / (30/30 - 1/30)
    assert line(text, "tiles")[1:] == ["99.7 · 90 · 27 of 30 · 1 of 30 · 0.90", ""]
    assert line(text, "screws")[1] == "100.0 · 100 · 1 of 1 · 0 of 1 · 1.00"
    assert line(text, "pooled, sets with 30 good and 30 defective")[1].endswith("1 sets")
    assert line(text, "pooled, the other sets")[1:] == ["1 of 1 · 0 of 1 · 1.00 · 1 sets", ""]
    assert line(text, "pooled, all")[1].startswith("28 of 31 · 1 of 31")
    assert line(text, "mean of the sets")[2] == ""


def test_seeds_are_averaged_and_a_failed_one_is_told() -> None:
    """2 and 1 of 2 caught: 1.5 of 2."""
    two = cells(cell([0], [20, 20]), cell([0], [20, 5], seed=1))
    assert "1.5 of 2" in line(main_table(two, ["screws"], ["ours"]), "screws")[1]
    one = cells(cell([0], [20]), cell([0], [20], seed=1, failed="no product"))
    text = main_table(one, ["screws"], ["ours"])
    assert line(text, "screws")[1] == "no bundle (1 of 2 seeds)"


def test_false_alarms_are_held_to_the_limits_k_and_n() -> None:
    """k = 2 of 99 and 50 goods: at most 5 alarms at 99 %, 6 are too many; no k, no claim."""
    assert quantile(alarm_chances(2, 99, 50), 0.99) == 5
    few = cell([0] * 45 + [12] * 5, [20], rank=2)
    many = cell([0] * 44 + [12] * 6, [20], rank=2, name="tiles")
    old = cell([0], [20], arm="0.1.0")
    text = alarm_table(cells(few, many, old), ["screws", "tiles"], ["ours", "0.1.0"])
    rows = [[c.strip() for c in r.strip("|").split("|")] for r in text.splitlines()[2:]]
    assert rows[0] == ["ours", "screws", "2 of 99", "5 of 50", "5", "yes"]
    assert rows[1] == ["ours", "tiles", "2 of 99", "6 of 50", "5", "NO"]
    both = quantile(summed([alarm_chances(2, 99, 50)] * 2), 0.95)
    assert rows[2][3:] == ["11 of 100", str(both), "NO"]
    assert rows[3] == ["0.1.0", "screws", "not in the bundle", "0 of 1", "", ""]
    assert len(rows) == 4


def test_what_was_not_inspected_is_over_beyond_one_picture_and_2_percent() -> None:
    """One of two is allowed, two are not."""
    ok = cell([0, None], [20])
    over = cell([0], [20, None, None], name="tiles")
    text = tables(cells(ok, over), ["screws", "tiles"], ["ours"])
    part = text.split("## Not inspected")[1].split("##")[0]
    assert line(part, "screws")[1] == "1, 0"
    assert line(part, "tiles")[1] == "0, 2 (over)"


def test_the_paired_difference_is_of_the_same_defects() -> None:
    """40 of 40 against 30 of 40 is +25 %; the other way round it is below; one picture is not."""
    all_of, some = cell([0], [20] * 40), cell([0], [20] * 30 + [1] * 10, arm="whole-patchcore")
    assert paired_texts([all_of], [some])[:2] == ["40 of 40", "30 of 40"]
    better, worse = paired_texts([all_of], [some]), paired_texts([some], [all_of])
    assert better[2].startswith("+25.0 (+")
    assert better[3] == "yes"
    assert worse[2].startswith("-25.0 (-")
    assert worse[3] == "NO"
    one_less = cell([0], [20] * 39 + [1])
    assert paired_texts([one_less], [all_of])[3] == "yes"


def test_without_a_bundle_every_defect_is_missed_in_the_pairs() -> None:
    """A refusal does not hide behind an empty row."""
    refused = cell([0], [20] * 10, failed="no product")
    told = paired_texts([refused], [cell([0], [20] * 10)])
    assert told[:2] == ["0 of 10", "10 of 10"]
    assert told[3] == "NO"
    assert paired_texts([refused], [refused])[2] == "neither has a bundle"
