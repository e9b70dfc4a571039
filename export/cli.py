"""`edge-export`: the training workstation's command."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_app.errors import EdgeError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 with one clear sentence on stderr."""
    args = _parser().parse_args(argv)
    try:
        if args.command == "build":
            return _build(args)
        if args.command == "evaluate":
            return _evaluate(args)
        return _demo_bundle(args)
    except EdgeError as error:
        print(f"edge-export: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edge-export", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="good pictures in, an unsigned bundle out")
    build.add_argument("--data", type=Path, required=True, help="folder with train/good")
    build.add_argument("--out", type=Path, required=True, help="the bundle to write")
    build.add_argument("--product", help="product name; default: the data folder's name")
    build.add_argument(
        "--detector", default="auto", help="auto, none (the product fills the frame) or a FILE"
    )
    build.add_argument(
        "--method", default="cropliq", choices=("auto", "cropliq"), help="auto means cropliq"
    )
    _shared(build)
    check = commands.add_parser("evaluate", help="measure a bundle on pictures it has not seen")
    check.add_argument("--bundle", type=Path, required=True, metavar="FILE")
    check.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="holds test/good and test/<kind>"
    )
    check.add_argument(
        "--out", type=Path, metavar="DIR", help="default: NAME.evaluation beside the bundle"
    )
    check.add_argument("--json", action="store_true", help="last line is one JSON object")
    demo = commands.add_parser(
        "demo-bundle", help="train the demo's bundle from the simulated line's good parts"
    )
    demo.add_argument("--product", default="tapered", choices=("tapered", "square", "round"))
    demo.add_argument("--out", type=Path, required=True)
    demo.add_argument("--pictures", type=int, default=400, help="good pictures to train from")
    _shared(demo)
    demo.set_defaults(steps=100)
    return parser


def _shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="cpu", help="cpu or cuda:N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--serial", type=int, default=1, help="only grows, per product")
    parser.add_argument("--steps", type=int, default=250, help="pretext training steps")
    parser.add_argument(
        "--false-alarm-rate", type=float, default=0.005, help="budget, share of good parts"
    )


def _build(args: argparse.Namespace) -> int:
    from export.build import BuildOptions, build
    from export.progress import ConsoleProgress

    with ConsoleProgress() as progress:
        result = build(
            BuildOptions(
                data=args.data,
                out=args.out,
                product=args.product or args.data.resolve().name,
                detector=args.detector,
                method="cropliq",
                seed=args.seed,
                device=_device(args.device),
                serial=args.serial,
                steps=args.steps,
                false_alarm_rate=args.false_alarm_rate,
            ),
            progress.show,
        )
    for warning in result.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{result.path}  sha256 {result.sha256}")
    print("The report is inside (report.html): edge-app report --bundle FILE --out report.html")
    return 0


def _evaluate(args: argparse.Namespace) -> int:
    from export.evaluate import evaluate
    from export.evaluation_report import fact_rows
    from export.progress import ConsoleProgress

    with ConsoleProgress() as progress:
        done = evaluate(args.bundle, args.data, args.out, progress.show)
    for warning in done.figures["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    for name in done.figures["excluded_pictures"]:
        print(f"left out, the bundle has seen it: {name}", file=sys.stderr)
    for what, found in fact_rows(done.figures):
        print(f"{what:<32} {found}")
    print(done.page)
    if args.json:
        print(json.dumps(done.figures))
    return 0


def _demo_bundle(args: argparse.Namespace) -> int:
    from export.demo_bundle import build_demo_bundle
    from export.progress import ConsoleProgress

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
            show=progress.show,
        )
    print(f"{args.out}  sha256 {digest}")
    return 0


def _device(name: str) -> str:
    """Return the device to train on; `auto` takes a GPU where there is one."""
    if name != "auto":
        return name
    import torch

    return "cuda:0" if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    raise SystemExit(main())
