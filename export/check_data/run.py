"""`edge-export check-data`: every picture of good parts read once, nothing trained."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from edge_app.cameras.picture_listing import told_left_out
from edge_app.errors import CameraError, DataError
from edge_app.records import JsonObject
from export.check_data.sheet import contact_sheet, write_sheet
from export.data.dataset import good_pictures, told_names, told_sizes
from export.data.layouts import told_counts
from export.data.name_meanings import MASK_FOLDERS, means_good
from export.data.review import read_decisions, reviewed
from export.data.survey import Survey, survey_good
from export.labels.given.read import given_labels

_MAX_GROUPS = 5


@dataclass(frozen=True, slots=True)
class DataCheck:
    """What was found.

    Attributes:
        rows: (what, found), for a table.
        warnings: what a build would say.
        would: what a build would do, one sentence.
        is_usable: it would not refuse.
        sheet: the contact sheet; None where there is no picture to show.
    """

    rows: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    would: str
    is_usable: bool
    sheet: Path | None = None

    def as_json(self) -> JsonObject:
        """Return all of it as one object."""
        return {
            "found": dict(self.rows),
            "warnings": list(self.warnings),
            "would": self.would,
            "is_usable": self.is_usable,
            "sheet": str(self.sheet) if self.sheet else None,
        }


def check_data(data: Path, sheet: Path) -> DataCheck:
    """Read the pictures below `data`, write the contact sheet, and say what a build would do.

    Raises:
        DataError: `data` is no folder, or the sheet would lie in it.
        OSError: the sheet cannot be written.
    """
    if not data.is_dir():
        kind = "a file" if data.exists() else "not there"
        raise DataError(f"{data} is {kind}. Name the data set's folder.")
    if sheet.resolve().parent.is_relative_to(data.resolve()):
        raise DataError(
            f"The contact sheet {sheet} would lie among the pictures, where a build takes it for a "
            "part. Name another place with --sheet, or start the command elsewhere."
        )
    try:
        seen = survey_good(data)
    except (DataError, CameraError) as error:
        return DataCheck((), (), f"refuse: {error}", False)
    written = write_sheet(contact_sheet(seen), sheet) if seen.pictures else None
    warnings: tuple[str, ...] = ()
    try:
        decisions = read_decisions(data)
        good = good_pictures(seen, said=reviewed(decisions, (p.sha256 for p in seen.pictures)))
        labels, said = _labels(seen)
        warnings = (*good.warnings, *said)
    except DataError as error:
        return DataCheck(_rows(seen), warnings, f"refuse: {error}", False, written)
    would = (
        f"train on all {len(good.pictures)} pictures and set the threshold by judging each with a "
        f"model that has not seen it; {labels}"
    )
    return DataCheck(_rows(seen), warnings, would, True, written)


def _labels(seen: Survey) -> tuple[str, tuple[str, ...]]:
    """Return what a build would do for labels, and its warnings on those that were given."""
    given = given_labels(seen.pictures, seen.folder, seen.root)
    if not given.pictures:
        return "label the products itself", given.warnings
    share = f"{len(given.pictures)} of {len(seen.pictures)}"
    return f"take your labels, which {share} pictures have", given.warnings


def _rows(seen: Survey) -> tuple[tuple[str, str], ...]:
    looks = seen.looks
    parts = len({p.part for p in seen.pictures})
    rows = [
        ("Good parts", f"{len(seen.pictures)} pictures in {seen.folder}"),
        ("Different parts", str(parts)),
        ("Sizes", told_sizes(seen.sizes) if seen.pictures else ""),
        ("Bits per value", _counted(looks.depths)),
        ("Formats", _counted(looks.endings)),
        ("Read by a rule", _counted(looks.notes)),
        ("Near-duplicates", _told_groups(seen)),
        ("Copies", told_names(f"{name} = {of}" for name, of in looks.copies.items())),
        ("Grey", f"{len(looks.grey)}" if looks.grey else ""),
        ("Nothing to see", told_names(f"{n}: {why}" for n, why in looks.blank.items())),
        ("Unreadable", told_names(looks.unreadable)),
        ("Not taken", told_counts(seen.passed_over)),
        ("Elsewhere", "; ".join(f"{n} ({c}): {_meaning(n)}" for n, c in _places(seen))),
        ("Left out", told_left_out(seen.left_out)),
    ]
    return tuple((what, found) for what, found in rows if found)


def _counted(counts: Counter[str] | Counter[int]) -> str:
    return ", ".join(f"{what} ({count})" for what, count in counts.most_common())


def _told_groups(seen: Survey) -> str:
    told = [" = ".join(names[:3]) + (" ..." if len(names) > 3 else "") for names in seen.groups]
    more = [f"{len(told) - _MAX_GROUPS} more groups"] if len(told) > _MAX_GROUPS else []
    return "; ".join(told[:_MAX_GROUPS] + more)


def _places(seen: Survey) -> list[tuple[str, int]]:
    return sorted(seen.elsewhere.items())


def _meaning(place: str) -> str:
    """Return what pictures in a folder of that name are for."""
    words = [word.lower() for word in place.strip("/").split("/")]
    if any(word in MASK_FOLDERS for word in words):
        return "masks"
    if means_good(words[-1]):
        return "good parts for edge-export evaluate"
    return "no good parts; for edge-export evaluate, or as known defects"
