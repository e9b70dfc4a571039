"""The rules that every message keeps.

One schema version for all; within it fields are only ever added, so consumers ignore what they do
not know. No NaN and no Infinity leaves the device: JSON has neither.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from edge_app.mqtt.timestamps import RFC3339_PATTERN, UUID7_PATTERN

SCHEMA_VERSION: Final = 1

Rfc3339 = Annotated[str, StringConstraints(pattern=RFC3339_PATTERN)]
Uuid7 = Annotated[str, StringConstraints(pattern=UUID7_PATTERN)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]


class Body(BaseModel):
    """Base of every object in a message: frozen, finite numbers only."""

    model_config = ConfigDict(
        frozen=True, allow_inf_nan=False, json_schema_serialization_defaults_required=True
    )


class Message(Body):
    """Base of everything that is published."""

    schema_version: Literal[1] = SCHEMA_VERSION

    def payload(self) -> bytes:
        """Return the message as compact UTF-8 JSON."""
        return self.model_dump_json().encode()
