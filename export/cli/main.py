"""`edge-export`: train on pictures of good parts and build bundles, on a workstation."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edge_app.cli.package_owners import run_unshared
from edge_app.cli.parser import CommandParser, set_examples, top_parser, whole
from export.cli.border import run_bordered
from export.cli.build_many import add_build_many
from export.cli.check_data import add_check_data
from export.cli.compare import add_compare
from export.cli.evaluate import add_evaluate
from export.cli.feedback import FromMarks, add_feedback
from export.cli.methods import add_methods
from export.cli.numbers import ANY_REAL, ANY_WHOLE
from export.cli.pull import add_pull
from export.cli.review import add_review
from export.cli.warn import warn
from export.methods.names import DEFAULT, NAMES

if TYPE_CHECKING:
    from export.bundle_build.pipeline import BuildOptions, BuildResult


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, 1 for a no, or 2; not 0 with one clear sentence on stderr."""
    args = _parser().parse_args(argv)
    work = partial(run_unshared, __file__, lambda: args.run(args))
    return run_bordered("edge-export", work)


def _parser() -> CommandParser:
    parser = top_parser(
        "edge-export",
        "Train on pictures of good parts and build bundles, on a workstation.",
        (
            "edge-export check-data pictures",
            "edge-export build --data pictures --out part.bundle",
            "edge-export evaluate --bundle part.bundle --data pictures",
        ),
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, run, text in (
        ("build", _build, "build an unsigned bundle from pictures of good parts"),
        ("label", _label, "first step of a build: find the products in the pictures"),
        ("detector", _detector, "second step: train a detector on these labels"),
        ("train", _train, "third step: cut upright crops and train the inspector on them"),
    ):
        step = commands.add_parser(name, help=text, description=_sentence(text))
        step.set_defaults(run=run)
        set_examples(step, f"edge-export {name} --data pictures --out part.bundle")
        _build_options(step)
        if name == "build":
            step.add_argument(
                "--outcome", type=Path, metavar="FILE", help="write the result there as JSON"
            )
            step.add_argument(
                "--accept-weak",
                action="store_true",
                help="exit 0 although the bundle misses most clearly visible synthetic defects; it "
                "is written in any case (default: exit 1)",
            )
            add_feedback(step)
    add_evaluate(commands)
    add_review(commands)
    add_pull(commands)
    add_check_data(commands)
    add_compare(commands)
    add_methods(commands)
    add_build_many(commands, _check_build_arguments)
    text = "build the bundle of `edge-app demo` from good parts of the simulated line"
    demo = commands.add_parser("demo-bundle", help=text, description=_sentence(text))
    set_examples(demo, "edge-export demo-bundle --product square --out square.bundle")
    demo.add_argument(
        "--product",
        default="tapered",
        choices=("tapered", "square", "round"),
        help="the simulated product (default: tapered)",
    )
    demo.add_argument("--out", type=Path, required=True, help="the bundle to write")
    demo.add_argument(
        "--pictures",
        type=whole(1, 100_000),
        default=400,
        help="good pictures to train on (default: 400)",
    )
    _shared(demo)
    demo.set_defaults(false_alarm_rate=0.0015, run=_demo_bundle)
    return parser


def _build_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, required=True, help="data set: folder with train/good or good"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="the bundle to write; the results of the steps are kept in OUT.work",
    )
    parser.add_argument("--product", help="product name (default: the data folder's name)")
    parser.add_argument(
        "--detector",
        default="auto",
        help="auto: train one where it catches clearly more than the whole picture; always: train "
        "one, for a free-running camera over a belt; none: inspect the whole picture; FILE: use "
        "this detector.onnx (default: auto)",
    )
    parser.add_argument(
        "--method",
        default=DEFAULT,
        metavar="NAME",
        help=f"{', '.join(NAMES)}, a plug-in's (edge-export methods lists them), or auto: compare "
        f"a few of ours first (default: {DEFAULT})",
    )
    parser.add_argument(
        "--auto-budget",
        type=_duration,
        default="10m",
        metavar="TIME",
        help="time for the comparison of --method auto: 90s, 30m, 2h (default: 10m)",
    )
    parser.add_argument(
        "--known-defects",
        type=Path,
        metavar="DIR",
        help="real defects, one sub-folder per defect class with 10 to 20 pictures each: the "
        "bundle learns to name them; NAME_mask.png beside NAME.png marks the defect",
    )
    parser.add_argument(
        "--calibration-defects",
        type=Path,
        metavar="DIR",
        help="real defects used to choose the threshold instead of synthetic anomalies",
    )
    parser.add_argument(
        "--target",
        action="append",
        type=_target,
        metavar="SITE/LINE/DEVICE",
        help="restrict the bundle to these devices; * and ? match within a level; can be "
        "repeated (default: all devices)",
    )
    parser.add_argument(
        "--format",
        type=ANY_WHOLE,
        choices=(1, 2),
        default=2,
        help="bundle format; 1: only what release 0.1.0 can judge, the rest is left out and named; "
        "2: what the product needs (default: 2)",
    )
    parser.add_argument(
        "--processes",
        type=ANY_WHOLE,
        default=1,
        metavar="N",
        help="processes that train the inspector together through torchrun, with --device cuda "
        "on one GPU each; ensemble, cropliq, patchcore and padim use one (default: 1)",
    )
    _shared(parser)


def _shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", default="cpu", help="where to train: cpu, cuda:N or auto (default: cpu)"
    )
    parser.add_argument("--seed", type=ANY_WHOLE, default=0, help="random seed (default: 0)")
    parser.add_argument(
        "--serial",
        type=ANY_WHOLE,
        default=1,
        help="the bundle's serial; must grow for each new bundle of a product (default: 1)",
    )
    parser.add_argument(
        "--steps",
        type=ANY_WHOLE,
        default=100,
        help="training steps of the method; ensemble, patchcore and padim take none, 100 suit "
        "cropliq, others need more (default: 100)",
    )
    parser.add_argument(
        "--false-alarm-rate",
        type=ANY_REAL,
        default=0.02,
        help="nominal false-alarm rate, as a share of good parts (default: %(default)g)",
    )


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


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
        format=args.format,
    )


def _check_build_arguments(arguments: Sequence[str]) -> None:
    """Refuse what `build-many` passes on to every build, once, before the first.

    Raises:
        DataError: an option's value is of no use.
    """
    from dataclasses import replace

    from export.bundle_build.early_check import check_build

    options = _options(_parser().parse_args(arguments))
    check_build(replace(options, product="product"))  # a bad name is that product's own


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

    marks = FromMarks(args)
    with ConsoleProgress() as progress:

        def run() -> BuildResult:
            make = build if args.feedback is None else marks.build
            return make(_options(args), progress.show)

        result = run() if args.outcome is None else recorded(args.outcome, run)
    for sentence in result.answer:
        print(sentence)
    sys.stdout.flush()
    warn(result.warnings)
    print(f"{result.path}  sha256 {result.sha256}")
    print("The report is inside (report.html): edge-app report --bundle FILE --out report.html")
    loses = marks.tell()
    if result.weakness is None or args.accept_weak:
        return 1 if loses else 0
    print(
        "The bundle is written all the same. Exit code 1, because it is weak; --accept-weak "
        "accepts it.",
        file=sys.stderr,
    )
    return 1


def _label(args: argparse.Namespace) -> int:
    from export.bundle_build.pipeline import label_pictures
    from export.cli.progress import ConsoleProgress

    with ConsoleProgress() as progress:
        done = label_pictures(_options(args), progress.show)
    warn((*done.good.warnings, *done.labels.warnings))
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
    warn((*labelled.labels.warnings, *done.parts.warnings))
    seen = len(labelled.good.pictures)
    print(f"{len(done.parts.parts)} whole products found in {seen} pictures")
    print(done.detector or "no detector: the product fills the frame")
    return 0


def _train(args: argparse.Namespace) -> int:
    from export.bundle_build.pipeline import choose_view, label_pictures, train_inspector
    from export.cli.progress import ConsoleProgress

    options = _options(args)
    with ConsoleProgress() as progress:
        labelled = label_pictures(options, progress.show)
        _, cut = choose_view(options, labelled, progress.show)
        done = train_inspector(options, cut)
    print(f"{len(cut.crops)} crops, orientation {cut.cutting.kind}: {cut.cutting.reason}")
    print(done.graph)
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
