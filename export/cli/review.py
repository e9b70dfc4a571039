"""`edge-export review`: its options, and its table on the terminal."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_app.cli.parser import set_examples

if TYPE_CHECKING:
    from export.bundle_build.review_sheet import Said, Sheet

OPTIONS: tuple[tuple[str, Said, str], ...] = (
    ("defective", "defective", "no good part: the next build leaves it out"),
    ("harmless", "harmless", "dust, a hair or the like on a good part: it stays"),
    ("good", "good", "a good part like any other: it stays"),
    ("undecided", "", "take back what was said"),
)


def add_review(commands: Any) -> None:
    """Add the command to `edge-export`'s sub-parsers."""
    text = "say which odd good parts are good, defective or carry harmless dirt"
    parser = commands.add_parser(
        "review",
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog="Without a choice it takes over what was written into BUNDLE.review/review.csv and "
        "shows the table. Decisions are kept in review.json beside the data; the next build uses "
        "them. Only parts called defective are left out.",
    )
    set_examples(
        parser,
        "edge-export review part.bundle",
        "edge-export review part.bundle --defective 0012.png --harmless 0040.png",
    )
    parser.add_argument("bundle", type=Path, help="the bundle that edge-export build wrote")
    for option, _, help_text in OPTIONS:
        parser.add_argument(f"--{option}", action="append", metavar="NAME", help=help_text)
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="the data set, where it has moved since the build"
    )
    parser.add_argument("--all", action="store_true", help="show what was decided before as well")
    parser.set_defaults(run=_review)


def _review(args: argparse.Namespace) -> int:
    from export.bundle_build.review_sheet import decide, open_sheet, save

    given = [(name, said) for option, said, _ in OPTIONS for name in getattr(args, option) or ()]
    _refuse_two_choices([name for name, _ in given])
    sheet = decide(open_sheet(args.bundle, args.data), given)
    kept = save(sheet)
    _show(sheet, args.all)
    if kept is not None:
        print(f"{sheet.changed} decisions written to {kept}; the next build uses them.")
    return 0


def _refuse_two_choices(names: Sequence[str]) -> None:
    from edge_app.errors import DataError

    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{', '.join(twice)}: expected one choice for a part, got several.")


def _show(sheet: Sheet, is_all: bool) -> None:
    print(f"{'choice':<11}{'of the limit':>13}{'without it':>12}  picture")
    for part in sheet.parts:
        said = sheet.choice(part) or "–"
        stopped = "!" if part.is_alarmed else " "
        figures = f"{part.percent:>10.0f} % {stopped}{part.percent_without:>9.0f} %"
        print(f"{said:<11}{figures}  {part.name}")
    open_parts = sum(not sheet.choice(part) for part in sheet.parts)
    print(f"{open_parts} of {len(sheet.parts)} undecided. ! = it would be stopped.")
    print(f"Look at them in {sheet.folder / 'review.html'}")
    listed = {p.sha256 for part in sheet.parts for p in part.pictures}
    others = [d for d in sheet.decisions.values() if d.sha256 not in listed]
    if is_all:
        for decision in sorted(others, key=lambda d: d.name):
            print(f"{decision.choice:<11}decided before  {decision.name}")
    elif others:
        print(f"{len(others)} more were decided before; --all shows them.")
