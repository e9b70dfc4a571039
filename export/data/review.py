"""What a person said of odd good parts: `review.json` beside the data, used by every build.

    {"format": "cropliq-review/1",
     "decisions": [{"sha256": "…", "name": "003.png", "choice": "defective"}]}

| Choice | Meaning |
|---|---|
| `good` | a good part like the others: it stays, and is not shown as odd again |
| `harmless` | dirt or dust on a good part, which the line shall let pass: it stays too |
| `defective` | no good part: it is left out, the only ones that ever are |

A decision belongs to a file's bytes; its name, relative to the folder of good parts, is for people.
Unknown keys, formats and choices are refused. The file is replaced as a whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pydantic import TypeAdapter, ValidationError

from edge_app.bundle.strict import Sha256, StrictModel
from edge_app.errors import DataError
from edge_app.store.durable_write import perform, write_durably

REVIEW_FILE = "review.json"
"""Lies in the data set's folder, whatever its layout."""

Choice = Literal["good", "defective", "harmless"]

CHOICES: tuple[Choice, ...] = get_args(Choice)


class Decision(StrictModel):
    """A person's word on one picture.

    Attributes:
        sha256: of the file's bytes.
        name: relative to the folder of good parts, when it was decided; as `told_name` has it.
        choice: see the module's docstring.
    """

    sha256: Sha256
    name: str
    choice: Choice


class _ReviewFile(StrictModel):
    format: Literal["cropliq-review/1"] = "cropliq-review/1"
    decisions: tuple[Decision, ...]


Decisions = Mapping[str, Decision]
"""sha256 → decision."""


def read_decisions(data: Path) -> dict[str, Decision]:
    """Return what a person said of the pictures of this data set; empty where nothing was.

    Raises:
        DataError: the file cannot be read, or is not what this module writes.
    """
    file = data / REVIEW_FILE
    if not file.is_file():
        return {}
    try:
        found = TypeAdapter(_ReviewFile).validate_json(file.read_bytes(), strict=False)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}. Check its rights.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DataError(
            f"{file}: {where}: {first['msg']}. It holds what edge-export review was told; correct "
            "it or move it away."
        ) from error
    decided = {d.sha256: d for d in found.decisions}
    if len(decided) != len(found.decisions):
        raise DataError(f"{file} decides on one picture twice. Remove one of the two.")
    return decided


def write_decisions(data: Path, decisions: Decisions) -> Path:
    """Replace the data set's decisions and return their file.

    Raises:
        DataError: it cannot be written; the old one is unchanged.
    """
    file = data / REVIEW_FILE
    ordered = sorted(decisions.values(), key=lambda d: (d.name, d.sha256))
    content = _ReviewFile(decisions=tuple(ordered)).model_dump(mode="json")
    try:
        write_durably(perform, file, (json.dumps(content, indent=1) + "\n").encode())
    except OSError as error:
        raise DataError(
            f"{file} cannot be written: {error.strerror}. Decisions are kept beside the data: make "
            "that folder writable, or copy the data to one that is."
        ) from error
    return file


def told_name(name: str) -> str:
    """Return a file name that can be printed and kept, whatever bytes it holds."""
    return name.encode(errors="backslashreplace").decode()


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What the decisions mean for the pictures there are.

    Attributes:
        defective: digests of pictures that are left out.
        kept: digests of pictures that stay and are not shown as odd again.
        gone: names of decided pictures that are no longer there.
        warnings: sentences on what is left out and what is gone.
    """

    defective: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()
    gone: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def reviewed(decisions: Decisions, digests: Iterable[str]) -> Reviewed:
    """Return what the decisions mean for the pictures with these digests."""
    here = set(digests)
    present = [d for d in decisions.values() if d.sha256 in here]
    out = sorted((d for d in present if d.choice == "defective"), key=lambda d: d.name)
    gone = tuple(sorted(d.name for d in decisions.values() if d.sha256 not in here))
    warnings = []
    if out:
        warnings.append(
            f"{len(out)} pictures are left out, because a person called them defective "
            f"({REVIEW_FILE}): {_named([d.name for d in out])}"
        )
    if gone:
        warnings.append(
            f"{REVIEW_FILE} decides on {len(gone)} pictures that are no longer there (or have "
            f"changed): {_named(gone)}"
        )
    return Reviewed(
        frozenset(d.sha256 for d in out),
        frozenset(d.sha256 for d in present if d.choice != "defective"),
        gone,
        tuple(warnings),
    )


def _named(names: Iterable[str], most: int = 5) -> str:
    listed = list(names)
    more = [f"{len(listed) - most} more"] if len(listed) > most else []
    return ", ".join(listed[:most] + more)
