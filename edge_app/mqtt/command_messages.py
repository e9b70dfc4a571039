"""Commands from operators over MQTT on `cmd/{verb}`, and the agent's answers.

The signature is over the bytes of the order's text: a receiver verifies those bytes first and
parses nothing that an operator's key has not signed.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, StringConstraints

from edge_app.mqtt.deploy_messages import Product
from edge_app.mqtt.message_base import Body, Message, Rfc3339, Sha256, Uuid7

COMMAND_TYPE: Final = "application/vnd.cropliq.command+json"
"""The payload type in DSSE's pre-authentication encoding: no bundle's signature verifies for it."""

MAX_ORDER_CHARS = 4096
SlotName = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class SelectProduct(Body):
    """The order inside a command on `cmd/select_product`: judge another installed product."""

    model_config = ConfigDict(defer_build=True, extra="forbid")

    verb: Literal["select_product"] = "select_product"
    command_id: Uuid7 = Field(description="new for every command: a device carries out each once")
    device: str = Field(description="SITE/LINE/DEVICE: no other device accepts it")
    slot: SlotName = "main"
    product: Product
    issued_at: Rfc3339
    expires_at: Rfc3339 = Field(description="at most ten minutes after issued_at")


class Command(Message):
    """`cmd/{verb}`: an order and an operator's signature over it. Never retained."""

    order: str = Field(
        max_length=MAX_ORDER_CHARS,
        description="the order as JSON text, exactly as it was signed",
        json_schema_extra={
            "contentMediaType": "application/json",
            "contentSchema": SelectProduct.model_json_schema(mode="serialization"),
        },
    )
    key_id: Sha256 = Field(description="of the operator's public key")
    signature: str = Field(
        max_length=256,
        description=f"base64 of ECDSA P-256 with SHA-256 over DSSE's encoding of {COMMAND_TYPE}",
    )


class GiveFeedback(Body):
    """What is signed inside a message on `feedback`: a person's word on a part's verdict.

    It is a proposal until an engineer accepts it.
    """

    model_config = ConfigDict(defer_build=True, extra="forbid")

    verb: Literal["feedback"] = "feedback"
    command_id: Uuid7 = Field(description="new for every message: a device takes each once")
    device: str = Field(description="SITE/LINE/DEVICE: no other device accepts it")
    part_id: str = Field(
        min_length=1, max_length=1000, description="as in alerts; the newest part of that name"
    )
    mark: Literal["right", "false_alarm", "missed", "unsure"]
    defect_class: str = Field(default="", max_length=64)
    region: tuple[tuple[float, float], ...] | None = Field(
        default=None,
        min_length=3,
        max_length=100,
        description="points [x, y] in pixels of the frame",
    )
    note: str = Field(default="", max_length=500)
    issued_at: Rfc3339
    expires_at: Rfc3339 = Field(description="at most ten minutes after issued_at")


class Feedback(Command):
    """`feedback`: what a person says of a part, and the signature over it. Never retained."""

    order: str = Field(
        max_length=MAX_ORDER_CHARS,
        description="what is said, as JSON text, exactly as it was signed",
        json_schema_extra={
            "contentMediaType": "application/json",
            "contentSchema": GiveFeedback.model_json_schema(mode="serialization"),
        },
    )


class CommandAnswer(Message):
    """`agent/answer`: what became of a command or of feedback."""

    verb: str
    is_done: bool
    text: str = Field(description="what was done, or why nothing was")
    command_sha256: Sha256 = Field(description="of the command's bytes: which one is answered")
    slot: str | None = Field(default=None, description="null: not signed by an operator's key")
    product: str | None = None
    part_id: str | None = Field(default=None, description="of feedback; null: of none that counts")
    at: Rfc3339
