"""The evidence benchmark: one short round of today's code, and its table."""

from __future__ import annotations

from pathlib import Path

from benchmarks.evidence_pruning import ROOT, run, table


def test_a_round_of_todays_code_becomes_a_row(tmp_path: Path) -> None:
    """Two bad parts while thirty pictures expire: judged, stored, and the old ones are gone."""
    result = run("after", ROOT, tmp_path, expired=30, frames=2)
    assert len(result["inspect_ms"]) == len(result["with_deliver_ms"]) == 2
    assert all(a < b for a, b in zip(result["inspect_ms"], result["with_deliver_ms"], strict=True))
    (row,) = table({("after", 30): [result]}).splitlines()[2:]
    assert row.startswith("| after | 30 | 2 |")
