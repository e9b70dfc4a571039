"""`edge-export evaluate` on the brightness bundle: the whole command, without training."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.format_2 import EXAMPLES
from support.pictures_read import picture_at
from support.small_bundles import bright_files, bright_manifest, grey_picture, write_bright_bundle

from edge_app.bundle.archive import read_bundle, write_bundle
from edge_app.model.loaded_model import load_model
from edge_app.model.offline import inspect_pictures, pictures_at
from edge_app.records import JsonObject
from export.cli.main import main
from export.evaluation.run import evaluate

GOOD, SPOTS, FAINT = 6, 4, 2
MASK = np.where(grey_picture(spot=True) == 250, 255, 0).astype(np.uint8)


def shifted(pixels: np.ndarray, by: int) -> np.ndarray:
    """Return the picture with one pixel changed, so that no two files have the same bytes."""
    changed: np.ndarray = pixels.copy()
    changed[0, by] += 1
    return changed


def faint_picture() -> np.ndarray:
    """Return a picture whose spot stays below the score threshold."""
    return np.where(grey_picture(spot=True) == 250, 130, 100).astype(np.uint8)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The MVTec layout: good parts, bright spots with masks, faint spots without."""
    root = tmp_path / "data"
    for kind, count, pixels in (
        ("good", GOOD, grey_picture()),
        ("spot", SPOTS, grey_picture(spot=True)),
        ("faint", FAINT, faint_picture()),
    ):
        (root / "test" / kind).mkdir(parents=True)
        for i in range(count):
            cv2.imwrite(str(root / "test" / kind / f"{i:03d}.png"), shifted(pixels, i))
    (root / "ground_truth" / "spot").mkdir(parents=True)
    for i in range(SPOTS):
        name = f"{i:03d}_mask.png" if i % 2 else f"{i:03d}.png"
        cv2.imwrite(str(root / "ground_truth" / "spot" / name), MASK)
    return root


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bright_bundle(tmp_path / "bright.bundle")


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> JsonObject:
    """Run the command with --json and return its last line."""
    assert main(["evaluate", *map(str, arguments), "--json"]) == 0
    found: JsonObject = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def measured(bundle: Path, data: Path) -> JsonObject:
    return evaluate(bundle, data, None, lambda *_: None).figures


def test_the_last_line_is_one_object_of_fractions(
    data: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All figures stand in the last line of stdout, rates between 0 and 1, bounds round them."""
    found = run(capsys, "--bundle", bundle, "--data", data)
    assert found["image_auroc"] == 1.0
    assert found["image_auroc_interval"] == [1.0, 1.0]
    assert 0.97 < found["pixel_auroc"] <= 1.0
    assert 0.9 < found["pro"] <= 1.0
    assert (found["good"], found["bad"], found["excluded"]) == (GOOD, SPOTS + FAINT, 0)
    assert found["recall"] == pytest.approx(SPOTS / (SPOTS + FAINT))
    assert found["recall_bounds"][0] < found["recall"] < found["recall_bounds"][1]
    assert (found["false_alarm_rate"], found["false_alarms"]) == (0.0, 0)
    assert (found["masked"], found["regions"], found["regions_met"]) == (SPOTS, SPOTS, 1.0)
    assert found["boxes_on_defects"] == 1.0


def test_kinds_are_counted_apart(data: Path, bundle: Path) -> None:
    """Each kind has its own row; pixel figures only where it has masks."""
    faint, spot = measured(bundle, data)["kinds"]
    assert (faint["kind"], faint["recall"], faint["image_auroc"]) == ("faint", 0.0, 1.0)
    assert (spot["kind"], spot["recall"], spot["pictures"]) == ("spot", 1.0, SPOTS)
    assert "pixel_auroc" in spot
    assert "pixel_auroc" not in faint


def test_verdicts_are_the_devices(data: Path, bundle: Path) -> None:
    """Score and verdict of every picture are those of `edge-app inspect`."""
    page = evaluate(bundle, data, None, lambda *_: None).page
    record = json.loads((page.parent / "evaluation.json").read_text())
    rows = {r["picture"]: r for r in record["pictures"]}
    line = inspect_pictures(load_model(read_bundle(bundle)), pictures_at(data / "test"))
    for result in line:
        row = rows.pop(result["picture"])
        assert (row["verdict"], row["score"]) == (result["verdict"], result["score"])
    assert not rows


def test_pictures_the_bundle_has_seen_are_left_out_and_named(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Training and calibration pictures are recognised by their bytes, wherever they lie."""
    seen = tmp_path / "seen.bundle"
    hashes = [sha(data / "test" / "good" / f"00{i}.png") for i in (1, 2)]
    write_seen_bundle(seen, training=hashes[:1], calibration=hashes[1:])
    assert main(["evaluate", "--bundle", str(seen), "--data", str(data), "--json"]) == 0
    told = capsys.readouterr()
    found = json.loads(told.out.splitlines()[-1])
    assert (found["excluded"], found["good"]) == (2, GOOD - 2)
    assert found["excluded_pictures"] == ["good/001.png", "good/002.png"]
    assert "excluded, used for training or calibration: good/001.png" in told.err
    assert "good/002.png" in (tmp_path / "seen.evaluation" / "evaluation.html").read_text()


@pytest.mark.parametrize("kind", ["good", "defective"])
def test_with_nothing_left_to_compare_it_ends_with_two(
    data: Path, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """All good, or all bad pictures seen before: exit code 2 and a sentence with the counts."""
    paths = [
        p
        for p in sorted(data.glob("test/*/*.png"))
        if (p.parent.name == "good") == (kind == "good")
    ]
    seen = tmp_path / "seen.bundle"
    write_seen_bundle(seen, training=[sha(p) for p in paths], calibration=[])
    assert main(["evaluate", "--bundle", str(seen), "--data", str(data)]) == 2
    message = capsys.readouterr().err
    assert f"{len(paths)} were left out" in message
    assert ("0 good" in message) == (kind == "good")
    assert not (tmp_path / "seen.evaluation").exists()


@pytest.mark.parametrize("content", ["no folder of that name", "an empty folder", "pictures, x"])
def test_a_folder_without_test_pictures_is_refused(
    bundle: Path, tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message says which folders were expected and what is there."""
    data = tmp_path / "other"
    if content != "no folder of that name":
        data.mkdir()
    if content == "pictures, x":
        (data / "pictures").mkdir()
        (data / "x").mkdir()
    assert main(["evaluate", "--bundle", str(bundle), "--data", str(data)]) == 2
    message = capsys.readouterr().err
    assert "expected DIR/test/good and DIR/test/<kind>" in message
    assert content in message


def test_plain_folders_without_masks(
    data: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`good` and kinds right inside DIR work too; without masks there are no pixel figures."""
    plain = (data / "test").rename(tmp_path / "plain")
    (plain / "notes").mkdir()
    found = run(capsys, "--bundle", bundle, "--data", plain, "--out", tmp_path / "o")
    assert found["image_auroc"] == 1.0
    assert [k["kind"] for k in found["kinds"]] == ["faint", "spot"]
    assert not {"pixel_auroc", "pro", "regions_met"} & set(found)
    assert (tmp_path / "o" / "evaluation.html").is_file()


def test_the_test_folder_itself_may_be_named(data: Path, bundle: Path) -> None:
    """DIR/test finds the masks beside it."""
    assert measured(bundle, data / "test")["masked"] == SPOTS


def test_what_could_not_be_inspected_is_counted_apart(data: Path, tmp_path: Path) -> None:
    """A graph that returns NaN judges nothing: nothing caught, no alarm, and no rate is claimed."""
    blind = write_bright_bundle(tmp_path / "nan.bundle", "nan_inspector")
    found = measured(blind, data)
    assert found["not_inspected"] == {"good": GOOD, "bad": SPOTS + FAINT}
    assert (found["recall"], found["image_auroc"]) == (0.0, 0.5)
    assert found["false_alarm_rate"] is None
    assert "not_finite" in (tmp_path / "nan.evaluation" / "evaluation.html").read_text()


def test_an_unreadable_picture_is_not_inspected(data: Path, bundle: Path) -> None:
    """A good picture that cannot be read ranks above all others and is named with its reason."""
    (data / "test" / "good" / "cut.png").write_bytes(b"\x89PNG")
    found = measured(bundle, data)
    assert found["not_inspected"] == {"good": 1, "bad": 0}
    assert found["image_auroc"] == pytest.approx(GOOD / (GOOD + 1))
    assert found["false_alarm_rate"] == 0.0
    assert "cut.png" in found["warnings"][0]


@pytest.mark.parametrize("fault", ["of another size", "empty", "cut off"])
def test_a_mask_that_cannot_be_used_is_told(data: Path, bundle: Path, fault: str) -> None:
    """Its picture is judged all the same; its pixels are left out, with a warning."""
    file = data / "ground_truth" / "spot" / "001_mask.png"
    if fault == "cut off":
        file.write_bytes(b"\x89PNG")
    else:
        cv2.imwrite(str(file), MASK[:32] if fault == "of another size" else MASK * 0)
    found = measured(bundle, data)
    assert (found["masked"], found["bad"]) == (SPOTS - 1, SPOTS + FAINT)
    (warning,) = found["warnings"]
    assert "001" in warning


def test_the_page_shows_what_went_wrong(data: Path, bundle: Path) -> None:
    """Misses, false alarms and hits are pictures in a page that loads nothing from elsewhere."""
    cv2.imwrite(str(data / "test" / "good" / "bright.png"), grey_picture(spot=True))
    page = evaluate(bundle, data, None, lambda *_: None).page
    assert page.parent.name == "bright.evaluation"
    text = page.read_text()
    assert text.index("Catches 4 of 6 defects; alarms on 1 of 7 good parts") < text.index("<table")
    assert "faint/000.png: OK, score 130, threshold 150" in text
    assert "good/bright.png: NG" in text
    assert "spot/003.png: NG" in text
    assert text.count("data:image/jpeg") == FAINT + 1 + SPOTS
    assert text.count("<svg") == 3
    assert "http" not in text
    assert "<script" not in text


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_seen_bundle(path: Path, training: list[str], calibration: list[str]) -> None:
    """Write the brightness bundle with these pictures in its provenance."""
    manifest = bright_manifest()
    provenance = manifest.provenance.model_copy(
        update={"training_sha256": tuple(training), "calibration_sha256": tuple(calibration)}
    )
    write_bundle(path, manifest.model_copy(update={"provenance": provenance}), bright_files())


def test_near_duplicates_of_training_pictures_are_named_and_counted_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Re-encoded copies of training pictures: no bytes in common, the same parts."""
    rng = np.random.default_rng(0)
    root, looks = tmp_path / "data", []
    for _ in range(12):
        coarse = rng.integers(60, 120, (6, 8, 3)).astype(np.uint8)
        looks.append(cv2.resize(coarse, (200, 150), interpolation=cv2.INTER_CUBIC))
    for folder in ("train/good", "test/good", "test/spot"):
        (root / folder).mkdir(parents=True)
    for number, look in enumerate(looks[:8]):
        cv2.imwrite(str(root / "train/good" / f"{number}.png"), look)
    for number, look in enumerate(looks[6:]):  # the first two are those of training
        cv2.imwrite(str(root / "test/good" / f"{number}.jpg"), look, [cv2.IMWRITE_JPEG_QUALITY, 97])
    copy = cv2.add(looks[0], np.full_like(looks[0], 1))
    cv2.imwrite(str(root / "test/spot" / "0.png"), copy)  # a defect is never taken for good
    manifest = bright_manifest()
    digests = [
        hashlib.sha256((root / "train/good" / f"{n}.png").read_bytes()).hexdigest()
        for n in range(8)
    ]
    trained = manifest.provenance.model_copy(update={"training_sha256": tuple(digests)})
    bundle = tmp_path / "a.bundle"
    write_bundle(bundle, manifest.model_copy(update={"provenance": trained}), bright_files())
    found = run(capsys, "--bundle", bundle, "--data", root)
    assert (found["good"], found["near_training"]) == (6, 2)
    assert found["near_training_pictures"] == ["good/0.jpg", "good/1.jpg"]
    assert found["apart_from_training"]["good"] == 4
    assert "good/1.jpg" in Path(found["report"]).read_text()


def test_good_pictures_unlike_those_of_training_are_said(data: Path, tmp_path: Path) -> None:
    """A brighter lamp: all good parts are above a limit that lets 97 of 99 pass."""
    bundle = tmp_path / "bright.bundle"
    write_bundle(bundle, EXAMPLES["cross_fitted_limits"](), bright_files())
    told = "not like the training pictures"
    assert not any(told in warning for warning in measured(bundle, data)["warnings"])
    for path in (data / "test" / "good").iterdir():
        dim = picture_at(path)
        cv2.imwrite(str(path), cv2.add(dim, np.full_like(dim, 90)))
    (warning,) = (w for w in measured(bundle, data)["warnings"] if told in w)
    assert warning.startswith(f"{GOOD} of {GOOD} good pictures are alarmed on")
