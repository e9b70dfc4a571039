"""One measured (set, seed, arm, code digest) as a committed JSON; used by `benchmarks.products`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from edge_app.errors import DataError
from edge_app.records import F64Array, JsonObject
from export.evaluation.data import GOOD
from export.evaluation.image_metrics import auroc
from export.evaluation.operating_point import Verdicts, operating_figures, verdicts_from

TEST, TRAINING_GOODS = "test", "training-goods"
"""What the pictures judged are: the set's test pictures, or reserved training goods and synthetic
anomalies on them."""

DIGEST_CHARACTERS = 12


@dataclass(frozen=True, slots=True)
class Key:
    """What a cell is of.

    Attributes:
        set: the data set's name.
        code_digest: sha256 of the code that built and judged.
        trial: TEST or TRAINING_GOODS.
    """

    set: str
    seed: int
    arm: str
    code_digest: str
    trial: str = TEST

    def file(self, results: Path) -> Path:
        """Return the cell's file below the folder of results."""
        name = f"{self.set}-seed{self.seed}-{self.code_digest[:DIGEST_CHARACTERS]}.json"
        return results / self.trial / self.arm / name

    def __str__(self) -> str:
        return f"{self.set}, seed {self.seed}, {self.arm}"


@dataclass(frozen=True, slots=True)
class Limit:
    """Where an arm's threshold comes from, as far as it says.

    Attributes:
        threshold: `score >= threshold` is NG.
        nominal_rate: false-alarm rate asked for; None where none was.
        rank, good_parts: k and n, the threshold is the k-th largest of n good scores; None where
            the bundle does not say so.
        promise: the manifest's word; "" where there is none.
    """

    threshold: float
    nominal_rate: float | None = None
    rank: int | None = None
    good_parts: int | None = None
    promise: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an arm made of a set.

    Attributes:
        failed: why there is no bundle; "" where there is one.
        method: that judges, as the bundle says.
        limit: None without a bundle.
        rows: per picture `picture`, `kind`, `score`, `verdict`, as in evaluation.json.
        excluded: pictures left out because the bundle rests on them.
        build_s, evaluate_s: wall-clock seconds on a machine that may have been busy.
    """

    failed: str
    method: str
    limit: Limit | None
    rows: Sequence[JsonObject]
    excluded: int
    build_s: float
    evaluate_s: float


def cell_of(key: Key, data_digest: str, counts: tuple[int, int], outcome: Outcome) -> JsonObject:
    """Return what is written.

    Args:
        data_digest: `data_digest` of the set's folder.
        counts: good and defective pictures of the set; what a set without a bundle is counted by.
    """
    return {
        **asdict(key),
        "data_digest": data_digest,
        "failed": outcome.failed,
        "good": counts[0] if outcome.failed else len(_of(outcome.rows, True)),
        "bad": counts[1] if outcome.failed else len(_of(outcome.rows, False)),
        "excluded": outcome.excluded,
        "method": outcome.method,
        "build_s": round(outcome.build_s, 1),
        "evaluate_s": round(outcome.evaluate_s, 1),
        "limit": asdict(outcome.limit) if outcome.limit else None,
        "figures": None if outcome.failed else figures_of(outcome.rows),
        "pictures": [[r["picture"], r["kind"], r["score"], r["verdict"]] for r in outcome.rows],
    }


def figures_of(rows: Sequence[JsonObject]) -> JsonObject:
    """Return image AUROC, what was not inspected ranking highest, and the figures at the limit."""
    good, bad = (verdicts_from(_of(rows, is_good)) for is_good in (True, False))
    ranked = (_ranked(good), _ranked(bad))
    return {"image_auroc": auroc(*ranked), **operating_figures(good, bad)}


def verdicts_of(cell: JsonObject) -> tuple[Verdicts, Verdicts]:
    """Return a cell's verdicts on good and on defective pictures, in order of their names."""
    names = ("picture", "kind", "score", "verdict")
    rows = [dict(zip(names, row, strict=True)) for row in sorted(cell["pictures"])]
    return verdicts_from(_of(rows, True)), verdicts_from(_of(rows, False))


def _of(rows: Sequence[JsonObject], is_good: bool) -> list[JsonObject]:
    return [row for row in rows if (row["kind"] == GOOD) == is_good]


def _ranked(verdicts: Verdicts) -> F64Array:
    return np.where(np.isnan(verdicts.scores), np.inf, verdicts.scores)


def write_cell(cell: JsonObject, file: Path) -> None:
    """Write a cell whole or not at all, a picture a line."""
    rows = ",\n".join(f"  {json.dumps(row, ensure_ascii=False)}" for row in cell["pictures"])
    text = json.dumps({**cell, "pictures": []}, indent=1, ensure_ascii=False)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    whole = text.replace('"pictures": []', f'"pictures": [\n{rows}\n ]') if rows else text
    partial.write_text(whole + "\n", encoding="utf-8")
    partial.replace(file)


def read_cell(file: Path) -> JsonObject:
    """Return a cell.

    Raises:
        DataError: the file is no cell.
    """
    try:
        cell: JsonObject = json.loads(file.read_text(encoding="utf-8"))
        Key(*(cell[name] for name in ("set", "seed", "arm", "code_digest", "trial")))
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{file} is no result of benchmarks.products ({error!r}): remove it."
        ) from error
    return cell


def read_cells(results: Path, trial: str) -> list[JsonObject]:
    """Return all cells of a trial, in order of their files."""
    return [read_cell(file) for file in sorted((results / trial).rglob("*.json"))]


def is_done(key: Key, digest: str, results: Path) -> bool:
    """Return whether the cell is there, of the same pictures."""
    file = key.file(results)
    return file.is_file() and bool(read_cell(file)["data_digest"] == digest)


def data_digest(files: Iterable[tuple[str, Path]]) -> str:
    """Return the sha256 over a set's (relative name, file) in order of the names."""
    whole = hashlib.sha256()
    for name, path in sorted(files):
        whole.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode())
    return whole.hexdigest()
