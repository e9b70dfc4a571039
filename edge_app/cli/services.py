"""`edge-app run | agent | page`: what systemd starts, and a person by hand."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_app.cli.parser import add_command
from edge_app.errors import EdgeError

if TYPE_CHECKING:
    import threading

    from edge_app.app import EdgeApp
    from edge_app.host.crash_backoff import CrashBackoff
    from edge_app.host.sd_notify import ServiceNotifier

SERVICES = ("run", "agent", "page")

PAGE_SOCKET = "/run/cropliq-edge/page.sock"
PAGE_SOCKET_VARIABLE = "CROPLIQ_PAGE_SOCKET"
"""Set by edge-app.service: the page is a service of its own and comes in there. Unset, the page is
a child of `edge-app run`."""


def add_service_commands(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the three commands to `edge-app`."""
    run = add_command(
        commands,
        "run",
        "inspect with the cameras and the broker of a configuration",
        "edge-app run --config /etc/edge-app/edge-app.toml",
    )
    run.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="the configuration, TOML"
    )
    run.set_defaults(work=_run)

    agent = add_command(
        commands,
        "agent",
        "install new bundles while `edge-app run` inspects",
        "edge-app agent --config /etc/edge-app/edge-app.toml",
    )
    agent.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="the configuration, TOML"
    )
    agent.set_defaults(work=_agent)

    page = add_command(
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


def _run(args: argparse.Namespace) -> int:
    import logging
    import threading

    from edge_app.host.memory import give_back_freed, no_collections

    stop = threading.Event()
    notifier, backoff = _as_service(stop, args.config)
    if not backoff.wait(stop, notifier.status):
        return 0
    with no_collections():
        app = _made_app(args.config, stop, notifier)
    give_back_freed()
    if app.page_url:
        logging.getLogger(__name__).info("live page: %s", app.page_url)
    backoff.settle_later()
    code = app.run()
    if stop.is_set():
        backoff.clear()
    return code


def _made_app(file: Path, stop: threading.Event, notifier: ServiceNotifier) -> EdgeApp:
    """Return the app of a configuration file, or of the last one that started."""
    import os

    from edge_app.app import EdgeApp
    from edge_app.config.last_good import load_or_last_good, remember
    from edge_app.host.logging_setup import start_logging
    from edge_app.host.memory import keep_for_good

    keep_for_good()
    loaded = load_or_last_good(file)
    config = loaded.config
    start_logging(config.runtime.log_level)
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
        remember(config, file)
    return app


def _page(args: argparse.Namespace) -> int:
    import os

    from edge_app.page.process import service_main

    folder = os.environ.get("STATE_DIRECTORY")  # systemd's; by hand nothing is kept
    return service_main(args.socket, None if folder is None else Path(folder))


def _agent(args: argparse.Namespace) -> int:
    import threading

    stop = threading.Event()
    notifier, backoff = _as_service(stop, args.config)
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


def _as_service(stop: threading.Event, config: Path) -> tuple[ServiceNotifier, CrashBackoff]:
    """Let signals set `stop`; return the connection to systemd, silent where there is none.

    SIGHUP is answered in the log and does not end it; a configuration is read at the start only.
    """
    import signal

    from edge_app.host.crash_backoff import CrashBackoff
    from edge_app.host.sd_notify import ServiceNotifier
    from edge_app.host.stop_signals import handle_signals

    handle_signals(
        {
            signal.SIGINT: stop.set,
            signal.SIGTERM: stop.set,
            signal.SIGHUP: lambda: _check(config),
        }
    )
    return ServiceNotifier.from_environment(), CrashBackoff.from_environment()


def _check(config: Path) -> None:
    """Say in the log whether a service could start with its configuration as it is now."""
    import logging

    from edge_app.config.load import load_config

    log = logging.getLogger(__name__)
    try:
        load_config(config)
    except EdgeError as error:
        log.error("SIGHUP: %s The service goes on with the one it has.", error)
    else:
        log.warning("SIGHUP: %s is in order; restart the service to use it", config)
