"""`edge-deploy`: what a person at a workstation does with devices in the field.

Everything heavy is imported by the command that needs it: `--help` answers at once.
"""

from __future__ import annotations

import argparse
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from deploy.package_command import add_package_command
from deploy.trust_commands import add_trust_commands

PLAIN_PORT = 1883
TLS_PORT = 8883


def main(argv: list[str] | None = None) -> int:
    """Run one command; return its exit code: 0 done, 1 failed, 2 wrong use."""
    from edge_app.errors import EdgeError

    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.work(arguments))
    except EdgeError as error:
        print(f"edge-deploy {arguments.command}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edge-deploy", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    watch = commands.add_parser("watch", help="show alerts as they arrive at the broker")
    watch.add_argument("--broker", required=True, metavar="HOST[:PORT]")
    for name in ("site", "line", "device"):
        watch.add_argument(f"--{name}", default="+", help=f"only this {name}; default: all")
    watch.add_argument("--json", action="store_true", help="one JSON object per line")
    watch.add_argument("--evidence", type=Path, metavar="DIR", help="fetch pictures into DIR")
    watch.add_argument("--username")
    watch.add_argument("--tls", action="store_true", help="encrypt (implied by the three files)")
    for name in ("password", "ca", "cert", "key"):
        watch.add_argument(f"--{name}-file", type=Path, metavar="FILE")
    watch.add_argument("--client-id", help="name of the session that the broker keeps for you")
    watch.add_argument("--count", type=int, metavar="N", help="end after N alerts")
    watch.add_argument("--timeout-s", type=float, metavar="S", help="end after S seconds")
    watch.set_defaults(work=_watch)
    add_trust_commands(commands)
    add_package_command(commands)
    return parser


def _watch(arguments: argparse.Namespace) -> int:
    from deploy.watch import Watch, WatchOptions
    from edge_app.mqtt.settings import MqttSettings
    from edge_app.mqtt.topics import alert_filter

    is_tls = arguments.tls or any((arguments.ca_file, arguments.cert_file, arguments.key_file))
    host, port = _address(arguments.broker, TLS_PORT if is_tls else PLAIN_PORT)
    settings = MqttSettings(
        host=host,
        port=port,
        username=arguments.username,
        password_file=arguments.password_file,
        ca_file=arguments.ca_file,
        cert_file=arguments.cert_file,
        key_file=arguments.key_file,
        tls=is_tls,
    )
    options = WatchOptions(
        settings=settings,
        topic=alert_filter(arguments.site, arguments.line, arguments.device),
        client_id=arguments.client_id or f"edge-watch-{socket.gethostname()}",
        as_json=arguments.json,
        evidence_folder=arguments.evidence,
        count=arguments.count,
        timeout_s=arguments.timeout_s,
    )
    watch = Watch(options)
    _stop_on_signals(watch.stop)
    return watch.run()


def _stop_on_signals(stop: Callable[[], None]) -> None:
    def handler(_number: int, _frame: FrameType | None) -> None:
        stop()

    signal.signal(signal.SIGINT, handler)
    signal.signal(signal.SIGTERM, handler)


def _address(text: str, default_port: int) -> tuple[str, int]:
    """Return host and port of HOST, HOST:PORT, [V6] or [V6]:PORT.

    Raises:
        ConfigError: the port is no number from 1 to 65535.
    """
    from edge_app.errors import ConfigError

    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        return text.strip("[]"), default_port
    if not port.isdigit() or not 0 < int(port) < 65536 or not host:
        raise ConfigError(f"--broker {text!r}: expected HOST or HOST:PORT, e.g. localhost:1883")
    return host.strip("[]"), int(port)


if __name__ == "__main__":
    sys.exit(main())
