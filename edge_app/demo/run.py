"""Running the demo: simulated line, shipped bundle, embedded broker, live page, real subscriber."""

from __future__ import annotations

import socket
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from rich.console import Console

from edge_app.app import EdgeApp
from edge_app.cameras.registry import open_camera
from edge_app.cameras.simulated import SimulatedCamera
from edge_app.config.load import config_of
from edge_app.config.model import AppConfig
from edge_app.demo.baseline import MeanDifference, good_look
from edge_app.demo.broker import EmbeddedBroker
from edge_app.demo.report import print_summary
from edge_app.demo.scoring import Scoreboard
from edge_app.demo.subscriber import WatchProcess
from edge_app.errors import ConfigError, ModelError
from edge_app.host.stop_signals import stop_on_signals
from edge_app.mqtt.topics import alert_filter
from edge_app.records import JsonObject
from edge_app.simulator.truth import SEEDS, Product

CAMERA = "line1"
LIVE_FPS, LIVE_ADVANCE_PX = 10, 120
"""The belt runs at 1200 px/s: two and a half parts per second, smooth on the page."""

SUBSCRIBE_S = 30.0
"""At most so long the first alert waits for the subscribers' processes; on a busy computer their
start takes seconds."""

USUAL_PORT = 8080

BASELINE_RATE = 0.01
"""The baseline gets the same false-alarm rate as the demo's budget."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What a person can choose.

    Attributes:
        bundle: None: the shipped one of the product.
        parts: stop after this many; None runs until stopped.
        seconds: stop after this long; 0 runs until stopped.
        headless: no page, no table, faster than real time.
        port: the page's; 0: any free one; None: USUAL_PORT, or a free one if that is in use.
    """

    product: Product = "tapered"
    bundle: Path | None = None
    parts: int | None = None
    seconds: float = 0.0
    headless: bool = False
    as_json: bool = False
    port: int | None = None
    seed: int = SEEDS["test"]


def run_demo(options: DemoOptions, console: Console) -> JsonObject:
    """Run the demo to its end and return the summary.

    Raises:
        ConfigError: there is no shipped bundle for the product, or the page's port is in use.
    """
    with tempfile.TemporaryDirectory(prefix="cropliq-demo-") as state, EmbeddedBroker() as broker:
        port = 0 if options.headless else page_port(options.port, console)
        config = _config(options, Path(state), broker.port, port)
        camera = open_camera(config.cameras[0].url, CAMERA)
        if not isinstance(camera, SimulatedCamera):
            raise ConfigError("The demo runs on the simulated line only.")
        board = Scoreboard(camera.truth)
        app = EdgeApp(config, {CAMERA: camera}, [board.take])
        baseline = _baseline(app, options, console)
        watch = WatchProcess(broker.port, shows_table=not options.headless)
        if not options.headless:
            console.print(f"Live page: [bold]{app.page_url}[/]   (Ctrl-C ends the demo)")
        watch.start()
        try:
            _wait_for_watchers(broker, watch)
            started_s = time.monotonic()
            exit_code = _run(app, options)
            elapsed_s = time.monotonic() - started_s
            watch.wait_for(board.alarms)
        finally:
            received = watch.stop()
        if exit_code == 1:
            raise ModelError("The demo's inspection ended with an error; see the log above.")
        return _summary(options, board, baseline, received, elapsed_s)


def _wait_for_watchers(broker: EmbeddedBroker, watch: WatchProcess) -> None:
    """Let no alert go out before those who show and count it have subscribed."""
    end_s = time.monotonic() + SUBSCRIBE_S
    while time.monotonic() < end_s and not broker.has_subscribers(alert_filter(), watch.clients):
        time.sleep(0.05)


def _run(app: EdgeApp, options: DemoOptions) -> int:
    """Run the app until its parts or its time are over, or it is interrupted."""
    give_back = stop_on_signals(app.stop)
    timer = threading.Timer(options.seconds, app.stop) if options.seconds > 0 else None
    if timer:
        timer.daemon = True
        timer.start()
    try:
        return app.run()
    finally:
        if timer:
            timer.cancel()
        give_back()


def _summary(
    options: DemoOptions,
    board: Scoreboard,
    baseline: MeanDifference | None,
    received: JsonObject,
    elapsed_s: float,
) -> JsonObject:
    summary: JsonObject = {"product": options.product, **board.summary(), **received}
    summary["frames_per_second"] = round(board.frames / max(elapsed_s, 1e-3), 2)
    summary["seconds"] = round(elapsed_s, 2)
    if baseline is not None:
        rate = max(BASELINE_RATE, summary["false_alarm_rate"] or 0.0)
        summary["baseline"] = baseline.summary(board, rate)
    return summary


def _baseline(app: EdgeApp, options: DemoOptions, console: Console) -> MeanDifference | None:
    """Return the baseline for a run with counted parts; a live demo does not need it."""
    if options.parts is None:
        return None
    console.print("Preparing the baseline (mean image difference) ...")
    baseline = MeanDifference(good_look(app.model, options.product), app.model.spec)
    app.add_observer(baseline.take)
    return baseline


def _config(options: DemoOptions, state: Path, broker_port: int, page_port: int) -> AppConfig:
    document = {
        "device": {"site": "demo", "line": "belt", "device": "edge1", "state_dir": str(state)},
        "bundle": {"path": str(_bundle(options)), "allow_unsigned": True},
        "camera": [{"name": CAMERA, "url": camera_url(options), "alarm_debounce_s": 0.5}],
        "mqtt": {"host": "127.0.0.1", "port": broker_port},
        "page": {"enabled": not options.headless, "port": page_port or 1},
        "evidence": {"enabled": not options.headless, "max_mb": 200},
        "outbox": {"reserve_mb": 1},
        "runtime": {"log_level": "WARNING"},  # the page's process shares the terminal
    }
    return config_of(document, Path(), "of the demo")


def camera_url(options: DemoOptions) -> str:
    """Return the simulated camera's address: live with a page, otherwise as fast as possible."""
    url = f"sim:{options.product}?seed={options.seed}"
    url += f"&parts={options.parts}" if options.parts else ""
    if options.headless:
        return url + "&mode=file"
    return url + f"&mode=live&fps={LIVE_FPS}&advance={LIVE_ADVANCE_PX}"


def _bundle(options: DemoOptions) -> Path:
    if options.bundle is not None:
        return options.bundle.absolute()
    shipped = files("edge_app").joinpath("assets").joinpath(f"demo-{options.product}.bundle")
    path = Path(str(shipped))
    if not path.is_file():
        raise ConfigError(
            f"No bundle is shipped for the {options.product} product. Make one with "
            f"`edge-export demo-bundle --product {options.product} --out FILE` and pass "
            "`--bundle FILE`."
        )
    return path


def page_port(wanted: int | None, console: Console) -> int:
    """Return the loopback port for the page.

    Args:
        wanted: as `DemoOptions.port`.

    Raises:
        ConfigError: the port that was asked for is in use.
    """
    try:
        return _free_port(USUAL_PORT if wanted is None else wanted)
    except OSError as error:
        why = error.strerror or str(error)
    if wanted is not None:
        raise ConfigError(
            f"--port {wanted} cannot be used: {why}. Name another one, or leave --port out for any "
            "free one."
        )
    port = _free_port(0)
    console.print(f"Port {USUAL_PORT} cannot be used ({why}): the page is on {port}.")
    return port


def _free_port(wanted: int) -> int:
    """Return a loopback port that can be listened on; 0 stands for any."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", wanted))
        return int(probe.getsockname()[1])


def demo_command(options: DemoOptions) -> int:
    """Run the demo for the command line: summary on stdout, JSON as the last line if asked."""
    import json

    console = Console(stderr=True, quiet=options.headless and options.as_json)
    summary = run_demo(options, console)
    if options.as_json:
        print(json.dumps(summary))
    else:
        print_summary(summary, Console(file=sys.stdout))
    return 0
