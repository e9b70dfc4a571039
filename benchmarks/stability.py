"""The same good pictures, saved another way: does the build decide the same?

    python -m benchmarks.stability [--sets mvtec_transistor_256 ...] [--out FILE.md]
    python -m benchmarks.stability --only-table --out FILE.md

Every set is built with default options from its own good pictures as they are, as JPEG of quality
97 and 92, one grey level brighter, as PNG under other names in another order, and as PNG. Shown
side by side: the way to the crop, the orientation, the terms, the limit and what it catches of
synthetic defects. No test picture is opened. One JSON per set, way of saving and code digest lies
below benchmarks/results/stability; one that is there is not built again, so a stopped run goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from edge_app.bundle.archive import read_bundle
from edge_app.cameras.pictures import read_picture
from edge_app.errors import EdgeError
from edge_app.records import U8Array
from export.bundle_build.pipeline import BuildOptions, build
from export.evaluation.looks import code_digest

SETS = ("mvtec_transistor_256", "mvtec_hazelnut_256", "dobot_cubes")
ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "datasets"
RESULTS = ROOT / "benchmarks" / "results" / "stability"
DIGEST_CHARACTERS = 12
OWN = "as they are"

Save = Callable[[Path, str, U8Array], None]


def _jpeg(quality: int) -> Save:
    def save(folder: Path, name: str, pixels: U8Array) -> None:
        cv2.imwrite(
            str(folder / f"{Path(name).stem}.jpg"), pixels, [cv2.IMWRITE_JPEG_QUALITY, quality]
        )

    return save


def _png(folder: Path, name: str, pixels: U8Array) -> None:
    cv2.imwrite(str(folder / f"{Path(name).stem}.png"), pixels)


def _brighter(folder: Path, name: str, pixels: U8Array) -> None:
    _png(folder, name, np.asarray(np.clip(pixels.astype(np.int16) + 1, 0, 255), np.uint8))


def _renamed(folder: Path, name: str, pixels: U8Array) -> None:
    """The digest of the old name sorts the files anew."""
    _png(folder, hashlib.sha256(name.encode()).hexdigest()[:12], pixels)


WAYS: dict[str, Save] = {
    "PNG": _png,
    "JPEG 97": _jpeg(97),
    "JPEG 92": _jpeg(92),
    "one grey level brighter": _brighter,
    "other names, other order": _renamed,
}


@dataclass(frozen=True, slots=True)
class Row:
    """What one build decided.

    Attributes:
        refused: why there is no bundle; "" where there is one.
        way: to the crop, and the crop's width and height in pixels.
        rank, good_parts: k and n of the limit: the k-th largest of n good scores.
        recall: of synthetic defects at the limit, 0..1.
        is_weak: the build says that the bundle misses too much.
    """

    name: str
    refused: str = ""
    way: str = ""
    orientation: str = ""
    terms: str = ""
    limit: float | None = None
    rank: int | None = None
    good_parts: int | None = None
    recall: float | None = None
    is_weak: bool | None = None
    seconds: float = 0.0

    def cells(self) -> list[str]:
        """Return the table's cells."""
        if self.refused:
            return [self.name, f"refused: {self.refused}", *[""] * 6]
        return [
            self.name, self.way, self.orientation, _named(self.terms), f"{self.limit:.3f}",
            f"{self.rank} of {self.good_parts}", f"{self.recall:.1%}",
            f"{self.seconds:.0f}" + (" (weak)" if self.is_weak else ""),
        ]  # fmt: skip


def _named(settings: str) -> str:
    """Return the terms of a method's settings as the bundle notes them, else the settings."""
    quoted = re.findall(r"'(\w+)'", settings)
    return ", ".join(quoted[1:]) if quoted[:1] == ["terms"] else settings


HEAD = ["saved", "way to the crop", "orientation", "terms", "limit", "k of n", "recall", "s"]


def row_of(name: str, data: Path, work: Path) -> Row:
    """Build and return what was decided; a refusal is a row too."""
    started = time.monotonic()
    out = work / "bundle.bundle"
    try:
        result = build(BuildOptions(data, out, "stability"), lambda _step, _text, _share: None)
    except EdgeError as error:
        return Row(name, str(error), seconds=time.monotonic() - started)
    manifest = read_bundle(out).manifest
    thresholds = manifest.variants[0].thresholds
    origin = thresholds.origin
    h, w = manifest.crop.crop_hw
    way = "upright" if manifest.detector else "region" if manifest.region else "whole"
    notes = dict(note.split(": ", 1) for note in manifest.provenance.notes if ": " in note)
    points = origin.operating_points if origin else ()
    return Row(
        name, "", f"{way} {w} × {h}", manifest.orientation.kind, notes.get("settings", ""),
        thresholds.score_threshold, origin.rank if origin else None,
        origin.groups if origin else None,
        next((p.synthetic_recall for p in points if p.nominal_rate == 0.02), None),
        result.weakness is not None, time.monotonic() - started,
    )  # fmt: skip


def _copied(data: Path, name: str, work: Path) -> Path:
    """Return a data set of the same good pictures, saved another way."""
    pictures = sorted((data / "train" / "good").iterdir())
    copy = work / "data" / "train" / "good"
    copy.mkdir(parents=True)
    for path in pictures:
        WAYS[name](copy, path.name, np.asarray(read_picture(path), np.uint8))
    return work / "data"


def file_of(results: Path, set_name: str, way: str, digest: str) -> Path:
    """Return where a row lies."""
    slug = way.replace(" ", "-").replace(",", "")
    return results / f"{set_name}-{slug}-{digest[:DIGEST_CHARACTERS]}.json"


def make_missing(data: Path, results: Path, digests: Sequence[str]) -> None:
    """Build what is not there yet of one set, by the code that is here, the last of `digests`."""
    digest = digests[-1]
    for way in (OWN, *WAYS):
        if any(file_of(results, data.name, way, d).is_file() for d in digests):
            continue
        file = file_of(results, data.name, way, digest)
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            source = data if way == OWN else _copied(data, way, work)
            row = row_of(way, source, work)
        results.mkdir(parents=True, exist_ok=True)
        content = {"set": data.name, "code_digest": digest, **asdict(row)}
        file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(json.dumps(content, ensure_ascii=False), flush=True)


def table_of(set_name: str, results: Path, digests: Sequence[str]) -> str:
    """Return the Markdown of one set, of the first code that has a row; "" where nothing is."""
    rows = []
    for way in (OWN, *WAYS):
        file = next(
            (f for d in digests if (f := file_of(results, set_name, way, d)).is_file()), None
        )
        if file is not None:
            content = json.loads(file.read_text(encoding="utf-8"))
            del content["set"], content["code_digest"]
            rows.append(Row(**content).cells())
    if not rows:
        return ""
    lines = [HEAD, ["---"] * len(HEAD), *rows]
    return f"{set_name}\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the rows")
    parser.add_argument("--digest", nargs="+", default=[], help="codes whose rows count (here)")
    parser.add_argument("--only-table", action="store_true", help="build nothing")
    parser.add_argument("--out", type=Path, help="write the tables there too")
    args = parser.parse_args()
    digests = [*args.digest, code_digest(ROOT)]
    for name in () if args.only_table else args.sets:
        make_missing(args.data / name, args.results, digests)
    tables = [table_of(name, args.results, digests) for name in args.sets]
    text = "\n\n".join(table for table in tables if table)
    print(text)
    if args.out is not None:
        args.out.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
