"""Methods side by side on one data set: the same crops, the same pictures, one report.

labels → detector → crops (once) → per method: training, bundle, evaluation, cost → report.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from edge_app.errors import DataError, EdgeError
from edge_app.records import JsonObject
from export.bundle_build.early_check import check_defects
from export.bundle_build.pipeline import (
    BuildOptions,
    choose_view,
    label_pictures,
)
from export.compare.advice import Advice, advise
from export.compare.one_method import Shared, contender_of, measure_method, unseen_pictures
from export.compare.report import write_comparison
from export.compare.table import write_table
from export.defects.pictures import scan_defects
from export.evaluation.data import GOOD
from export.evaluation.run import OnLook
from export.methods.names import AUTO, NAMES
from export.methods.plugins import ALL
from export.methods.registry import method_of
from export.methods.time_budget import Now, duration_text
from export.workspace import OnProgress, OnStep


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """What a person can choose.

    Attributes:
        build: how the shared steps are done; its `out` and `method` are not used.
        out: folder for report.html, compare.json and all that is kept.
        budget_s: for everything together; what is done already costs nothing.
        latency_ms: most a picture may take, for the recommendation; None for no limit.
    """

    build: BuildOptions
    out: Path
    methods: tuple[str, ...]
    budget_s: float
    latency_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was found.

    Attributes:
        rows: one object per method, in the order they were named; `failed` where one did.
        page: report.html.
    """

    rows: tuple[JsonObject, ...]
    advice: Advice
    page: Path


def method_names(text: str) -> tuple[str, ...]:
    """Return the methods of "all" (ours) or of a list with commas, each once.

    Raises:
        DataError: there is no such method, or none is named, or a plug-in cannot be used.
    """
    if text.strip() == ALL:
        return NAMES
    names = tuple(dict.fromkeys(n.strip() for n in text.split(",") if n.strip()))
    if not names:
        raise DataError(f"No methods named: write {ALL!r} or some of {', '.join(NAMES)}.")
    for name in names:
        if name == AUTO:
            raise DataError(f"{AUTO!r} is no method: name some of {', '.join(NAMES)}, or {ALL!r}.")
        method_of(name)
    return names


class Budget:
    """How much time is left, and each method's share of it."""

    def __init__(self, total_s: float, now: Now) -> None:
        self.total_s, self._now, self._started = total_s, now, now()
        self._after_s: list[float] = []

    @property
    def left_s(self) -> float:
        """Seconds left, >= 0."""
        return max(0.0, self.total_s - (self._now() - self._started))

    def share_s(self, methods: int) -> float:
        """Return how long the next of `methods` remaining ones may train.

        What one leaves over goes to the others; the time that a method took on average after its
        training (thresholds, evaluation) is set aside. The slowest one's would leave nothing to
        train in: DRAEM's network takes a hundred times the others' time for a picture.
        """
        return self.left_s / methods - (fmean(self._after_s) if self._after_s else 0.0)

    def took_after_training(self, seconds: float) -> None:
        """Remember how long a method took besides its training."""
        self._after_s.append(seconds)


def compare(
    options: CompareOptions,
    on_step: OnStep,
    now: Now = time.monotonic,
    on_look: OnLook = lambda: None,
) -> Comparison:
    """Train and measure every method; write report.html, compare.json and table.md.

    A method that fails stands in the report with its reason; the next run tries it again and takes
    what is done as it is.

    Args:
        on_look: called before each method's bundle judges the test pictures.

    Raises:
        DataError: the pictures are not enough, or there is nothing to test on.
    """
    budget = Budget(options.budget_s, now)
    check_defects(options.build)
    build = replace(options.build, out=options.out / "shared")
    labelled = label_pictures(build, on_step, holds_back=True)
    pictures = unseen_pictures(build, labelled)
    found, cut = choose_view(build, labelled, on_step)
    shared = Shared(build, options.budget_s, labelled, found, cut, pictures, now, on_look)
    rows: list[JsonObject] = []
    for number, name in enumerate(options.methods):
        place = f"{number + 1} of {len(options.methods)}"
        on_progress = _progress_of(on_step, name, place, budget)
        rows.append(_row(shared, name, len(options.methods) - number, budget, on_progress, now))
        _write(options, shared, rows)  # a long run may be stopped
    advice, page = _write(options, shared, rows)
    on_step("report", str(page), 1.0)
    return Comparison(tuple(rows), advice, page)


def _progress_of(on_step: OnStep, name: str, place: str, budget: Budget) -> OnProgress:
    return lambda text, share: on_step(
        name, f"{place}, {text}, at most {duration_text(budget.left_s)} left", share
    )


def _row(
    shared: Shared,
    name: str,
    methods_left: int,
    budget: Budget,
    on_progress: OnProgress,
    now: Now,
) -> JsonObject:
    """Return the method's row, or why it has none."""
    started = now()
    share_s = budget.share_s(methods_left)
    try:
        row = measure_method(shared, name, share_s, on_progress)
    except Exception as error:  # whatever one method does, the others still get their turn
        reason = str(error) if isinstance(error, EdgeError) else repr(error)
        return {"method": name, "failed": reason}
    budget.took_after_training(now() - started - min(row["train_s"], now() - started))
    return row


def _write(
    options: CompareOptions, shared: Shared, rows: Sequence[JsonObject]
) -> tuple[Advice, Path]:
    advice = advise([contender_of(row) for row in rows if "failed" not in row], options.latency_ms)
    page = options.out / "report.html"
    text = write_comparison(shared, rows, advice, options.latency_ms)
    page.write_text(text, encoding="utf-8")
    record = {
        "product": shared.options.product,
        "seed": shared.options.seed,
        "budget_s": options.budget_s,
        "latency_ms": options.latency_ms,
        "known_defects": len(scan_defects(shared.options.known_defects).pictures),
        "pictures": {
            "good": sum(p.kind == GOOD for p in shared.pictures),
            "bad": sum(p.kind != GOOD for p in shared.pictures),
        },
        "recommendation": {
            "method": advice.method,
            "alike": list(advice.alike),
            "text": advice.text,
        },
        "methods": [{k: v for k, v in row.items() if k != "rows"} for row in rows],
    }
    (options.out / "compare.json").write_text(json.dumps(record, indent=1) + "\n")
    write_table(record, options.out)
    return advice, page
