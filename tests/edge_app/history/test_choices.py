"""What parts can be chosen by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from support.history_parts import CRACK, keeping_all, verdict

from edge_app.history.choices import choices
from edge_app.history.schema import HISTORY_FILE
from edge_app.history.writer import HistoryWriter


def test_each_camera_and_class_comes_once_sorted(tmp_path: Path) -> None:
    """However many parts have it; a history of good parts alone has no class."""
    path = tmp_path / HISTORY_FILE
    writer = HistoryWriter(path, {"b": "main", "a": "main"}, keeping_all(), {})
    writer.start()
    writer.finished([verdict(1, camera="b")])
    writer.close()
    assert choices(path) == (["b"], [])
    writer = HistoryWriter(path, {"a": "main"}, keeping_all(), {})
    writer.start()
    for number, kind in enumerate(("stain", "crack", "stain", "Ä", "crack"), start=2):
        part = verdict(number, "NG", camera="a")
        writer.finished([replace(part, defects=(replace(CRACK, kind=kind),))])
    writer.close()
    assert choices(path) == (["a", "b"], ["crack", "stain", "Ä"])
