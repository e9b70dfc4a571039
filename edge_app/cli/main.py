"""`edge-app`: everything a device does.

Heavy imports happen inside the command that needs them, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_app.cli.border import run_bordered
from edge_app.cli.camera import add_camera_commands
from edge_app.cli.engine import add_engine_commands
from edge_app.cli.inspect import add_inspect_command
from edge_app.cli.parser import (
    ANY_PORT,
    YEAR_S,
    CommandParser,
    real,
    set_examples,
    text,
    top_parser,
    whole,
)
from edge_app.errors import EdgeError

if TYPE_CHECKING:
    import threading

    from edge_app.host.crash_backoff import CrashBackoff
    from edge_app.host.sd_notify import ServiceNotifier

EXIT_NG, EXIT_ERROR = 1, 2

SLOT = text(64)
PAGE_SOCKET = "/run/cropliq-edge/page.sock"
PAGE_SOCKET_VARIABLE = "CROPLIQ_PAGE_SOCKET"
"""Set by edge-app.service: the page is a service of its own and comes in there. Unset, the page is
a child of `edge-app run`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 done; 1 what the command looked for was found (a failed check, a stopped inspection);
        2 wrong use or bad input, with one clear message on stderr; 3 see `run`.
    """
    args = _parser().parse_args(argv)
    return run_bordered(f"edge-app {args.command}", lambda: args.work(args))


def _parser() -> CommandParser:
    parser = top_parser(
        "edge-app",
        "Inspect parts on a production line and report bad ones over MQTT.",
        (
            "edge-app demo --parts 50",
            "edge-app example-config > edge-app.toml",
            "edge-app run --config edge-app.toml",
            "edge-app inspect pictures/ --bundle part.bundle",
        ),
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = _command(
        commands,
        "run",
        "inspect with the cameras and the broker of a configuration",
        "edge-app run --config /etc/edge-app/edge-app.toml",
    )
    run.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="the configuration, TOML"
    )
    run.set_defaults(work=_run)

    agent = _command(
        commands,
        "agent",
        "install new bundles while `edge-app run` inspects",
        "edge-app agent --config /etc/edge-app/edge-app.toml",
    )
    agent.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="the configuration, TOML"
    )
    agent.set_defaults(work=_agent)

    page = _command(
        commands,
        "page",
        "serve the live page beside `edge-app run`, as a service does",
        f"edge-app page --socket {PAGE_SOCKET}",
    )
    page.add_argument(
        "--socket",
        type=Path,
        default=Path(PAGE_SOCKET),
        metavar="PATH",
        help=f"where `edge-app run` listens for the page (default: {PAGE_SOCKET})",
    )
    page.set_defaults(work=_page)

    install = _command(
        commands,
        "install",
        "let the agent install a bundle from a file",
        "edge-app install part.signed.bundle --slot main",
    )
    install.add_argument("file", type=Path, metavar="FILE", help="the signed bundle")
    install.add_argument(
        "--slot", type=SLOT, default="main", metavar="S", help="the slot (default: main)"
    )
    _add_socket_config(install)
    install.set_defaults(work=_install)
    _add_slots(commands)

    check = _command(
        commands,
        "check-config",
        "report every mistake in a configuration",
        "edge-app check-config edge-app.toml",
    )
    check.add_argument("config", type=Path, metavar="FILE", help="the configuration, TOML")
    check.set_defaults(work=_check_config)

    example = _command(
        commands,
        "example-config",
        "print an example configuration with comments",
        "edge-app example-config > edge-app.toml",
    )
    example.set_defaults(work=_example_config)

    add_inspect_command(_command(commands, "inspect", "judge picture files, one part per picture"))

    demo = _command(
        commands,
        "demo",
        "run everything on a simulated line: camera, page, broker, alerts",
        "edge-app demo",
        "edge-app demo --headless --parts 200 --json",
    )
    demo.add_argument(
        "--product",
        default="tapered",
        choices=("tapered", "square", "round"),
        help="the simulated product (default: tapered)",
    )
    demo.add_argument(
        "--bundle", type=Path, metavar="FILE", help="the bundle (default: the shipped one)"
    )
    demo.add_argument(
        "--parts",
        type=whole(1, 1_000_000),
        metavar="N",
        help="stop after N parts (default: no limit)",
    )
    demo.add_argument(
        "--seconds",
        type=real(0, YEAR_S),
        default=0.0,
        metavar="S",
        help="stop after S seconds (default: 0, no limit)",
    )
    demo.add_argument(
        "--headless",
        action="store_true",
        help="without the page, faster than real time; needs --parts or --seconds",
    )
    demo.add_argument(
        "--json", action="store_true", help="print a JSON object as the last line of output"
    )
    demo.add_argument(
        "--port",
        type=whole(0, ANY_PORT),
        default=8080,
        help="port of the live page (default: 8080)",
    )
    demo.set_defaults(work=_demo)

    add_camera_commands(commands)
    add_engine_commands(commands)

    doctor = _command(
        commands,
        "doctor",
        "check what this machine has and what is missing",
        "edge-app doctor --config edge-app.toml",
    )
    doctor.add_argument(
        "--config", type=Path, metavar="FILE", help="also check what this configuration needs"
    )
    doctor.add_argument("--json", action="store_true", help="print the checks as JSON")
    doctor.set_defaults(work=_doctor)

    report = _command(
        commands,
        "report",
        "extract the build report from a bundle",
        "edge-app report --bundle part.bundle --out report.html",
    )
    report.add_argument("--bundle", type=Path, required=True, metavar="FILE", help="the bundle")
    report.add_argument(
        "--out", type=Path, required=True, metavar="FILE.html", help="the file to write"
    )
    report.set_defaults(work=_report)
    return parser


def _command(
    commands: argparse._SubParsersAction[Any], name: str, about: str, *examples: str
) -> argparse.ArgumentParser:
    """Add a sub-command whose own --help begins with the sentence of the list."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=about, description=f"{about[0].upper()}{about[1:]}."
    )
    if examples:
        set_examples(parser, *examples)
    return parser


def _add_socket_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="the configuration with the agent's socket (default: the default socket)",
    )


def _add_slots(commands: argparse._SubParsersAction[Any]) -> None:
    slots = _command(
        commands,
        "slots",
        "show each slot's bundles, or change the product of a slot",
        "edge-app slots",
        "edge-app slots select part-b --slot main",
    )
    _add_socket_config(slots)
    slots.set_defaults(work=_slots, verb="list")
    verbs = slots.add_subparsers(dest="verb", metavar="VERB")
    select = _command(
        verbs,
        "select",
        "change a slot over to another installed product",
        "edge-app slots select part-b",
    )
    select.add_argument(
        "product", type=text(64), metavar="PRODUCT", help="name of the installed product"
    )
    promote = _command(
        verbs, "promote", "accept a candidate after its shadow run", "edge-app slots promote"
    )
    reject = _command(
        verbs, "reject", "refuse a candidate after its shadow run", "edge-app slots reject"
    )
    for verb in (select, promote, reject):
        verb.add_argument(
            "--slot", type=SLOT, default="main", metavar="S", help="the slot (default: main)"
        )


def _run(args: argparse.Namespace) -> int:
    import logging
    import os
    import threading

    stop = threading.Event()
    notifier, backoff = _as_service(stop)
    if not backoff.wait(stop, notifier.status):
        return 0

    from edge_app.app import EdgeApp
    from edge_app.config.last_good import load_or_last_good, remember
    from edge_app.host.logging_setup import start_logging

    loaded = load_or_last_good(args.config)
    config = loaded.config
    start_logging(config.runtime.log_level)
    _check_on_hangup(args.config)
    page_socket = os.environ.get(PAGE_SOCKET_VARIABLE)
    app = EdgeApp(
        config,
        stop=stop,
        notifier=notifier,
        page_socket=None if page_socket is None else Path(page_socket),
    )
    if loaded.fault:
        app.use_last_good_configuration(loaded.fault)
    else:
        remember(config, args.config)
    if app.page_url:
        logging.getLogger(__name__).info("live page: %s", app.page_url)
    backoff.settle_later()
    code = app.run()
    if stop.is_set():
        backoff.clear()
    return code


def _page(args: argparse.Namespace) -> int:
    import os

    from edge_app.page.process import service_main

    folder = os.environ.get("STATE_DIRECTORY")  # systemd's; by hand nothing is kept
    return service_main(args.socket, None if folder is None else Path(folder))


def _agent(args: argparse.Namespace) -> int:
    import threading

    stop = threading.Event()
    notifier, backoff = _as_service(stop)
    if not backoff.wait(stop, notifier.status):
        return 0

    from edge_app.agent.main import run_agent
    from edge_app.config.last_good import AGENT, load_or_last_good, remember
    from edge_app.host.logging_setup import start_logging

    loaded = load_or_last_good(args.config, home=AGENT)
    start_logging(loaded.config.runtime.log_level)
    backoff.settle_later()

    def started() -> None:
        if not loaded.fault:
            remember(loaded.config, args.config, AGENT)

    code = run_agent(loaded.config, stop, loaded.fault, started)
    backoff.clear()
    return code


def _as_service(stop: threading.Event) -> tuple[ServiceNotifier, CrashBackoff]:
    """Let signals set `stop`; return the connection to systemd, silent where there is none."""
    import signal

    from edge_app.host.crash_backoff import CrashBackoff
    from edge_app.host.sd_notify import ServiceNotifier

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return ServiceNotifier.from_environment(), CrashBackoff.from_environment()


def _check_on_hangup(config: Path) -> None:
    """Answer SIGHUP in the log instead of ending; a configuration is read at the start only."""
    import logging
    import signal

    from edge_app.config.load import load_config

    log = logging.getLogger(__name__)

    def check(*_: object) -> None:
        try:
            load_config(config)
        except EdgeError as error:
            log.error("SIGHUP: %s The line goes on with the one it has.", error)
        else:
            log.warning("SIGHUP: %s is in order; restart the service to use it", config)

    signal.signal(signal.SIGHUP, check)


def _install(args: argparse.Namespace) -> int:
    from edge_app.cli.agent import install, socket_of

    return install(socket_of(args.config), args.file, args.slot)


def _slots(args: argparse.Namespace) -> int:
    from edge_app.cli import agent as commands

    socket = commands.socket_of(args.config)
    if args.verb == "select":
        return commands.select(socket, args.slot, args.product)
    if args.verb in ("promote", "reject"):
        return commands.decide(socket, args.slot, args.verb == "promote")
    return commands.list_slots(socket)


def _check_config(args: argparse.Namespace) -> int:
    from edge_app.config.load import load_config

    config = load_config(args.config)
    names = ", ".join(c.name for c in config.cameras)
    print(f"{args.config} is fine: cameras {names}, broker {config.mqtt.host}:{config.mqtt.port}.")
    return 0


def _example_config(_args: argparse.Namespace) -> int:
    from edge_app.config.load import example_config_text

    print(example_config_text(), end="")
    return 0


def _demo(args: argparse.Namespace) -> int:
    if args.headless and args.parts is None and args.seconds <= 0:
        print("edge-app demo: --headless needs --parts or --seconds", file=sys.stderr)
        return EXIT_ERROR
    from edge_app.demo.run import DemoOptions, demo_command

    return demo_command(
        DemoOptions(
            product=args.product,
            bundle=args.bundle,
            parts=args.parts,
            seconds=args.seconds,
            headless=args.headless,
            as_json=args.json,
            port=args.port,
        )
    )


def _doctor(args: argparse.Namespace) -> int:
    from edge_app.config.load import load_config
    from edge_app.doctor.run import format_json, has_failed, print_table, run_doctor

    checks = run_doctor(load_config(args.config) if args.config else None)
    if args.json:
        print(format_json(checks))
    else:
        print_table(checks)
    return EXIT_NG if has_failed(checks) else 0


def _report(args: argparse.Namespace) -> int:
    from edge_app.bundle.archive import read_bundle
    from edge_app.errors import BundleError

    files = read_bundle(args.bundle).files
    if "report.html" not in files:
        raise BundleError(f"Bundle {args.bundle} holds no report.html.")
    args.out.write_bytes(files["report.html"])
    print(args.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
