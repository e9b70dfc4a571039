"""Messages about new models: the workstation's requests and the agent's reports."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from edge_app.mqtt.message_base import Body, Count, Message, Rfc3339, Sha256, Uuid7

MAX_URL_LENGTH = 2048

DeployState = Literal[
    "downloading",
    "verifying",
    "building",
    "self_check",
    "shadow",
    "switching",
    "probation",
    "committed",
    "rolled_back",
    "refused",
]
AgentState = Literal["online", "stopped", "offline"]
FINAL_STATES: frozenset[DeployState] = frozenset({"committed", "rolled_back", "refused"})
"""After one of these the agent waits for the next pointer."""

Product = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Percent = Annotated[float, Field(ge=0, le=100)]


class Desired(Message):
    """`deploy/{slot}/desired`: the bundle that a slot shall have, and its address.

    A hint only: it starts a download. Whether the device accepts the bundle is decided by its
    signature and the device's rules. An empty retained message withdraws the deployment.
    """

    message_id: Uuid7
    issued_at: Rfc3339
    product: Product
    serial: Count | None = Field(default=None, description="for people; the manifest's counts")
    sha256: Sha256 = Field(description="of the whole bundle file")
    length: int = Field(ge=1, description="of the whole bundle file, in bytes")
    url: str = Field(min_length=1, max_length=MAX_URL_LENGTH)


class Disagreement(Body):
    """How often the candidate and the current model judged the same live part differently."""

    parts: Count = Field(description="judged by both")
    only_candidate_ng: Count
    only_current_ng: Count
    report_url: str | None = Field(default=None, description="the report with pictures")


class Reported(Message):
    """`deploy/{slot}/reported`: the progress of a slot's newest deployment."""

    slot: str
    state: DeployState
    sha256: Sha256 | None = Field(description="null: the pointer named no usable bundle")
    product: str | None = None
    serial: Count | None = Field(default=None, description="from the manifest, once verified")
    percent: Percent | None = Field(default=None, description="of the current state")
    reason: str = Field(default="", description="why it waits, was refused or rolled back")
    disagreement: Disagreement | None = None
    desired_id: Uuid7 | None = Field(
        default=None, description="message_id of the pointer; null for a file from a USB stick"
    )
    at: Rfc3339


class AgentStatus(Message):
    """`agent/status`: can this device install new models? `offline` is the agent's last will."""

    state: AgentState
    reason: str = ""
    version: str = ""
    since: Rfc3339 | None = Field(description="null in the last will: the broker sends it later")
