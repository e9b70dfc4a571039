"""`edge-export build --feedback`: one data set, the marks checked, the ordinary build, and what it
changed on the very parts that people marked.

marks → near-duplicates and copies that deny each other → data set → labels to inspector, as every
build → what false alarms have in common, taught beside it → marks that no model can follow, or that
no other mark vouches for → (again without them) → bundle → verdicts

Where the inspector cannot be taught what is harmless place by place, false alarms join the good
parts.
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
from export.bundle_build.pipeline import finish
from export.bundle_build.records import BuildOptions, BuildResult
from export.data.dataset import GoodPictures, scan_good_pictures
from export.data.same_picture import copies_among
from export.defects.pictures import DefectPictures, scan_defects
from export.feedback_build.contradictions import (
    LIKE_GOOD,
    TOO_ODD,
    Contradiction,
    alone_among,
    contradicted_by_models,
    marked_both_ways,
    refuse_alone,
    refuse_many,
)
from export.feedback_build.data_set import refuse_own_labels, stage
from export.feedback_build.harmless import with_harmless
from export.feedback_build.marked_parts import MarkedPart, MarkedParts, read_marked_parts
from export.feedback_build.outcome import AsRecorded, Judges, kept_part, outcomes
from export.feedback_build.report import (
    AS_APPEARANCE,
    AS_GOOD_PARTS,
    OF_DEFECT,
    FeedbackReport,
    ReportFolder,
    check_replaceable,
    report_folder,
)
from export.feedback_build.selection import Selection, select
from export.feedback_build.sensitivity_change import SensitivityChange, sensitivity_of
from export.feedback_build.unseen_scores import UnseenScores
from export.feedback_build.ways import Work, learnt_way, parts_left
from export.folder_lock import lock_folder
from export.methods.multi_process.launcher import check_processes
from export.methods.names import DEFAULT
from export.methods.train import cross_fits
from export.workspace import OnStep

SCREENED = "screened.json"
FORMAT = 3


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
    work = Work(options, folder, good, known, tuple(staged), on_step)
    dropped = marked_both_ways(marked.parts, *_denied_by_data(marked, good, known))
    more, alone = _screened(work, marked, dropped, before)
    dropped += more
    if not feedback.accepts:
        refuse_many(dropped, len(marked.parts))
        refuse_alone(marked.parts, alone)
    gone = {one.part.record.sha256 for one in dropped}
    left = [p for p in marked.goods if p.record.sha256 not in gone]
    selection = select(left, good.parts).without(alone, left)
    result, scores, learnt_as = _finished(work, selection, gone)
    report = FeedbackReport(
        AsRecorded.name if before is None else f"{options.product} {before.identity.serial}",
        f"{options.product} {options.serial}",
        marked,
        tuple(dropped),
        learnt_as=learnt_as,
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
    work: Work,
    marked: MarkedParts,
    dropped: Sequence[Contradiction],
    before: LoadedModel | None,
) -> tuple[list[Contradiction], set[str]]:
    """Return the marks that no model can follow, and the digests of those that stand alone.

    An earlier run's answer is taken as it is.

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
        way = learnt_way(replace(work, options=options), selection, gone)
        shares = way.scores.shares() if way.scores else {}
        # what stands alone is never learnt as an appearance, so that it need not be dropped
        asked = [p for p in parts if not (way.taught and p.is_false_alarm)]
        found = contradicted_by_models(asked, shares, _alarmed_before(parts, before))
        named = {one.part.record.sha256: (one.why, one.told) for one in found}
        lonely = alone_among(parts, shares) if way.taught else []
        kept = Screened(named, tuple(lonely))
        text = json.dumps({"key": key, "found": named, "alone": lonely})
        file.write_text(text, encoding="utf-8")
    by_digest = {p.record.sha256: p for p in parts}
    named_parts = [Contradiction(by_digest[d], *said) for d, said in kept.found.items()]
    return named_parts, set(kept.alone)


@dataclass(frozen=True, slots=True)
class Screened:
    """What the screening found.

    Attributes:
        found: digest → why and what is told of a contradiction.
        alone: digests of false alarms that no other mark vouches for.
    """

    found: dict[str, tuple[str, str]]
    alone: tuple[str, ...]


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
    options: BuildOptions, work: Work, parts: Iterable[MarkedPart], before: LoadedModel | None
) -> str:
    """Return a digest of all that the screening depends on."""
    shown = {name: str(v) for name, v in asdict(options).items() if name not in ("data", "out")}
    shown |= {"before": before.identity.bundle_sha256 if before else "", "format": str(FORMAT)}
    shown |= {"limits": f"{TOO_ODD} {LIKE_GOOD}"}
    listed = [p.sha256 for p in work.good.pictures] + [p.sha256 for p in work.known.pictures]
    listed += [f"{p.record.sha256} {p.record.use} {p.record.verdict}" for p in parts]
    return hashlib.sha256(json.dumps([shown, listed], sort_keys=True).encode()).hexdigest()


def _kept(file: Path, key: str) -> Screened | None:
    try:
        saved = json.loads(file.read_text(encoding="utf-8"))
        found = {d: (why, told) for d, (why, told) in saved["found"].items()}
        return Screened(found, tuple(saved["alone"])) if saved["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _finished(
    work: Work, selection: Selection, gone: set[str]
) -> tuple[BuildResult, UnseenScores | None, str]:
    """Write the bundle; return also what models that have not learnt from them say of all parts."""
    way = learnt_way(work, selection, gone)
    trained, learnt_as = way.trained, AS_GOOD_PARTS
    if way.taught is not None:
        trained, learnt_as = with_harmless(way.taught, trained), AS_APPEARANCE
    labelled = way.with_taught(work.staged)
    result = finish(way.options, labelled, way.found, trained, work.on_step)
    return result, way.scores, learnt_as


def _judged(
    work: Work,
    report: FeedbackReport,
    before: LoadedModel | None,
    result: BuildResult,
    selection: Selection,
    scores: UnseenScores | None,
    gone: set[str],
) -> Path:
    """Judge every marked part as a device would, and write the report beside the bundle."""
    after = load_model(read_bundle(result.path))
    parts = [s.part for s in parts_left(work, gone)]
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
