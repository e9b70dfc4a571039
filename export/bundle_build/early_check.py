"""All that can be wrong with a build's options, refused in a second, before the first picture.

Everything found is told at once. What needs the pictures (too few, labels, layouts) is refused
while they are read, still before anything is trained.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import torch

from edge_app.bundle.manifest import PRODUCT_PATTERN
from edge_app.errors import DataError
from export.bundle_build.records import BuildOptions
from export.defects.labelled import mask_of, read_mask
from export.defects.pictures import DefectPictures, scan_defects
from export.methods.train import check_method
from export.output_room import why_not_writable

MAX_SEED = 2**32 - 1
LONGEST_KIND = 64


def check_build(options: BuildOptions) -> None:
    """Refuse options that cannot lead to a bundle.

    Raises:
        DataError: with everything that is wrong.
    """
    check_method(options.method)
    wrong = [
        *_wrong_product(options.product),
        *_wrong_numbers(options),
        *_wrong_detector(options.detector),
        *wrong_device(options.device),
        *_wrong_out(options.out),
    ]
    if wrong:
        raise DataError(" ".join(wrong))


def check_defects(options: BuildOptions) -> None:
    """Refuse folders of real defects that cannot be used before hours of work, not after.

    Raises:
        DataError: one is missing, empty, holds an unreadable picture or mask, or a kind with a
            name that no bundle takes.
    """
    known = scan_defects(options.known_defects)
    scan_defects(options.calibration_defects)
    _refuse_kinds(known)
    for picture in known.pictures:
        mask = mask_of(picture)
        if mask is not None:
            read_mask(mask, picture)


def _wrong_product(name: str) -> Iterator[str]:
    if not re.fullmatch(PRODUCT_PATTERN, name):
        yield (
            f"--product {name!r} is no product name: expected 1 to 64 letters a to z, digits, '_', "
            f"'.' or '-'; {_legal(name)!r} would do."
        )


def _legal(name: str) -> str:
    """Return a product name that reads like `name`."""
    german = str.maketrans(
        {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss"}
    )
    plain = unicodedata.normalize("NFKD", name.translate(german))
    words = re.findall(r"[A-Za-z0-9.-]+", plain.encode("ascii", "ignore").decode())
    return "_".join(words)[:64] or "part1"


def _wrong_numbers(options: BuildOptions) -> Iterator[str]:
    for name, value, low, high in (
        ("--seed", options.seed, 0, MAX_SEED),
        ("--serial", options.serial, 0, 2**63 - 1),
        ("--steps", options.steps, 1, 10**9),
        ("--processes", options.processes, 1, 1024),
    ):
        if not low <= value <= high:
            yield f"{name} is {value}; expected a whole number from {low} to {high}."
    rate = options.false_alarm_rate
    if not 0.0 < rate < 1.0:
        yield (
            f"--false-alarm-rate is {rate:g}; expected a share between 0 and 1, e.g. 0.005 for one "
            "good part in 200."
        )
    if not (options.auto_budget_s > 0 and math.isfinite(options.auto_budget_s)):
        yield f"--auto-budget is {options.auto_budget_s:g} s; expected more than 0."


def _wrong_detector(detector: str) -> Iterator[str]:
    if detector not in ("auto", "always", "none") and not Path(detector).is_file():
        yield f"--detector {detector} is not there: expected auto, always, none or a detector.onnx."


def wrong_device(name: str) -> Iterator[str]:
    """Yield why this machine cannot train there."""
    try:
        device = torch.device(name)
    except RuntimeError:
        yield f"--device {name!r} is none: expected cpu, cuda, cuda:N or auto."
        return
    if device.type == "cuda":
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= gpus:
            yield (
                f"--device {name}: this machine has {gpus} usable NVIDIA GPUs. Train with --device "
                "cpu, or with auto, which takes a GPU where there is one."
            )
    elif device.type != "cpu":
        yield f"--device {name!r} is not supported: expected cpu, cuda, cuda:N or auto."


def _wrong_out(out: Path) -> Iterator[str]:
    work = out.with_name(out.name + ".work")
    if out.is_dir():
        yield f"--out {out} is a folder; expected the name of the bundle, e.g. {out / 'a.bundle'}."
    elif work.exists() and not work.is_dir():
        yield f"{work} is in the way: a build keeps its steps in a folder of that name."
    elif why := why_not_writable(out.parent):
        yield why


def _refuse_kinds(known: DefectPictures) -> None:
    for kind in sorted(set(known.classes)):
        if len(kind) > LONGEST_KIND or any(ord(c) < 32 or ord(c) == 127 for c in kind):
            raise DataError(
                f"The known defects' folder {kind!r} cannot name a kind of defect: expected 1 to "
                f"{LONGEST_KIND} characters without control characters. Rename the folder."
            )
