"""`edge-app history` with the pictures that parts name: checked, listed by reason, copied out."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.app_config import edge_app, write_config
from support.history_parts import verdict

from edge_app.alerts.evidence import EvidenceStore
from edge_app.alerts.sidecar import PictureFacts
from edge_app.history.retention import Retention
from edge_app.history.writer import HistoryWriter
from edge_app.records import KeepReason, UprightCrop

NUMBERS = range(1, 9)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A device that has judged eight parts: two bad, two of the sample, with their pictures."""
    state = tmp_path / "state"
    store = EvidenceStore(state / "evidence", 24, 10**7, 85, "http://h")
    writer = HistoryWriter(state / "history.sqlite", {"c": "main"}, Retention(90, 64), {})
    writer.start()
    for number in NUMBERS:
        part = verdict(number, "NG" if number in (2, 5) else "OK")
        writer.finished([part])
        reasons: tuple[KeepReason, ...] = {2: ("ng", "random"), 5: ("ng",), 6: ("random",)}.get(
            number, ()
        )  # type: ignore[assignment]
        if not reasons:
            continue
        pixels = np.full((24, 32, 3), 9 * number, np.uint8)
        crop = UprightCrop(pixels[:8], ((0.0, 0.0),) * 4)
        kept = store.save(part.part_id, pixels, reasons[0], PictureFacts(part, reasons, crop))
        assert kept is not None
        writer.kept_part(replace(part), reasons, kept)
    writer.close()
    return write_config(tmp_path, "folder:in", 1883)


def history(config: Path, *args: str) -> tuple[int, str, str]:
    done = edge_app("history", args[0], "--config", str(config), *args[1:])
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def picture(config: Path, name: str) -> Path:
    (found,) = (config.parent / "state" / "evidence").glob(f"*/{name}")
    return found


def test_a_missing_and_a_damaged_picture_are_named(config: Path) -> None:
    """First all is whole; then the check says which is not, and exits with 1."""
    code, out, _ = history(config, "check")
    assert code == 0, out
    assert "pictures: 3 named, 3 whole" in out
    data = picture(config, "c-5.jpg")
    data.write_bytes(data.read_bytes()[:-4])
    code, out, _ = history(config, "check")
    assert code == 1
    assert f"picture {data.parent.name}/c-5.jpg (part c-5) is damaged" in out
    assert "NOT whole" in out
    assert history(config, "check", "--no-pictures")[0] == 0


def test_parts_are_listed_by_what_their_picture_is_kept_for(config: Path) -> None:
    """A part with two reasons is found by each."""
    for reason, count in (("ng", 2), ("random", 2), ("any", 3), ("suspect", 0)):
        code, out, _ = history(config, "list", "--kept-for", reason)
        assert code == 0
        lines = [line for line in out.splitlines() if "c-" in line]
        assert len(lines) == count, reason
    code, _, err = history(config, "list", "--kept-for", "beauty")
    assert code == 2
    assert "near_miss" in err


def test_pictures_are_copied_with_their_list(config: Path, tmp_path: Path) -> None:
    """Those of the chosen parts, byte for byte, with crop and sidecar, into a new folder."""
    out, to = tmp_path / "rejects.csv", tmp_path / "rejects"
    picture(config, "c-5.jpg").unlink()
    args = ("export", "--state", "NG", "--csv", str(out), "--pictures", str(to))
    code, _, err = history(config, *args)
    assert code == 0, err
    assert "2 parts, 1 pictures and 2 crops" in err
    copied = sorted(path.relative_to(to) for path in to.rglob("*.*"))
    assert [path.name for path in copied] == [
        "c-2.crop.jpg", "c-2.jpg", "c-2.json", "c-5.crop.jpg", "c-5.json",
    ]  # fmt: skip
    for path in copied:
        assert (to / path).read_bytes() == (tmp_path / "state/evidence" / path).read_bytes()
    with out.open(newline="") as file:
        assert [row["kept_for"] for row in csv.DictReader(file)] == ["ng", "ng,random"]
    out.unlink()
    code, _, err = history(config, *args)
    assert (code, out.exists()) == (2, False)
    assert "exists already. Name a new folder" in err
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


def test_a_link_in_the_folder_leads_nowhere(config: Path, tmp_path: Path) -> None:
    """What is copied out is what the store has written."""
    secret = tmp_path / "secret"
    secret.write_text("x")
    for name in ("c-2.jpg", "c-2.json"):
        path = picture(config, name)
        path.unlink()
        path.symlink_to(secret)
    to = tmp_path / "out"
    code, _, err = history(config, "export", "--jsonl", "-", "--pictures", str(to), "--part", "c-2")
    assert code == 0, err
    assert [p.name for p in to.rglob("*.*")] == ["c-2.crop.jpg"]
