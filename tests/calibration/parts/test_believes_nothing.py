"""`edge-calibrate`, all three commands: whose parts, how many different ones, does it end?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.needs import require

require("the extra calibrate")

from support.conv_graphs import write_conv_bundle
from support.golden_bundles import give_golden
from support.small_bundles import textured_picture

from calibration.cli.main import main
from calibration.thresholds.recalibrate import recalibrate
from edge_app.bundle.archive import read_bundle, write_bundle
from edge_app.cameras.folder import FolderCamera
from edge_app.errors import DataError
from edge_app.records import U8Array

COMMANDS = ("thresholds", "fp16", "int8")

Make = Callable[[int], U8Array]


def stripes(seed: int, horizontal: bool = False) -> U8Array:
    """A product with a dark bar, the bar's direction being the product."""
    pixels = textured_picture(seed, depth=70.0)
    bar = (slice(24, 40), slice(None)) if horizontal else (slice(None), slice(48, 80))
    pixels[bar] = pixels[bar] // 2
    return pixels


def write_folder(folder: Path, count: int, make: Make, first: int = 0) -> Path:
    folder.mkdir()
    for number in range(count):
        cv2.imwrite(str(folder / f"{number:04d}.png"), make(first + number))
    return folder


def striped_bundle(path: Path) -> Path:
    """A bundle whose golden pictures, good and with a spot, have the upright bar."""
    write_conv_bundle(path, threshold=0.6)
    bad = [stripes(seed) for seed in range(905, 908)]
    for pixels in bad:
        pixels[8:32, 8:40] = 250
    return give_golden(path, [*(stripes(seed) for seed in range(900, 905)), *bad])


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return striped_bundle(tmp_path / "a.bundle")


def refused(
    command: str, bundle: Path, source: str, capsys: pytest.CaptureFixture[str], *more: str
) -> str:
    """Run a command that must be refused; the bundle is untouched, stderr one sentence."""
    before = bundle.read_bytes()
    assert main([command, str(bundle), "--source", source, *more]) == 2
    told = capsys.readouterr().err
    assert told.startswith("edge-calibrate: ")
    assert told.count("\n") == 1
    assert bundle.read_bytes() == before
    assert list(bundle.parent.glob("*.bak*")) == []
    return told


@pytest.mark.parametrize("command", COMMANDS)
def test_its_own_good_parts_are_taken(command: str, bundle: Path, tmp_path: Path) -> None:
    """What all the refusals below stand beside."""
    good = write_folder(tmp_path / "good", 60, stripes)
    assert main([command, str(bundle), "--source", f"folder:{good}"]) == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_parts_that_look_like_another_product_are_refused(
    command: str, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They score as low as the own ones; their bar lies the other way."""
    other = write_folder(tmp_path / "other", 60, lambda seed: stripes(seed, horizontal=True))
    told = refused(command, bundle, f"folder:{other}", capsys)
    assert "not good parts of bright: they look unlike its golden pictures" in told


@pytest.mark.parametrize("command", COMMANDS)
def test_parts_that_the_limit_in_force_alarms_are_refused(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of them: another product, or the bad box."""
    bundle = write_conv_bundle(tmp_path / "a.bundle")
    other = write_folder(tmp_path / "other", 60, lambda seed: textured_picture(seed, spot=True))
    told = refused(command, bundle, f"folder:{other}", capsys)
    assert "the present limit 0.6 alarms 60 of 60" in told


def test_parts_in_which_no_pose_is_found_are_refused(tmp_path: Path) -> None:
    """The shipped bundle of the tapered part, and square parts."""
    import edge_app

    shipped = Path(edge_app.__file__).parent / "assets" / "demo-tapered.bundle"
    source = "sim:square?seed=5&parts=30&mode=numbered&defect_rate=0"
    out = tmp_path / "b.bundle"
    assert main(["thresholds", str(shipped), "--from", source, "--out", str(out)]) == 2
    assert not out.exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_copies_of_a_picture_are_one_part(
    command: str, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """However often it lies there, it guarantees nothing."""
    copies = write_folder(tmp_path / "copies", 120, lambda _seed: stripes(1))
    told = refused(command, bundle, f"folder:{copies}", capsys)
    assert "Only 1 different good parts were judged among 120" in told


@pytest.mark.parametrize("parts", [1, 2, 7])
@pytest.mark.parametrize("kind", ["saved again", "noise"])
def test_near_copies_are_one_part(parts: int, kind: str, bundle: Path, tmp_path: Path) -> None:
    """Re-encoded pictures and bursts, also where nothing else is in the folder."""
    rng = np.random.default_rng(parts)

    def copy(number: int) -> U8Array:
        pixels = stripes(number % parts)
        if kind == "noise":
            noisy = pixels + rng.normal(0, 0.7, pixels.shape)
            return np.clip(noisy, 0, 255).astype(np.uint8)
        encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 90 + number % 11])[1]
        return np.asarray(cv2.imdecode(encoded, 1), np.uint8)

    folder = write_folder(tmp_path / "in", 70, copy)
    with pytest.raises(DataError, match=f"Only {parts} different good parts"):
        recalibrate(bundle, FolderCamera(folder, "c"), 0.02, lambda _: None)


@pytest.mark.parametrize("copies", [1, 3])
def test_different_parts_count_each_and_their_copies_do_not(
    copies: int, bundle: Path, tmp_path: Path
) -> None:
    """60 parts carry what 60 parts carry, however many files."""
    folder = write_folder(tmp_path / "in", 60 * copies, lambda n: stripes(n % 60))
    done = recalibrate(bundle, FolderCamera(folder, "c"), 0.02, lambda _: None)
    assert done.choice.good_count == 60
    assert not done.choice.is_guaranteed
    assert len(read_bundle(bundle).variant().thresholds.calibration_scores) == 60
    told = " ".join(done.left_out)
    assert (f"{60 * (copies - 1)} near-duplicates left out" in told) == (copies > 1)


@pytest.mark.parametrize("command", COMMANDS)
def test_pictures_of_the_training_are_refused_before_any_is_judged(
    command: str, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the digests in the bundle, even one of them, and by name."""
    good = write_folder(tmp_path / "good", 60, stripes)
    digest = hashlib.sha256((good / "0007.png").read_bytes()).hexdigest()
    content = read_bundle(bundle)
    provenance = content.manifest.provenance.model_copy(update={"training_sha256": (digest,)})
    changed = content.manifest.model_copy(update={"provenance": provenance})
    write_bundle(bundle, changed, content.files)
    told = refused(command, bundle, f"folder:{good}", capsys)
    assert "1 of 60 pictures were used to train this bundle (0007.png)" in told
    with pytest.raises(DataError, match=r"0007\.png"):
        recalibrate(bundle, FolderCamera(good, "c"), 0.02, lambda _: None)


@pytest.mark.parametrize("command", COMMANDS)
def test_what_it_was_calibrated_on_stands_in_the_provenance(
    command: str, bundle: Path, tmp_path: Path
) -> None:
    """So that `edge-export evaluate` leaves it out; again changes nothing there."""
    good = write_folder(tmp_path / "good", 60, stripes)
    digests = {hashlib.sha256(p.read_bytes()).hexdigest() for p in good.iterdir()}
    for _ in range(2):
        assert main([command, str(bundle), "--source", f"folder:{good}"]) == 0
        known = read_bundle(bundle).manifest.provenance.calibration_sha256
        assert (set(known), len(known)) == (digests, 60)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("folder:GOOD?loop=1", "loop=1 begins again"),
        ("sim:tapered", "runs on without parts=N"),
        ("watch:GOOD", "a camera goes on"),
        ("v4l2:/dev/video0", "a camera goes on"),
    ],
)
def test_a_source_without_an_end_is_refused_at_once(
    command: str,
    address: str,
    why: str,
    bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The sentence says how to give it one."""
    good = write_folder(tmp_path / "good", 3, stripes)
    told = refused(command, bundle, address.replace("GOOD", str(good)), capsys)
    assert "never ends" in told
    assert why in told
    assert "--parts N" in told


def test_a_camera_that_begins_again_is_noticed(bundle: Path, tmp_path: Path) -> None:
    """Whoever opened it."""
    good = write_folder(tmp_path / "good", 4, stripes)
    with pytest.raises(DataError, match=r"begins again with 0000\.png after 4 pictures"):
        recalibrate(bundle, FolderCamera(good, "c", loop=True), 0.02, lambda _: None)


@pytest.mark.parametrize("command", COMMANDS)
def test_enough_parts_end_a_source_that_has_no_end(
    command: str, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--parts; what comes again counts once."""
    good = write_folder(tmp_path / "good", 60, stripes)
    source = f"folder:{good}?loop=1"
    assert main([command, str(bundle), "--source", source, "--parts", "150", "--dry-run"]) == 0
    assert "near-duplicates left out" in capsys.readouterr().err
    few = write_folder(tmp_path / "few", 4, stripes)
    told = refused(command, bundle, f"folder:{few}?loop=1", capsys, "--parts", "70")
    assert "Only 4 different good parts" in told


def test_damaged_pictures_are_counted_by_name(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write_folder(tmp_path / "good", 60, stripes)
    (good / "0010.png").write_bytes(b"no picture")
    assert main(["thresholds", str(bundle), "--from", f"folder:{good}"]) == 0
    assert "1 pictures could not be read: 0010.png" in capsys.readouterr().err
