"""The documents in docs/ are what the models generate, and messages keep to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError
from support.alert_drafts import WHO, as_draft, bad_part, draft, gap_event
from support.operator_commands import command

from edge_app.mqtt.command_messages import CommandAnswer
from edge_app.mqtt.deploy_messages import AgentStatus, Desired, Disagreement, Reported
from edge_app.mqtt.messages import (
    Alert,
    CameraAlarmLevel,
    CameraDescription,
    CameraHealth,
    CameraState,
    DeviceInfo,
    DeviceStatus,
    Health,
    Message,
    OutboxHealth,
    SlotDescription,
    model_body,
    result_from_verdict,
)
from edge_app.mqtt.schema import documents, main
from edge_app.mqtt.timestamps import rfc3339

DOCS = Path(__file__).parents[3] / "docs"
NOW = rfc3339(1_790_000_000_000_000_000)
ID = "01990000-0000-7000-8000-000000000001"
NUMBERED = {"seq": 1, "session": 1, "published_at": NOW, "replayed": False}


def sample_messages() -> dict[str, list[Message]]:
    """Return at least one message of every kind."""
    model = model_body(bad_part(1).model)
    return {
        "status": [
            DeviceStatus(state="online", session=1, since=NOW),
            DeviceStatus(state="offline", reason="vanished", session=1, since=None),
        ],
        "info": [
            DeviceInfo(
                hardware="x86-64",
                versions={"edge_app": "0.1.0"},
                cameras=(CameraDescription(name="cam1", url="folder:parts", mode="file"),),
                slots=(SlotDescription(slot="default", model=model, threshold_id="c-1"),),
            )
        ],
        "health": [
            Health(
                session=1,
                at=NOW,
                uptime_s=3.5,
                cameras=(CameraHealth(camera="cam1", frames_per_second=9.5),),
                outbox=OutboxHealth(
                    depth=0, max_messages=10, counted_only=0, reserve_released=False
                ),
            )
        ],
        "camera_state": [CameraState(camera="cam1", state="stalled", since=NOW, session=1)],
        "alarm_level": [CameraAlarmLevel(camera="cam1", is_on=True, since=NOW, session=1)],
        "alert": [
            Alert(**draft(1).model_dump(), **NUMBERED),
            Alert(**as_draft(gap_event(1, 2)).model_dump(), **NUMBERED),
        ],
        "result": [
            result_from_verdict(bad_part(1), WHO, clock_synchronised=False, published_at_ns=0)
        ],
        "agent_status": [
            AgentStatus(state="online", version="0.1.0", since=NOW),
            AgentStatus(state="offline", reason="vanished", since=None),
        ],
        "reported": [
            Reported(slot="main", state="downloading", sha256="0" * 64, percent=12.5, at=NOW),
            Reported(
                slot="main",
                state="rolled_back",
                sha256="0" * 64,
                serial=3,
                reason="shadow: 9 of 50 parts judged differently",
                disagreement=Disagreement(parts=50, only_candidate_ng=9, only_current_ng=0),
                desired_id=ID,
                at=NOW,
            ),
            Reported(slot="main", state="refused", sha256=None, reason="no JSON", at=NOW),
        ],
        "desired": [
            Desired(
                message_id=ID,
                issued_at=NOW,
                product="screws",
                serial=3,
                sha256="0" * 64,
                length=1,
                url="https://station.plant/screws-3.bundle",
            )
        ],
        "select_product": [command(WHO, "screws")],
        "answer": [
            CommandAnswer(
                verb="select_product",
                is_done=True,
                text="slot main judges screws (64 ms)",
                command_sha256="0" * 64,
                slot="main",
                product="screws",
                at=NOW,
            ),
            CommandAnswer(
                verb="stop", is_done=False, text="no such verb", command_sha256="0" * 64, at=NOW
            ),
        ],
    }


def schema_of(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((DOCS / "schemas" / f"{name}.json").read_text())
    return schema


def test_committed_documents_are_what_the_models_generate() -> None:
    """docs/ and the code agree; `python -m edge_app.mqtt.schema docs` makes them so."""
    committed = {path: (DOCS / path).read_text(encoding="utf-8") for path in documents()}
    assert committed == documents()
    assert {f"schemas/{p.name}" for p in (DOCS / "schemas").iterdir()} < set(documents())


def test_the_generator_writes_the_documents(tmp_path: Path) -> None:
    """The command makes a complete docs folder from nothing."""
    assert main([str(tmp_path)]) == 0
    assert (tmp_path / "asyncapi.json").read_text() == documents()["asyncapi.json"]
    assert main([]) == 2


@pytest.mark.parametrize("name", sorted(sample_messages()))
def test_messages_keep_to_their_schema(name: str) -> None:
    """Every kind of message validates against its committed schema."""
    Draft202012Validator.check_schema(schema_of(name))
    for message in sample_messages()[name]:
        Draft202012Validator(schema_of(name)).validate(json.loads(message.payload()))


def test_the_order_inside_a_command_keeps_to_its_own_schema() -> None:
    """What is signed is JSON text, and the command's schema says which."""
    order = schema_of("select_product")["properties"]["order"]
    assert order["contentMediaType"] == "application/json"
    Draft202012Validator.check_schema(order["contentSchema"])
    given = command(WHO, "screws", slot="second")
    Draft202012Validator(order["contentSchema"]).validate(json.loads(given.order))


@pytest.mark.parametrize("field", ["seq", "message_id", "captured_at", "replayed", "model"])
def test_the_alert_schema_demands_its_fields(field: str) -> None:
    """A message without one of the facts that consumers rely on is invalid."""
    body = json.loads(sample_messages()["alert"][0].payload())
    del body[field]
    with pytest.raises(ValidationError):
        Draft202012Validator(schema_of("alert")).validate(body)


def test_every_asyncapi_message_refers_to_a_schema_file() -> None:
    """The AsyncAPI document's references all lead somewhere."""
    document = json.loads((DOCS / "asyncapi.json").read_text())
    assert document["asyncapi"] == "3.0.0"
    for message in document["components"]["messages"].values():
        assert (DOCS / message["payload"]["schema"]["$ref"]).is_file()
    for operation in document["operations"].values():
        assert operation["channel"]["$ref"].removeprefix("#/channels/") in document["channels"]


def test_every_schema_is_used_by_the_asyncapi_document() -> None:
    """No schema file is an orphan."""
    text = (DOCS / "asyncapi.json").read_text()
    assert all(path in text for path in documents() if path.startswith("schemas/"))
