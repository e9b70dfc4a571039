"""`--method auto`: candidates trained on part of the good crops, judged on the rest, one taken.

Nothing of a data set's `test/` is used, and none of the crops that set the thresholds later:
the choice is made within the training crops. It is recorded in the workspace, so that a resumed
build takes it as it is, however fast the machine has become.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_app.backends.onnx import OnnxRunner
from edge_app.errors import DataError, EdgeError
from edge_app.inspection.inspector import Inspector
from edge_app.records import F64Array, U8Array
from export.auto_method.anomalies import EVIDENCE_KINDS, with_anomaly
from export.auto_method.rule import Evidence, EvidenceRecord, choose, evidence_from
from export.calibrate.thresholds import score_crops
from export.methods.inspector_record import InspectorRecord
from export.methods.names import AUTO, DEFAULT
from export.methods.protocol import TrainSettings
from export.methods.time_budget import Now, duration_text, train_within
from export.methods.train import train_method
from export.workspace import OnProgress, Workspace

CANDIDATES: tuple[str, ...] = (DEFAULT, "padim-slim", "patchcore", "padim")
"""The default first; then what needs no training steps, the quickest first."""

HOLD_OUT_SHARE, HOLD_OUT_MOST = 0.2, 64
"""Training crops that judge instead of training; more of them cost time and say little more."""


@dataclass(frozen=True, slots=True)
class AutoOptions:
    """What the choice depends on besides the crops.

    Attributes:
        budget_s: for all candidates together; one that does not end in time is left out. The
            default is trained in any case.
    """

    seed: int
    steps: int
    device: str
    budget_s: float


@dataclass(frozen=True, slots=True)
class MethodChoice:
    """What was chosen, for the report (no times) and the record beside the bundle (times).

    Attributes:
        evidence: of the candidates that were measured.
        left_out: method → why it has no evidence.
        seconds: method → training and judging; of the run that made the choice.
    """

    method: str
    reason: str
    evidence: tuple[Evidence, ...]
    left_out: dict[str, str]
    seconds: dict[str, float]


@dataclass(frozen=True, slots=True)
class ChoiceRecord:
    """MethodChoice as the workspace keeps it."""

    method: str
    reason: str
    evidence: tuple[EvidenceRecord, ...]
    left_out: dict[str, str]
    seconds: dict[str, float]


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """What training one candidate keeps besides its graph: the steps it ended in time with."""

    steps: int


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """The crops that the candidates see.

    Attributes:
        training: uint8 (n, h, w, 3), trained on.
        hold_out: uint8 (m, h, w, 3), judged.
        synthetic: kind → the hold-out crops, each with a pseudo-anomaly.
    """

    training: U8Array
    hold_out: U8Array
    synthetic: dict[str, U8Array]
    mask: U8Array | None


def choose_method(
    space: Workspace,
    crops: Sequence[U8Array],
    mask: U8Array | None,
    options: AutoOptions,
    now: Now = time.monotonic,
) -> MethodChoice:
    """Return the method to build with, from the workspace where it was chosen before.

    Raises:
        DataError: no candidate could be trained, or no anomaly can be made on the crops.
    """

    def work(_folder: Path, report: OnProgress) -> ChoiceRecord:
        return _tried(space, make_trial(crops, mask, options.seed), options, report, now)

    settings = {
        "candidates": list(CANDIDATES),
        "seed": options.seed,
        "steps": options.steps,
        "budget_s": options.budget_s,
    }
    _, found = space.branch(AUTO).step("choice", settings, ChoiceRecord, work)
    evidence = tuple(evidence_from(e) for e in found.evidence)
    return MethodChoice(found.method, found.reason, evidence, found.left_out, found.seconds)


def make_trial(crops: Sequence[U8Array], mask: U8Array | None, seed: int) -> Trial:
    """Return the training crops split, the hold-out part also with synthetic anomalies.

    It is the same for every method.
    """
    order = np.random.default_rng((seed, 3)).permutation(len(crops))
    count = min(HOLD_OUT_MOST, max(2, round(HOLD_OUT_SHARE * len(crops))))
    hold_out = np.stack([crops[i] for i in np.sort(order[:count])])
    training = np.stack([crops[i] for i in np.sort(order[count:])])
    rng = np.random.default_rng((seed, 4))
    by_kind = {
        k: np.stack([with_anomaly(rng, c, mask, k) for c in hold_out]) for k in EVIDENCE_KINDS
    }
    return Trial(training, hold_out, by_kind, mask)


def _tried(
    space: Workspace, trial: Trial, options: AutoOptions, report: OnProgress, now: Now
) -> ChoiceRecord:
    """Train and judge the candidates in order; return their evidence and what it took."""
    deadline = now() + options.budget_s
    evidence: list[Evidence] = []
    left_out: dict[str, str] = {}
    seconds: dict[str, float] = {}
    for number, name in enumerate(CANDIDATES):
        place, started = f"{number + 1} of {len(CANDIDATES)}: {name}", now()

        def on_progress(text: str, share: float, place: str = place) -> None:
            left = duration_text(deadline - now())
            report(f"{place}, {text}, at most {left} left", share)

        # The default has to be judged for anything else to be compared with it.
        until = float("inf") if name == DEFAULT else deadline
        try:
            evidence.append(_judged(space, name, trial, options, until, on_progress, now))
        except EdgeError as error:
            left_out[name] = str(error)
        seconds[name] = round(now() - started, 1)
    if not evidence:
        reasons = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        raise DataError(f"No candidate of --method auto could be trained. {reasons}")
    method, reason = choose(DEFAULT, evidence)
    return ChoiceRecord(method, reason, tuple(e.record() for e in evidence), left_out, seconds)


def _judged(
    space: Workspace,
    name: str,
    trial: Trial,
    options: AutoOptions,
    until: float,
    on_progress: OnProgress,
    now: Now,
) -> Evidence:
    """Train one candidate in a branch of its own, till `until`, and judge the hold-out crops."""

    def work(folder: Path, report: OnProgress) -> TrialRecord:
        def train(steps: int, on_progress: OnProgress) -> InspectorRecord:
            settings = TrainSettings(options.seed, steps, options.device, folder)
            return train_method(name, list(trial.training), trial.mask, settings, on_progress)

        _, steps = train_within(train, options.steps, until - now(), report, now)
        return TrialRecord(steps)

    branch = space.branch(f"{AUTO}/{name}", lambda _step, text, share: on_progress(text, share))
    folder, _ = branch.step(
        "trained", {"seed": options.seed, "steps": options.steps}, TrialRecord, work
    )
    h, w = trial.hold_out.shape[1:3]
    inspector = Inspector(OnnxRunner(folder / "inspector.onnx"), (int(h), int(w)))

    def scores(crops: U8Array) -> F64Array:
        return score_crops(
            inspector, list(crops), lambda share: on_progress("judging", share)
        ).scores

    return Evidence(
        name,
        scores(trial.hold_out),
        {kind: scores(crops) for kind, crops in trial.synthetic.items()},
    )
