"""The options that name devices: one by one, or a group of them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edge_app.cli.parser import text
from edge_app.errors import ConfigError

if TYPE_CHECKING:
    from edge_app.mqtt.topics import DeviceName

DEFAULT_SLOT = "main"


def add_devices(parser: argparse.ArgumentParser) -> None:
    """Add --slot, --device, --group and --groups."""
    parser.add_argument(
        "--slot", type=text(64), default=DEFAULT_SLOT, help="slot of the devices (default: main)"
    )
    parser.add_argument(
        "--device",
        action="append",
        metavar="SITE/LINE/DEVICE",
        help="a device; can be repeated",
    )
    parser.add_argument("--group", help="a group of devices; needs --groups")
    parser.add_argument(
        "--groups", type=Path, metavar="FILE.toml", help="file that lists the groups' devices"
    )


def chosen_devices(arguments: argparse.Namespace) -> tuple[DeviceName, ...]:
    """Return the devices that the options name.

    Raises:
        ConfigError: neither or both ways are used, or a name or the group's file is wrong.
    """
    from deploy.fleet.groups import load_group, parse_devices

    if (arguments.group is None) == (arguments.device is None):
        raise ConfigError("give either --device (one or more) or --group with --groups.")
    if arguments.group is None:
        return parse_devices(arguments.device, "--device")
    if arguments.groups is None:
        raise ConfigError(f"--group {arguments.group} needs --groups FILE.toml.")
    return load_group(arguments.groups, arguments.group)
