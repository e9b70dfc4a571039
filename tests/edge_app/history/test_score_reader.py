"""Scores of past parts around a limit, from a real history file."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import pytest
from support.history_parts import START_NS, keeping_all, verdict

from edge_app.errors import HistoryError
from edge_app.history.schema import HISTORY_FILE
from edge_app.history.score_reader import NEAREST, ScoreCounts, ScoreQuestion, ScoreReader
from edge_app.history.writer import HistoryWriter
from edge_app.records import PartVerdict

SHA256 = "ab" * 32


def recorded(folder: Path, parts: list[PartVerdict]) -> Path:
    """Return a history with these parts."""
    path = folder / HISTORY_FILE
    slots = {"c": "main", "d": "main"}
    writer = HistoryWriter(path, slots, keeping_all(), {})
    writer.start()
    for part in parts:
        writer.finished([part])
    writer.close()
    return path


def question(**changes: object) -> ScoreQuestion:
    values: dict[str, object] = {
        "from_ns": 0, "to_ns": 2**62, "sha256": SHA256, "precision": "fp32", "camera": None,
        "limit": 2.0, "width": 0.1, "below": 20, "above": 20,
    }  # fmt: skip
    return ScoreQuestion(**{**values, **changes})  # type: ignore[arg-type]


def every(reader: ScoreReader, asked: ScoreQuestion) -> list[ScoreCounts]:
    """Return the whole chain of answers."""
    found = [reader.counts(asked)]
    while found[-1].next is not None:
        found.append(reader.counts(asked, found[-1].next))
    return found


def test_scores_are_counted_in_bins_that_begin_at_the_limit(tmp_path: Path) -> None:
    """A score that equals the limit lies above it; what lies far out is in the outermost bins."""
    scores = [1.999999, 2.0, 2.05, 2.1000001, 1.9, -50.0, 1e30, float("inf")]
    states = ["OK", "NG", "NG", "NG", "OK", "OK", "NG", "NG"]
    parts = [verdict(n + 1, s, v) for n, (s, v) in enumerate(zip(states, scores, strict=True))]
    parts += [verdict(20, "NOT_INSPECTED", None), verdict(21, "NG", None)]
    found = ScoreReader(recorded(tmp_path, parts)).counts(question())
    assert found.bins == Counter({
        (-1, "ok"): 2, (0, "ng"): 2, (1, "ng"): 1, (-20, "ok"): 1, (19, "ng"): 2,
    })  # fmt: skip
    assert found.unscored == Counter({"not_inspected": 1, "ng": 1})
    assert (found.others, found.next) == (0, None)
    assert [row["score"] for row in found.below] == [1.999999, 1.9, -50.0]
    assert [row["score"] for row in found.above] == [2.0, 2.05, 2.1000001, 1e30]
    assert found.above[0]["part_id"] == "c-2"
    assert found.above[0]["has_picture"] is False


def test_only_the_parts_that_were_asked_for_are_counted(tmp_path: Path) -> None:
    """Another camera, time or bundle is left out; another bundle's parts are told as a number."""
    parts = [verdict(n, score=1.0) for n in range(1, 11)]
    parts += [verdict(n, score=1.5, camera="d") for n in range(11, 14)]
    reader = ScoreReader(recorded(tmp_path, parts))
    assert sum(reader.counts(question()).bins.values()) == 13
    assert sum(reader.counts(question(camera="d")).bins.values()) == 3
    assert sum(reader.counts(question(camera="none")).bins.values()) == 0
    early = question(from_ns=START_NS + 2 * 10**9, to_ns=START_NS + 5 * 10**9)
    assert sum(reader.counts(early).bins.values()) == 3
    foreign = reader.counts(question(sha256="cd" * 32))
    assert (foreign.others, len(foreign.bins), foreign.below) == (13, 0, [])
    assert reader.counts(question(precision="int8")).others == 13
    nothing = reader.counts(question(from_ns=2**61))
    assert (nothing.next, sum(nothing.bins.values())) == (None, 0)


@pytest.mark.parametrize("slice_rows", [1, 7, 100, 1000])
def test_however_it_is_sliced_each_part_counts_once_and_the_nearest_are_found(
    tmp_path: Path, slice_rows: int
) -> None:
    """A slow device answers piece by piece: the pieces add up to the same."""
    scores = [((n * 37) % 240) / 100 for n in range(240)]
    parts = [verdict(n + 1, "NG" if s >= 2 else "OK", s) for n, s in enumerate(scores)]
    path = recorded(tmp_path, parts)
    ticks = itertools.count()
    reader = ScoreReader(path, lambda: next(ticks) * 0.05, slice_rows)
    found = every(reader, question())
    assert (len(found) > 1) == (slice_rows < 100)
    total = sum((piece.bins for piece in found), Counter())
    assert total == ScoreReader(path).counts(question()).bins
    assert sum(total.values()) == 240
    below = sorted((row["score"] for piece in found for row in piece.below), reverse=True)
    assert below[:NEAREST] == sorted((s for s in scores if s < 2), reverse=True)[:NEAREST]
    above = sorted(row["score"] for piece in found for row in piece.above)
    assert above[:40] == sorted(s for s in scores if s >= 2)[:40]


def test_without_a_history_it_is_said(tmp_path: Path) -> None:
    """No file: the sentence says that nothing was recorded."""
    with pytest.raises(HistoryError, match="has not recorded any part"):
        ScoreReader(tmp_path / "none.sqlite").counts(question())


def test_a_slice_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    """The transaction ends, and the sentence says what to do."""
    path = recorded(tmp_path, [verdict(n, score=1.0) for n in range(1, 3000)])
    ticks = itertools.count()
    reader = ScoreReader(path, lambda: float(next(ticks)))
    with pytest.raises(HistoryError, match="did not answer within 1 s"):
        reader.counts(question())
