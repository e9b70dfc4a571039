"""`edge-export`: the training workstation's command."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge_app.errors import EdgeError
from edge_app.host.extras import sentence_for
from export.cli.build_many import add_build_many
from export.cli.compare import add_compare
from export.methods.names import DEFAULT, PUBLISHED

if TYPE_CHECKING:
    from export.bundle_build.pipeline import BuildOptions, BuildResult


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 with one clear sentence on stderr."""
    args = _parser().parse_args(argv)
    try:
        run: Callable[[argparse.Namespace], int] = args.run
        return run(args)
    except EdgeError as error:
        print(f"edge-export: {error}", file=sys.stderr)
    except ModuleNotFoundError as error:
        print(f"edge-export: {sentence_for(error, 'train')}", file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edge-export", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, run, told in (
        ("build", _build, "good pictures in, an unsigned bundle out"),
        ("label", _label, "the build's first step: where the products are"),
        ("detector", _detector, "the second: a detector trained on those labels"),
        ("train", _train, "the third: upright crops and the inspector trained on them"),
    ):
        step = commands.add_parser(name, help=told)
        step.set_defaults(run=run)
        _build_options(step)
        if name == "build":
            step.add_argument(
                "--outcome", type=Path, metavar="FILE", help="write the result there as JSON"
            )
    check = commands.add_parser("evaluate", help="measure a bundle on pictures it has not seen")
    check.add_argument("--bundle", type=Path, required=True, metavar="FILE")
    check.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="holds test/good and test/<kind>"
    )
    check.add_argument(
        "--out", type=Path, metavar="DIR", help="default: NAME.evaluation beside the bundle"
    )
    check.add_argument("--json", action="store_true", help="last line is one JSON object")
    check.set_defaults(run=_evaluate)
    add_compare(commands)
    add_build_many(commands)
    demo = commands.add_parser(
        "demo-bundle", help="train the demo's bundle from the simulated line's good parts"
    )
    demo.add_argument("--product", default="tapered", choices=("tapered", "square", "round"))
    demo.add_argument("--out", type=Path, required=True)
    demo.add_argument("--pictures", type=int, default=400, help="good pictures to train from")
    _shared(demo)
    demo.set_defaults(false_alarm_rate=0.01, run=_demo_bundle)
    return parser


def _build_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="folder with train/good")
    parser.add_argument(
        "--out", type=Path, required=True, help="the bundle to write; steps are kept in OUT.work"
    )
    parser.add_argument("--product", help="product name; default: the data folder's name")
    parser.add_argument(
        "--detector", default="auto", help="auto, none (the product fills the frame) or a FILE"
    )
    parser.add_argument(
        "--method",
        default=DEFAULT,
        metavar="NAME",
        help=f"{DEFAULT} unless told; {', '.join(PUBLISHED)}; auto compares a few of them",
    )
    parser.add_argument(
        "--auto-budget",
        type=_duration,
        default="10m",
        metavar="TIME",
        help="in which --method auto compares: 90s, 30m, 2h",
    )
    parser.add_argument(
        "--known-defects",
        type=Path,
        metavar="DIR",
        help="real defects, one sub-folder per kind: 10 to 20 each teach the bundle to name them; "
        "NAME_mask.png beside NAME.png marks the defect",
    )
    parser.add_argument(
        "--calibration-defects",
        type=Path,
        metavar="DIR",
        help="real defects that choose the threshold instead of painted ones",
    )
    parser.add_argument(
        "--target",
        action="append",
        type=_target,
        metavar="SITE/LINE/DEVICE",
        help="only for these devices, * and ? within a level; may be repeated; default: all",
    )
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        metavar="N",
        help="that train the inspector together, started through torchrun; with --device cuda each "
        "takes a GPU; cropliq, patchcore and padim train in one",
    )
    _shared(parser)


def _shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="cpu", help="cpu or cuda:N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--serial", type=int, default=1, help="only grows, per product")
    parser.add_argument("--steps", type=int, default=100, help="training steps; 100 suit cropliq")
    parser.add_argument(
        "--false-alarm-rate", type=float, default=0.005, help="budget, share of good parts"
    )


def _options(args: argparse.Namespace) -> BuildOptions:
    from export.bundle_build.pipeline import BuildOptions

    return BuildOptions(
        data=args.data,
        out=args.out,
        product=args.product or args.data.resolve().name,
        detector=args.detector,
        method=args.method,
        auto_budget_s=args.auto_budget,
        seed=args.seed,
        device=_device(args.device),
        serial=args.serial,
        targets=tuple(args.target or ("*",)),
        steps=args.steps,
        processes=args.processes,
        false_alarm_rate=args.false_alarm_rate,
        known_defects=args.known_defects,
        calibration_defects=args.calibration_defects,
    )


def _duration(text: str) -> float:
    from export.methods.time_budget import duration_s

    try:
        return duration_s(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _target(text: str) -> str:
    from edge_app.bundle.manifest import checked_target

    try:
        return checked_target(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _build(args: argparse.Namespace) -> int:
    from export.build_many.outcome import recorded
    from export.bundle_build.pipeline import build
    from export.cli.progress import ConsoleProgress

    with ConsoleProgress() as progress:

        def run() -> BuildResult:
            return build(_options(args), progress.show)

        result = run() if args.outcome is None else recorded(args.outcome, run)
    _warn(result.warnings)
    print(f"{result.path}  sha256 {result.sha256}")
    print("The report is inside (report.html): edge-app report --bundle FILE --out report.html")
    return 0


def _label(args: argparse.Namespace) -> int:
    from export.bundle_build.pipeline import label_pictures
    from export.cli.progress import ConsoleProgress

    with ConsoleProgress() as progress:
        done = label_pictures(_options(args), progress.show)
    _warn((*done.good.warnings, *done.labels.warnings))
    print(done.labels.reason)
    folder = done.space.folder / "labels"
    if (folder / "overview.png").is_file():
        print(f"Look at {folder / 'overview.png'}. To correct labels, put the files of")
        print(f"{folder / 'yolo_obb'} into labels/ beside the pictures and edit them there.")
    return 0


def _detector(args: argparse.Namespace) -> int:
    from export.bundle_build.pipeline import label_pictures, train_detector
    from export.cli.progress import ConsoleProgress

    options = _options(args)
    with ConsoleProgress() as progress:
        labelled = label_pictures(options, progress.show)
        done = train_detector(options, labelled)
    _warn((*labelled.labels.warnings, *done.parts.warnings))
    seen = len(labelled.good.pictures)
    print(f"{len(done.parts.parts)} whole products found in {seen} pictures")
    print(done.detector or "no detector: the product fills the frame")
    return 0


def _train(args: argparse.Namespace) -> int:
    from export.bundle_build.pipeline import (
        cut_parts,
        label_pictures,
        train_detector,
        train_inspector,
    )
    from export.cli.progress import ConsoleProgress

    options = _options(args)
    with ConsoleProgress() as progress:
        labelled = label_pictures(options, progress.show)
        cut = cut_parts(labelled, train_detector(options, labelled), progress.show)
        done = train_inspector(options, labelled.space, cut)
    print(f"{len(cut.crops)} crops, orientation {cut.cutting.kind}: {cut.cutting.reason}")
    print(done.graph)
    return 0


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)


def _evaluate(args: argparse.Namespace) -> int:
    from export.cli.progress import ConsoleProgress
    from export.evaluation.report import fact_rows
    from export.evaluation.run import evaluate

    with ConsoleProgress() as progress:
        done = evaluate(args.bundle, args.data, args.out, progress.show)
    _warn(done.figures["warnings"])
    for name in done.figures["excluded_pictures"]:
        print(f"left out, the bundle has seen it: {name}", file=sys.stderr)
    for what, found in fact_rows(done.figures):
        print(f"{what:<32} {found}")
    print(done.page)
    if args.json:
        print(json.dumps(done.figures))
    return 0


def _demo_bundle(args: argparse.Namespace) -> int:
    from export.bundle_build.demo_bundle import build_demo_bundle
    from export.cli.progress import ConsoleProgress

    with ConsoleProgress() as progress:
        digest = build_demo_bundle(
            args.product,
            args.out,
            pictures=args.pictures,
            seed=args.seed,
            steps=args.steps,
            serial=args.serial,
            device=_device(args.device),
            false_alarm_rate=args.false_alarm_rate,
            on_step=progress.show,
        )
    print(f"{args.out}  sha256 {digest}")
    return 0


def _device(name: str) -> str:
    from export.networks.precision import training_device

    return training_device(name)


if __name__ == "__main__":
    raise SystemExit(main())
