"""The same good pictures, saved another way: does the build decide the same?

    python -m benchmarks.stability [--sets mvtec_transistor_256 ...] [--out FILE.md]

Every set is built with default options from its own good pictures as they are, as JPEG of quality
97 and 92, one grey level brighter, as PNG under other names in another order, and as PNG. Shown
side by side: the way to the crop, the orientation, the terms, the limit and what it catches of
synthetic defects. No test picture is opened.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge_app.bundle.archive import read_bundle
from edge_app.cameras.pictures import read_picture
from edge_app.errors import EdgeError
from edge_app.records import U8Array
from export.bundle_build.pipeline import BuildOptions, build

SETS = ("mvtec_transistor_256", "mvtec_hazelnut_256", "dobot_cubes")
DATA = Path(__file__).parents[2] / "shared" / "datasets"

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
    """What one build decided."""

    name: str
    way: str
    orientation: str
    terms: str
    limit: float
    recall: float
    seconds: float

    def cells(self) -> list[str]:
        """Return the table's cells."""
        return [
            self.name, self.way, self.orientation, self.terms, f"{self.limit:.3f}",
            f"{self.recall:.1%}", f"{self.seconds:.0f}",
        ]  # fmt: skip


def row_of(name: str, data: Path, work: Path) -> Row:
    """Build and return what was decided; a refusal is a row too."""
    started = time.monotonic()
    out = work / "bundle.bundle"
    try:
        build(BuildOptions(data, out, "stability"), lambda _step, _text, _share: None)
    except EdgeError as error:
        return Row(name, f"refused: {error}", "", "", float("nan"), 0.0, 0.0)
    manifest = read_bundle(out).manifest
    thresholds = manifest.variants[0].thresholds
    origin = thresholds.origin
    h, w = manifest.crop.crop_hw
    way = "upright" if manifest.detector else "region" if manifest.region else "whole"
    notes = dict(note.split(": ", 1) for note in manifest.provenance.notes if ": " in note)
    recall = next(
        (p.synthetic_recall for p in origin.operating_points if p.nominal_rate == 0.02), 0.0
    ) if origin else 0.0  # fmt: skip
    return Row(
        name, f"{way} {w} × {h}", manifest.orientation.kind, notes.get("settings", ""),
        thresholds.score_threshold, recall, time.monotonic() - started,
    )  # fmt: skip


def rows_of(data: Path, work: Path) -> list[Row]:
    """Return the rows of one set."""
    rows = [row_of("as they are", data, work / "own")]
    pictures = sorted((data / "train" / "good").iterdir())
    for name, save in WAYS.items():
        copy = work / "data" / "train" / "good"
        shutil.rmtree(work / "data", ignore_errors=True)
        copy.mkdir(parents=True)
        for path in pictures:
            save(copy, path.name, np.asarray(read_picture(path), np.uint8))
        place = work / name.replace(" ", "-").replace(",", "")
        rows.append(row_of(name, work / "data", place))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, help="write the tables there too")
    args = parser.parse_args()
    head = ["saved", "way to the crop", "orientation", "terms", "limit", "recall", "s"]
    text = []
    for name in args.sets:
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            for place in ("own", *(w.replace(" ", "-").replace(",", "") for w in WAYS)):
                (work / place).mkdir()
            rows = rows_of(args.data / name, work)
        lines = [head, ["---"] * len(head), *(row.cells() for row in rows)]
        text.append(f"{name}\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines))
        print(text[-1], flush=True)
        print(json.dumps({"set": name, "rows": [row.cells() for row in rows]}), file=sys.stderr)
    if args.out is not None:
        args.out.write_text("\n\n".join(text) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
