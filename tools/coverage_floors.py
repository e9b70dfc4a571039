"""Hold each folder's coverage to its floor in pyproject.toml; `make coverage` calls it.

    python tools/coverage_floors.py COVERAGE_JSON [FOLDER ...]

COVERAGE_JSON is what `coverage json` wrote. A folder is one directly inside `edge_app` or `export`
(`edge_app/ipc`; the files beside them count as `edge_app`), or all of `deploy` or `calibration`.
Without FOLDER every floor is held, else those of the named ones. 0: all hold. 1: one does not.
2: wrong use, or a floor of a folder that has no code.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
SPLIT = ("edge_app", "export")
"""Packages that are looked at folder by folder; the others are one folder each."""


@dataclass(frozen=True)
class Covered:
    """Statements of a folder, and how many of them were executed."""

    statements: int = 0
    executed: int = 0

    @property
    def percent(self) -> float:
        """Return the executed share in percent, 0 to 100; 100 where there is nothing to execute."""
        return 100.0 * self.executed / self.statements if self.statements else 100.0


def folder_of(path: str) -> str:
    """Return the folder that a file counts for, by its path from the repository's root."""
    package, *inside = path.split("/")
    return f"{package}/{inside[0]}" if package in SPLIT and len(inside) > 1 else package


def by_folder(files: Mapping[str, Any]) -> dict[str, Covered]:
    """Add up the field `files` of coverage's JSON, folder by folder, in alphabetical order."""
    found: dict[str, Covered] = {}
    for path, entry in sorted(files.items()):
        folder, summary = folder_of(path), entry["summary"]
        sofar = found.get(folder, Covered())
        found[folder] = Covered(
            sofar.statements + summary["num_statements"],
            sofar.executed + summary["covered_lines"],
        )
    return dict(sorted(found.items()))


def below(covered: Mapping[str, Covered], floors: Mapping[str, float]) -> list[str]:
    """Return a sentence for each folder that is under its floor (percent)."""
    return [
        f"{folder}: {covered[folder].percent:.1f} % of its statements were executed, at least "
        f"{floor:g} % are expected: test what is new, or say in the change why the floor falls"
        for folder, floor in floors.items()
        if covered[folder].percent < floor
    ]


def main(arguments: Sequence[str]) -> int:
    """Print the table; return the exit code."""
    if not arguments:
        print("usage: coverage_floors.py COVERAGE_JSON [FOLDER ...]", file=sys.stderr)
        return 2
    try:
        report = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        print(f"{arguments[0]} is no report of coverage ({error}); make coverage writes it",
              file=sys.stderr)  # fmt: skip
        return 2
    covered = by_folder(report["files"])
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    floors: dict[str, float] = pyproject["tool"]["cropliq-edge"]["coverage-floors"]
    named = [folder.strip("/") for folder in arguments[1:]]
    # the tests of a few folders need not import all others
    unknown = [folder for folder in named or floors if folder not in covered]
    unknown += [folder for folder in floors if not (ROOT / folder).is_dir()]
    if unknown:
        print(f"no code in {', '.join(unknown)}: expected a folder like edge_app/ipc, or deploy; "
              "correct the name here or in pyproject.toml", file=sys.stderr)  # fmt: skip
        return 2
    for folder in named or covered:
        floor = f"{floors[folder]:g}" if folder in floors else "none"
        print(f"{folder:28} {covered[folder].statements:6} statements  "
              f"{covered[folder].percent:5.1f} %  floor {floor}")  # fmt: skip
    sentences = below(covered, {f: m for f, m in floors.items() if not named or f in named})
    for sentence in sentences:
        print(f"make coverage: {sentence}", file=sys.stderr)
    return 1 if sentences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
