"""`edge-deploy select`: change devices over to another installed product, print the results."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.cli.broker_options import add_broker_options, broker_settings
from deploy.cli.device_options import add_devices, chosen_devices
from edge_app.cli.border import NO
from edge_app.cli.parser import real, set_examples, text

if TYPE_CHECKING:
    from edge_app.mqtt.command_messages import Command, CommandAnswer
    from edge_app.mqtt.topics import DeviceName

DEFAULT_TIMEOUT_S = 30.0
MAX_TIMEOUT_S = 600.0
"""A device takes no command that is valid for longer."""

EXIT_FAILED = NO


def add_select_command(commands: argparse._SubParsersAction[Any]) -> None:
    """Add `select` to `edge-deploy`."""
    select = commands.add_parser(
        "select",
        help="change devices over to another installed product",
        description="Change devices over to another installed product.",
    )
    set_examples(
        select,
        "edge-deploy select part-b --broker plant:8883 --tls --device graz/l2/d3 --key anna.key",
    )
    select.add_argument(
        "product", type=text(64), metavar="PRODUCT", help="name of the installed product"
    )
    add_broker_options(select)
    add_devices(select)
    add_signing_options(select, "command")
    select.set_defaults(work=_select)


def add_signing_options(parser: argparse.ArgumentParser, what: str) -> None:
    """Add who signs, and for how long it counts, to a command that sends something signed."""
    parser.add_argument(
        "--key", type=Path, required=True, metavar="FILE.key", help="an operator's private key"
    )
    parser.add_argument(
        "--passphrase-file",
        type=Path,
        metavar="FILE",
        help="file whose first line is the key's passphrase (default: the environment variable "
        "CROPLIQ_KEY_PASSPHRASE, else none)",
    )
    parser.add_argument(
        "--timeout-s",
        type=real(0, MAX_TIMEOUT_S, above=True),
        default=DEFAULT_TIMEOUT_S,
        metavar="S",
        help=f"time after which the {what} expires, in seconds (default: %(default)g)",
    )


def _select(arguments: argparse.Namespace) -> int:
    from deploy.bundles.keys import load_private_key, read_passphrase
    from deploy.fleet.mqtt_client import FleetMqttClient
    from deploy.fleet.signed_command import select_command
    from edge_app.mqtt.topics import Topics

    devices = chosen_devices(arguments)
    key = load_private_key(arguments.key, read_passphrase(arguments.passphrase_file, os.environ))
    answers = Answers()
    filters = [
        topic
        for device in devices
        for topic in (Topics(device).agent_answer, Topics(device).command("select_product"))
    ]
    client = FleetMqttClient(broker_settings(arguments), filters, answers.take, say)
    try:
        for device in devices:
            command = select_command(
                arguments.product, arguments.slot, device, key, time.time_ns(), arguments.timeout_s
            )
            answers.expect(device, command)
            topic = Topics(device).command("select_product")
            client.publish(topic, command.payload(), retain=False)
        end_s = time.monotonic() + arguments.timeout_s
        while answers.missing and time.monotonic() < end_s:
            client.pump(0.05)
    finally:
        client.close()
    return answers.conclude()


class Answers:
    """Which devices were asked, and what they have answered.

    Args:
        topic: what is sent to, below a device's root.
        enabled_by: what its configuration has to say.
    """

    def __init__(self, topic: str = "cmd/+", enabled_by: str = "operator_keys_dir") -> None:
        self._topic, self._enabled_by = topic, enabled_by
        self._asked: dict[str, DeviceName] = {}
        self._failed = 0

    @property
    def missing(self) -> bool:
        """Whether a device has not answered yet."""
        return bool(self._asked)

    def expect(self, device: DeviceName, command: Command) -> None:
        """Wait for a device's answer to this very command."""
        self._asked[hashlib.sha256(command.payload()).hexdigest()] = device

    def take(self, topic: str, payload: bytes) -> None:
        """Take a message; prints it if it is an answer to one of our commands."""
        answer = _answer(topic, payload)
        device = self._asked.pop(answer.command_sha256, None) if answer is not None else None
        if answer is None or device is None:
            return
        self._failed += not answer.is_done
        say(f"{device}: {answer.text}")

    def conclude(self) -> int:
        """Name the devices that did not answer; return the exit code."""
        for device in self._asked.values():
            say(
                f"{device}: no answer. Is it online (edge-deploy status), does its [agent] name "
                f"{self._enabled_by}, and does the broker's ACL let its agent read {self._topic} "
                "and write agent/answer?"
            )
        return EXIT_FAILED if self._failed or self._asked else 0


def _answer(topic: str, payload: bytes) -> CommandAnswer | None:
    from pydantic import ValidationError

    from edge_app.mqtt.command_messages import CommandAnswer

    if not topic.endswith("/agent/answer"):
        return None
    try:
        return CommandAnswer.model_validate_json(payload)
    except ValidationError:
        return None  # of a newer version, or of somebody who is no agent


def say(text: str) -> None:
    """Print a line without terminal escapes."""
    from edge_app.host.plain_text import one_line, write_line

    write_line(sys.stdout, one_line(text))
