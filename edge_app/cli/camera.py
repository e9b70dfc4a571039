"""`edge-app camera`: find, test, focus, record and calibrate a camera.

A camera is given by its address, or by `--config FILE` and its name there.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_app.cli.parser import ANY_PORT, YEAR_S, real, seconds, set_examples, whole
from edge_app.errors import ConfigError

if TYPE_CHECKING:
    from edge_app.camera_setup.recording import Choice, Recording
    from edge_app.cameras.protocol import Camera

EXIT_PROBLEM = 1
DEFAULT_PORT = 8081
"""Beside the live page's 8080, so that both can run at once."""


ADDRESSES = "addresses"

MOST_SQUARE_MM = 10_000.0
MOST_VIEWS = 1000
FEWEST_CORNERS, MOST_CORNERS = 3, 100
"""Of a checkerboard: its squares, the pictures of it, its inner corners each way."""


def add_camera_commands(commands: Any) -> None:
    """Add `camera` and its sub-commands to edge-app's commands."""
    camera = commands.add_parser(
        "camera",
        help="set a camera up: find, test, focus, record, calibrate",
        description="Set a camera up: find, test, focus, record, calibrate.",
        formatter_class=_Help,
        epilog=ADDRESSES,
    )
    steps = camera.add_subparsers(dest="step", required=True, metavar="STEP")

    found = "list the cameras found on this machine"
    listing = steps.add_parser("list", help=found, description=_sentence(found))
    set_examples(listing, "edge-app camera list")
    listing.set_defaults(work=_list)

    test = _step(steps, "test", "read a camera for some seconds and report problems", _test)
    test.add_argument(
        "--seconds", type=seconds(), default=5.0, metavar="S", help="how long (default: 5)"
    )
    test.add_argument("--json", action="store_true", help="print the result as JSON")

    focus = _step(steps, "focus", "serve a page with live picture, focus and histogram", _focus)
    focus.add_argument(
        "--port",
        type=whole(0, ANY_PORT),
        default=DEFAULT_PORT,
        help="port of the page, 0: any free one (default: %(default)s)",
    )
    focus.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)"
    )
    focus.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="file with the page's token; required unless --host is loopback",
    )
    focus.add_argument(
        "--seconds", type=seconds(), metavar="S", help="stop after S seconds (default: no limit)"
    )

    snapshot = _step(steps, "snapshot", "save one picture", _snapshot)
    snapshot.add_argument(
        "--out", type=Path, required=True, metavar="FILE.png", help="the file to write"
    )

    record = _step(steps, "record", "record good parts into DIR/train/good", _record)
    record.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of the data set"
    )
    record.add_argument(
        "--count",
        type=whole(1, 1_000_000),
        default=100,
        metavar="N",
        help="pictures to keep (default: 100)",
    )
    record.add_argument(
        "--interval-s",
        type=real(0, YEAR_S),
        default=0.5,
        metavar="S",
        help="minimum time between pictures, without --bundle (default: 0.5)",
    )
    record.add_argument(
        "--bundle",
        type=Path,
        metavar="FILE",
        help="keep a picture only if this bundle's detector finds a whole, new part in it",
    )

    calibrate = _step(
        steps, "calibrate", "measure lens and millimetres with a checkerboard", _calibrate
    )
    calibrate.add_argument(
        "--out", type=Path, required=True, metavar="FILE.json", help="the file to write"
    )
    calibrate.add_argument(
        "--corners",
        type=_corners,
        required=True,
        metavar="COLSxROWS",
        help="inner corners of the board, e.g. 9x6",
    )
    calibrate.add_argument(
        "--square-mm",
        type=real(0, MOST_SQUARE_MM, above=True),
        required=True,
        metavar="MM",
        help="side of one square in millimetres",
    )
    calibrate.add_argument(
        "--views",
        type=whole(1, MOST_VIEWS),
        default=10,
        metavar="N",
        help="pictures of the board; 1 skips the lens (default: 10)",
    )


EXAMPLES = {
    "test": ("edge-app camera test v4l2:/dev/video0 --seconds 10",),
    "focus": ("edge-app camera focus basler:",),
    "snapshot": ("edge-app camera snapshot rtsp://10.0.0.7/stream --out now.png",),
    "record": (
        "edge-app camera record v4l2:/dev/video0 --out data --count 200",
        "edge-app camera record cam1 --config edge-app.toml --out data --bundle part.bundle",
    ),
    "calibrate": (
        "edge-app camera calibrate v4l2:/dev/video0 --out lens.json --corners 9x6 --square-mm 25",
    ),
}
"""Step → command lines at the end of its --help."""


class _Help(argparse.RawDescriptionHelpFormatter):
    """Adds the list of addresses only when --help is printed: importing it takes time."""

    def add_text(self, text: str | None) -> None:
        if text == ADDRESSES:
            from edge_app.cameras.registry import describe_schemes

            text = "addresses:\n" + describe_schemes()
        super().add_text(text)


def _step(
    steps: Any, name: str, text: str, work: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = steps.add_parser(name, help=text, description=_sentence(text))
    parser.add_argument("camera", help="the camera's address, or its name in --config")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="configuration with a camera of that name"
    )
    set_examples(parser, *EXAMPLES[name])
    parser.set_defaults(work=work)
    return parser


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _corners(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,3})[xX]([0-9]{1,3})", text)
    columns, rows = (int(found[1]), int(found[2])) if found else (0, 0)
    if min(columns, rows) < FEWEST_CORNERS or max(columns, rows) > MOST_CORNERS:
        raise argparse.ArgumentTypeError(
            f"expected columns x rows such as 9x6, from {FEWEST_CORNERS} to {MOST_CORNERS} each, "
            f"got {text[:40]!r}"
        )
    return columns, rows


def open_named(args: argparse.Namespace) -> tuple[Camera, str]:
    """Return the camera that the arguments name, not yet opened, and its name.

    Raises:
        ConfigError: the address is wrong, or the configuration has no such camera.
    """
    from edge_app.cameras.registry import open_camera

    if args.config is None:
        return open_camera(args.camera, "camera"), "camera"
    from edge_app.config.load import load_config
    from edge_app.runtime.camera_assembly import open_configured

    cameras = {c.name: c for c in load_config(args.config).cameras}
    if args.camera not in cameras:
        raise ConfigError(
            f"{args.config} has no camera named {args.camera!r}. Known: {', '.join(cameras)}."
        )
    return open_configured(cameras[args.camera]), args.camera


def _list(_args: argparse.Namespace) -> int:
    from edge_app.camera_setup.finding import find_cameras
    from edge_app.cameras.registry import plugin_reports

    stacks = find_cameras()
    for stack in stacks:
        print(f"{stack.name}: {stack.note or f'{len(stack.found)} found'}")
        for url, text in stack.found:
            print(f"    {url}    {text}")
    for report in plugin_reports():
        said = report.problem or f"a plug-in, not searched; e.g. {report.example}"
        print(f"{report.plugin.name} ({report.plugin.package}): {said}")
    return 0 if any(stack.found for stack in stacks) else EXIT_PROBLEM


def _test(args: argparse.Namespace) -> int:
    from dataclasses import asdict

    from edge_app.camera_setup.trial import lines_of, try_camera

    camera, _ = open_named(args)
    trial = try_camera(camera, args.seconds)
    if args.json:
        print(json.dumps({**asdict(trial), "problems": trial.problems}))
    else:
        print("\n".join(lines_of(trial)))
    return EXIT_PROBLEM if trial.problems else 0


def _focus(args: argparse.Namespace) -> int:
    from edge_app.camera_setup.focusing import FocusWatch
    from edge_app.page.settings import PageSettings, first_line
    from edge_app.page.setup_page import SetupPage

    camera, name = open_named(args)
    token = first_line(args.token_file) if args.token_file else None
    watch = FocusWatch(camera, name)
    page = SetupPage(PageSettings(args.host, args.port, token), watch)
    page.start()
    watch.start()
    print(f"camera set-up: {page.url}  (Ctrl-C ends it)", flush=True)
    try:
        _print_focus(watch, args.seconds)
    except KeyboardInterrupt:
        print()
    finally:
        watch.stop()
        page.stop()
    return 0


_OVER = "\r"
"""Begins what is written over the line before, on a terminal only."""


def _print_focus(watch: Any, seconds: float | None) -> None:
    """Print the figures once a second; one line that is written over on a terminal."""
    import time

    end_s = time.monotonic() + (seconds or float("inf"))
    while time.monotonic() < end_s:
        figures = watch.figures()
        if figures is not None:
            share = round(100 * figures.focus / figures.best) if figures.best else 0
            line = f"focus {figures.focus:10.1f}  {share:3d} % of the best {figures.best:.1f}"
            print(line, end="\r" if sys.stdout.isatty() else "\n", flush=True)
        time.sleep(min(1.0, max(0.0, end_s - time.monotonic())))


def _snapshot(args: argparse.Namespace) -> int:
    from edge_app.camera_setup.recording import snapshot

    camera, _ = open_named(args)
    hw = snapshot(camera, args.out)
    print(f"{args.out}: {hw[1]} x {hw[0]} pixels")
    return 0


def _record(args: argparse.Namespace) -> int:
    from edge_app.camera_setup.recording import record

    camera, name = open_named(args)
    choice = _choice(args, camera)
    is_terminal = sys.stdout.isatty()

    def show(so_far: Recording) -> None:
        if is_terminal:
            print(f"{_OVER}{so_far.kept} of {args.count} kept", end="", flush=True)

    try:
        recording = record(camera, name, args.out, args.count, choice, show)
    except KeyboardInterrupt:
        print("\nstopped; the pictures recorded so far are kept")
        return 0
    print(f"{_OVER * is_terminal}{recording.kept} pictures in {recording.folder}")
    for why, count in recording.left_out.most_common():
        print(f"left out: {count} ({why})")
    return 0 if recording.kept else EXIT_PROBLEM


def _choice(args: argparse.Namespace, camera: Camera) -> Choice:
    from edge_app.camera_setup.recording import EverySoOften

    if args.bundle is None:
        return EverySoOften(args.interval_s)
    from edge_app.bundle.archive import read_bundle
    from edge_app.camera_setup.new_parts import NewWholeParts
    from edge_app.model.loaded_model import load_model

    return NewWholeParts(load_model(read_bundle(args.bundle)), camera.describe())


def _calibrate(args: argparse.Namespace) -> int:
    from edge_app.camera_setup.calibrating import calibrate_camera

    camera, _ = open_named(args)
    for line in calibrate_camera(camera, args.out, args.corners, args.square_mm, args.views):
        print(line, flush=True)
    return 0
