"""What a new limit may not do, what it says, and how the bundle is written."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
from support.golden_bundles import give_golden
from support.small_bundles import textured_picture, write_bright_bundle

from calibration.cli.main import main
from calibration.cli.progress import Progress
from calibration.thresholds.report_note import with_note
from edge_app.bundle.archive import read_bundle, write_bundle
from edge_app.records import U8Array

REPORT = b"<!doctype html><html><h1>Bundle report</h1><p>threshold 150</p></html>"


def bright(seed: int, level: int) -> U8Array:
    """A good picture but for a block of that brightness, which is its score."""
    pixels = textured_picture(seed)
    pixels[:16, :16] = level
    return pixels


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Limit 150; golden pictures at 100 to 104, 170 and 240; with a report."""
    path = write_bright_bundle(tmp_path / "a.bundle")
    levels = (100, 101, 102, 103, 104, 170, 240)
    give_golden(path, [bright(500 + i, level) for i, level in enumerate(levels)])
    content = read_bundle(path)
    write_bundle(path, content.manifest, {**content.files, "report.html": REPORT})
    return path


def good_folder(folder: Path, highest: int) -> Path:
    """Sixty different parts at 100 to 119, five more at `highest`."""
    folder.mkdir()
    for seed in range(65):
        level = 100 + seed // 3 if seed < 60 else highest
        cv2.imwrite(str(folder / f"{seed:03d}.png"), bright(seed, level))
    return folder


def calibrate(bundle: Path, folder: Path, *more: str) -> int:
    return main(["thresholds", str(bundle), "--from", f"folder:{folder}", "--rate", "0.02", *more])


def verdicts(bundle: Path) -> list[str]:
    return [p.parts[0].verdict for p in read_bundle(bundle).variant().golden]


def test_a_limit_that_makes_a_golden_defect_good_is_refused(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bad parts among the good ones drive it up to 200; --accept writes it and names the loss."""
    folder = good_folder(tmp_path / "in", 200)
    before = bundle.read_bytes()
    assert calibrate(bundle, folder) == 2
    told = capsys.readouterr().err
    assert "1 of 7 golden pictures with a defect would be OK (golden/5.png)" in told
    assert "--accept" in told
    assert bundle.read_bytes() == before
    assert calibrate(bundle, folder, "--accept") == 0
    assert "1 golden pictures with a defect are OK now (golden/5.png)" in capsys.readouterr().err
    assert verdicts(bundle) == ["OK"] * 6 + ["NG"]


def test_a_limit_moved_without_pictures_obeys_the_same_rule(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = read_bundle(bundle)
    thresholds = content.variant().thresholds.model_copy(
        update={"calibration_scores": tuple(float(s) for s in range(101, 301))}
    )
    variant = content.variant().model_copy(update={"thresholds": thresholds})
    manifest = content.manifest.model_copy(update={"variants": (variant,)})
    write_bundle(bundle, manifest, content.files)
    args = ["thresholds", str(bundle), "--rate", "0.5"]  # limit 201: golden 170 would be OK
    assert main(args) == 2
    assert "golden/5.png" in capsys.readouterr().err
    assert main([*args, "--accept"]) == 0


def test_verdicts_stay_where_the_limit_stays_between(bundle: Path, tmp_path: Path) -> None:
    assert calibrate(bundle, good_folder(tmp_path / "in", 121)) == 0
    assert verdicts(bundle) == ["OK"] * 5 + ["NG"] * 2


def test_a_golden_set_without_an_ng_says_what_it_cannot_see(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_bright_bundle(tmp_path / "a.bundle")
    give_golden(path, [bright(500 + i, 100 + i) for i in range(5)])
    assert calibrate(path, good_folder(tmp_path / "in", 121)) == 0
    assert "cannot see a deaf model" in capsys.readouterr().err


def test_a_dry_run_says_everything_and_writes_nothing(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, before = good_folder(tmp_path / "in", 121), bundle.read_bytes()
    listed = sorted(tmp_path.iterdir())
    assert calibrate(bundle, folder, "--dry-run") == 0
    told = capsys.readouterr().out
    assert "threshold 12" in told
    assert "the limit before, 150.0000, alarms 0 of 65 of them" in told
    assert "dry run: nothing is written" in told
    assert (bundle.read_bytes(), sorted(tmp_path.iterdir())) == (before, listed)


def test_what_is_replaced_is_kept(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each time under another name; the same bytes are not kept twice; --out elsewhere: nothing."""
    folder, first = good_folder(tmp_path / "in", 121), bundle.read_bytes()
    out = tmp_path / "b.bundle"
    assert calibrate(bundle, folder, "--out", str(out)) == 0
    assert list(tmp_path.glob("*.bak*")) == []
    assert calibrate(bundle, folder) == 0
    assert f"kept as {bundle}.bak" in capsys.readouterr().out
    assert Path(f"{bundle}.bak").read_bytes() == first
    second = bundle.read_bytes()
    assert calibrate(bundle, folder) == 0
    assert Path(f"{bundle}.bak2").read_bytes() == second
    bundle.write_bytes(first)
    assert calibrate(bundle, folder) == 0
    assert len(list(tmp_path.glob("*.bak*"))) == 2


def test_another_file_or_a_folder_is_never_overwritten(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Said before a part is judged."""
    folder, notes = good_folder(tmp_path / "in", 121), tmp_path / "notes.txt"
    notes.write_text("mine")
    assert calibrate(bundle, folder, "--out", str(notes)) == 2
    assert "is no bundle" in capsys.readouterr().err
    assert notes.read_text() == "mine"
    assert calibrate(bundle, folder, "--out", str(folder)) == 2
    assert "is a folder" in capsys.readouterr().err


def test_the_report_says_the_limit_in_force_first(bundle: Path, tmp_path: Path) -> None:
    """Before what was written at build, the newest on top; another one is added, not lost."""
    folder = good_folder(tmp_path / "in", 121)
    for number in (2, 3):
        assert calibrate(bundle, folder) == 0
        content = read_bundle(bundle)
        page = content.files["report.html"].decode()
        limits = content.variant().thresholds
        assert f"calibrated-{number}: threshold {limits.score_threshold:.4f}" in page
        assert page.index(f"calibrated-{number}") < page.index("<p>threshold 150</p>")
    assert page.index("calibrated-3") < page.index("calibrated-2")
    assert page.count("Changed since the build") == 1


@pytest.mark.parametrize(
    "page", [b"", b"<p>a</p>", b"<html><body>a</body></html>", b"\xff\xfe<h1>x</h1>"]
)
def test_any_page_takes_a_note(page: bytes) -> None:
    """Nothing of it is lost, whatever it is; what is no text of HTML is escaped."""
    noted = with_note({"report.html": page}, ("a < b",))["report.html"]
    assert b"<p>a &lt; b</p>" in noted
    start = noted.index(b'<div class="answer">')
    end = noted.index(b"</div>", start) + len(b"</div>")
    assert noted[:start] + noted[end:] == page
    assert with_note({"x": b""}, ("a",)) == {"x": b""}


def test_no_carriage_return_gets_into_a_file(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert calibrate(bundle, good_folder(tmp_path / "in", 121)) == 0
    told = capsys.readouterr()
    assert "\r" not in told.out + told.err


def test_a_log_file_gets_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    """Not one for each part."""
    now = [0.0]
    with Progress(now_s=lambda: now[0]) as progress:
        for second in range(91):
            now[0] = float(second)
            progress.show(f"{second} parts")
    assert capsys.readouterr().err == "30 parts\n60 parts\n90 parts\n"
