"""The tables over the cells of `benchmarks.products`, as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from benchmarks.products_cells import verdicts_of
from benchmarks.products_statistics import summed
from calibration.thresholds.alarm_counts import alarm_chances, quantile
from edge_app.records import F64Array, JsonObject
from export.evaluation.image_metrics import mean_interval
from export.evaluation.operating_point import best_limit, efficiency

Cells = Mapping[tuple[str, str], Sequence[JsonObject]]
"""(set, arm) → its cells, one a seed."""

BASELINE, OWN = "whole-patchcore", "ours"

LARGE_SET = 30
"""Good and defective test pictures from which on a set's efficiency is asked for by itself."""

SET_SHARE, ALL_SHARE = 0.99, 0.95
"""Quantiles of the Beta-binomial that false alarms are held to: per set, over all sets."""

EMPTY = ""


@dataclass(frozen=True, slots=True)
class Counts:
    """What one cell, or several sets together, come to.

    Attributes:
        caught, bad: defective pictures called NG, and all of them.
        alarms, good: inspected good pictures called NG, and all inspected ones.
        best_caught, best_alarms: the same at each set's best limit.
        blind_good, blind_bad: pictures that were not inspected.
    """

    caught: float
    bad: float
    alarms: float
    good: float
    best_caught: float
    best_alarms: float
    blind_good: float
    blind_bad: float

    @property
    def efficiency(self) -> float | None:
        """Of the pooled rates; None where the best value is below 0.2."""
        if not self.bad:
            return None
        value, best = (
            self._value(self.caught, self.alarms),
            self._value(self.best_caught, self.best_alarms),
        )
        return efficiency(value, best)

    def _value(self, caught: float, alarms: float) -> float:
        return caught / self.bad - (alarms / self.good if self.good else 0.0)


def counts_of(cell: JsonObject) -> Counts:
    """Return one cell's counts.

    A set without a bundle catches nothing and alarms on nothing; its best limit would catch all, so
    that it counts as an efficiency of 0 and not as none.
    """
    if cell["failed"]:
        return Counts(0, cell["bad"], 0, 0, cell["bad"], 0, cell["good"], cell["bad"])
    good, bad = verdicts_of(cell)
    best = best_limit(good, bad) if len(good.inspected) else None
    return Counts(
        int(bad.is_ng.sum()),
        len(bad.scores),
        int(good.is_ng.sum()),
        len(good.inspected),
        best.caught if best else 0,
        best.alarms if best else 0,
        good.not_inspected,
        bad.not_inspected,
    )


def pooled(counts: Sequence[Counts]) -> Counts:
    """Return the sums."""
    names = Counts.__slots__
    return Counts(*(sum(getattr(c, name) for c in counts) for name in names))


def averaged(counts: Sequence[Counts]) -> Counts:
    """Return the means over seeds."""
    names = Counts.__slots__
    return Counts(*(fmean(getattr(c, name) for c in counts) for name in names))


def tables(cells: Cells, sets: Sequence[str], arms: Sequence[str]) -> str:
    """Return all tables; a cell that is not there is empty."""
    parts = [
        "Per cell: image AUROC (%) · PB2 (%) · caught · false alarms · efficiency; with several "
        "seeds their means.\n",
        main_table(cells, sets, arms),
        "\n## Not inspected: good, defective\n",
        _by_set(cells, sets, arms, _blind_text),
        "\n## False alarms against what the limit allows\n",
        alarm_table(cells, sets, arms),
        f"\n## {OWN} against {BASELINE}\n",
        paired_table(cells, sets),
        "\n## Method, seconds of build and evaluation\n",
        _by_set(cells, sets, arms, _time_text),
    ]
    return "\n".join(parts)


def main_table(cells: Cells, sets: Sequence[str], arms: Sequence[str]) -> str:
    """Return the figures per set and arm, with pooled and mean rows."""
    rows = [[name, *(_figures_text(cells.get((name, arm), ())) for arm in arms)] for name in sets]
    for title, is_in in _GROUPS.items():
        rows.append([title, *(_pooled_text(_group(cells, sets, arm, is_in)) for arm in arms)])
    rows.append(["mean of the sets", *(_mean_text(cells, sets, arm) for arm in arms)])
    return _markdown(["Set", *arms], rows)


def _is_large(cell: JsonObject) -> bool:
    return bool(min(cell["good"], cell["bad"]) >= LARGE_SET)


_GROUPS: dict[str, Callable[[JsonObject], bool]] = {
    f"pooled, sets with {LARGE_SET} good and {LARGE_SET} defective": _is_large,
    "pooled, the other sets": lambda cell: not _is_large(cell),
    "pooled, all": lambda _cell: True,
}


def _group(
    cells: Cells, sets: Sequence[str], arm: str, is_in: Callable[[JsonObject], bool]
) -> list[Counts]:
    """Return the counts of the sets of a group that the arm has, means over their seeds."""
    found = [cells[(name, arm)] for name in sets if cells.get((name, arm))]
    return [averaged([counts_of(c) for c in seeds]) for seeds in found if is_in(seeds[0])]


def _figures_text(seeds: Sequence[JsonObject]) -> str:
    if not seeds:
        return EMPTY
    failed = [c for c in seeds if c["failed"]]
    if failed:
        return f"no bundle ({len(failed)} of {len(seeds)} seeds)" if len(seeds) > 1 else "no bundle"
    aurocs = fmean(c["figures"]["image_auroc"] for c in seeds)
    pb2 = _mean([c["figures"]["pb2"] for c in seeds])
    share = _mean([c["figures"]["efficiency"] for c in seeds])
    total = averaged([counts_of(c) for c in seeds])
    return " · ".join(
        [
            f"{100 * aurocs:.1f}",
            "–" if pb2 is None else f"{100 * pb2:.0f}",
            *_counts_text(total),
            "none" if share is None else f"{share:.2f}",
        ]
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return fmean(known) if known else None


def _counts_text(c: Counts) -> list[str]:
    return [f"{c.caught:.3g} of {c.bad:.0f}", f"{c.alarms:.3g} of {c.good:.3g}"]


def _pooled_text(counts: Sequence[Counts]) -> str:
    if not counts:
        return EMPTY
    total = pooled(counts)
    share = total.efficiency
    shown = "none" if share is None else f"{share:.2f}"
    return " · ".join([*_whole_counts(total), shown, f"{len(counts)} sets"])


def _whole_counts(c: Counts) -> list[str]:
    return [f"{c.caught:.0f} of {c.bad:.0f}", f"{c.alarms:.0f} of {c.good:.0f}"]


def _mean_text(cells: Cells, sets: Sequence[str], arm: str) -> str:
    found = [cells[(name, arm)] for name in sets if cells.get((name, arm))]
    if not found:
        return EMPTY
    shares = [s for seeds in found if (s := set_efficiency(seeds)) is not None]
    known = [seeds for seeds in found if not any(c["failed"] for c in seeds)]
    aurocs = _mean([fmean(c["figures"]["image_auroc"] for c in s) for s in known])
    pb2 = _mean([_mean([c["figures"]["pb2"] for c in s]) for s in known])
    return " · ".join(
        [
            "–" if aurocs is None else f"{100 * aurocs:.1f}",
            "–" if pb2 is None else f"{100 * pb2:.0f}",
            f"{fmean(shares):.2f} ({len(shares)} sets)" if shares else "none",
        ]
    )


def set_efficiency(seeds: Sequence[JsonObject]) -> float | None:
    """Return a set's mean efficiency over its seeds; 0 for a seed without a bundle."""
    return _mean([0.0 if c["failed"] else c["figures"]["efficiency"] for c in seeds])


def _blind_text(seeds: Sequence[JsonObject]) -> str:
    """Return the mean counts, marked where more than max(1, 2 %) of either kind."""
    c = averaged([counts_of(cell) for cell in seeds])
    good, bad = seeds[0]["good"], seeds[0]["bad"]
    is_over = c.blind_good > max(1, 0.02 * good) or c.blind_bad > max(1, 0.02 * bad)
    return f"{c.blind_good:.3g}, {c.blind_bad:.3g}{' (over)' if is_over else ''}"


def _time_text(seeds: Sequence[JsonObject]) -> str:
    methods = ", ".join(sorted({c["method"] or "none" for c in seeds}))
    build, judge = (fmean(c[k] for c in seeds) for k in ("build_s", "evaluate_s"))
    return f"{methods}: {build:.0f} + {judge:.0f}"


def alarm_table(cells: Cells, sets: Sequence[str], arms: Sequence[str]) -> str:
    """Return, per arm and set with a known k and n, the alarms of each seed and what is allowed."""
    rows = []
    for arm in arms:
        rows += [
            [arm, name, *_alarm_texts(cells[(name, arm)])]
            for name in sets
            if cells.get((name, arm))
        ]
        rows += _alarm_sums(cells, sets, arm)
    header = [
        "Arm",
        "Set",
        "k of n",
        "False alarms, each seed",
        f"{SET_SHARE:.0%} quantile",
        "Kept",
    ]
    return _markdown(header, rows)


def _known(cell: JsonObject) -> bool:
    return bool(cell["limit"]) and cell["limit"]["rank"] is not None


def _chances(cell: JsonObject) -> F64Array:
    limit = cell["limit"]
    return alarm_chances(limit["rank"], limit["good_parts"], counts_judged(cell))


def counts_judged(cell: JsonObject) -> int:
    """Return how many good test pictures a cell's bundle inspected."""
    return int(cell["good"] - cell["figures"]["not_inspected"]["good"])


def _alarm_texts(seeds: Sequence[JsonObject]) -> list[str]:
    alarms = ", ".join(
        "no bundle" if c["failed"] else f"{c['figures']['false_alarms']} of {counts_judged(c)}"
        for c in seeds
    )
    known = [c for c in seeds if _known(c)]
    if not known:
        return ["not in the bundle", alarms, EMPTY, EMPTY]
    most = [quantile(_chances(c), SET_SHARE) for c in known]
    ranks = sorted({f"{c['limit']['rank']} of {c['limit']['good_parts']}" for c in known})
    is_kept = all(c["figures"]["false_alarms"] <= m for c, m in zip(known, most, strict=True))
    allowed = ", ".join(str(m) for m in most)
    return [", ".join(ranks), alarms, allowed, "yes" if is_kept else "NO"]


def _alarm_sums(cells: Cells, sets: Sequence[str], arm: str) -> list[list[str]]:
    """Return one row per seed: the alarms over all sets and their 95 % quantile."""
    by_seed: dict[int, list[JsonObject]] = {}
    for name in sets:
        for cell in cells.get((name, arm), ()):
            if _known(cell):
                by_seed.setdefault(cell["seed"], []).append(cell)
    rows = []
    for seed, found in sorted(by_seed.items()):
        alarms = sum(c["figures"]["false_alarms"] for c in found)
        judged = sum(counts_judged(c) for c in found)
        most = quantile(summed([_chances(c) for c in found]), ALL_SHARE)
        title = f"{len(found)} sets, seed {seed} ({ALL_SHARE:.0%} quantile)"
        kept = "yes" if alarms <= most else "NO"
        rows.append([arm, title, EMPTY, f"{alarms} of {judged}", str(most), kept])
    return rows


def paired_table(cells: Cells, sets: Sequence[str]) -> str:
    """Return, per set that both arms have, how many more defects ours catches."""
    rows = []
    for name in sets:
        ours, theirs = cells.get((name, OWN), ()), cells.get((name, BASELINE), ())
        if ours and theirs:
            rows.append([name, *paired_texts(ours, theirs)])
        else:
            rows.append([name, *[EMPTY] * 4])
    header = ["Set", OWN, BASELINE, "Difference in recall (95 %, paired)", "Not below"]
    return _markdown(header, rows)


def paired_texts(ours: Sequence[JsonObject], theirs: Sequence[JsonObject]) -> list[str]:
    """Return caught, caught by the baseline, the difference, and whether it is allowed.

    Below is: more than one picture fewer and the whole interval below 0.
    """
    mine, other = caught_shares(ours), caught_shares(theirs)
    if not mine and not other:
        return [EMPTY, EMPTY, "neither has a bundle", EMPTY]
    mine, other = mine or dict.fromkeys(other, 0.0), other or dict.fromkeys(mine, 0.0)
    shared = sorted(set(mine) & set(other))
    if not shared:
        return [EMPTY, EMPTY, "no picture in common", EMPTY]
    gains = np.array([mine[n] - other[n] for n in shared], np.float64)
    low, high = mean_interval(gains)
    is_below = gains.sum() < -1 and high < 0
    told = f"{100 * gains.mean():+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
    sums = [f"{sum(side[n] for n in shared):.3g} of {len(shared)}" for side in (mine, other)]
    return [*sums, told, "NO" if is_below else "yes"]


def caught_shares(seeds: Sequence[JsonObject]) -> dict[str, float]:
    """Return defective picture → share of seeds that caught it; a seed without a bundle: none.

    Where no seed has a bundle there is no list of pictures, and nothing is returned.
    """
    names = sorted({row[0] for c in seeds for row in c["pictures"] if row[1] != "good"})
    caught = [{row[0] for row in c["pictures"] if row[3] == "NG"} for c in seeds]
    return {name: fmean(name in one for one in caught) for name in names}


def _by_set(
    cells: Cells,
    sets: Sequence[str],
    arms: Sequence[str],
    text: Callable[[Sequence[JsonObject]], str],
) -> str:
    def shown(name: str, arm: str) -> str:
        seeds = cells.get((name, arm), ())
        return text(seeds) if seeds else EMPTY

    return _markdown(["Set", *arms], [[n, *(shown(n, arm) for arm in arms)] for n in sets])


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
