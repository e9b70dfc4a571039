"""`edge-deploy serve | status`, and what the commands that watch the fleet share."""

from __future__ import annotations

import argparse
import io
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from deploy.cli.broker_options import add_broker_options, broker_settings
from edge_app.cli.parser import ANY_PORT, set_examples, whole
from edge_app.errors import ConfigError

if TYPE_CHECKING:
    from deploy.fleet.mqtt_client import FleetMqttClient
    from deploy.fleet.state import Fleet
    from edge_app.mqtt.topics import DeviceName

SETTLE_S = 1.0
"""Retained messages of fifty devices arrive in a fraction of this."""
REDRAW_S = 0.5


def add_fleet_commands(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the two commands to `edge-deploy`."""
    _add_serve(commands)
    _add_status(commands)


def _add_serve(commands: argparse._SubParsersAction[Any]) -> None:
    serve = commands.add_parser(
        "serve",
        help="serve a folder's bundles to devices over HTTPS",
        description="Serve a folder's bundles to devices over HTTPS.",
    )
    set_examples(
        serve,
        "edge-deploy serve bundles --cert desk.pem --key desk.key --new-cert desk,10.0.0.5",
        "edge-deploy serve bundles --host 127.0.0.1",
    )
    serve.add_argument("folder", type=Path, metavar="FOLDER", help="folder with *.bundle files")
    serve.add_argument(
        "--host", default="0.0.0.0", help="address to listen on (default: 0.0.0.0, all)"
    )
    serve.add_argument(
        "--port",
        type=whole(0, ANY_PORT),
        default=8443,
        help="port to listen on, 0: any free one (default: 8443)",
    )
    serve.add_argument(
        "--cert",
        type=Path,
        metavar="FILE",
        help="the server's certificate, PEM (default: plain HTTP, on loopback only)",
    )
    serve.add_argument(
        "--key",
        type=Path,
        metavar="FILE",
        help="the certificate's private key, PEM (default: in the certificate's file)",
    )
    serve.add_argument(
        "--new-cert",
        metavar="NAME[,NAME]",
        help="first create --cert and --key for these host names and addresses",
    )
    serve.set_defaults(work=_serve)


def _add_status(commands: argparse._SubParsersAction[Any]) -> None:
    status = commands.add_parser(
        "status",
        help="show devices and their updates as a live table",
        description="Show devices and their updates as a live table.",
    )
    set_examples(
        status,
        "edge-deploy status --broker localhost",
        "edge-deploy status --broker plant:8883 --tls --device graz/l2/d3 --json",
    )
    add_broker_options(status)
    status.add_argument(
        "--device", metavar="SITE/LINE/DEVICE", help="only this device (default: all)"
    )
    status.add_argument("--once", action="store_true", help="print the table once and exit")
    status.add_argument("--json", action="store_true", help="print the table as JSON and exit")
    status.set_defaults(work=_status)


def connect(
    arguments: argparse.Namespace, device: DeviceName | None = None
) -> tuple[FleetMqttClient, Fleet]:
    """Return a connection to the broker of the options, and the fleet state that it fills.

    SIGTERM ends the command as Ctrl-C does from here on.

    Raises:
        BrokerError: the broker does not answer, or refuses the login.
        ConfigError: the options are wrong, or a file of them cannot be read.
    """
    from deploy.fleet.mqtt_client import FleetMqttClient
    from deploy.fleet.state import Fleet, fleet_filters

    fleet = Fleet()
    settings = broker_settings(arguments)
    _interrupt_on_terminate()
    return FleetMqttClient(settings, fleet_filters(device), fleet.apply, _note), fleet


# -- serve -----------------------------------------------------------------------------------------


def _serve(arguments: argparse.Namespace) -> int:
    from deploy.bundles.certificate import make_certificate
    from deploy.bundles.serve import BundleServer, tls_context

    if arguments.new_cert is not None:
        if arguments.cert is None or arguments.key is None:
            raise ConfigError("--new-cert needs --cert and --key: the two files to write.")
        make_certificate(arguments.new_cert.split(","), arguments.cert, arguments.key)
        print(f"{arguments.cert}: copy it to the devices as [download] ca_file", file=sys.stderr)
    tls = tls_context(arguments.cert, arguments.key) if arguments.cert else None
    _interrupt_on_terminate()
    with BundleServer(arguments.folder, (arguments.host, arguments.port), tls) as server:
        print(f"serving {arguments.folder} at {server.url}", file=sys.stderr, flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0


# -- status ----------------------------------------------------------------------------------------


def _status(arguments: argparse.Namespace) -> int:
    import json

    from rich.console import Console

    from deploy.fleet.table import fleet_json, fleet_rows, fleet_table, trouble_lines
    from edge_app.mqtt.topics import DeviceName

    device = DeviceName.parse(arguments.device) if arguments.device else None
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    client, fleet = connect(arguments, device)
    try:
        client.pump(SETTLE_S)
        rows = fleet_rows(fleet, time.time_ns())
        if arguments.json:
            print(json.dumps(fleet_json(rows), indent=1))
        elif arguments.once or not sys.stdout.isatty():
            Console(width=None if sys.stdout.isatty() else 200).print(fleet_table(rows))
        else:
            _show_live(client, fleet)
        for line in trouble_lines(fleet):
            _note(line)
    except KeyboardInterrupt:
        return 0
    finally:
        client.close()
    return 0


def _show_live(client: FleetMqttClient, fleet: Fleet) -> NoReturn:
    """Redraw until interrupted."""
    from rich.live import Live

    from deploy.fleet.table import fleet_rows, fleet_table

    with Live(auto_refresh=False, screen=True) as live:
        while True:
            live.update(fleet_table(fleet_rows(fleet, time.time_ns())), refresh=True)
            client.pump(REDRAW_S)


def _note(text: str) -> None:
    from edge_app.host.plain_text import one_line, write_line

    write_line(sys.stderr, f"edge-deploy: {one_line(text)}")


def _interrupt_on_terminate() -> None:
    """Let SIGTERM end a command as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
