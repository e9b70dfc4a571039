"""The log of looks at public test pictures: who chooses by a test set has looked too often.

A look is written only where this code runs from a checkout of its repository (a folder `benchmarks`
and the history lie beside `export`) and the data set is one of PUBLIC_SETS or a look was asked for.
An installation has neither: nothing is ever written into a package.
"""

from __future__ import annotations

import csv
import hashlib
import io
import subprocess
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path

import export
from edge_app.errors import DataError

PUBLIC_SETS = (
    "aws_cookies", "dobot_cubes", "magnetic_tile", "mvtec_hazelnut_256", "mvtec_screw",
    "mvtec_transistor_256", "screw_presence",
)  # fmt: skip
"""Data sets, by the names of their folders, on whose test pictures nothing may be chosen."""

PACKAGES = ("edge_app", "calibration", "export")
"""What a build runs from."""

JUDGING_CODE = (
    *(f"edge_app/{name}" for name in ("backends", "imaging", "inspection", "model")),
    "edge_app/binomial",
    *(f"edge_app/bundle/{name}" for name in ("manifest", "thresholds", "variant")),
    "edge_app/cameras/picture",
    "calibration/graphs/lean_graph",
    "calibration/parts/groups",
    "calibration/thresholds",
    *(
        f"export/{name}"
        for name in (
            "augment", "auto_method", "backbones", "bundle_build", "calibrate", "data",
            "defect_classifier", "defects", "detector", "evaluation", "labels", "methods",
            "networks", "pose",
        )
    ),
)  # fmt: skip
"""Folders, and the beginning of files' names, whose Python files decide what a bundle is and says.
Not what packs and signs a bundle, carries alarms, shows pages, stores or downloads."""

NOT_JUDGING = frozenset(
    {"calibration.graphs", "calibration.parts", "edge_app.bundle", "edge_app.cameras",
     "edge_app.errors", "edge_app.host", "edge_app.mqtt", "edge_app.records",
     "edge_app.secret_text", "edge_app.store", "export.charts", "export.folder_lock",
     "export.output_room", "export.versions", "export.workspace"}
)  # fmt: skip
"""Imported by a build and left out of the digest: they write files, name things, draw charts."""

LOG = Path("benchmarks") / "results" / "looks.csv"
HEADER = ("set", "code_digest", "date", "command")


def checkout_root() -> Path | None:
    """Return the repository's folder where this code runs from a checkout of it, else None."""
    root = Path(export.__file__).resolve().parent.parent
    return root if (root / "benchmarks").is_dir() and (root / ".git").exists() else None


def set_name(data: Path) -> str:
    """Return a data set's name: its folder's, also where the folder `test` inside it is given."""
    whole = data.resolve()
    return whole.parent.name if whole.name.lower() == "test" else whole.name


def log_look(data: Path, command: str, asked: bool = False) -> Path | None:
    """Append one look at a data set's test pictures to the log, if the rule above says so.

    Args:
        command: what looked, e.g. "evaluate".
        asked: also for a set that is not public.

    Returns:
        The log, or None where nothing was written.

    Raises:
        DataError: a look was asked for, and this is no checkout.
    """
    root, name = checkout_root(), set_name(data)
    if root is None:
        if asked:
            raise DataError(
                "--log-look writes into benchmarks/results of a checkout of the repository, and "
                "this is an installed package: leave the option out."
            )
        return None
    if not asked and name not in PUBLIC_SETS:
        return None
    return append_look(root, name, code_digest(root), command)


def append_look(root: Path, name: str, digest: str, command: str) -> Path:
    """Append one line to a checkout's log and return the log.

    Args:
        digest: of the code that judged, `code_digest`.
    """
    log = root / LOG
    log.parent.mkdir(parents=True, exist_ok=True)
    date = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%MZ")
    rows = [(name, digest, date, command)]
    with log.open("a", encoding="utf-8", newline="") as file:
        file.write(_lines([HEADER, *rows] if not file.tell() else rows))
    return log


def _lines(rows: Iterable[Iterable[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def code_digest(root: Path) -> str:
    """Return the sha256 over a checkout's tracked Python files of JUDGING_CODE, as they are now.

    Raises:
        DataError: git cannot list them.
    """
    patterns = [f"{start}*.py" for start in JUDGING_CODE]  # git's * crosses folders
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z", "--", *patterns],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode != 0 or not listed.stdout:
        raise DataError(
            f"The code's digest needs git's list of files in {root}: {listed.stderr.strip()}"
        )
    return files_digest(root, [name for name in listed.stdout.split("\0") if name])


def files_digest(root: Path, names: Iterable[str]) -> str:
    """Return the sha256 over files in order of their names: path, NUL, bytes, NUL.

    Args:
        names: relative to `root`, with forward slashes; what is not there counts as nothing.
    """
    whole = hashlib.sha256()
    for name in sorted(names):
        if (root / name).is_file():
            whole.update(name.encode() + b"\0" + (root / name).read_bytes() + b"\0")
    return whole.hexdigest()
