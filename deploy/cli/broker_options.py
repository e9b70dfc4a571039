"""The options by which every command finds the broker."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_app.mqtt.settings import MqttSettings

PLAIN_PORT = 1883
TLS_PORT = 8883
FILES = {
    "password": "file whose first line is the password",
    "ca": "certificate authorities to trust, PEM (default: those of the system)",
    "cert": "client certificate, PEM; needs --key-file",
    "key": "private key of the client certificate, PEM",
}


def add_broker_options(parser: argparse.ArgumentParser) -> None:
    """Add --broker, the login and the certificates."""
    parser.add_argument(
        "--broker",
        required=True,
        metavar="HOST[:PORT]",
        help=f"the MQTT broker (default port: {PLAIN_PORT}, with TLS {TLS_PORT})",
    )
    parser.add_argument("--username", help="login name at the broker (default: none)")
    parser.add_argument(
        "--tls", action="store_true", help="use TLS; implied by --ca-file, --cert-file, --key-file"
    )
    for name, about in FILES.items():
        parser.add_argument(f"--{name}-file", type=Path, metavar="FILE", help=about)


def broker_settings(arguments: argparse.Namespace) -> MqttSettings:
    """Return what the options say.

    Raises:
        ConfigError: the port is not valid.
    """
    from edge_app.mqtt.settings import MqttSettings

    is_tls = arguments.tls or any((arguments.ca_file, arguments.cert_file, arguments.key_file))
    host, port = parse_address(arguments.broker, TLS_PORT if is_tls else PLAIN_PORT)
    return MqttSettings(
        host=host,
        port=port,
        username=arguments.username,
        password_file=arguments.password_file,
        ca_file=arguments.ca_file,
        cert_file=arguments.cert_file,
        key_file=arguments.key_file,
        tls=is_tls,
    )


def parse_address(text: str, default_port: int) -> tuple[str, int]:
    """Return host and port of HOST, HOST:PORT, [V6] or [V6]:PORT.

    Raises:
        ConfigError: the port is not a number from 1 to 65535, or the host cannot be a name.
    """
    from edge_app.errors import ConfigError

    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(default_port)
    name = host.strip("[]")
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536 or not _is_host(name):
        raise ConfigError(f"--broker {text!r}: expected HOST or HOST:PORT, e.g. localhost:1883")
    return name, int(port)


def _is_host(name: str) -> bool:
    """Tell whether a name can be looked up at all."""
    try:
        name.encode("idna")
    except UnicodeError:
        return False
    return name != "" and name.isprintable() and " " not in name
