"""`--method auto` on tiny tiles: real candidates, a recorded choice, a table in the report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.tile_pictures import tile, write_tiles

from edge_app.bundle.archive import read_bundle
from edge_app.errors import DataError
from export.auto_method.select import (
    CANDIDATES,
    AutoOptions,
    MethodChoice,
    choose_method,
    make_trial,
)
from export.bundle_build.pipeline import BuildOptions, build
from export.compare.run import method_names
from export.methods.names import DEFAULT
from export.workspace import Workspace

pytestmark = pytest.mark.needs("the extra train")

HOUR_S = 3600.0
OPTIONS = AutoOptions(seed=0, steps=2, device="cpu", budget_s=HOUR_S)
CROPS = [tile(i)[:64] for i in range(24)]  # 64 × 96


class Clock:
    """Stands still; two hours pass at once when a candidate reports for the first time."""

    def __init__(self, slow: str = "") -> None:
        self.now_s, self.slow = 0.0, slow
        self.told: list[str] = []

    def __call__(self) -> float:
        return self.now_s

    def show(self, step: str, text: str, _share: float) -> None:
        self.told.append(f"{step}: {text}")
        if self.slow and f": {self.slow}," in text:
            self.now_s, self.slow = self.now_s + 2 * HOUR_S, ""


def chosen(folder: Path, clock: Clock, options: AutoOptions = OPTIONS) -> MethodChoice:
    return choose_method(Workspace(folder, clock.show), CROPS, None, options, clock)


@pytest.mark.slow
def test_what_is_too_slow_is_left_out_and_the_choice_stays(tmp_path: Path) -> None:
    """PatchCore outlasts the budget: it and what follows have a reason; a fast rerun keeps that."""
    slow = Clock(slow="patchcore")
    first = chosen(tmp_path, slow)
    assert [e.method for e in first.evidence] == [DEFAULT, "padim-slim"]
    assert set(first.left_out) == {"patchcore", "padim"}
    assert "did not end within its share" in first.left_out["patchcore"]
    assert any("2 of 4: padim-slim, " in line and "min left" in line for line in slow.told)
    quick = Clock()
    resumed = chosen(tmp_path, quick)
    assert (resumed.method, resumed.reason) == (first.method, first.reason)
    assert (resumed.left_out, resumed.seconds) == (first.left_out, first.seconds)
    assert not any("of 4" in line for line in quick.told)
    again = chosen(tmp_path, quick, replace(OPTIONS, budget_s=2 * HOUR_S))
    assert [e.method for e in again.evidence] == list(CANDIDATES)
    assert [e.kinds for e in again.evidence[:2]] == [e.kinds for e in first.evidence]


def test_the_default_is_measured_even_without_time(tmp_path: Path) -> None:
    """A budget of nothing: the default alone has evidence, and is taken."""
    found = chosen(tmp_path, Clock(slow=DEFAULT), replace(OPTIONS, budget_s=1.0))
    assert found.method == DEFAULT
    assert [e.method for e in found.evidence] == [DEFAULT]
    assert len(found.left_out) == len(CANDIDATES) - 1


def test_no_crop_judges_what_it_trained(tmp_path: Path) -> None:
    """Fitted and hold-out crops are different ones, and together all of them."""
    trial = make_trial(CROPS, None, seed=0)
    training, hold_out = ({c.tobytes() for c in part} for part in (trial.training, trial.hold_out))
    assert not training & hold_out
    assert training | hold_out == {c.tobytes() for c in CROPS}
    assert all(len(crops) == len(trial.hold_out) for crops in trial.synthetic.values())


@pytest.mark.slow
def test_a_build_records_its_choice_and_resumes_with_it(tmp_path: Path) -> None:
    """The report shows the table, the record beside the bundle the times; bytes stay the same."""
    data = write_tiles(tmp_path / "tiles", good=32, test_good=1, blotted=1)
    options = BuildOptions(
        data=data, out=tmp_path / "t.bundle", product="tiles", detector="none", method="auto",
        steps=2, false_alarm_rate=0.05,
    )  # fmt: skip
    build(options, lambda *_: None)
    first = options.out.read_bytes()
    bundle = read_bundle(options.out)
    provenance = bundle.manifest.provenance
    record = json.loads((tmp_path / "t.bundle.build.json").read_text())
    assert provenance.method == record["method"] == record["auto"]["method"]
    assert provenance.method in CANDIDATES
    assert any(note.startswith("chosen_by: auto: ") for note in provenance.notes)
    assert set(record["auto"]["seconds"]) == set(CANDIDATES)
    report = bundle.files["report.html"].decode()
    assert "Why this method" in report
    assert all(f"<td>{name}</td>" in report for name in CANDIDATES)
    build(options, lambda *_: None)
    assert options.out.read_bytes() == first


def test_auto_is_not_compared_with_methods() -> None:
    """`compare --methods auto` is refused with what to name instead."""
    with pytest.raises(DataError, match=f"name some of {DEFAULT}"):
        method_names("auto")
