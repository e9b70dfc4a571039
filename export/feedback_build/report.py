"""What a build with feedback changed, as a folder: report.html with pictures, and report.json."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from edge_app.errors import DataError
from edge_app.records import JsonObject, VerdictState
from edge_app.replay.page import PAGE, STYLE, figure, write_pictures
from export.feedback_build.contradictions import Contradiction
from export.feedback_build.marked_parts import MarkedPart, MarkedParts
from export.feedback_build.outcome import (
    CAUGHT,
    GONE,
    GOOD_ALARMED,
    LOST,
    OUTCOMES,
    PASSES,
    STAYS,
    PartOutcome,
)
from export.feedback_build.selection import ALONE, CAPPED, COPY, KEPT_BACK, TRAINED, Selection
from export.feedback_build.sensitivity_change import SensitivityChange, caught

JSON_FILE = "report.json"
FORMAT = "cropliq-feedback-report/1"
MOST_PICTURES = 50
"""Of each outcome; report.json has all parts."""

NOT_PICTURED = (CAUGHT, PASSES)
OF_DEFECT = "defect"

AS_APPEARANCE, AS_GOOD_PARTS = "harmless appearance", "good parts"
"""How false alarms are learnt: as places that do not count, or as good parts like all others."""

TOLD_ROLES = {
    TRAINED: "learnt from: what the new model says of it flatters it",
    COPY: "a near-duplicate of one that was learnt from",
    KEPT_BACK: "kept back: the new model never saw it",
    CAPPED: "over a cap: the new model never saw it",
    ALONE: "no other mark shows what it shows: the new model did not learn from it",
    OF_DEFECT: "",
}


@dataclass(slots=True)
class FeedbackReport:
    """What came out, part by part.

    Attributes:
        before: what judged before, for people.
        after: the new bundle, for people.
        rows: every judged part as JSON.
        counts: outcome → parts; those that were dropped for a contradiction are not in it.
        dropped: the contradictions.
        unseen, trained, folds: (gone, of) false alarms: kept back ones; those learnt from, by the
            shipped model, and by models that had not learnt from them.
        held: (caught, of) defects that were caught before, by models that had not learnt from them.
        sensitivity: what it costs in synthetic defects caught.
        learnt_as: AS_APPEARANCE or AS_GOOD_PARTS.
    """

    before: str
    after: str
    marked: MarkedParts
    dropped: Sequence[Contradiction]
    rows: list[JsonObject] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    unseen: list[int] = field(default_factory=lambda: [0, 0])
    trained: list[int] = field(default_factory=lambda: [0, 0])
    folds: list[int] = field(default_factory=lambda: [0, 0])
    held: list[int] = field(default_factory=lambda: [0, 0])
    sensitivity: SensitivityChange = field(default_factory=SensitivityChange)
    learnt_as: str = AS_GOOD_PARTS

    @property
    def lost(self) -> list[str]:
        """Names of defects that were caught before and would now pass."""
        return [f"{r['file']} (part {r['part_id']})" for r in self.rows if r["outcome"] == LOST]

    def sentences(self) -> list[str]:
        """Return what to tell, the most important first."""
        told = [self.sensitivity.sentence()] if self.sensitivity.is_lost else []
        if self.counts[LOST]:
            named = ", ".join(self.lost[:10]) + (", ..." if len(self.lost) > 10 else "")
            told.append(
                f"{self.counts[LOST]} {OUTCOMES[LOST]}; the model has lost them, or their marks "
                f"are wrong: {named}"
            )
        caught = self.counts[CAUGHT]
        if caught and not self.counts[LOST]:
            told.append(
                f"All {caught} confirmed defects that were caught before still are{self._held()}."
            )
        told += [f"{self.counts[o]} {OUTCOMES[o]}." for o in (GONE, STAYS) if self.counts[o]]
        told.append(self.evidence())
        for outcome in (GOOD_ALARMED, "not_inspected", "defect_found", "defect_still_missed"):
            if self.counts[outcome]:
                told.append(f"{self.counts[outcome]} {OUTCOMES[outcome]}.")
        if not self.sensitivity.is_lost:
            told.append(self.sensitivity.sentence())
        alone = [r for r in self.rows if r["role"] == ALONE]
        if alone:
            named = ", ".join(f"{r['file']} (part {r['part_id']})" for r in alone[:10])
            told.append(
                f"{len(alone)} false alarms show what no other mark shows, and nothing was learnt "
                f"from them; mark more of the same, or look whether they are defects: {named}"
            )
        if self.learnt_as == AS_GOOD_PARTS and self.trained[1]:
            told.append(
                "The marked parts joined the good ones, which makes a model deaf where they differ "
                "from the others."
            )
        if self.marked.proposals:
            told.append(f"{self.marked.proposals} marks were not accepted by an engineer.")
        if self.dropped:
            told.append(
                f"{len(self.dropped)} marks contradict each other or what every model sees; "
                "nothing was learnt from them."
            )
        return [sentence for sentence in told if sentence] or ["No part changes."]

    def _held(self) -> str:
        """Return what models say that had not learnt from the defects, where that is less."""
        caught, of = self.held
        return f", {caught} of {of} by models that had not learnt from them" if caught < of else ""

    def evidence(self) -> str:
        """Return how much the figures on false alarms are worth."""
        if not self.unseen[1] and not self.trained[1]:
            return ""
        gone, of = self.unseen
        first = (
            f"Of {of} false alarms that the new model never saw, {gone} are gone."
            if of
            else "No false alarm was kept back: nothing here is honest evidence. Mark more parts."
        )
        gone, of = self.trained
        if not of:
            return first
        folds = ""
        if self.folds[1]:
            folds = (
                f", and {self.folds[0]} of {self.folds[1]} by models that had not learnt from them"
            )
        return f"{first} Of {of} that it learnt from, which flatters it, {gone} are gone{folds}."

    def take(self, found: PartOutcome, role: str, score: float | None, limit: float) -> None:
        """Count one judged part.

        Args:
            role: of `selection`, or OF_DEFECT.
            score: by a model that has not learnt from it, where there is one.
            limit: of the new bundle.
        """
        self.counts[found.outcome] += 1
        self.rows.append(_row(found, role, score))
        was_alarmed = found.pair.old.state is VerdictState.NG
        if was_alarmed and not found.part.is_good and score is not None:
            self.held[1] += 1
            self.held[0] += score >= limit
        if not (found.part.is_good and was_alarmed):
            return
        tally = self.trained if role in (TRAINED, COPY) else self.unseen
        tally[1] += 1
        tally[0] += found.outcome == GONE
        if role == TRAINED and score is not None:
            self.folds[1] += 1
            self.folds[0] += score < limit

    def as_json(self, bundle_sha256: str, selection: Selection) -> JsonObject:
        """Return all of it."""
        return {
            "format": FORMAT,
            "before": self.before,
            "after": self.after,
            "bundle_sha256": bundle_sha256,
            "counts": {o: self.counts[o] for o in OUTCOMES},
            "synthetic_defects": {
                name: None if not rows else {"caught": caught(rows)[0], "of": caught(rows)[1]}
                for name, rows in (
                    ("before", self.sensitivity.before),
                    ("after", self.sensitivity.after),
                )
            },
            "is_sensitivity_lost": self.sensitivity.is_lost,
            "learnt_as": self.learnt_as,
            "false_alarms_gone": {
                "kept_back": _share(self.unseen),
                "learnt_from": _share(self.trained),
                "learnt_from_by_folds": _share(self.folds),
            },
            "defects_caught_unseen": {"caught": self.held[0], "of": self.held[1]},
            "goods": selection.counts(),
            "left_out": dict(sorted(self.marked.left_out.items())),
            "damaged": list(self.marked.damaged),
            "not_accepted_by_an_engineer": self.marked.proposals,
            "contradictions": [contradiction_json(one) for one in self.dropped],
            "parts": self.rows,
        }


def contradiction_json(found: Contradiction) -> JsonObject:
    """Return a contradiction as JSON."""
    return {**_source(found.part), "why": found.why, "told": found.told}


def _share(pair: Sequence[int]) -> JsonObject:
    return {"gone": pair[0], "of": pair[1]}


def _source(part: MarkedPart) -> JsonObject:
    record = part.record
    return {
        "device": record.device,
        "part_id": record.part_id,
        "file": record.file,
        "sha256": record.sha256,
        "mark": record.use,
        "reviewers": list(record.reviewers),
        "is_accepted": record.is_accepted,
    }


def _row(found: PartOutcome, role: str, score: float | None) -> JsonObject:
    sides = {
        name: {"verdict": side.state.value, "score": side.score, "threshold": side.threshold}
        for name, side in (("before", found.pair.old), ("after", found.pair.new))
    }
    return {
        **_source(found.part), "role": role, "outcome": found.outcome, **sides,
        "score_unseen": score,
    }  # fmt: skip


def report_folder(bundle: Path) -> Path:
    """Return where the report of a bundle lies; no scan of pictures looks into such a folder."""
    return bundle.with_name(f"{bundle.name}.feedback.evaluation")


def check_replaceable(folder: Path) -> None:
    """Refuse a place that holds something else than an earlier report.

    Raises:
        DataError: says what is in the way.
    """
    is_ours = folder.is_dir() and ((folder / JSON_FILE).is_file() or not any(folder.iterdir()))
    if folder.exists() and not is_ours:
        raise DataError(
            f"{folder} is in the way: the report on marked parts is written there. Move it away."
        )


class ReportFolder:
    """Collects the page's pictures; the folder is made anew.

    Args:
        folder: beside the bundle.
    """

    def __init__(self, folder: Path) -> None:
        check_replaceable(folder)
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        (folder / JSON_FILE).write_text("{}\n", encoding="utf-8")  # ours, also after a kill
        self.folder = folder
        self._figures: dict[str, list[str]] = {}
        self._written = 0

    def picture(self, found: PartOutcome, role: str) -> None:
        """Write a part's pictures, if its outcome is one to look at."""
        rows = self._figures.setdefault(found.outcome, [])
        if found.outcome in NOT_PICTURED or len(rows) >= MOST_PICTURES:
            return
        self._written += 1
        names = write_pictures(self.folder, self._written, found.pair)
        rows.append(figure(found.pair, names, TOLD_ROLES[role]))

    def write(self, report: FeedbackReport, bundle_sha256: str, selection: Selection) -> Path:
        """Write page and JSON; return the page."""
        text = json.dumps(report.as_json(bundle_sha256, selection), indent=1)
        (self.folder / JSON_FILE).write_text(text + "\n", encoding="utf-8")
        page = self.folder / PAGE
        page.write_text(self._page(report, selection), encoding="utf-8")
        return page

    def _page(self, report: FeedbackReport, selection: Selection) -> str:
        first, *rest = report.sentences()
        is_bad = report.counts[LOST] or report.dropped or report.sensitivity.is_lost
        bad = " bad" if is_bad else ""
        before, after = escape(report.before), escape(report.after)
        return (
            "<!doctype html><html lang=en><meta charset=utf-8>"
            "<meta name=viewport content='width=device-width, initial-scale=1'>"
            f"<title>{after}: what people's marks changed</title><style>{STYLE}</style>"
            f"<h1>What people's marks changed: {before} (left) and {after} (right)</h1>"
            f"<p class='lead{bad}'>{escape(first)}</p>"
            + "".join(f"<p>{escape(text)}</p>" for text in rest)
            + _table(report)
            + _used(report, selection)
            + _contradictions(report.dropped)
            + "".join(self._section(outcome, report) for outcome in OUTCOMES)
            + "</html>\n"
        )

    def _section(self, outcome: str, report: FeedbackReport) -> str:
        rows = self._figures.get(outcome)
        if not rows:
            return ""
        count = report.counts[outcome]
        shown = "" if count == len(rows) else f"; {len(rows)} are shown"
        return f"<h2>{count} {escape(OUTCOMES[outcome])}{shown}</h2>{''.join(rows)}"


def _table(report: FeedbackReport) -> str:
    rows = "".join(
        f"<tr><td class=n>{report.counts[outcome]}</td><td>{escape(text)}</td></tr>"
        for outcome, text in OUTCOMES.items()
    )
    return f"<table>{rows}</table>"


def _used(report: FeedbackReport, selection: Selection) -> str:
    told = [f"{count} good parts: {role}" for role, count in selection.counts().items()]
    told += [f"{count} left out: {why}" for why, count in sorted(report.marked.left_out.items())]
    told += [f"other bytes than the device recorded: {name}" for name in report.marked.damaged]
    return "".join(f"<p class=soft>{escape(text)}</p>" for text in told)


def _contradictions(dropped: Sequence[Contradiction]) -> str:
    if not dropped:
        return ""
    rows = "".join(f"<li>{escape(one.words())}</li>" for one in dropped)
    return f"<h2>{len(dropped)} contradictions: nothing was learnt from these</h2><ul>{rows}</ul>"
