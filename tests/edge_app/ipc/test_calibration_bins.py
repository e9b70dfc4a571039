"""A bundle's calibration in few numbers."""

from __future__ import annotations

from edge_app.ipc.calibration import BINS, TOP, Calibration, calibration_of


def test_every_score_is_in_one_bin_and_the_largest_are_exact() -> None:
    """1000 uneven scores: counted once each, in 60 bins, the 32 largest as they are."""
    scores = sorted((n * n % 997) / 7 for n in range(1000))
    found = calibration_of(scores)
    assert (found.good_parts, sum(found.counts), len(found.counts)) == (1000, 1000, BINS)
    assert list(found.top) == scores[: -TOP - 1 : -1]
    for number, count in enumerate(found.counts[:-1]):
        low, high = (found.low + n * found.width for n in (number, number + 1))
        assert count == len([s for s in scores if low <= s < high])
    assert Calibration.model_validate_json(found.model_dump_json()) == found


def test_few_or_equal_scores_make_one_bin_or_sparse_ones() -> None:
    """One part, and parts that are all alike, have no extent."""
    assert calibration_of([3.5]) == Calibration(
        good_parts=1, low=3.5, width=0, counts=(1,), top=(3.5,)
    )
    assert calibration_of([2.0] * 50).counts == (50,)
    two = calibration_of([1.0, 4.0])
    assert (two.counts[0], two.counts[-1], sum(two.counts)) == (1, 1, 2)
    assert two.top == (4.0, 1.0)


def test_it_is_small_enough_for_an_answer_of_many_slots() -> None:
    """Twelve slots with the longest numbers stay below the 32 KiB of one line."""
    found = calibration_of([(n + 0.1) / 3 for n in range(100_000)])
    assert 12 * len(found.model_dump_json()) < 24 << 10
