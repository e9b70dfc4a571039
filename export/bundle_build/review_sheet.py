"""`BUNDLE.review/` beside the bundle: the odd good parts, and a sheet a person fills.

| File | What it is |
|---|---|
| `review.html` | crops, maps, scores and choices, for a browser |
| `review.csv` | one line per odd part; the column `choice` is for a person |
| `parts.json` | the same for `edge-export review`, with near-duplicates and the last choices |

A choice counts for the part: for the picture that is shown and its near-duplicates. Decisions are
kept beside the data (`export/data/review.py`); a line of the sheet counts where it was changed
since it was written, so that an old sheet takes nothing back.
"""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from edge_app.bundle.strict import Finite, Sha256, StrictModel
from edge_app.errors import DataError
from edge_app.records import U8Array
from edge_app.store.durable_write import perform, write_durably
from export.bundle_build.odd_page import review_page
from export.bundle_build.odd_parts import OddPart
from export.data.review import CHOICES, Decision, read_decisions, told_name, write_decisions

COLUMNS = ("choice", "name", "sha256", "percent_of_limit", "stopped", "limit_without_percent")

Said = Literal["good", "defective", "harmless", ""]
"""A choice, or "" for none."""

WORDS: dict[str, Said] = {
    "": "",
    **{choice: choice for choice in CHOICES},
    "harmless dirt": "harmless",
    "dirt": "harmless",
    "defect": "defective",
    "ok": "good",
}
"""What a person may write into the column `choice`, in any case."""


class SamePart(StrictModel):
    """One of a part's pictures."""

    name: str
    sha256: Sha256


class ListedPart(StrictModel):
    """An odd part as `parts.json` has it.

    Attributes:
        pictures: the one that is shown, then its near-duplicates.
        percent, percent_without: score and limit without it, in percent of the limit.
        written: what `review.csv` said when it was written.
    """

    pictures: tuple[SamePart, ...]
    percent: Finite
    is_alarmed: bool
    percent_without: Finite
    written: Said = ""

    @property
    def name(self) -> str:
        """Of the picture that is shown."""
        return self.pictures[0].name


class OddList(StrictModel):
    """What `parts.json` holds.

    Attributes:
        data: the data set's folder, absolute.
    """

    format: Literal["cropliq-odd-parts/1"] = "cropliq-odd-parts/1"
    data: str
    parts: tuple[ListedPart, ...]


def folder_of(bundle: Path) -> Path:
    """Return the folder beside the bundle."""
    return bundle.with_name(bundle.name + ".review")


def write_review(
    bundle: Path,
    data: Path,
    product: str,
    shown: Sequence[OddPart],
    views: Sequence[tuple[U8Array, U8Array]],
) -> Path:
    """Write the folder of a fresh bundle and return its page.

    Raises:
        DataError: it cannot be written.
    """
    folder = folder_of(bundle)
    listed = OddList(data=str(data.resolve()), parts=tuple(_listed(odd) for odd in shown))
    decided = read_decisions(data).values()
    page = review_page(
        product, f"edge-export review {shlex.quote(str(bundle))}", shown, views, decided
    )
    try:
        folder.mkdir(exist_ok=True)
        (folder / "review.html").write_text(page, "utf-8", errors="backslashreplace")
        _write(folder, listed)
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written: {error.strerror}. Check its rights."
        ) from error
    return folder / "review.html"


def _listed(odd: OddPart) -> ListedPart:
    return ListedPart(
        pictures=tuple(
            SamePart(name=told_name(p.name), sha256=p.sha256) for p in odd.part.pictures
        ),
        percent=odd.percent,
        is_alarmed=odd.is_alarmed,
        percent_without=odd.percent_without,
    )


@dataclass(frozen=True, slots=True)
class Sheet:
    """A bundle's odd parts and what is decided on them and all others of the data set.

    Attributes:
        changed: decisions that were made now.
    """

    folder: Path
    data: Path
    parts: tuple[ListedPart, ...]
    decisions: Mapping[str, Decision]
    changed: int = 0

    def choice(self, part: ListedPart) -> Said:
        """Return what is decided on a part; "" for nothing."""
        said = self.decisions.get(part.pictures[0].sha256)
        return said.choice if said else ""


def open_sheet(bundle: Path, data: Path | None = None) -> Sheet:
    """Return the sheet with the changed lines of review.csv taken over; nothing is written yet.

    Args:
        data: the data set, where it has moved since the build.

    Raises:
        DataError: there is no sheet, or a line of it cannot be understood.
    """
    folder = folder_of(bundle)
    listed = _read(folder)
    where = data or Path(listed.data)
    if not where.is_dir():
        raise DataError(
            f"The data set {where} is not there: decisions are kept beside it. Name its folder "
            "with --data."
        )
    sheet = Sheet(folder, where, listed.parts, read_decisions(where))
    for part, said in _edited(folder, listed.parts):
        sheet = _decide(sheet, part.pictures, said)
    return sheet


def decide(sheet: Sheet, choices: Iterable[tuple[str, Said]]) -> Sheet:
    """Return the sheet with further choices by name; "" takes a decision back.

    Raises:
        DataError: a name is neither an odd part's nor decided before, or means several.
    """
    for name, said in choices:
        sheet = _decide(sheet, _pictures_named(sheet, name), said)
    return sheet


def save(sheet: Sheet) -> Path | None:
    """Write the decisions beside the data, the sheet as it stands; return the decisions' file.

    None where nothing was ever decided.

    Raises:
        DataError: one of them cannot be written.
    """
    file = write_decisions(sheet.data, sheet.decisions) if sheet.changed else None
    parts = tuple(part.model_copy(update={"written": sheet.choice(part)}) for part in sheet.parts)
    try:
        _write(sheet.folder, OddList(data=str(sheet.data.resolve()), parts=parts))
    except OSError as error:
        raise DataError(f"{sheet.folder} cannot be written: {error.strerror}.") from error
    return file


def take_over(bundle: Path, data: Path) -> int:
    """Take over what a person has written into the sheet of an earlier build; return how much.

    A sheet of another data set is left alone.

    Raises:
        DataError: a line of it cannot be understood.
    """
    if not (folder_of(bundle) / "parts.json").is_file():
        return 0
    if Path(_read(folder_of(bundle)).data) != data.resolve():
        return 0
    sheet = open_sheet(bundle, data)
    if sheet.changed:
        save(sheet)
    return sheet.changed


def _decide(sheet: Sheet, pictures: Sequence[SamePart], said: Said) -> Sheet:
    decisions = dict(sheet.decisions)
    for picture in pictures:
        decisions.pop(picture.sha256, None)
        if said:
            decisions[picture.sha256] = Decision(
                sha256=picture.sha256, name=picture.name, choice=said
            )
    changed = sheet.changed + int(decisions != dict(sheet.decisions))
    return replace(sheet, decisions=decisions, changed=changed)


def _pictures_named(sheet: Sheet, name: str) -> tuple[SamePart, ...]:
    """Return the pictures of the part with that name, or with that file name if it is the only."""
    name = told_name(name)
    known: dict[str, tuple[SamePart, ...]] = {
        d.name: (SamePart(name=d.name, sha256=d.sha256),) for d in sheet.decisions.values()
    }
    for part in sheet.parts:
        known.update(dict.fromkeys((p.name for p in part.pictures), part.pictures))
    if name in known:
        return known[name]
    alike = {pictures for full, pictures in known.items() if Path(full).name == name}
    if len(alike) == 1:
        return alike.pop()
    raise DataError(
        f"{name} is {'the name of several odd parts' if alike else 'no odd part of this bundle'}. "
        f"Expected one of {', '.join(known) or 'none: there is nothing to decide'}."
    )


def _edited(folder: Path, parts: Sequence[ListedPart]) -> list[tuple[ListedPart, Said]]:
    """Return the parts whose line was changed since the sheet was written."""
    file = folder / "review.csv"
    if not file.is_file():
        return []
    by_digest = {part.pictures[0].sha256: part for part in parts}
    edited = []
    for number, row in _rows(file):
        digest = (row.get("sha256") or "").strip().lower()
        part = by_digest.get(digest)
        if part is None or (row.get("name") or part.name) != part.name:
            raise DataError(
                f"{file}, line {number}: name and sha256 are those of no odd part. Change the "
                "column choice only, or delete the file and name parts on the command line."
            )
        said = _said(row.get("choice") or "", file, number)
        if said != part.written:
            edited.append((part, said))
    return edited


def _said(text: str, file: Path, number: int) -> Said:
    said = WORDS.get(" ".join(text.lower().split()))
    if said is None:
        expected = ", ".join(CHOICES)
        raise DataError(
            f"{file}, line {number}: the choice is {text!r}. Expected {expected} or nothing."
        )
    return said


def _rows(file: Path) -> list[tuple[int, dict[str, str]]]:
    """Return (line, column → text); spreadsheets change separators, encodings and line ends."""
    raw = file.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")
    head = text.splitlines()[0] if text.strip() else ""
    separator = max(",;\t", key=head.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
    names = {name.strip().lower() for name in reader.fieldnames or ()}
    if not {"choice", "sha256"} <= names:
        raise DataError(
            f"{file} has no columns choice and sha256 in its first line. Delete the file and run "
            "edge-export review again: it is written anew."
        )
    return [
        (reader.line_num, {k.strip().lower(): v for k, v in row.items() if isinstance(v, str)})
        for row in reader
        if any(row.values())
    ]


def _read(folder: Path) -> OddList:
    file = folder / "parts.json"
    try:
        return OddList.model_validate_json(file.read_bytes())
    except OSError as error:
        raise DataError(
            f"{folder} holds no review: {error.strerror}. Expected the folder that edge-export "
            "build writes beside the bundle. Build again."
        ) from error
    except ValidationError as error:
        raise DataError(f"{file} is not what edge-export build wrote. Build again.") from error


def _write(folder: Path, listed: OddList) -> None:
    """Write parts.json and review.csv."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for part in listed.parts:
        writer.writerow(
            [
                part.written,
                part.name,
                part.pictures[0].sha256,
                round(part.percent),
                "yes" if part.is_alarmed else "no",
                round(part.percent_without),
            ]
        )
    # parts.json first: a sheet of other parts is refused, never taken for these
    write_durably(perform, folder / "parts.json", listed.model_dump_json(indent=1).encode())
    write_durably(perform, folder / "review.csv", text.getvalue().encode())
