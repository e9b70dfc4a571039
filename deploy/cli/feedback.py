"""`edge-deploy feedback`: tell a device, signed, what a person says of a part."""

from __future__ import annotations

import argparse
import os
import time
from typing import TYPE_CHECKING, Any

from deploy.cli.broker_options import add_broker_options, broker_settings
from deploy.cli.select import Answers, add_signing_options, say
from edge_app.cli.parser import set_examples, text

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    from edge_app.mqtt.command_messages import Command
    from edge_app.mqtt.topics import DeviceName

MARKS = ("right", "false_alarm", "missed", "unsure")
NEEDED = "operator_keys_dir and feedback = true"


def add_feedback_command(commands: argparse._SubParsersAction[Any]) -> None:
    """Add `feedback` to `edge-deploy`."""
    feedback = commands.add_parser(
        "feedback",
        help="say of a part whether its verdict is right, as a proposal",
        description="Say of a part whether its verdict is right, as a proposal.",
    )
    set_examples(
        feedback,
        "edge-deploy feedback belt-1-000012 false_alarm --broker plant:8883 --tls "
        "--device graz/l2/d3 --key anna.key",
    )
    feedback.add_argument(
        "part_id", type=text(1000), metavar="PART", help="the part's id, as alerts name it"
    )
    feedback.add_argument("mark", choices=MARKS, help="what the person says of its verdict")
    feedback.add_argument(
        "--class", dest="defect_class", type=text(64), metavar="C",
        help="name of the defect that the person sees",
    )  # fmt: skip
    feedback.add_argument("--note", type=text(500), help="a line beside it")
    add_broker_options(feedback)
    feedback.add_argument(
        "--device", required=True, metavar="SITE/LINE/DEVICE", help="the device that judged it"
    )
    add_signing_options(feedback, "feedback")
    feedback.set_defaults(work=_feedback)


def _feedback(arguments: argparse.Namespace) -> int:
    from deploy.bundles.keys import load_private_key, read_passphrase
    from deploy.fleet.groups import parse_devices
    from deploy.fleet.mqtt_client import FleetMqttClient
    from edge_app.mqtt.topics import Topics

    (device,) = parse_devices([arguments.device], "--device")
    topics = Topics(device)
    key = load_private_key(arguments.key, read_passphrase(arguments.passphrase_file, os.environ))
    answers = Answers("feedback", NEEDED)
    filters = [topics.agent_answer, topics.feedback]
    client = FleetMqttClient(broker_settings(arguments), filters, answers.take, say)
    try:
        message = _message(arguments, device, key)
        answers.expect(device, message)
        client.publish(topics.feedback, message.payload(), retain=False)
        end_s = time.monotonic() + arguments.timeout_s
        while answers.missing and time.monotonic() < end_s:
            client.pump(0.05)
    finally:
        client.close()
    return answers.conclude()


def _message(
    arguments: argparse.Namespace, device: DeviceName, key: EllipticCurvePrivateKey
) -> Command:
    from deploy.fleet.signed_command import feedback_message

    given = {name: getattr(arguments, name) for name in ("defect_class", "note")}
    said = {"part_id": arguments.part_id, "mark": arguments.mark}
    said |= {name: value for name, value in given.items() if value is not None}
    return feedback_message(said, device, key, time.time_ns(), arguments.timeout_s)
