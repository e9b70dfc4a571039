"""One method trained by its name: for a build, a comparison or a benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_app.records import JsonObject, U8Array
from export.defects.crops import DefectCrops
from export.defects.evidence import CrossFitted, Evidence, load_cross_fitted
from export.methods.cross_fit import cross_fitted
from export.methods.inspector_record import InspectorRecord
from export.methods.multi_process.launcher import train_in_processes
from export.methods.names import AUTO, NAMES
from export.methods.protocol import TrainingSet, TrainSettings
from export.methods.registry import method_of, origin_of
from export.methods.written import write_files
from export.workspace import OnProgress, Workspace

CROSS_FITTED_FILE = "cross_fitted.npz"
"""Beside the graph: how models that had not seen them judged the good crops."""


def check_method(name: str) -> None:
    """Refuse a method that is unknown or cannot be used before hours of work, not after.

    Raises:
        DataError: there is no such method, with the nearest one and all; or its plug-in is broken.
    """
    if name not in (*NAMES, AUTO):
        method_of(name, (AUTO,))


def cross_fits(name: str) -> bool:
    """Return whether a method (or AUTO, whose candidates all do) is judged by folds."""
    return name == AUTO or method_of(name).traits.cross_fits != "no"


def cross_fitted_beside(graph: Path) -> CrossFitted | None:
    """Return how folds judged the crops that a graph was trained on; None where they did not."""
    file = graph.with_name(CROSS_FITTED_FILE)
    return load_cross_fitted(file) if file.is_file() else None


@dataclass(frozen=True, slots=True)
class InspectorStepRecord:
    """What the step keeps: `InspectorRecord` as JSON."""

    measured: JsonObject


def inspector_step(
    space: Workspace,
    crops: Sequence[U8Array],
    mask: U8Array | None,
    *,
    method: str,
    seed: int,
    steps: int,
    device: str,
    defects: DefectCrops | None = None,
    processes: int = 1,
    evidence: Evidence | None = None,
) -> tuple[Path, InspectorRecord]:
    """Train the inspector on the training crops and export its graph.

    With evidence a method that can leaves `cross_fitted.npz` beside the graph.

    Args:
        method: a name of `export/methods/names.py`, or a plug-in's.
        defects: real ones, for a method that learns from them.
        processes: see `train_method`; another number takes an earlier result as it is.
    """

    def work(folder: Path, report: OnProgress) -> InspectorStepRecord:
        settings = TrainSettings(seed, steps, device, folder)
        trained = train_method(method, crops, mask, settings, report, defects, processes, evidence)
        return InspectorStepRecord(trained.as_json())

    settings: JsonObject = {"method": method, "seed": seed, "steps": steps}
    if defects is not None:
        settings["defects"] = defects.sha256
    if evidence is not None:
        settings["evidence"] = evidence.sha256
    if origin := origin_of(method):
        settings["plugin"] = origin
    folder, kept = space.step("inspector", settings, InspectorStepRecord, work)
    return folder / "inspector.onnx", InspectorRecord.from_json(kept.measured)


def train_method(
    method: str,
    crops: Sequence[U8Array],
    mask: U8Array | None,
    settings: TrainSettings,
    report: OnProgress,
    defects: DefectCrops | None = None,
    processes: int = 1,
    evidence: Evidence | None = None,
) -> InspectorRecord:
    """Train one method and write `inspector.onnx` into `settings.work`; return what is known of it.

    A method that rebuilds the part leaves `reconstruction.onnx` beside it: no device needs it.

    Args:
        method: a name of `export/methods/names.py`, or a plug-in's.
        defects: real ones, for a method that learns from them.
        processes: that share every batch; methods that share none train in one.
    """
    data = TrainingSet(np.stack(crops), mask, defects, evidence)
    chosen = method_of(method)
    if processes > 1 and chosen.traits.shares_batches:
        return train_in_processes(method, data, settings, processes, report)
    fitted = chosen.train(data, settings, report)
    judged = fitted.cross_fitted
    if evidence is not None and chosen.traits.cross_fits == "refitted":
        judged = cross_fitted(chosen, data, evidence, settings, report)
    if evidence is not None and judged is not None:
        judged.save(settings.work / CROSS_FITTED_FILE)
    return write_files(chosen, fitted, data, settings.work)
