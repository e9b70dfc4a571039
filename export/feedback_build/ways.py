"""The way in which false alarms are learnt: as places that do not count, or as good parts.

Taught as an appearance, nothing joins the densities, and what looks different keeps its score. That
wants a graph that judges place by place, and marks that have something in common.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from export.bundle_build.pipeline import choose_view, label_pictures, train_inspector
from export.bundle_build.records import BuildOptions, Found, Labelled, Trained
from export.bundle_build.view_choice import judged_by_folds
from export.data.dataset import GoodPictures
from export.data.picture import Picture
from export.defects.evidence import per_group, recall_at
from export.defects.pictures import DefectPictures
from export.feedback_build.data_set import StagedPart, compose
from export.feedback_build.harmless import (
    AT_LEAST,
    ENOUGH,
    Ground,
    Taught,
    can_teach,
    ground_of,
    marked_crops,
    teach,
)
from export.feedback_build.selection import TRAINED, Selection
from export.feedback_build.sensitivity_change import SURE
from export.feedback_build.unseen_scores import UnseenScores, picture_of, unseen_scores
from export.methods.names import AUTO, DEFAULT
from export.workspace import OnStep


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """What does not change while the data set is made once or twice.

    Attributes:
        grounds: digest of a base build's graph → what teaching starts from.
    """

    options: BuildOptions
    folder: Path
    good: GoodPictures
    known: DefectPictures
    staged: tuple[StagedPart, ...]
    on_step: OnStep
    grounds: dict[str, Ground | None] = field(default_factory=dict)


def _composed(
    work: Work, selection: Selection, gone: set[str], without_alarms: bool
) -> BuildOptions:
    left = parts_left(work, gone)
    goods = [s for s in left if selection.of(s.part) == TRAINED]
    goods = [s for s in goods if not (without_alarms and s.part.is_false_alarm)]
    defects = [s for s in left if not s.part.is_good]
    return compose(work.folder, work.good, work.known, goods, defects, work.options)


def _trained(
    work: Work, selection: Selection, gone: set[str], without_alarms: bool
) -> tuple[BuildOptions, Labelled, Found, Trained]:
    """Run a build's steps up to the inspector on the composed data set, or take earlier results."""
    options = _composed(work, selection, gone, without_alarms)
    labelled = label_pictures(options, work.on_step)
    found, cut = choose_view(options, labelled, work.on_step)
    return options, labelled, found, train_inspector(options, cut)


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """A build up to the inspector, and what it says of parts that it has not learnt from.

    Attributes:
        taught: what false alarms taught beside the densities; None where they joined the parts.
    """

    options: BuildOptions
    labelled: Labelled
    found: Found
    trained: Trained
    scores: UnseenScores | None
    taught: Taught | None

    def with_taught(self, staged: Sequence[StagedPart]) -> Labelled:
        """Return the pictures with those that taught: the bundle has seen them too."""
        learnt = set() if self.taught is None else set(self.taught.learnt)
        more: list[Picture] = [picture_of(s) for s in staged if s.part.record.sha256 in learnt]
        return replace(self.labelled, training=[*self.labelled.training, *more])


def learnt_way(work: Work, selection: Selection, gone: set[str]) -> Way:
    """Teach what the false alarms show; where that cannot be taught, let them join the parts.

    With marks of which some pass and some do not, they join the parts only if that costs no
    synthetic defects beyond chance.
    """
    left = parts_left(work, gone)
    alarms = [s for s in left if selection.of(s.part) == TRAINED and s.part.is_false_alarm]
    doubtful = None
    if alarms and work.options.method in (DEFAULT, AUTO):
        steps = _trained(work, selection, gone, without_alarms=True)
        taught = _taught(work, steps, left, alarms)
        if taught is not None and taught.passing >= AT_LEAST:
            own = unseen_scores(*steps, left)
            doubtful = Way(*steps, _merged(taught.scores, own), taught)
            if taught.passing >= ENOUGH:
                return doubtful
    steps = _trained(work, selection, gone, without_alarms=False)
    joined = Way(*steps, unseen_scores(*steps, left), None)
    return doubtful if doubtful is not None and _costs_defects(doubtful, joined) else joined


def _costs_defects(taught: Way, joined: Way) -> bool:
    """Tell whether marks that join the parts cost synthetic defects, by more than chance."""
    after = judged_by_folds(joined.options, joined.found, joined.trained.graph)
    if taught.taught is None or after is None:
        return True
    rate = joined.options.false_alarm_rate
    old, new = (
        recall_at(per_group(j.good, j.groups), j.defects, rate)
        for j in (taught.taught.ground.judged, after)
    )
    spread = old * (1 - old) + new * (1 - new)
    return old - new > SURE * math.sqrt(spread / max(1, len(after.defects)))


def _taught(
    work: Work,
    steps: tuple[BuildOptions, Labelled, Found, Trained],
    left: Sequence[StagedPart],
    alarms: Sequence[StagedPart],
) -> Taught | None:
    options, labelled, found, trained = steps
    if not can_teach(trained):
        return None

    def on_share(text: str, share: float) -> None:
        work.on_step("harmless", text, share)

    key = hashlib.sha256(trained.graph.read_bytes()).hexdigest()
    if key not in work.grounds:
        marked = [s for s in work.staged if s.part.is_false_alarm]
        work.grounds[key] = ground_of(options, labelled, found, trained, marked, on_share)
    ground = work.grounds[key]
    crops = None if ground is None else marked_crops(options, trained, ground, left)
    if ground is None or crops is None:
        return None
    bad = [s.part.record.sha256 for s in left if not s.part.is_good]
    return teach(ground, crops, [s.part.record.sha256 for s in alarms], bad)


def _merged(taught: UnseenScores, own: UnseenScores | None) -> UnseenScores:
    """Return the scores; confirmed good parts, which joined the densities, are judged by folds."""
    if own is None:
        return taught
    by_folds = {d: own.scores[d] for d in own.by_folds}
    return replace(
        taught, scores={**taught.scores, **by_folds}, by_folds=taught.by_folds | own.by_folds
    )


def parts_left(work: Work, gone: set[str]) -> list[StagedPart]:
    """Return the marked parts without those that were dropped."""
    return [s for s in work.staged if s.part.record.sha256 not in gone]
