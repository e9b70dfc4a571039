"""`edge-export compare` on tiny tiles: every method through training, bundle and evaluation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.tile_pictures import write_tiles

from edge_app.bundle.archive import read_bundle
from edge_app.errors import DataError
from edge_app.model.golden_check import check_golden
from edge_app.model.loaded_model import load_model
from edge_app.records import JsonObject
from export.bundle_build.pipeline import BuildOptions
from export.cli.main import main
from export.compare.report import HEADER, table_row
from export.compare.run import Budget, CompareOptions, Comparison, compare, method_names
from export.methods.names import DEFAULT, NAMES

pytestmark = pytest.mark.needs("the extra train")

METHODS = ("patchcore", "padim-slim", "autoencoder-l2")
HOUR_S = 3600.0


class Clock:
    """Stands still, until an hour passes at once while one method reports its progress."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.seen: list[str] = []

    def __call__(self) -> float:
        return self.now_s

    def show(self, step: str, text: str, share: float) -> None:
        self.seen.append(f"{step}: {text}")
        if step == "autoencoder-l2":
            self.now_s += HOUR_S


def options(data: Path, out: Path) -> CompareOptions:
    build = BuildOptions(
        data=data, out=out / "shared", product="tiles", detector="none", steps=3,
        false_alarm_rate=0.05,
    )  # fmt: skip
    return CompareOptions(build, out, METHODS, HOUR_S, latency_ms=10_000.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiles(tmp_path_factory.mktemp("tiles"), good=32, test_good=4, blotted=4)


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def compared(data: Path, clock: Clock, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    out = tmp_path_factory.mktemp("compared")
    return compare(options(data, out), clock.show, clock)


def record_of(found: Comparison) -> JsonObject:
    record: JsonObject = json.loads((found.page.parent / "compare.json").read_text())
    return record


def test_every_method_is_measured_as_evaluate_does(compared: Comparison) -> None:
    """Figures of the pictures, costs of the graph, and a bundle that a device loads."""
    row = record_of(compared)["methods"][0]
    assert row["method"] == "patchcore"
    assert row["steps"] == 0
    figures = row["figures"]
    assert figures["image_auroc"] == 1.0
    assert (figures["good"], figures["bad"], figures["masked"]) == (4, 4, 4)
    assert 0 < figures["pro"] <= 1
    assert len(row["scores"]) == 8
    assert 0 < row["cost"]["crop_ms_fastest"] <= row["cost"]["crop_ms"]
    assert row["cost"]["memory_mb"] > 1
    bundle = Path(row["folder"]).parent / "bundle" / "patchcore.bundle"
    model = load_model(read_bundle(bundle))
    assert model.limits.score_threshold == figures["threshold"]


def test_a_method_that_ran_out_of_time_does_not_stop_the_rest(compared: Comparison) -> None:
    """It stands in the report with its reason; the others have their figures."""
    *measured, failed = record_of(compared)["methods"]
    assert failed["method"] == "autoencoder-l2"
    assert "did not end within its share" in failed["failed"]
    assert [row["method"] for row in measured] == ["patchcore", "padim-slim"]
    assert "failed" not in measured[1]
    assert "did not end within its share" in compared.page.read_text()


def test_the_report_shows_what_each_method_sees(compared: Comparison) -> None:
    """A table, the chart, a histogram and rows of panels per method, a recommendation."""
    page = compared.page.read_text()
    assert compared.advice.method in METHODS
    assert f"Take {compared.advice.method}" in page
    assert page.count("<h2>padim-slim</h2>") == 1
    assert page.count("data:image/jpeg") == 2 * 5
    assert "frames per second" in page
    link = "shared.work/methods/padim-slim/evaluation/evaluation.html"
    assert link in page
    assert (compared.page.parent / link).is_file()


@pytest.mark.slow
def test_a_method_that_hardly_tells_is_measured_but_no_device_takes_it(
    data: Path, tmp_path: Path
) -> None:
    """Two steps teach draem-slim nothing: it has a row that says so, and its bundle no golden
    pictures, without which no device lets it judge."""
    two_steps = options(data, tmp_path)
    found = compare(
        replace(two_steps, methods=("draem-slim",), build=replace(two_steps.build, steps=2)),
        lambda *_: None,
    )
    (row,) = found.rows
    assert 0.0 <= row["figures"]["image_auroc"] <= 1.0
    assert any("hardly tells good parts from bad" in w for w in row["build_warnings"])
    bundle = read_bundle(Path(row["folder"]).parent / "bundle" / "draem-slim.bundle")
    checked = check_golden(load_model(bundle), bundle)
    assert "no golden pictures" in checked.reason


@pytest.mark.slow
def test_the_default_that_is_compared_is_the_one_that_a_build_takes(
    data: Path, tmp_path: Path
) -> None:
    """It chooses its terms by the same synthetic defects: the same graph, byte for byte."""
    (row,) = compare(replace(options(data, tmp_path), methods=(DEFAULT,)), lambda *_: None).rows
    compared = Path(row["folder"]).parent / "inspector" / "inspector.onnx"
    built = [file.read_bytes() for file in tmp_path.rglob("measured/inspector/inspector.onnx")]
    assert compared.read_bytes() in built


def test_an_earlier_comparisons_table_has_the_new_figures_from_its_scores(
    compared: Comparison,
) -> None:
    """compare.json of a release before PB2: every picture's score and verdict give it."""
    row = record_of(compared)["methods"][0]
    whole = table_row(row)
    for key in ("pb2", "pb2_interval", "pb2_threshold", "value", "best_value", "efficiency"):
        del row["figures"][key]
    assert table_row(row) == whole
    assert len(whole) == len(HEADER)
    assert "%" in whole[HEADER.index("PB2 (95 %)")]


def test_the_page_says_of_every_method_what_to_expect(compared: Comparison) -> None:
    """In words, above its pictures."""
    text = compared.page.read_text()
    measured = [row for row in compared.rows if "failed" not in row]
    assert text.count("<p>Catches ") == len(measured) > 0


def test_progress_tells_the_time_that_is_left(compared: Comparison, clock: Clock) -> None:
    """Which of how many methods, what it does, and how long it may still take at most."""
    assert any(line.startswith("padim-slim: 2 of 3, ") for line in clock.seen)
    assert any("at most 60 min left" in line for line in clock.seen)


def test_the_next_run_takes_what_is_done(
    compared: Comparison, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command trains only what failed, and shows its reconstruction."""
    out = compared.page.parent
    kept = out / "shared.work" / "methods" / "patchcore" / "inspector" / "inspector.onnx"
    written = kept.stat().st_mtime_ns
    arguments = ["--data", data, "--out", out, "--methods", ",".join(METHODS), "--budget", "1h"]
    named = ["--product", "tiles", "--detector", "none", "--steps", 3, "--false-alarm-rate", 0.05]
    assert main(["compare", *map(str, [*arguments, *named])]) == 0
    assert kept.stat().st_mtime_ns == written
    told = capsys.readouterr().out
    assert "patchcore          Catches " in told
    assert "image AUROC 1.0000 (1.0000 to 1.0000), PB2 " in told
    row = json.loads((out / "compare.json").read_text())["methods"][2]
    assert row["method"] == "autoencoder-l2"
    if "failed" in row:  # three steps may teach it nothing: then thresholds refuse it, and say so
        assert "did not end" not in row["failed"]


def test_all_means_every_method_and_the_products_own() -> None:
    """`all` names what `build --method` knows, the default first."""
    assert method_names("all") == NAMES
    assert NAMES[0] == DEFAULT
    assert method_names("padim, patchcore,padim") == ("padim", "patchcore")


@pytest.mark.parametrize("text", ["padin", ",", "patchcore,nothing"])
def test_an_unknown_method_is_refused_before_anything_is_trained(text: str) -> None:
    """The message lists what there is."""
    with pytest.raises(DataError, match="patchcore"):
        method_names(text)


def test_a_budget_that_is_no_duration_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and one sentence."""
    arguments = ["compare", "--data", tmp_path, "--out", tmp_path / "o", "--budget", "soon"]
    assert main([str(a) for a in arguments]) == 2
    assert "--budget: expected a duration such as 90s" in capsys.readouterr().err


def test_what_one_method_leaves_over_goes_to_the_others() -> None:
    """Shares are of what is left, less the time that follows a training."""
    clock = Clock()
    budget = Budget(100.0, clock)
    assert budget.share_s(4) == 25.0
    clock.now_s = 10.0
    budget.took_after_training(5.0)
    assert budget.share_s(3) == 25.0
    budget.took_after_training(25.0)
    assert budget.share_s(2) == 30.0, "one slow method takes no more than its part of the others"
    clock.now_s = 200.0
    assert budget.left_s == 0.0
