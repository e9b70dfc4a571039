"""The messages' JSON Schemas and the AsyncAPI 3.0 document, generated from the models.

`python -m edge_app.mqtt.schema docs` writes docs/schemas/*.json and docs/asyncapi.json; a test
holds the committed files equal to what this makes.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from edge_app.mqtt.command_messages import Command, CommandAnswer, Feedback
from edge_app.mqtt.deploy_messages import AgentStatus, Desired, Reported
from edge_app.mqtt.messages import (
    SCHEMA_VERSION,
    Alert,
    CameraAlarmLevel,
    CameraState,
    DeviceInfo,
    DeviceStatus,
    Health,
    Message,
    PartResult,
)
from edge_app.mqtt.topics import ROOT
from edge_app.records import JsonObject

DRAFT = "https://json-schema.org/draft/2020-12/schema"
DEVICE_ROOT = ROOT + "/{site}/{line}/{device}"


@dataclass(frozen=True, slots=True)
class Channel:
    """One topic: its message and how it is sent.

    Attributes:
        is_ours: the device writes it; otherwise the device reads it.
    """

    name: str
    topic: str
    model: type[Message]
    qos: int
    is_retained: bool
    use: str
    is_ours: bool = True

    @property
    def operation(self) -> str:
        """Name of what the device does with it."""
        return f"{'publish' if self.is_ours else 'receive'}_{self.name}"


CHANNELS = (
    Channel("status", "status", DeviceStatus, 1, True, "Whether the device inspects; last will."),
    Channel("info", "info", DeviceInfo, 1, True, "What this device is."),
    Channel("health", "health", Health, 0, False, "Figures for dashboards."),
    Channel("camera_state", "cam/{camera}/state", CameraState, 1, True, "What a camera is doing."),
    Channel(
        "alarm_level", "cam/{camera}/alarm", CameraAlarmLevel, 1, True, "The level, for lamps."
    ),
    Channel("alert", "cam/{camera}/alert", Alert, 1, False, "The event: new, update, end, gap."),
    Channel("result", "cam/{camera}/result", PartResult, 0, False, "Every part; opt-in."),
    Channel(
        "agent_status", "agent/status", AgentStatus, 1, True, "Whether the agent runs; last will."
    ),
    Channel(
        "reported", "deploy/{slot}/reported", Reported, 1, True, "The progress of a deployment."
    ),
    Channel(
        "desired",
        "deploy/{slot}/desired",
        Desired,
        1,
        True,
        "Written by the workstation: the bundle that a slot shall have.",
        is_ours=False,
    ),
    Channel(
        "select_product",
        "cmd/select_product",
        Command,
        1,
        False,
        "Written by operators: a signed command to judge another installed product.",
        is_ours=False,
    ),
    Channel(
        "feedback",
        "feedback",
        Feedback,
        1,
        False,
        "Written by operators: a signed word on a part's verdict.",
        is_ours=False,
    ),
    Channel("answer", "agent/answer", CommandAnswer, 1, False, "What became of a command."),
)


def schema_of(channel: Channel) -> JsonObject:
    """Return the JSON Schema (draft 2020-12) of what is published on a channel."""
    schema = channel.model.model_json_schema(mode="serialization")
    return {"$schema": DRAFT, "$id": f"urn:cropliq-edge:{channel.name}:{SCHEMA_VERSION}", **schema}


def asyncapi() -> JsonObject:
    """Return the AsyncAPI 3.0 document; its payloads refer to the schema files."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "CropLiq Edge",
            "version": f"{SCHEMA_VERSION}.0.0",
            "description": "What an inspecting device publishes and reads over MQTT.",
        },
        "defaultContentType": "application/json",
        "channels": {channel.name: _channel(channel) for channel in CHANNELS},
        "operations": {channel.operation: _operation(channel) for channel in CHANNELS},
        "components": {"messages": {channel.name: _message(channel) for channel in CHANNELS}},
    }


def _channel(channel: Channel) -> JsonObject:
    address = f"{DEVICE_ROOT}/{channel.topic}"
    names = [part[1:-1] for part in address.split("/") if part.startswith("{")]
    return {
        "address": address,
        "description": channel.use,
        "parameters": {name: {"description": f"name of the {name}"} for name in names},
        "messages": {channel.name: {"$ref": f"#/components/messages/{channel.name}"}},
    }


def _operation(channel: Channel) -> JsonObject:
    return {
        "action": "send" if channel.is_ours else "receive",
        "channel": {"$ref": f"#/channels/{channel.name}"},
        "messages": [{"$ref": f"#/channels/{channel.name}/messages/{channel.name}"}],
        "bindings": {"mqtt": {"qos": channel.qos, "retain": channel.is_retained}},
    }


def _message(channel: Channel) -> JsonObject:
    return {
        "name": channel.name,
        "title": channel.model.__name__,
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": {"$ref": f"./schemas/{channel.name}.json"},
        },
    }


def documents() -> dict[str, str]:
    """Return every generated file: path below docs → text."""
    files = {f"schemas/{channel.name}.json": schema_of(channel) for channel in CHANNELS}
    files["asyncapi.json"] = asyncapi()
    return {
        path: json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        for path, document in files.items()
    }


def main(arguments: list[str]) -> int:
    """Write the documents below the folder named first."""
    if len(arguments) != 1:
        print("usage: python -m edge_app.mqtt.schema DOCS_FOLDER", file=sys.stderr)
        return 2
    for path, text in documents().items():
        target = Path(arguments[0]) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
