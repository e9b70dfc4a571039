"""The outcome file of a build: what became of it, for whoever started it as a child process.

One JSON object: `bundle` and `sha256` of a build that succeeded, and its `weakness` if it is weak;
otherwise `error`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from edge_app.store.output_file import check_replaceable, put_in_place


class Built(Protocol):
    """A bundle that a build has written."""

    @property
    def path(self) -> Path: ...

    @property
    def sha256(self) -> str: ...

    @property
    def weakness(self) -> str | None: ...


Result = TypeVar("Result", bound=Built)


@dataclass(frozen=True, slots=True)
class BuildOutcome:
    """What became of one build.

    Attributes:
        bundle: path of the bundle; None where the build failed.
        sha256: the bundle's digest.
        error: why there is no bundle.
        weakness: the bundle misses most clearly visible defects, in a sentence.
    """

    bundle: str | None = None
    sha256: str | None = None
    error: str | None = None
    weakness: str | None = None


def recorded(file: Path, build: Callable[[], Result]) -> Result:
    """Return what `build` returns, and write its outcome into `file`, also where it raises.

    A process that is killed leaves no file: an earlier run's is removed first.

    Raises:
        OutputError: the name is that of a folder, pipe or device; nothing was built.
    """
    check_replaceable(file)
    file.unlink(missing_ok=True)
    try:
        result = build()
    except Exception as error:
        _write(file, BuildOutcome(error=str(error) or type(error).__name__))
        raise
    _write(file, BuildOutcome(str(result.path), result.sha256, weakness=result.weakness))
    return result


def read_outcome(file: Path) -> BuildOutcome | None:
    """Return a child's outcome; None where it wrote none."""
    try:
        return BuildOutcome(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _write(file: Path, outcome: BuildOutcome) -> None:
    """Write the file whole: a reader never sees half of it."""
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(outcome)) + "\n", encoding="utf-8")
    put_in_place(partial, file)
