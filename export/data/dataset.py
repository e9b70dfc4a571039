"""The pictures of good parts a person brings: found, read, hashed, and nothing else touched.

`layouts.py` says where they lie. Nothing under a folder named `test` or `ground_truth` is opened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from edge_app.cameras.picture_listing import LeftOut, told_left_out
from edge_app.errors import DataError
from edge_app.records import F32Array
from export.data.layouts import told_counts
from export.data.name_meanings import NEVER_TRAINED
from export.data.picture import Picture
from export.data.review import REVIEW_FILE, Reviewed, read_decisions, reviewed
from export.data.survey import Survey, survey_good

__all__ = ["GoodPictures", "Picture", "digests_of", "good_pictures", "scan_good_pictures"]

MIN_PICTURES = 20
"""Fewer good parts than this cannot both fit a density and be held out for a threshold."""

FEW_PICTURES = 100
"""Below this the report warns: the threshold rests on a handful of parts."""

_MAX_NAMED = 5


@dataclass(frozen=True, slots=True)
class GoodPictures:
    """All of them, with warnings for a person.

    Attributes:
        folder: where they were found.
        pictures: sorted by name; duplicates (same bytes) are in it once.
        warnings: sentences for the terminal and the report.
        elsewhere: what else the data set holds, counted by folder; empty for nothing.
        thumbs: (48, 48) float32 of every picture, as `groups.thumbnail` gives them.
        review: what a person said of some of them; those called defective are not in `pictures`.
        confirmed_defective: how many different parts were left out for that.
        root: the data set's folder, which `folder` is or lies in; None: `folder`.
    """

    folder: Path
    pictures: tuple[Picture, ...]
    warnings: tuple[str, ...]
    elsewhere: str = ""
    thumbs: tuple[F32Array, ...] = field(default=(), compare=False, repr=False)
    review: Reviewed = field(default=Reviewed(), compare=False, repr=False)
    confirmed_defective: int = 0
    root: Path | None = None

    @property
    def parts(self) -> int:
        """How many different parts there are, near-duplicates counted once."""
        return len({p.part for p in self.pictures})

    @property
    def summary(self) -> str:
        """Return e.g. `400 good parts from DIR (380 different ones), 640×480; not taken: ...`."""
        few = f" ({self.parts} different ones)" if self.parts < len(self.pictures) else ""
        sizes = told_sizes(Counter(p.hw for p in self.pictures))
        elsewhere = f"; not taken: {self.elsewhere}" if self.elsewhere else ""
        if self.confirmed_defective:
            elsewhere += f"; called defective and left out: {self.confirmed_defective}"
        return f"{len(self.pictures)} good parts from {self.folder}{few}, {sizes}{elsewhere}"


def scan_good_pictures(data: Path, min_pictures: int = MIN_PICTURES) -> GoodPictures:
    """Read every good picture once and return what is usable.

    Pictures that a person called defective (`data/review.json`) are left out.

    Raises:
        DataError: review.json is not valid, the folder is missing, a name in it means bad parts
            (before anything is read), or fewer than `min_pictures` are readable, or show different
            parts.
    """
    decisions = read_decisions(data)
    seen = survey_good(data)
    said = reviewed(decisions, (p.sha256 for p in seen.pictures))
    return good_pictures(seen, min_pictures, said)


def good_pictures(
    seen: Survey, min_pictures: int = MIN_PICTURES, said: Reviewed | None = None
) -> GoodPictures:
    """Return what is usable of what was seen.

    Args:
        said: what a person decided; None: nothing.

    Raises:
        DataError: fewer than `min_pictures` are readable, or show different parts.
    """
    said = said or Reviewed()
    called = {p.part for p in seen.pictures if p.sha256 in said.defective}
    seen = _without(seen, said.defective)
    warnings = (
        *said.warnings,
        *_left_out(seen.left_out),
        *_not_taken(seen.passed_over, seen.elsewhere),
        *(f"{count} pictures have {note}" for note, count in sorted(seen.looks.notes.items())),
        *_warnings(seen),
    )
    good = GoodPictures(
        seen.folder,
        seen.pictures,
        warnings,
        told_counts(seen.elsewhere),
        seen.thumbs,
        said,
        len(called - {p.part for p in seen.pictures}),
        seen.root,
    )
    if len(good.pictures) < min_pictures:
        besides = f"; not taken: {told_counts(seen.passed_over)}" if seen.passed_over else ""
        raise DataError(
            f"{good.folder} holds {len(good.pictures)} different readable pictures, at least "
            f"{min_pictures} are needed (a few hundred are better){besides}: take more "
            "pictures of good parts."
        )
    if good.parts < min_pictures:
        raise DataError(
            f"{good.folder} holds {len(good.pictures)} pictures, but they show only {good.parts} "
            f"different parts or moments, at least {min_pictures} are needed: frames of a video "
            f"and re-saved copies count once{told_alike(seen)}. Take pictures of more parts."
        )
    return good


def _without(seen: Survey, digests: frozenset[str]) -> Survey:
    """Return the survey without the pictures of these digests."""
    if not digests:
        return seen
    kept = [i for i, p in enumerate(seen.pictures) if p.sha256 not in digests]
    return replace(
        seen,
        pictures=tuple(seen.pictures[i] for i in kept),
        thumbs=tuple(seen.thumbs[i] for i in kept),
    )


def told_alike(seen: Survey) -> str:
    """Return e.g. ` (a.png, b.png and c.png are one)`: the largest group; "" without any."""
    if not seen.groups:
        return ""
    names = seen.groups[0]
    *most, last = names if len(names) <= 3 else (*names[:3], f"{len(names) - 3} more")
    return f" ({', '.join(most)} and {last} are one)"


def told_sizes(sizes: Counter[tuple[int, int]]) -> str:
    """Return e.g. `640×480 (398), 320×240 (2)`; one size alone without its number."""
    if len(sizes) == 1:
        ((h, w),) = sizes
        return f"{w}×{h}"
    told = [f"{w}×{h} ({n})" for (h, w), n in sizes.most_common(3)]
    return ", ".join(told) + (f", {len(sizes) - 3} more sizes" if len(sizes) > 3 else "")


def told_names(names: Iterable[str]) -> str:
    """Return the first few names, and how many more there are."""
    listed = list(names)
    more = [f"{len(listed) - _MAX_NAMED} more"] if len(listed) > _MAX_NAMED else []
    return ", ".join(listed[:_MAX_NAMED] + more)


def _not_taken(passed_over: Counter[str], elsewhere: Counter[str]) -> tuple[str, ...]:
    """Return a warning about pictures that are not trained on, where that is not the usual."""
    usual = [name for name in elsewhere if name.split("/")[0].lower() in NEVER_TRAINED]
    counts = passed_over + Counter({n: c for n, c in elsewhere.items() if n not in usual})
    return (f"not taken for good parts: {told_counts(counts)}",) if counts else ()


def _left_out(items: Sequence[LeftOut]) -> tuple[str, ...]:
    """Return a warning about what is no picture, but for a person's labels and decisions."""
    told = told_left_out(
        [
            item
            for item in items
            if not item.name.lower().endswith(".txt") and item.name != REVIEW_FILE
        ]
    )
    return (f"left out: {told}",) if told else ()


def _warnings(seen: Survey) -> tuple[str, ...]:
    pictures, looks, warnings = seen.pictures, seen.looks, []
    parts = len({p.part for p in pictures})
    folders = Counter(p.name.partition("/")[0] + "/" for p in pictures if "/" in p.name)
    if len(folders) > 1:
        warnings.append(
            f"{len(folders)} folders are all taken for good parts: {told_counts(folders)}"
        )
    if 0 < len(looks.grey) < len(pictures):
        warnings.append(
            f"{len(looks.grey)} of {len(pictures)} pictures are grey, the others in colour: take "
            "all of them the way the line's camera will"
        )
    if looks.unreadable:
        warnings.append(
            f"{len(looks.unreadable)} pictures cannot be read: {told_names(looks.unreadable)}"
        )
    for why in sorted(set(looks.blank.values())):
        names = [name for name, found in looks.blank.items() if found == why]
        warnings.append(f"{len(names)} pictures are {why}, no part is seen: {told_names(names)}")
    if looks.copies:
        warnings.append(
            f"{len(looks.copies)} pictures are byte-identical copies of others and count once"
        )
    if parts < len(pictures):
        warnings.append(
            f"{len(pictures)} pictures show {parts} different parts or moments: near-"
            f"duplicates{told_alike(seen)} stay together"
        )
    if parts < FEW_PICTURES:
        warnings.append(f"only {parts} different good parts: the threshold rests on few of them")
    if len(seen.sizes) > 1:
        warnings.append(
            f"pictures have {len(seen.sizes)} different sizes: {told_sizes(seen.sizes)}"
        )
    return tuple(warnings)


def digests_of(pictures: Sequence[Picture]) -> list[str]:
    """Return every picture's SHA-256, in their order: the key of what was learnt from them."""
    return [p.sha256 for p in pictures]
