"""The benchmark on bare boards: what is trained on, what is judged, what the table says."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from benchmarks import pcb, pcb_boards
from edge_app.errors import DataError
from edge_app.records import U8Array

pytestmark = pytest.mark.needs("the extra train")

BOX_XYXY = (60, 36, 76, 52)


def template(seed: int) -> U8Array:
    """Black tracks on white, at other places on every board; not square."""
    rng = np.random.default_rng(seed)
    board = np.full((96, 128, 3), 255, np.uint8)
    for x in rng.choice(np.arange(8, 120, 16), 4, replace=False):
        cv2.line(board, (int(x), 0), (int(x), 95), (0, 0, 0), 5)
    return board


def write_boards(folder: Path, count: int) -> None:
    """Write boards whose tests have one ragged spot."""
    rng = np.random.default_rng(0)
    x1, y1, x2, y2 = BOX_XYXY
    for number in range(count):
        good = template(number)
        bad = good.copy()
        bad[y1:y2, x1:x2] = (rng.random((y2 - y1, x2 - x1, 1)) > 0.5) * 255
        cv2.imwrite(str(folder / f"{number:03d}_temp.jpg"), good)
        cv2.imwrite(str(folder / f"{number:03d}_test.jpg"), bad)
        text = f"{x1} {y1} {x2} {y2} 3\n"
        (folder / f"{number:03d}.txt").write_text(text, encoding="utf-8")


def test_the_table_has_every_method_under_both_protocols(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spots are told from good boards and the map peaks on every one."""
    write_boards(tmp_path, 10)
    table = tmp_path / "table.md"
    monkeypatch.setattr(
        sys, "argv",
        ["pcb", "--data", str(tmp_path), "--trained", "6", "--tested", "4", "--threads", "1",
         "--markdown", str(table)],
    )  # fmt: skip
    pcb.main()
    rows = [line.split(" | ") for line in table.read_text(encoding="utf-8").splitlines()[2:]]
    assert [row[0] for row in rows] == ["| excluded"] * 2 + ["| included"] * 3
    assert rows[1][2].startswith("100.0%")
    assert rows[1][6] == rows[4][6] == "100% |"


def test_no_board_is_both_fitted_and_judged(tmp_path: Path) -> None:
    """The draw is repeatable and its halves have no board in common."""
    write_boards(tmp_path, 6)
    fitted, tested = pcb_boards.drawn(tmp_path, 4, 2, 7)
    again, _ = pcb_boards.drawn(tmp_path, 4, 2, 7)
    assert all((a.test == b.test).all() for a, b in zip(fitted, again, strict=True))
    assert not any((a.template == b.template).all() for a in fitted for b in tested)


def test_known_references_are_trained_on_and_judged_anew() -> None:
    """With references known the templates join the fit, and pictures taken anew must pass."""
    parts = [torch.full((2, 1), float(i)) for i in range(4)]
    seen = pcb.Embedded(*parts)
    fit, good, bad = seen.under("included")
    assert fit.flatten().tolist() == [0, 0, 1, 1]
    assert (float(good[0]), float(bad[0])) == (2, 3)
    assert seen.under("excluded") == (parts[0], parts[1], parts[3])


def test_a_template_taken_anew_is_the_same_board() -> None:
    """Moved by up to 4 px it keeps its two levels and its share of copper to a few percent."""
    before = template(3)
    after = pcb_boards.reimaged(before, np.random.default_rng(1))
    assert set(np.unique(after)) == {0, 255}
    assert after.shape == before.shape
    assert abs(float(after.mean()) - float(before.mean())) < 0.05 * 255


@pytest.mark.parametrize("missing", ["001_test.jpg", "001.txt"])
def test_half_a_board_is_refused(tmp_path: Path, missing: str) -> None:
    """A board without its test picture or its marks is named."""
    write_boards(tmp_path, 2)
    (tmp_path / missing).unlink()
    with pytest.raises(DataError, match="Board 001 needs"):
        pcb_boards.read_board(tmp_path, "001")


def test_too_few_boards_are_refused(tmp_path: Path) -> None:
    """The message says how many there are and what to do."""
    write_boards(tmp_path, 3)
    with pytest.raises(DataError, match="holds 3"):
        pcb_boards.drawn(tmp_path, 3, 1, 0)


def test_a_defect_at_the_edge_is_marked_up_to_the_edge() -> None:
    """Margins that reach beyond the picture are cut, one-pixel boxes still mark a step."""
    blank = np.zeros((64, 96, 3), np.uint8)
    board = pcb_boards.Board(blank, blank, np.array([[0, 0, 1, 1], [95, 63, 95, 63]]))
    on = pcb_boards.defect_grid(board, (8, 12), 0)
    assert on[0, 0]
    assert on[7, 11]
    assert int(on.sum()) == 2
