"""`edge-app history`: what this device has recorded of its parts."""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from edge_app.cli.history_pictures import PictureCopy, account_words
from edge_app.cli.parser import set_examples, text, whole
from edge_app.cli.report import add_report_command
from edge_app.errors import OutputError

if TYPE_CHECKING:
    from edge_app.history.ledger import Ledger
    from edge_app.history.part_filter import PartFilter
    from edge_app.history.reader import HistoryReader

EXIT_HOLES = 1
EVIDENCE_FOLDER = "evidence"
"""Beside the history, in the state folder."""
OPEN = "open"
"""A mark that no engineer has accepted or declined."""
KEPT_FOR = ("ng", "suspect", "near_miss", "not_inspected", "random", "any")
STATES = ("OK", "NG", "NOT_INSPECTED")
MARKS = ("right", "false_alarm", "missed", "unsure")
COLUMNS = (
    "id", "camera", "slot", "part_id", "number", "trigger_id", "source_name", "captured_at",
    "recorded_at", "state", "reason", "score", "threshold", "threshold_id", "is_suspect", "product",
    "serial", "bundle_sha256", "precision", "views", "latency_ms", "alarm_id", "evidence_url",
    "evidence_sha256", "is_final", "corners", "defects", "kept_for", "marks", "reviewers",
    "decisions", "take_out", "take_out_settled_at", "acceptances", "accepted_by",
    "golden",
)  # fmt: skip
"""Of an exported CSV file; later releases add at the end."""
LINE = "{captured_at}  {camera:<12} {state:<13} {shown:>8} {limit:>8}  {part_id}  {more}"


def add_history_commands(commands: Any) -> None:
    """Add `history` and its sub-commands to edge-app's commands."""
    about = "list, check and export what this device has recorded of its parts"
    history = commands.add_parser("history", help=about, description=_sentence(about))
    steps = history.add_subparsers(dest="step", required=True, metavar="STEP")
    listed = _step(steps, "list", "show the latest parts, the newest first", _list)
    _add_filter(listed)
    listed.add_argument(
        "--count", type=whole(1, 100_000), default=20, metavar="N", help="parts (default: 20)"
    )
    checked = _step(
        steps,
        "check",
        "check the file, its pictures, and that every numbered part is accounted for (1 if not)",
        _check,
    )
    checked.add_argument(
        "--no-pictures", action="store_true", help="do not read the pictures that parts name"
    )
    add_report_command(steps)
    exported = _step(steps, "export", "write parts as CSV or JSON lines, the newest first", _export)
    _add_filter(exported)
    to = exported.add_mutually_exclusive_group(required=True)
    to.add_argument("--csv", type=Path, metavar="FILE", help="a new CSV file; - for the terminal")
    to.add_argument(
        "--jsonl", type=Path, metavar="FILE", help="a new file, one JSON object a line; - likewise"
    )
    exported.add_argument(
        "--pictures", type=Path, metavar="DIR",
        help="also copy their pictures, crops and sidecars into a new folder",
    )  # fmt: skip


def _step(steps: Any, name: str, about: str, work: Any) -> Any:
    parser = steps.add_parser(name, help=about, description=_sentence(about))
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="the configuration, TOML"
    )
    more = {"export": " --state NG --csv rejects.csv", "list": " --state NG", "check": ""}[name]
    set_examples(parser, f"edge-app history {name} --config edge-app.toml{more}")
    parser.set_defaults(work=work)
    return parser


def _add_filter(parser: Any) -> None:
    parser.add_argument("--camera", type=text(64), metavar="NAME", help="only this camera's parts")
    parser.add_argument(
        "--state", choices=STATES, action="append", help="only this verdict; may be repeated"
    )
    parser.add_argument("--suspects", action="store_true", help="only suspect parts")
    parser.add_argument(
        "--kept-for", choices=KEPT_FOR, metavar="REASON",
        help=f"only those whose picture is kept for that: {', '.join(KEPT_FOR)}",
    )  # fmt: skip
    parser.add_argument(
        "--part", type=text(1024), metavar="ID", help="only this part id, trigger id or file name"
    )
    parser.add_argument(
        "--class", dest="defect_class", type=text(64), metavar="C", help="only this defect class"
    )
    parser.add_argument(
        "--serial", type=text(1024), metavar="ID", help="only this number, trigger id or file name"
    )
    parser.add_argument(
        "--reviewed", choices=("yes", "no"), help="only parts that a person has marked, or has not"
    )
    parser.add_argument("--mark", choices=MARKS, help="only parts that a person marks so")
    parser.add_argument(
        "--disputed", action="store_true", help="only parts that people mark differently"
    )
    parser.add_argument(
        "--from", dest="begin", type=moment, metavar="TIME",
        help="captured at or after, e.g. 2026-11-30 or 2026-11-30T06:00+01:00 (UTC unless given)",
    )  # fmt: skip
    parser.add_argument("--to", dest="end", type=moment, metavar="TIME", help="captured before")


def moment(word: str) -> int:
    """Return a time in ns since the epoch."""
    try:
        when = datetime.fromisoformat(word.replace("Z", "+00:00"))
        if when.tzinfo is None:
            when = when.replace(tzinfo=timezone.utc)
        return math.floor(when.timestamp()) * 10**9 + when.microsecond * 1000
    except (ValueError, OverflowError, OSError) as error:
        raise argparse.ArgumentTypeError(
            f"expected a date or time such as 2026-11-30 or 2026-11-30T06:00:00Z, got {word[:40]!r}"
        ) from error


def _list(args: argparse.Namespace) -> int:
    reader, wanted = _asked(args)
    count = 0
    for part in _first(reader.every_part(wanted), args.count):
        count += 1
        print(_line(part))
    if not count:
        print("no such part is recorded.")
    return 0


def _line(part: dict[str, Any]) -> str:
    from edge_app.host.plain_text import one_line

    more = part["reason"] or ", ".join(sorted({str(d["class"]) for d in part["defects"]}))
    more += " (suspect)" if part["is_suspect"] else ""
    marks = [said["mark"].replace("_", " ") for said in part["decisions"] if said["is_current"]]
    more += f" [marked {', '.join(marks)}]" if marks else ""
    more += f" [golden part {part['golden']}]" if part["golden"] else ""
    number = "" if part["number"] is None else f"no. {part['number']}  "
    shown = "-" if part["score"] is None else f"{part['score']:.3f}"
    line = LINE.format(**{**part, "shown": shown, "limit": f"{part['threshold']:.3f}",
                          "more": number + more})  # fmt: skip
    return one_line(line).rstrip()


def _check(args: argparse.Namespace) -> int:
    from edge_app.history.ledger import check_history

    path = _path(args)
    started_s = time.monotonic()
    ledger = check_history(path)
    is_whole = ledger.is_whole
    for line in _words(ledger):
        print(line)
    if not ledger.damage:
        for line in _deleted_reviews(path):
            print(line)
    if not args.no_pictures and not ledger.damage:
        is_whole = _are_pictures_whole(path) and is_whole
    print(f"{path}: {'whole' if is_whole else 'NOT whole'}; "
          f"{time.monotonic() - started_s:.1f} s")  # fmt: skip
    return 0 if is_whole else EXIT_HOLES


def _deleted_reviews(path: Path) -> Iterator[str]:
    """Say what people said of parts that are deleted, counted."""
    from edge_app.history.reader import HistoryReader

    of_camera: dict[str, list[str]] = {}
    for row in HistoryReader(path).deleted_reviews():
        words = f"{row['count']} {row['what'].replace('_', ' ')}"
        of_camera.setdefault(row["camera"], []).append(words)
    for camera, said in of_camera.items():
        yield f"{camera}: of the deleted ones people said, or left: {', '.join(said)}"


def _are_pictures_whole(path: Path) -> bool:
    """Check every picture that a part names, and say what was found."""
    from edge_app.alerts.kept_check import NamedPicture, check_named
    from edge_app.history.reader import HistoryReader

    named = (NamedPicture(*found) for found in HistoryReader(path).pictures())
    account = check_named(path.with_name(EVIDENCE_FOLDER), named)
    for line in account_words(account):
        print(line)
    return account.is_whole


def _words(ledger: Ledger) -> Iterator[str]:
    for finding in ledger.damage:
        yield f"the file is damaged: {finding}"
    for camera in ledger.cameras:
        account = f"{camera.name}: {camera.parts} parts"
        if camera.deleted:
            account += f", {camera.deleted} older ones deleted and counted"
        if camera.declared:
            account += f", {camera.declared} declared as not inspected or not recorded"
        if camera.restarts:
            account += f", the source began anew {camera.restarts} times"
        yield account if camera.is_numbered or not camera.parts else f"{account} (not numbered)"
        for first, last in camera.holes:
            yield f"{camera.name}: numbers {first} to {last} are missing, and nothing says why"
        if camera.hole_count > len(camera.holes):
            yield f"{camera.name}: {camera.hole_count - len(camera.holes)} more such holes"
    if ledger.restores:
        yield f"{ledger.restores} times put back from a backup: what passed since it is not here"
    if ledger.downs:
        yield f"{ledger.downs} restarts: what passed unnumbered cameras meanwhile is unknown"
    if ledger.pauses:
        yield f"{ledger.pauses} pauses of unnumbered cameras: what passed meanwhile is unknown"


def _export(args: argparse.Namespace) -> int:
    reader, wanted = _asked(args)
    out = args.csv if args.csv is not None else args.jsonl
    write = _write_csv if args.csv is not None else _write_lines
    if args.pictures is None:
        with opened_for_export(out) as file:
            count = write(file, reader.every_part(wanted))
        print(f"{count} parts", file=sys.stderr)
        return 0
    copy = PictureCopy(_path(args).with_name(EVIDENCE_FOLDER), args.pictures)
    with opened_for_export(out) as file, copy:
        count = write(file, copy.each(reader.every_part(wanted)))
    print(f"{count} parts, {copy.copied.words()}", file=sys.stderr)
    return 0


def _write_csv(file: TextIO, parts: Iterable[dict[str, Any]]) -> int:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    count = 0
    for part in parts:
        row = {
            **part,
            "corners": json.dumps(part["corners"]),
            "defects": json.dumps(part["defects"]),
            **_review_cells(part),
        }
        writer.writerow([_cell(row[name]) for name in COLUMNS])
        count += 1
    return count


def _review_cells(part: dict[str, Any]) -> dict[str, Any]:
    """Return what people said of a part, and what became of a bad one, as cells."""
    now = [said for said in part["decisions"] if said["is_current"]]
    place = part["take_out"] or {}
    return {
        "marks": ",".join(said["mark"] for said in now),
        "reviewers": ",".join(said["author"] for said in now),
        "decisions": json.dumps(part["decisions"], ensure_ascii=False),
        "take_out": (place.get("outcome") or "waiting") if place else "",
        "take_out_settled_at": place.get("settled_at"),
        "acceptances": ",".join(said["acceptance"] or OPEN for said in now),
        "accepted_by": ",".join(said["accepted_by"] for said in now),
    }


def _cell(value: Any) -> Any:
    """Return what a spreadsheet takes as text and not as a formula."""
    is_formula = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{value}" if is_formula else value


def _write_lines(file: TextIO, parts: Iterable[dict[str, Any]]) -> int:
    count = 0
    for part in parts:
        file.write(json.dumps(part, allow_nan=False) + "\n")
        count += 1
    return count


@contextmanager
def opened_for_export(out: Path) -> Iterator[TextIO]:
    """Open a file that appears whole or not at all; the terminal for "-"."""
    if str(out) == "-":
        yield sys.stdout
        return
    from edge_app.store.output_file import put_in_place

    if out.exists():
        raise OutputError(f"{out} exists already. Name a new file, or remove that one.")
    part = out.with_name(f".{out.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            yield file
        put_in_place(part, out)
    finally:
        part.unlink(missing_ok=True)


def _asked(args: argparse.Namespace) -> tuple[HistoryReader, PartFilter]:
    from edge_app.config.load import load_config
    from edge_app.history.part_filter import PartFilter
    from edge_app.history.reader import HistoryReader
    from edge_app.history.schema import HISTORY_FILE

    wanted = PartFilter(
        args.camera, tuple(args.state or ()), args.suspects, args.part or "",
        args.defect_class or "", args.begin, args.end, args.kept_for or "",
        {"yes": True, "no": False, None: None}[args.reviewed], args.mark or "", args.disputed,
        args.serial or "",
    )  # fmt: skip
    config = load_config(args.config)
    path = config.device.state_dir / HISTORY_FILE
    return HistoryReader(path, shows_names=config.people.names_in_statistics), wanted


def _path(args: argparse.Namespace) -> Path:
    from edge_app.config.load import load_config
    from edge_app.history.schema import HISTORY_FILE

    return load_config(args.config).device.state_dir / HISTORY_FILE


def _first(parts: Iterable[dict[str, Any]], count: int) -> Iterator[dict[str, Any]]:
    for number, part in enumerate(parts, 1):
        yield part
        if number == count:
            return


def _sentence(about: str) -> str:
    return f"{about[0].upper()}{about[1:]}."
