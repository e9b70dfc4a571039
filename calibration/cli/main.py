"""`edge-calibrate`: set a bundle's thresholds, and add fp16 and int8 variants to it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_app.errors import DataError, EdgeError
from edge_app.host.extras import sentence_for

SOURCE = "stream of good parts only: folder:PATH, video:PATH or sim:..."
BUDGET_RATE = 0.005
"""Of good parts, where a stream of them is given and no rate."""

OUT = "the bundle to write (default: replace the input)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 with one clear sentence on stderr."""
    args = _parser().parse_args(argv)
    try:
        return int(args.work(args))
    except EdgeError as error:
        print(f"edge-calibrate: {error}", file=sys.stderr)
    except ModuleNotFoundError as error:
        print(f"edge-calibrate: {sentence_for(error, 'calibrate')}", file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edge-calibrate", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    text = "set a bundle's limit from good parts judged by the whole line, or move it without any"
    thresholds = commands.add_parser(
        "thresholds",
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog="With --from the rate is a budget, guaranteed where there are parts enough. With "
        "--rate alone the scores in the bundle carry it: the k-th largest of n good parts is the "
        "limit, k = max(1, round(rate · (n + 1))).",
    )
    thresholds.add_argument("bundle", type=Path, help="the bundle to calibrate")
    thresholds.add_argument(
        "--from", "--source", dest="source", metavar="SOURCE", help=f"{SOURCE}; none: see --rate"
    )
    thresholds.add_argument(
        "--rate",
        "--false-alarm-rate",
        dest="rate",
        type=float,
        metavar="R",
        help="share of good parts that may be alarmed, 0.005 for 0.5 %% (default with --from: "
        f"{BUDGET_RATE}); without --from it moves the limit on the scores in the bundle",
    )
    thresholds.add_argument("--out", type=Path, help=OUT)
    thresholds.set_defaults(work=_thresholds)
    for precision, how in (
        ("fp16", "half precision, densities and boxes in single precision"),
        ("int8", "int8 convolutions, the most sensitive ones in half precision"),
    ):
        text = f"add a variant to a bundle: {how}"
        variant = commands.add_parser(
            precision, help=text, description=f"{text[0].upper()}{text[1:]}."
        )
        _add_variant_arguments(variant)
        variant.set_defaults(work=_variant, precision=precision)
    return parser


def _add_variant_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, help="the bundle to add the variant to")
    parser.add_argument("--source", required=True, help=SOURCE)
    parser.add_argument(
        "--held-out",
        metavar="SOURCE",
        help="further parts, good or bad, on which verdicts that differ from fp32 are counted",
    )
    parser.add_argument(
        "--prefer", action="store_true", help="make it the variant that devices use first"
    )
    parser.add_argument(
        "--threads", type=int, default=0, help="threads per graph, 0: one per core (default: 0)"
    )
    parser.add_argument("--out", type=Path, help=OUT)


def _thresholds(args: argparse.Namespace) -> int:
    if args.source is None and args.rate is None:
        raise DataError(
            "Nothing to set the limit from: expected --from SOURCE (a stream of good parts) or "
            "--rate R (move the limit on the scores in the bundle)."
        )
    was_signed = _is_signed(args.bundle)
    dropped = _move(args) if args.source is None else _judge_stream(args)
    if dropped:
        print(
            f"warning: {', '.join(dropped)} removed, their thresholds were based on the old "
            f"one; make them again: edge-calibrate {dropped[0]} ...",
            file=sys.stderr,
        )
    _warn_unsigned(was_signed, args.out or args.bundle)
    return 0


def _judge_stream(args: argparse.Namespace) -> tuple[str, ...]:
    from calibration.thresholds.recalibrate import recalibrate
    from edge_app.cameras.registry import open_camera

    camera = open_camera(args.source, "calibration")
    rate = BUDGET_RATE if args.rate is None else args.rate
    done = recalibrate(args.bundle, camera, rate, _show, args.out)
    choice = done.choice
    print(file=sys.stderr)
    print(
        f"threshold {choice.threshold:.4f}: {choice.false_alarms} of {choice.good_count} good "
        f"parts alarmed; the true rate is at most {choice.rate_bound:.3%} (95 % confidence)"
    )
    _tell_suspect(done.suspect_threshold)
    if not choice.is_guaranteed:
        print(
            f"warning: {choice.budget_rate:.3%} is {choice.promise}: {choice.good_count} parts can "
            f"guarantee {choice.smallest_rate:.3%} at best; {choice.needed_count} are needed",
            file=sys.stderr,
        )
    if done.not_inspected:
        print(f"warning: {done.not_inspected} parts could not be judged", file=sys.stderr)
    return done.dropped


def _move(args: argparse.Namespace) -> tuple[str, ...]:
    from calibration.thresholds.move import move_limit
    from calibration.thresholds.words import told_carried, told_forgiven, told_rank, told_stops

    moved = move_limit(args.bundle, args.rate, args.out)
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
        print(f"warning: at its old, lower limit: {moved.was_weak}", file=sys.stderr)
    carried = told_carried(args.rate, moved.rank, count)
    if carried is not None:
        print(f"warning: {carried}", file=sys.stderr)
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
    )
    was_signed = _is_signed(args.bundle)
    added = make_variant(options, _tell)
    print(file=sys.stderr)
    print(summary(added))
    _warn_unsigned(was_signed, options.out)
    return 0


def _is_signed(bundle: Path) -> bool:
    from edge_app.bundle.archive import read_bundle

    return read_bundle(bundle).is_signed


def _warn_unsigned(was_signed: bool, out: Path) -> None:
    """Warn that a changed bundle has lost its signature, which covered the old content."""
    if was_signed:
        print(
            f"warning: {out} is no longer signed, because its content has changed, and no agent "
            f"installs it. Sign it again: edge-deploy sign {out} --key FILE.key --out {out}",
            file=sys.stderr,
        )


def _tell(what: str) -> None:
    print(f"\r{what:<60}", end="", file=sys.stderr, flush=True)


def _show(parts: int) -> None:
    print(f"\r{parts} good parts judged", end="", file=sys.stderr, flush=True)
