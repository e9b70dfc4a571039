"""`edge-calibrate`: set a bundle's thresholds, and add fp16 and int8 variants to it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_app.errors import EdgeError
from edge_app.host.extras import sentence_for

SOURCE = "stream of good parts only: folder:PATH, video:PATH or sim:..."
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
    thresholds = commands.add_parser(
        "thresholds",
        help="set a bundle's thresholds from good parts judged by the whole line",
        description="Set a bundle's thresholds from good parts judged by the whole line.",
    )
    thresholds.add_argument("bundle", type=Path, help="the bundle to calibrate")
    thresholds.add_argument("--source", required=True, help=SOURCE)
    thresholds.add_argument(
        "--false-alarm-rate",
        type=float,
        default=0.005,
        help="budget: share of good parts that may be alarmed (default: 0.005)",
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
    if done.suspect_threshold is not None:
        print(f"suspect from {done.suspect_threshold:.4f}: about one good part in 20, no alarm")
    if not choice.is_guaranteed:
        print(
            f"warning: {choice.budget_rate:.3%} is {choice.promise}: {choice.good_count} parts can "
            f"guarantee {choice.smallest_rate:.3%} at best; {choice.needed_count} are needed",
            file=sys.stderr,
        )
    if done.dropped:
        print(
            f"warning: {', '.join(done.dropped)} removed, their thresholds were based on the old "
            f"one; make them again: edge-calibrate {done.dropped[0]} ...",
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
