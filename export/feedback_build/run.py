"""`edge-export build --feedback`: one data set, the marks checked, the ordinary build, and what it
changed on the very parts that people marked.

marks → near-duplicates and copies that deny each other → data set → labels to inspector, as every
build → marks that no model can follow → (data set again without them) → bundle → verdicts
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from edge_app.bundle.archive import Bundle, read_bundle
from edge_app.errors import BundleError
from edge_app.model.loaded_model import LoadedModel, load_model
from edge_app.records import VerdictState
from edge_app.replay.judging import Judge
from export.bundle_build.early_check import check_build, check_defects
from export.bundle_build.pipeline import (
    choose_view,
    finish,
    label_pictures,
    train_inspector,
)
from export.bundle_build.records import BuildOptions, BuildResult, Found, Labelled, Trained
from export.data.dataset import GoodPictures, scan_good_pictures
from export.data.same_picture import copies_among
from export.defects.pictures import DefectPictures, scan_defects
from export.feedback_build.contradictions import (
    LIKE_GOOD,
    TOO_ODD,
    Contradiction,
    contradicted_by_models,
    marked_both_ways,
    refuse_many,
)
from export.feedback_build.data_set import StagedPart, compose, refuse_own_labels, stage
from export.feedback_build.marked_parts import MarkedPart, MarkedParts, read_marked_parts
from export.feedback_build.outcome import AsRecorded, Judges, kept_part, outcomes
from export.feedback_build.report import (
    OF_DEFECT,
    FeedbackReport,
    ReportFolder,
    check_replaceable,
    report_folder,
)
from export.feedback_build.selection import TRAINED, Selection, select
from export.feedback_build.sensitivity_change import SensitivityChange, sensitivity_of
from export.feedback_build.unseen_scores import UnseenScores, unseen_scores
from export.folder_lock import lock_folder
from export.methods.multi_process.launcher import check_processes
from export.methods.names import DEFAULT
from export.methods.train import cross_fits
from export.workspace import OnStep

SCREENED = "screened.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class FeedbackOptions:
    """What a person can choose besides the build's own options.

    Attributes:
        folder: what `edge-export pull` made.
        before: the bundle to compare with; None: what the device said of each part.
        accepts: marks are left out however many contradict each other.
    """

    folder: Path
    before: Path | None = None
    accepts: bool = False


@dataclass(frozen=True, slots=True)
class FeedbackResult:
    """The finished bundle, and what it changed.

    Attributes:
        page: the report.
    """

    build: BuildResult
    report: FeedbackReport
    page: Path


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    """What does not change while the data set is made once or twice."""

    options: BuildOptions
    folder: Path
    good: GoodPictures
    known: DefectPictures
    staged: tuple[StagedPart, ...]
    on_step: OnStep


def build_with_feedback(
    options: BuildOptions, feedback: FeedbackOptions, on_step: OnStep
) -> FeedbackResult:
    """Build a bundle from --data and what people marked, and tell what that changed.

    Raises:
        DataError: as `build`; the set is none, holds nothing of this product, or too many of its
            marks contradict each other.
        BundleError: the bundle before cannot be read, or is another product's.
    """
    check_build(options)
    check_defects(options)
    check_processes(options.processes, options.device)
    check_replaceable(report_folder(options.out))
    space = options.out.with_name(options.out.name + ".work")
    lock = lock_folder(space)
    old = None if feedback.before is None else read_bundle(feedback.before)
    before = None if old is None else _model_before(old, feedback.before, options.product)
    marked = read_marked_parts(feedback.folder, options.product)
    good = scan_good_pictures(options.data)
    refuse_own_labels(options, good)
    known = scan_defects(options.known_defects)
    folder = space / "feedback"
    staged = stage(marked.parts, folder / "marked", takes_out=options.detector == "always")
    work = _Work(options, folder, good, known, tuple(staged), on_step)
    dropped = marked_both_ways(marked.parts, *_denied_by_data(marked, good, known))
    dropped += _screened(work, marked, dropped, before)
    if not feedback.accepts:
        refuse_many(dropped, len(marked.parts))
    gone = {one.part.record.sha256 for one in dropped}
    selection = select((p for p in marked.goods if p.record.sha256 not in gone), good.parts)
    result, scores = _finished(work, selection, gone)
    report = FeedbackReport(
        AsRecorded.name if before is None else f"{options.product} {before.identity.serial}",
        f"{options.product} {options.serial}",
        marked,
        tuple(dropped),
    )
    if old is not None:
        new = sensitivity_of(read_bundle(result.path))
        report.sensitivity = SensitivityChange(sensitivity_of(old), new)
    page = _judged(work, report, before, result, selection, scores, gone)
    del lock
    return FeedbackResult(result, report, page)


def _model_before(bundle: Bundle, path: Path | None, product: str) -> LoadedModel:
    model = load_model(bundle)
    if model.identity.product != product:
        name = "" if path is None else path.name
        raise BundleError(
            f"--before {name} is for {model.identity.product}, this build for {product}. Name "
            "the bundle of the same product that the devices judged with."
        )
    return model


def _denied_by_data(
    marked: MarkedParts, good: GoodPictures, known: DefectPictures
) -> tuple[dict[str, str], dict[str, str]]:
    """Return digests of marked defects → good pictures they are, and of good ones → defects."""
    defects = marked.defects
    copies = copies_among(good.thumbs, lambda i: good.pictures[i].read(), [p.read for p in defects])
    also_good = {defects[j].record.sha256: good.pictures[i].name for i, j in copies}
    names = {picture.sha256: picture.name for picture in known.pictures}
    also_bad = {
        part.record.sha256: names[part.record.sha256]
        for part in marked.goods
        if part.record.sha256 in names
    }
    return also_good, also_bad


def _screened(
    work: _Work,
    marked: MarkedParts,
    dropped: Sequence[Contradiction],
    before: LoadedModel | None,
) -> list[Contradiction]:
    """Return the marks that no model can follow; an earlier run's answer is taken as it is.

    The steps of the build behind it are kept in the workspace: where nothing is dropped, the build
    goes on with them.
    """
    gone = {one.part.record.sha256 for one in dropped}
    parts = [p for p in marked.parts if p.record.sha256 not in gone]
    method = work.options.method if cross_fits(work.options.method) else DEFAULT
    options = replace(work.options, method=method)
    file = work.folder / SCREENED
    key = _key(options, work, parts, before)
    kept = _kept(file, key)
    if kept is None:
        selection = select((p for p in parts if p.is_good), work.good.parts)
        trained = _trained(replace(work, options=options), selection, gone)
        scores = unseen_scores(*trained, _left(work, gone))
        shares = scores.shares() if scores else {}
        found = contradicted_by_models(parts, shares, _alarmed_before(parts, before))
        kept = {one.part.record.sha256: (one.why, one.told) for one in found}
        file.write_text(json.dumps({"key": key, "found": kept}), encoding="utf-8")
    by_digest = {p.record.sha256: p for p in parts}
    return [Contradiction(by_digest[d], why, told) for d, (why, told) in kept.items()]


def _alarmed_before(parts: Iterable[MarkedPart], before: LoadedModel | None) -> set[str]:
    """Return the digests of marked defects that the device or the bundle before alarmed."""
    judge = None if before is None else Judge(before)
    return {
        part.record.sha256
        for part in parts
        if not part.is_good
        and (
            part.record.verdict == "NG"
            or (judge is not None and judge.judge(kept_part(1, part)).state is VerdictState.NG)
        )
    }


def _key(
    options: BuildOptions, work: _Work, parts: Iterable[MarkedPart], before: LoadedModel | None
) -> str:
    """Return a digest of all that the screening depends on."""
    shown = {name: str(v) for name, v in asdict(options).items() if name not in ("data", "out")}
    shown |= {"before": before.identity.bundle_sha256 if before else "", "format": str(FORMAT)}
    shown |= {"limits": f"{TOO_ODD} {LIKE_GOOD}"}
    listed = [p.sha256 for p in work.good.pictures] + [p.sha256 for p in work.known.pictures]
    listed += [f"{p.record.sha256} {p.record.use} {p.record.verdict}" for p in parts]
    return hashlib.sha256(json.dumps([shown, listed], sort_keys=True).encode()).hexdigest()


def _kept(file: Path, key: str) -> dict[str, tuple[str, str]] | None:
    try:
        saved = json.loads(file.read_text(encoding="utf-8"))
        return dict(saved["found"]) if saved["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _composed(work: _Work, selection: Selection, gone: set[str]) -> BuildOptions:
    left = _left(work, gone)
    goods = [s for s in left if selection.of(s.part) == TRAINED]
    defects = [s for s in left if not s.part.is_good]
    return compose(work.folder, work.good, work.known, goods, defects, work.options)


def _trained(
    work: _Work, selection: Selection, gone: set[str]
) -> tuple[BuildOptions, Labelled, Found, Trained]:
    """Run a build's steps up to the inspector on the composed data set, or take earlier results."""
    options = _composed(work, selection, gone)
    labelled = label_pictures(options, work.on_step)
    found, cut = choose_view(options, labelled, work.on_step)
    return options, labelled, found, train_inspector(options, cut)


def _left(work: _Work, gone: set[str]) -> list[StagedPart]:
    return [s for s in work.staged if s.part.record.sha256 not in gone]


def _finished(
    work: _Work, selection: Selection, gone: set[str]
) -> tuple[BuildResult, UnseenScores | None]:
    """Write the bundle; return also what models that have not learnt from them say of all parts."""
    options, labelled, found, trained = _trained(work, selection, gone)
    scores = unseen_scores(options, labelled, found, trained, _left(work, gone))
    return finish(options, labelled, found, trained, work.on_step), scores


def _judged(
    work: _Work,
    report: FeedbackReport,
    before: LoadedModel | None,
    result: BuildResult,
    selection: Selection,
    scores: UnseenScores | None,
    gone: set[str],
) -> Path:
    """Judge every marked part as a device would, and write the report beside the bundle."""
    after = load_model(read_bundle(result.path))
    parts = [s.part for s in _left(work, gone)]
    old: Judges = AsRecorded(parts) if before is None else Judge(before)
    pages = ReportFolder(report_folder(result.path))

    def on_part(count: int) -> None:
        work.on_step("feedback", f"{count} of {len(parts)} marked parts", count / len(parts))

    for found in outcomes(parts, old, Judge(after), on_part):
        role = selection.of(found.part) if found.part.is_good else OF_DEFECT
        score = scores.scores.get(found.part.record.sha256) if scores else None
        report.take(found, role, score, after.limits.score_threshold)
        pages.picture(found, role)
    return pages.write(report, result.sha256, selection)
