"""`edge-calibrate`: set a bundle's thresholds, add fp16 and int8 variants, make it faster."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from calibration.cli.progress import Progress
from edge_app.cli.border import run_bordered
from edge_app.cli.package_owners import run_unshared
from edge_app.cli.parser import CommandParser, real, set_examples, top_parser, whole
from edge_app.errors import DataError
from edge_app.host.plain_text import indented_lines

if TYPE_CHECKING:
    from calibration.parts.source import GoodSource
    from calibration.thresholds.golden_check import Rejudged
    from calibration.thresholds.keep import WriteRules

SOURCE = (
    "good parts only, that come to an end and that the bundle was not trained on: folder:PATH, "
    "video:PATH or sim:...; others with --parts"
)
BUDGET_RATE = 0.005
"""Of good parts, where a stream of them is given and no rate."""

MOST_PARTS = 1_000_000
MOST_THREADS = 1024

OUT = "the bundle to write (default: replace the input, which is kept as NAME.bak)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, 1 or 2, not 0 with one clear sentence on stderr."""
    args = _parser().parse_args(argv)
    work = partial(run_unshared, __file__, lambda: args.work(args))
    return run_bordered("edge-calibrate", work, "calibrate")


def _parser() -> CommandParser:
    parser = top_parser(
        "edge-calibrate",
        "Set a bundle's thresholds, add fp16 and int8 variants to it, or make it faster.",
        (
            "edge-calibrate thresholds part.bundle --from video:good.mkv --dry-run",
            "edge-calibrate thresholds part.bundle --rate 0.01",
            "edge-calibrate int8 part.bundle --source folder:good --held-out folder:mixed",
        ),
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    text = "set a bundle's limit from good parts judged by the whole line, or move it without any"
    thresholds = commands.add_parser(
        "thresholds",
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog="""With --from the rate is a budget, guaranteed where there are parts enough;
near-duplicates count once. With --rate alone the scores in the bundle carry it: the k-th largest
of n good parts is the limit, k = max(1, round(rate · (n + 1))).""",
    )
    set_examples(
        thresholds,
        "edge-calibrate thresholds part.bundle --from folder:good --dry-run",
        "edge-calibrate thresholds part.bundle --from v4l2:/dev/video0 --parts 600",
        "edge-calibrate thresholds part.bundle --rate 0.01 --out part-1.bundle",
    )
    thresholds.add_argument("bundle", type=Path, help="the bundle to calibrate")
    thresholds.add_argument(
        "--from", "--source", dest="source", metavar="SOURCE", help=f"{SOURCE}; none: see --rate"
    )
    thresholds.add_argument(
        "--rate",
        "--false-alarm-rate",
        dest="rate",
        type=real(0, 1, above=True, below=True),
        metavar="R",
        help="share of good parts that may be alarmed, 0.005 for 0.5 %% (default with --from: "
        f"{BUDGET_RATE}); without --from it moves the limit on the scores in the bundle",
    )
    thresholds.add_argument(
        "--accept",
        action="store_true",
        help="write the limit although golden pictures with a defect would be OK (default: refuse)",
    )
    _add_writing(thresholds)
    thresholds.set_defaults(work=_thresholds)
    for precision, how in (
        ("fp16", "half precision, densities and boxes in single precision"),
        ("int8", "int8 convolutions, the most sensitive ones in half precision"),
    ):
        text = f"add a variant to a bundle: {how}"
        variant = commands.add_parser(
            precision, help=text, description=f"{text[0].upper()}{text[1:]}."
        )
        set_examples(
            variant,
            f"edge-calibrate {precision} part.bundle --source folder:good --held-out folder:mixed",
            f"edge-calibrate {precision} part.bundle --source video:good.mkv --dry-run",
        )
        _add_variant_arguments(variant)
        variant.set_defaults(work=_variant, precision=precision)
    _add_lean(commands)
    return parser


def _add_lean(commands: argparse._SubParsersAction[CommandParser]) -> None:
    text = "make a bundle of an earlier build faster: the same numbers with less moving of data"
    parser = commands.add_parser(
        "lean",
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog="""A build writes such graphs by itself. The golden pictures are judged with the old
graphs and the new ones, and nothing is written where a score differs by more than a ten-thousandth
of the limit. Limits and other variants stay.""",
    )
    set_examples(
        parser,
        "edge-calibrate lean part.bundle --dry-run",
        "edge-calibrate lean part.bundle --out part-2.bundle",
    )
    parser.add_argument("bundle", type=Path, help="the bundle")
    parser.add_argument(
        "--dry-run", action="store_true", help="rewrite, check and say everything, write nothing"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help=OUT)
    parser.set_defaults(work=_lean)


def _add_writing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--parts",
        type=whole(1, MOST_PARTS),
        metavar="N",
        help="stop after N judged parts; needed for a source that never ends (default: no limit)",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="judge, check and say everything, write nothing"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help=OUT)


def _add_variant_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, help="the bundle to add the variant to")
    parser.add_argument("--source", required=True, metavar="SOURCE", help=SOURCE)
    parser.add_argument(
        "--held-out",
        metavar="SOURCE",
        help="further parts, good or bad, on which verdicts that differ from fp32 are counted",
    )
    parser.add_argument(
        "--prefer", action="store_true", help="make it the variant that devices use first"
    )
    parser.add_argument(
        "--threads",
        type=whole(0, MOST_THREADS),
        default=0,
        metavar="N",
        help="threads per graph, 0: one per core (default: 0)",
    )
    _add_writing(parser)


def _thresholds(args: argparse.Namespace) -> int:
    if args.source is None and args.rate is None:
        raise DataError(
            "Nothing to set the limit from: expected --from SOURCE (a stream of good parts) or "
            "--rate R (move the limit on the scores in the bundle)."
        )
    from calibration.thresholds.keep import check_out

    out = args.out or args.bundle
    check_out(out)
    was_signed = _is_signed(args.bundle)
    dropped = _move(args) if args.source is None else _judge_stream(args)
    if dropped:
        _warn(
            f"{', '.join(dropped)} removed, their thresholds were based on the old one; make them "
            f"again: edge-calibrate {dropped[0]} ..."
        )
    _conclude(args, out, was_signed)
    return 0


def _judge_stream(args: argparse.Namespace) -> tuple[str, ...]:
    """Set the limit from a stream, say what it promises, and return the dropped precisions."""
    from calibration.thresholds.recalibrate import recalibrate

    rate = BUDGET_RATE if args.rate is None else args.rate
    with Progress() as progress:
        done = recalibrate(
            args.bundle,
            _opened_source(args),
            rate,
            lambda parts: progress.show(f"{parts} good parts judged"),
            args.out,
            rules=_rules(args),
        )
    choice = done.choice
    print(
        f"threshold {choice.threshold:.4f}: {choice.false_alarms} of {choice.good_count} good "
        f"parts alarmed; the true rate is at most {choice.rate_bound:.3%} (95 % confidence)"
    )
    print(
        f"the limit before, {done.old_threshold:.4f}, alarms {done.old_alarms} of "
        f"{choice.good_count} of them"
    )
    _tell_suspect(done.suspect_threshold)
    if not choice.is_guaranteed:
        _warn(
            f"{choice.budget_rate:.3%} is {choice.promise}: {choice.good_count} parts can "
            f"guarantee {choice.smallest_rate:.3%} at best; {choice.needed_count} are needed"
        )
    for sentence in done.left_out:
        _warn(sentence)
    _tell_golden(done.golden)
    _tell_backup(done.backup)
    return done.dropped


def _opened_source(args: argparse.Namespace) -> GoodSource:
    """Return the source of --from, checked without judging a part."""
    from calibration.parts.source import GoodSource, check_ends, check_not_trained_on
    from edge_app.bundle.archive import read_bundle
    from edge_app.cameras.registry import open_camera

    camera = open_camera(args.source, "calibration")
    check_ends(args.source, args.parts)
    check_not_trained_on(args.source, read_bundle(args.bundle).manifest.provenance)
    return GoodSource(camera, args.parts)


def _rules(args: argparse.Namespace) -> WriteRules:
    from calibration.thresholds.keep import WriteRules

    is_accepted = getattr(args, "accept", False)
    return WriteRules(is_accepted, is_dry_run=args.dry_run, keeps_backup=True)


def _move(args: argparse.Namespace) -> tuple[str, ...]:
    """Return what `_judge_stream` does."""
    from calibration.thresholds.move import move_limit
    from calibration.thresholds.words import told_carried, told_forgiven, told_rank, told_stops

    moved = move_limit(args.bundle, args.rate, args.out, _rules(args))
    choice, count = moved.choice, moved.choice.good_count
    print(
        f"threshold {moved.old_threshold:.4f} → {choice.threshold:.4f}: {told_rank(moved.rank)} "
        f"of {count} good parts ({choice.promise})"
    )
    print(told_stops(moved.rank / (count + 1), choice.rate_bound))
    print(told_forgiven(moved.rank, count))
    if moved.synthetic_recall is not None:
        print(
            f"It catches about {moved.synthetic_recall:.0%} of synthetic defects (interpolated "
            "between the rates that the bundle states)."
        )
    else:
        print("What it catches of synthetic defects is not stated for this rate.")
    _tell_suspect(moved.suspect_threshold)
    if moved.lost_sensitivity:
        print("What was measured by kind and size belongs to the old limit: left out.")
    if moved.was_weak is not None:
        _warn(f"at its old, lower limit: {moved.was_weak}")
    carried = told_carried(args.rate, moved.rank, count)
    if carried is not None:
        _warn(carried)
    _tell_golden(moved.golden)
    _tell_backup(moved.backup)
    return moved.dropped


def _tell_suspect(suspect: float | None) -> None:
    if suspect is not None:
        print(f"suspect from {suspect:.4f}: about one good part in 20, no alarm")


def _variant(args: argparse.Namespace) -> int:
    from calibration.precision.variants import VariantOptions, make_variant, summary

    options = VariantOptions(
        bundle=args.bundle,
        precision=args.precision,
        source=args.source,
        held_out=args.held_out,
        is_preferred=args.prefer,
        threads=args.threads,
        out=args.out or args.bundle,
        rules=_rules(args),
        most_parts=args.parts,
    )
    was_signed = _is_signed(args.bundle)
    with Progress() as progress:
        added = make_variant(options, progress.show)
    print(summary(added))
    for sentence in added.told:
        _warn(sentence)
    _tell_backup(added.backup)
    _conclude(args, options.out, was_signed)
    return 0


def _lean(args: argparse.Namespace) -> int:
    from calibration.precision.lean_bundle import make_lean

    out = args.out or args.bundle
    was_signed = _is_signed(args.bundle)
    done = make_lean(args.bundle, out, _rules(args))
    if not done.nodes:
        print(f"{args.bundle} has nothing to make faster: nothing is written")
        return 0
    for name, (before, now) in done.nodes.items():
        print(f"{name}: {before} nodes → {now}")
    print(
        f"{done.pictures} golden pictures judged with both: scores differ by {done.largest:.1e} of "
        "the limit at most, no verdict does"
    )
    _tell_backup(done.backup)
    _conclude(args, out, was_signed)
    return 0


def _tell_golden(golden: Rejudged) -> None:
    from calibration.thresholds.golden_check import told_golden

    for sentence in told_golden(golden):
        _warn(sentence)


def _tell_backup(backup: Path | None) -> None:
    if backup is not None:
        print(f"the bundle before is kept as {backup}")


def _conclude(args: argparse.Namespace, out: Path, was_signed: bool) -> None:
    if args.dry_run:
        print("dry run: nothing is written")
    else:
        _warn_unsigned(was_signed, out)


def _is_signed(bundle: Path) -> bool:
    from edge_app.bundle.archive import read_bundle

    return read_bundle(bundle).is_signed


def _warn_unsigned(was_signed: bool, out: Path) -> None:
    """Warn that a changed bundle has lost its signature, which covered the old content."""
    if was_signed:
        _warn(
            f"{out} is no longer signed, because its content has changed, and no agent "
            f"installs it. Sign it again: edge-deploy sign {out} --key FILE.key --out {out}"
        )


def _warn(sentence: str) -> None:
    print(indented_lines(f"warning: {sentence}"), file=sys.stderr)
