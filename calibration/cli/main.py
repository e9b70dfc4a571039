"""`edge-calibrate`: thresholds of a bundle, and further precisions of its graphs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_app.errors import EdgeError
from edge_app.host.extras import sentence_for


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
    thresholds = commands.add_parser(
        "thresholds", help="set a bundle's thresholds from good parts that pass the whole line"
    )
    thresholds.add_argument("bundle", type=Path)
    thresholds.add_argument(
        "--source", required=True, help="good parts only: folder:PATH, video:PATH or sim:..."
    )
    thresholds.add_argument(
        "--false-alarm-rate", type=float, default=0.005, help="budget, share of good parts"
    )
    thresholds.add_argument("--out", type=Path, help="default: rewrite the bundle in place")
    thresholds.set_defaults(work=_thresholds)
    for precision, how in (
        ("fp16", "half precision, densities and boxes in single"),
        ("int8", "int8 convolutions, the fragile ones in half precision"),
    ):
        variant = commands.add_parser(precision, help=f"add a variant to a bundle: {how}")
        _add_variant_arguments(variant)
        variant.set_defaults(work=_variant, precision=precision)
    return parser


def _add_variant_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path)
    parser.add_argument(
        "--source", required=True, help="good parts only: folder:PATH, video:PATH or sim:..."
    )
    parser.add_argument(
        "--held-out", metavar="SOURCE", help="further parts, good or bad, to count flips on"
    )
    parser.add_argument(
        "--prefer", action="store_true", help="devices take this variant first from now on"
    )
    parser.add_argument("--threads", type=int, default=0, help="per graph; 0: one per core")
    parser.add_argument("--out", type=Path, help="default: rewrite the bundle in place")


def _thresholds(args: argparse.Namespace) -> int:
    from calibration.thresholds.recalibrate import recalibrate
    from edge_app.cameras.registry import open_camera

    camera = open_camera(args.source, "calibration")
    was_signed = _is_signed(args.bundle)
    done = recalibrate(args.bundle, camera, args.false_alarm_rate, _show, args.out)
    choice = done.choice
    print(file=sys.stderr)
    print(
        f"threshold {choice.threshold:.4f}: {choice.false_alarms} of {choice.good_count} good "
        f"parts alarmed; the true rate is at most {choice.rate_bound:.3%} (95 % confidence)"
    )
    if not choice.is_guaranteed:
        print(
            f"warning: {choice.budget_rate:.3%} is {choice.promise}: {choice.good_count} parts can "
            f"guarantee {choice.smallest_rate:.3%} at best; {choice.needed_count} would do",
            file=sys.stderr,
        )
    if done.dropped:
        print(
            f"warning: {', '.join(done.dropped)} removed, their thresholds followed the old one; "
            f"make them again: edge-calibrate {done.dropped[0]} ...",
            file=sys.stderr,
        )
    if done.not_inspected:
        print(f"warning: {done.not_inspected} parts could not be judged", file=sys.stderr)
    _warn_unsigned(was_signed, args.out or args.bundle)
    return 0


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
    """Say that a changed bundle has lost its signature: it vouched for what was there before."""
    if was_signed:
        print(
            f"warning: {out} is no longer signed: it is not what was signed before, and no agent "
            f"installs it. Sign it again: edge-deploy sign {out} --key FILE.key --out {out}",
            file=sys.stderr,
        )


def _tell(what: str) -> None:
    print(f"\r{what:<60}", end="", file=sys.stderr, flush=True)


def _show(parts: int) -> None:
    print(f"\r{parts} good parts judged", end="", file=sys.stderr, flush=True)
