"""Published figures on MVTec AD's screw beside ours: a Markdown table.

    python -m benchmarks.published --upright OUT/compare.json --raw OUT_RAW/compare.json

Ours come out of `edge-export compare` alone: `--raw` from one with `--detector none` (the whole
picture), `--upright` from one that finds the screws and turns them. A method that no comparison has
measured gets a dash. Sizes are counted from the networks' definitions (`published_networks.py`).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.published_networks import PAPERS, Size, ours
from edge_app.records import JsonObject
from export.methods.names import PUBLISHED as PUBLISHED_NAMES

HEADER = ("Method", "Published", "Ours, upright (95 %)", "raw", "Learnt, ours", "paper",
          "Backbone and stored, ours", "paper's backbone", "Why they differ")  # fmt: skip

PUBLISHED = {
    "patchcore": "98.1",
    "padim": "97.5, second-hand and doubtful",
    "cutpaste": "88.7",
    "draem": "93.9",
    "simplenet": "98.2",
}
"""Image AUROC on screw, whole pictures at 224 or 256 px. Which form of CutPaste has its figure, our
source does not say."""

FORM_OF = {
    "padim-slim": "padim", "cutpaste-scar": "cutpaste", "cutpaste-3way": "cutpaste",
    "cutpaste-kde": "cutpaste", "cutpaste-patch": "cutpaste", "draem-slim": "draem",
    "efficientad-slim": "efficientad",
}  # fmt: skip

WHY = {
    "patchcore": "Lite0, 152 channels, instead of WideResNet50; 3000 patches instead of 1 to 25 %; "
    "nothing beside the product counts",
    "padim": "Lite0 instead of ResNet18 or WideResNet50; grid of stride 16 instead of 4",
    "padim-slim": "as padim, with 100 of its 424 channels",
    "cutpaste": "Lite0 from ImageNet, late blocks, hundreds of steps, instead of ResNet18 from "
    "scratch and 65,000; no MLP head",
    "cutpaste-scar": "as cutpaste",
    "cutpaste-3way": "as cutpaste",
    "cutpaste-kde": "as cutpaste",
    "cutpaste-patch": "as cutpaste, with four blocks fewer, on patches; one pass over the crop "
    "instead of one per patch",
    "simplenet": "Lite0, 152 channels, instead of WideResNet50, 1536; the steps named here instead "
    "of 160 epochs",
    "draem": "the paper's networks; the steps named here instead of 700 epochs; drawn textures "
    "instead of DTD",
    "draem-slim": "as draem, with a fraction of its channels",
    "autoencoder": "batch 16 instead of 70, the steps named here instead of 300 epochs",
    "bgad": "Lite0 instead of EfficientNet-B6; the steps named here instead of 200 epochs",
    "f-anogan": "four strided convolutions instead of residual ones; the steps named here instead "
    "of 1700 epochs",
    "efficientad": "Lite0 is the teacher, 152 channels, instead of a distilled network's 384; the "
    "steps named here instead of 70,000 after a distillation on ImageNet",
    "efficientad-slim": "as efficientad, with a quarter of the student's channels",
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--upright", type=Path, help="compare.json of a comparison that turns")
    parser.add_argument("--raw", type=Path, help="the same of whole pictures")
    parser.add_argument("--crop-hw", type=int, nargs=2, default=(128, 320), metavar=("H", "W"))
    options = parser.parse_args()
    height, width = options.crop_hw
    print(table(measured(options.upright), measured(options.raw), (height, width)), end="")


def measured(comparison: Path | None) -> dict[str, str]:
    """Return method → its image AUROC in % with its interval; empty for None."""
    if comparison is None:
        return {}
    record: JsonObject = json.loads(comparison.read_text())
    found = {}
    for row in record["methods"]:
        if "failed" in row:
            continue
        low, high = row["figures"]["image_auroc_interval"]
        level = row["figures"]["image_auroc"]
        steps = f", {row['steps']} steps" if row["steps"] else ""
        found[row["method"]] = f"{level:.1%} ({low:.1%} to {high:.1%}){steps}"
    return found


def table(upright: dict[str, str], raw: dict[str, str], crop_hw: tuple[int, int]) -> str:
    """Return the Markdown."""
    counters = ours(crop_hw)
    lines = [list(HEADER), ["---"] * len(HEADER)]
    for name in PUBLISHED_NAMES:
        own, paper = counters[name](), _paper_of(name)
        lines.append([
            name, PUBLISHED.get(name, "–"), upright.get(name, "–"), raw.get(name, "–"),
            _millions(own.learnt), _millions(paper.learnt) if paper else "not stated",
            _kept(own), _millions(paper.frozen) if paper else "–", _why(name),
        ])  # fmt: skip
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _paper_of(name: str) -> Size | None:
    counter = PAPERS.get(FORM_OF.get(name, name))
    return counter() if counter else None


def _why(name: str) -> str:
    return WHY.get(name) or WHY[FORM_OF.get(name, name.split("-")[0])]


def _millions(number: int) -> str:
    if number == 0:
        return "none"
    return f"{number / 1e6:.3f} M" if number < 1e6 else f"{number / 1e6:.1f} M"


def _kept(size: Size) -> str:
    stored = f" + {_millions(size.stored)} stored" if size.stored else ""
    return _millions(size.frozen) + stored


if __name__ == "__main__":
    main()
