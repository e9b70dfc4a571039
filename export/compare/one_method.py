"""One method of a comparison: trained in its time, built into a bundle, measured as a device runs.

Everything is kept in the shared workspace's branch of the method; what is done is taken from there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from edge_app.records import F64Array, JsonObject
from export.bundle_build.pipeline import (
    BuildOptions,
    CutParts,
    Found,
    Labelled,
    Trained,
    finish,
    learnt_defects,
)
from export.compare.advice import AtLimit, Contender
from export.compare.cost import cost_of
from export.compare.sheets import pictures_shown, write_rows
from export.defects.pictures import scan_defects
from export.evaluation.data import GOOD, TestPicture, scan_test_pictures
from export.evaluation.run import OnLook, evaluate
from export.methods.inspector_record import InspectorRecord
from export.methods.protocol import TrainSettings
from export.methods.registry import method_of, origin_of
from export.methods.time_budget import Now, train_within
from export.methods.train import train_method
from export.workspace import OnProgress, OnStep, Workspace


@dataclass(frozen=True, slots=True, eq=False)
class Shared:
    """What all methods of a comparison have in common.

    Attributes:
        options: of the build; `method` and `out` are each method's own.
        budget_s: of the whole comparison; another budget trains again.
        pictures: the test pictures that are left to judge.
        now: the clock that shares of the budget are taken from.
        on_look: called before test pictures are judged; finished work looks no more.
    """

    options: BuildOptions
    budget_s: float
    labelled: Labelled
    found: Found
    cut: CutParts
    pictures: tuple[TestPicture, ...]
    now: Now
    on_look: OnLook


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """What one method's training keeps besides its graph.

    Attributes:
        about: `InspectorRecord` as JSON.
        steps: that ended in time.
    """

    about: JsonObject
    steps: int
    train_s: float


@dataclass(frozen=True, slots=True)
class BundleRecord:
    """What building one method's bundle keeps besides it."""

    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MeasuredRecord:
    """What was measured of one method, as compare.json has it.

    Attributes:
        figures: of `evaluate`.
        cost: of `cost_of`.
        rows: pictures of the report and their captions.
        scores: one object per test picture.
    """

    figures: JsonObject
    cost: JsonObject
    rows: list[JsonObject]
    scores: list[JsonObject]


def unseen_pictures(options: BuildOptions, labelled: Labelled) -> tuple[TestPicture, ...]:
    """Return the test pictures that neither train, nor set a threshold, nor are known defects.

    Raises:
        DataError: fewer than one good and one defective picture remain.
    """
    known = scan_defects(options.known_defects).pictures
    seen = {p.sha256 for p in (*labelled.good.pictures, *known)}
    return scan_test_pictures(options.data, seen).kept


def measure_method(
    shared: Shared, name: str, seconds: float, on_progress: OnProgress
) -> JsonObject:
    """Return one method's row of compare.json.

    Args:
        seconds: its training may take.

    Raises:
        EdgeError: the training, the bundle or its evaluation failed.
    """
    options = replace(shared.options, method=name)
    space = shared.labelled.space.branch(
        f"methods/{name}", lambda s, t, d: on_progress(f"{s} {t}", d)
    )
    inspector, trained = _train(shared, space, name, seconds)
    graph = inspector / "inspector.onnx"
    bundle, built = _bundle(
        shared, space, options, graph, InspectorRecord.from_json(trained.about), on_progress
    )
    picked = inspector / "reconstruction.onnx"
    reconstruction = picked if picked.is_file() else None

    def work(folder: Path, report: OnProgress) -> MeasuredRecord:
        done = evaluate(bundle, options.data, folder, lambda s, _t, d: report(s, d), shared.on_look)
        crop_hw = shared.cut.cutting.spec.crop_hw
        rows = write_rows(bundle, pictures_shown(shared.pictures), reconstruction, folder / "rows")
        judged = json.loads((folder / "evaluation.json").read_text())["pictures"]
        figures = {k: v for k, v in done.figures.items() if k != "report"}
        return MeasuredRecord(figures, cost_of(graph, crop_hw), rows, judged)

    digest = sorted(p.sha256 for p in shared.pictures)
    folder, measured = space.step("evaluation", {"pictures": digest}, MeasuredRecord, work)
    return {
        "method": name,
        "steps": trained.steps if method_of(name).traits.takes_steps else 0,
        "train_s": trained.train_s,
        "graph_bytes": graph.stat().st_size,
        "folder": folder.as_posix(),
        "build_warnings": list(built.warnings),
        **asdict(measured),
    }


def _train(
    shared: Shared, space: Workspace, name: str, seconds: float
) -> tuple[Path, TrainingRecord]:
    options, cut = shared.options, shared.cut
    most = min(options.steps, method_of(name).traits.max_steps or options.steps)
    defects = learnt_defects(options, name, cut.cutting)
    chooses = method_of(name).traits.cross_fits == "itself"
    evidence = cut.evidence if chooses else None  # by which it takes its terms, as a build does

    def work(folder: Path, report: OnProgress) -> TrainingRecord:
        def train(steps: int, on_progress: OnProgress) -> InspectorRecord:
            _keep_steps(folder, steps)  # a stopped training goes on with these
            settings = TrainSettings(options.seed, steps, options.device, folder)
            return train_method(
                name,
                cut.crops,
                cut.mask,
                settings,
                on_progress,
                defects,
                options.processes,
                evidence,
            )

        started = time.monotonic()
        first = _kept_steps(folder, most)
        about, steps = train_within(train, first, seconds, report, shared.now)
        taken_s = round(time.monotonic() - started, 1)
        return TrainingRecord(about.as_json(), steps, taken_s)

    settings: JsonObject = {"method": name, "seed": options.seed, "steps": most}
    settings["budget_s"] = shared.budget_s
    if defects is not None:
        settings["defects"] = defects.sha256
    if evidence is not None:
        settings["evidence"] = evidence.sha256
    if origin := origin_of(name):
        settings["plugin"] = origin
    return space.step("inspector", settings, TrainingRecord, work)


def _keep_steps(folder: Path, steps: int) -> None:
    (folder / "steps.json").write_text(json.dumps(steps))


def _kept_steps(folder: Path, most: int) -> int:
    try:
        return min(most, int(json.loads((folder / "steps.json").read_text())))
    except (OSError, ValueError):
        return most


def _bundle(
    shared: Shared,
    space: Workspace,
    options: BuildOptions,
    graph: Path,
    inspector: InspectorRecord,
    on_progress: OnProgress,
) -> tuple[Path, BundleRecord]:
    file = f"{options.method}.bundle"

    def work(folder: Path, _report: OnProgress) -> BundleRecord:
        own = replace(options, out=folder / file)
        trained = Trained(shared.cut, options.method, graph, inspector)
        on_step = _as_on_step(on_progress)
        result = finish(own, shared.labelled, shared.found, trained, on_step, for_comparison=True)
        return BundleRecord(result.warnings)

    settings: JsonObject = {"budget": options.false_alarm_rate}
    if options.known_defects is not None:
        settings["known"] = [p.sha256 for p in scan_defects(options.known_defects).pictures]
    folder, built = space.step("bundle", settings, BundleRecord, work)
    return folder / file, built


def _as_on_step(on_progress: OnProgress) -> OnStep:
    return lambda step, _text, share: on_progress(step, share)


def contender_of(row: JsonObject) -> Contender:
    """Return a measured row's scores and speed, for the recommendation."""
    good = [p["score"] for p in row["scores"] if p["kind"] == GOOD]
    bad = [p["score"] for p in row["scores"] if p["kind"] != GOOD]
    figures = row["figures"]
    at_limit = AtLimit(figures["caught"], len(bad), figures["value"], figures["efficiency"])
    return Contender(row["method"], _ranked(good), _ranked(bad), picture_ms(row), at_limit)


def _ranked(scores: Sequence[float | None]) -> F64Array:
    """Return the scores; a picture that was not inspected ranks above every number."""
    return np.array([np.inf if s is None else s for s in scores], np.float64)


def picture_ms(row: JsonObject) -> float:
    """Return a row's median time to judge a picture; infinite if none could be judged."""
    return float(row["figures"]["picture_ms"].get("judge_median", np.inf))
