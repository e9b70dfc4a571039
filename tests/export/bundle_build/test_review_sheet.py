"""The sheet beside a bundle on which a person decides about odd good parts."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edge_app.errors import DataError
from export.bundle_build.odd_parts import CalibratedPart, OddPart
from export.bundle_build.review_sheet import folder_of, open_sheet, save, take_over, write_review
from export.cli.main import main
from export.data.picture import Picture
from export.data.review import REVIEW_FILE, read_decisions

pytestmark = pytest.mark.needs("the extra train")

NAMES = ("b/hair.png", "dent.png", "it's <odd>.png")


@dataclass(frozen=True)
class Place:
    """A bundle's path, its data, and the sheet between them."""

    bundle: Path
    data: Path

    @property
    def sheet(self) -> Path:
        return folder_of(self.bundle) / "review.csv"

    def lines(self) -> list[dict[str, str]]:
        return list(csv.DictReader(self.sheet.read_text("utf-8").splitlines()))

    def fill(self, choices: dict[str, str], separator: str = ",", encoding: str = "utf-8") -> None:
        """Write choices by name into the sheet, as a spreadsheet would save it."""
        rows = self.lines()
        for row in rows:
            row["choice"] = choices.get(row["name"], row["choice"])
        with self.sheet.open("w", encoding=encoding, newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter=separator)
            writer.writeheader()
            writer.writerows(rows)

    def decided(self) -> dict[str, str]:
        return {d.name: d.choice for d in read_decisions(self.data).values()}


def odd(number: int, name: str, twins: int = 0) -> OddPart:
    """Return an odd part with near-duplicates."""
    pictures = tuple(
        Picture(Path(n), n, f"{number * 10 + i:064x}", (4, 4))
        for i, n in enumerate([name, *(f"twin{t}.png" for t in range(twins))])
    )
    part = CalibratedPart(pictures, np.zeros((4, 4, 3), np.uint8))
    return OddPart(part, 2.0 - number, 150.0 - number, number == 0, False, 0.9, 80.0)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A sheet of three parts, the first with one near-duplicate."""
    found = Place(tmp_path / "t.bundle", tmp_path / "data")
    found.data.mkdir()
    shown = [odd(0, NAMES[0], 1), odd(1, NAMES[1]), odd(2, NAMES[2])]
    view = np.full((8, 8, 3), 90, np.uint8)
    write_review(found.bundle, found.data, "t", shown, [(view, view)] * 3)
    return found


def test_the_sheet_has_a_line_for_each_part(place: Place) -> None:
    """Name and sha256 are keys, the choice is empty, the page shows each with three choices."""
    rows = place.lines()
    assert [(r["name"], r["choice"], r["sha256"]) for r in rows] == [
        (name, "", f"{i * 10:064x}") for i, name in enumerate(NAMES)
    ]
    assert (rows[0]["percent_of_limit"], rows[0]["stopped"]) == ("150", "yes")
    page = (folder_of(place.bundle) / "review.html").read_text()
    assert page.count('type="radio"') == 3 * 4
    assert page.count("data:image/jpeg") == 6
    assert "it&#x27;s &lt;odd&gt;.png" in page
    assert "The same part: twin0.png" in page
    assert f"edge-export review {place.bundle}" in page


@pytest.mark.parametrize(
    ("separator", "encoding"), [(",", "utf-8"), (";", "utf-8-sig"), ("\t", "cp1252")]
)
def test_a_filled_sheet_is_taken_over(
    place: Place, capsys: pytest.CaptureFixture[str], separator: str, encoding: str
) -> None:
    """As several spreadsheets save it; a part's near-duplicates share its choice."""
    place.fill({NAMES[0]: "Harmless dirt", NAMES[1]: " DEFECTIVE "}, separator, encoding)
    assert main(["review", str(place.bundle)]) == 0
    told = capsys.readouterr().out
    assert place.decided() == {
        NAMES[0]: "harmless", "twin0.png": "harmless", NAMES[1]: "defective",
    }  # fmt: skip
    assert "2 decisions written to" in told
    assert "1 of 3 undecided" in told
    assert [row["choice"] for row in place.lines()] == ["harmless", "defective", ""]


def test_parts_are_decided_on_the_command_line(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """By name, or by the file's name where it is the only one; taken back with --undecided."""
    assert main(["review", str(place.bundle), "--harmless", "hair.png", "--good", NAMES[2]]) == 0
    assert place.decided() == {
        NAMES[0]: "harmless", "twin0.png": "harmless", NAMES[2]: "good",
    }  # fmt: skip
    assert main(["review", str(place.bundle), "--undecided", NAMES[0], "--defective=dent.png"]) == 0
    assert place.decided() == {NAMES[1]: "defective", NAMES[2]: "good"}
    capsys.readouterr()
    assert main(["review", str(place.bundle)]) == 0
    told = capsys.readouterr().out
    assert "decisions written" not in told
    assert [line.split()[0] for line in told.splitlines()[1:4]] == ["–", "defective", "good"]


def test_an_old_sheet_takes_nothing_back(place: Place) -> None:
    """Decided since through another bundle: the sheet's untouched lines say nothing."""
    place.fill({NAMES[1]: "good"})
    save(open_sheet(place.bundle))
    kept = json.loads((place.data / REVIEW_FILE).read_text())
    kept["decisions"][0]["choice"] = "defective"
    (place.data / REVIEW_FILE).write_text(json.dumps(kept))
    assert open_sheet(place.bundle).changed == 0
    assert take_over(place.bundle, place.data) == 0
    assert place.decided() == {NAMES[1]: "defective"}


def test_the_next_build_takes_the_sheet_over_before_it_writes_another(place: Place) -> None:
    """What was written into it is not lost where nobody ran the command."""
    place.fill({NAMES[1]: "defective"})
    assert take_over(place.bundle, place.data) == 1
    assert place.decided() == {NAMES[1]: "defective"}
    other = place.data.with_name("other")
    other.mkdir()
    place.fill({NAMES[2]: "defective"})
    assert take_over(place.bundle, other) == 0
    assert not (other / REVIEW_FILE).exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--defective", "nobody.png"], "nobody.png is no odd part of this bundle"),
        (["--good", NAMES[1], "--defective", NAMES[1]], "expected one choice for a part"),
        (["--data", "not-there"], "The data set not-there is not there"),
    ],
)
def test_what_is_not_clear_changes_nothing(
    place: Place, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert main(["review", str(place.bundle), *arguments]) == 2
    assert told in capsys.readouterr().err
    assert place.decided() == {}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text.replace("\n,", "\nmaybe,", 1), "line 2: the choice is 'maybe'"),
        (lambda text: text.replace("dent.png", "other.png"), "line 3: name and sha256"),
        (lambda text: text.replace("sha256", "digest", 1), "no columns choice and sha256"),
        (lambda _: "", "no columns choice and sha256"),
    ],
)
def test_a_sheet_that_cannot_be_understood_is_refused(
    place: Place, change: object, told: str
) -> None:
    """With the line: a choice that is not understood must not pass for none."""
    assert callable(change)
    place.sheet.write_text(change(place.sheet.read_text()))
    with pytest.raises(DataError, match=told):
        open_sheet(place.bundle)


def test_a_bundle_without_a_sheet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["review", str(tmp_path / "a.bundle")]) == 2
    assert "holds no review" in capsys.readouterr().err


def test_a_deleted_sheet_is_written_anew(place: Place) -> None:
    place.sheet.unlink()
    save(open_sheet(place.bundle))
    assert [row["name"] for row in place.lines()] == list(NAMES)


def test_decisions_of_earlier_builds_are_shown_if_asked_for(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """A part that was left out is in no sheet any more; it can be taken back by its name."""
    main(["review", str(place.bundle), "--defective", NAMES[1]])
    write_review(place.bundle, place.data, "t", [], [])
    capsys.readouterr()
    assert main(["review", str(place.bundle)]) == 0
    assert "1 more were decided before" in capsys.readouterr().out
    assert main(["review", str(place.bundle), "--all", "--good", NAMES[1]]) == 0
    assert "good       decided before  dent.png" in capsys.readouterr().out
    assert place.decided() == {NAMES[1]: "good"}


def test_a_name_that_is_no_text_can_be_decided_on(tmp_path: Path) -> None:
    """Files of old systems: bytes that are no UTF-8."""
    found = Place(tmp_path / "t.bundle", tmp_path)
    name = b"sch\xe4den.png".decode("utf-8", "surrogateescape")
    view = np.zeros((8, 8, 3), np.uint8)
    write_review(found.bundle, found.data, "t", [odd(0, name)], [(view, view)])
    assert main(["review", str(found.bundle), "--good", name]) == 0
    assert list(found.decided().values()) == ["good"]
