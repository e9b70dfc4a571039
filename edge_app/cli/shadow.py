"""`edge-app shadow --history`: a new model over the parts that this device has kept."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_app.cli.history import moment
from edge_app.cli.parser import add_command, set_examples, text, whole
from edge_app.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from edge_app.replay.comparison import Comparison
    from edge_app.replay.kept_parts import Left

EVERY_S = 5.0
LOST = 1
"""Exit code: a confirmed defect would pass with the new model."""


def add_shadow_command(commands: Any) -> None:
    """Add `shadow` to edge-app's commands."""
    parser = add_command(commands, "shadow", "compare a new model with today's on kept parts")
    parser.epilog = (
        "Both models judge the same pictures, today's with the limits that people set for it. The "
        "line is not touched. Exit code 1: a part that people confirmed as defective, and that "
        "today's model alarms, would not be alarmed any more."
    )
    set_examples(
        parser,
        "edge-app shadow --history --config edge-app.toml --new next.bundle --out next-on-history",
    )
    parser.add_argument(
        "--history", action="store_true", required=True,
        help="on kept parts; beside the line a candidate runs once it is installed",
    )  # fmt: skip
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="the configuration, TOML"
    )
    parser.add_argument("--new", type=Path, required=True, metavar="FILE", help="the new bundle")
    parser.add_argument(
        "--old", type=Path, metavar="FILE", help="compare with this one (default: the one in use)"
    )
    parser.add_argument(
        "--slot", type=text(64), default="main", metavar="S", help="whose parts (default: main)"
    )
    parser.add_argument(
        "--from", dest="begin", type=moment, metavar="TIME", help="only parts from then on"
    )
    parser.add_argument("--to", dest="end", type=moment, metavar="TIME", help="only parts before")
    parser.add_argument(
        "--count", type=whole(1, 100_000), default=2000, metavar="N",
        help="at most so many, the newest (default: 2000)",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="a new folder for the report"
    )
    parser.add_argument(
        "--accept", action="store_true",
        help="exit 0 although confirmed defects would pass; the report names them all the same",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the counts as one JSON object")
    parser.set_defaults(work=_shadow)


def _shadow(args: argparse.Namespace) -> int:
    from edge_app.config.load import load_config
    from edge_app.replay.comparison import compare
    from edge_app.replay.judging import Judge
    from edge_app.replay.kept_parts import Left, kept_parts
    from edge_app.replay.models import bundle_in_use, model_of_today, model_to_try
    from edge_app.replay.page import lead, write_report
    from edge_app.runtime.evidence_setup import evidence_folder

    if args.out.exists():
        raise OutputError(f"{args.out} exists already. Name a new folder, or remove that one.")
    config = load_config(args.config)
    if args.slot not in config.slot_names:
        raise ConfigError(
            f"no camera belongs to slot {args.slot!r}. Expected one of: "
            f"{', '.join(config.slot_names)}."
        )
    old = model_of_today(args.old or bundle_in_use(config, args.slot), config, args.slot)
    new = model_to_try(args.new, config, old)
    args.out.mkdir(parents=True)
    judges, left = (Judge(old), Judge(new)), Left()
    rows = _rows(config.device.state_dir, args)
    parts = kept_parts(rows, evidence_folder(config), left)
    found = compare(parts, *judges, Progress(len(rows)))
    notes = (found.like_line.words(), *_notes(left)) if found.parts else _notes(left)
    page = write_report(args.out, found, judges[0].name, judges[1].name, notes)
    if args.json:
        print(json.dumps(_json(found, left)))
    else:
        for sentence in (lead(found), found.sample.words(), *notes):
            print(sentence)
        print(f"Every change with both pictures: {page}")
    return 0 if found.is_safe or args.accept else LOST


def _rows(state_dir: Path, args: argparse.Namespace) -> list[dict[str, Any]]:
    from edge_app.history.part_filter import ANY, PartFilter
    from edge_app.history.reader import HistoryReader
    from edge_app.history.schema import HISTORY_FILE

    wanted = PartFilter(kept_for=ANY, from_ns=args.begin, to_ns=args.end, golden=False)
    every = HistoryReader(state_dir / HISTORY_FILE).every_part(wanted)
    of_slot = (part for part in every if part["slot"] == args.slot and part["is_final"])
    return list(islice(of_slot, args.count))


class Progress:
    """Says on stderr, every few seconds, how many parts are judged and how long the rest takes."""

    def __init__(self, total: int, now_s: Callable[[], float] = time.monotonic) -> None:
        self._total, self._now_s = total, now_s
        self._began_s = self._told_s = now_s()

    def __call__(self, count: int) -> None:
        now_s = self._now_s()
        if now_s - self._told_s < EVERY_S:
            return
        self._told_s = now_s
        left_s = (now_s - self._began_s) / count * (self._total - count)
        about = f"about {left_s / 60:.0f} min" if left_s >= 90 else f"about {left_s:.0f} s"
        print(f"{count} of {self._total} parts judged, {about} to go", file=sys.stderr, flush=True)


def _notes(left: Left) -> tuple[str, ...]:
    said = []
    if left.gone:
        said.append(f"{left.gone} parts are left out: their picture is no longer kept.")
    if left.damaged:
        said.append(f"{left.damaged} parts are left out: their picture is damaged.")
    return tuple(said)


def _json(found: Comparison, left: Left) -> dict[str, Any]:
    return {
        "parts": found.parts,
        "same": found.same,
        "changes": dict(found.counts),
        "marked": {mark or "none": count for mark, count in found.marked.items()},
        "random": {
            "parts": found.sample.parts, "old": found.sample.old, "new": found.sample.new,
            "judged_on_line": found.sample.judged, "old_on_line": found.sample.line,
        },
        "like_line": {
            "parts": found.like_line.parts, "alarmed_by_picture": found.like_line.more,
            "passed_by_picture": found.like_line.fewer, "defects": found.like_line.defects,
        },
        "gone": left.gone,
        "damaged": left.damaged,
        "is_safe": found.is_safe,
    }  # fmt: skip
