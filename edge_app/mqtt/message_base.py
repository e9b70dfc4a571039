"""The rules that every message keeps.

One schema version for all; within it fields are only ever added, so consumers ignore what they do
not know. No NaN and no Infinity leaves the device: JSON has neither.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from edge_app.mqtt.timestamps import RFC3339_PATTERN, UUID7_PATTERN, check_rfc3339

SCHEMA_VERSION: Final = 1
CUT_MARK: Final = "…"
"""At the end of a text that had to be cut for the broker's maximum packet size."""

Rfc3339 = Annotated[str, StringConstraints(pattern=RFC3339_PATTERN), AfterValidator(check_rfc3339)]
Uuid7 = Annotated[str, StringConstraints(pattern=UUID7_PATTERN)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]


class Body(BaseModel):
    """Base of every object in a message: frozen, finite numbers only."""

    model_config = ConfigDict(
        defer_build=True,
        frozen=True,
        allow_inf_nan=False,
        json_schema_serialization_defaults_required=True,
    )


class Message(Body):
    """Base of everything that is published."""

    schema_version: Literal[1] = SCHEMA_VERSION

    def payload(self) -> bytes:
        """Return the message as compact UTF-8 JSON."""
        return self.model_dump_json().encode()

    def payload_within(self, max_bytes: int) -> bytes | None:
        """Return the payload, its `reason` or `text` cut if need be; None: too large without too.

        Args:
            max_bytes: the most that the payload may have; below 0 nothing fits.
        """
        payload = self.payload()
        for name in ("reason", "text"):
            text = getattr(self, name, None)
            if len(payload) <= max_bytes or not isinstance(text, str):
                continue
            payload = self._cut(name, text, max_bytes)
        return payload if len(payload) <= max_bytes else None

    def _cut(self, name: str, text: str, max_bytes: int) -> bytes:
        """Return the payload with the longest beginning of a text that fits, or with none of it."""
        low, high = 0, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            shorter = self.model_copy(update={name: text[:middle] + CUT_MARK})
            low, high = (middle, high) if len(shorter.payload()) <= max_bytes else (low, middle - 1)
        return self.model_copy(update={name: text[:low] + CUT_MARK}).payload()
