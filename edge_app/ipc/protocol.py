"""The inter-process protocol of agent and inspection over a Unix socket: one JSON object per line.

    agent                            inspection
                                  ←  hello            which bundle is active in each slot
    prepare                       →
                                  ←  building …       where engines are missing
                                  ←  loaded, golden   or failed
    start_shadow                  →
                                  ←  shadow …
    switch                        →
                                  ←  switched         between two parts
    start_probation               →
                                  ←  probation …
    commit | rollback             →
                                  ←  rolled_back
                                  ←  bye              a planned end; without it the end is a crash

Commands (`edge-app install`, `edge-app slots`) use the same socket and get one `answer`, or
`progress` messages and then the `answer`. A line that does not match this schema ends the
connection.

What a later release adds is named in FEATURES. Whoever connects asks for them first, on a
connection of its own (`features`): an earlier agent ends that one, and nothing else comes of it. A
field that was added is left out where it says nothing, and to a peer that does not name it.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Collection
from contextlib import suppress
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_serializer,
)

from edge_app.errors import EdgeError
from edge_app.mqtt.deploy_messages import Disagreement, Reported
from edge_app.store.intent import Figures, Sha256

MAX_LINE_BYTES = 1 << 20
"""Longest line either side reads; the largest real one (a fleet of slots) is far below."""

SEND_S = 5
"""A peer that has not read for this many seconds counts as gone."""

SlotName = Annotated[str, Field(min_length=1, max_length=64)]
MAX_REASON_CHARS = 4000
Reason = Annotated[str, Field(max_length=MAX_REASON_CHARS)]
Purpose = Literal["candidate", "changeover", "standby", "restore"]
Feature = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]

AUTHOR = "author"
"""Knows who asked for a change: `by`."""

FEATURES = (AUTHOR,)
"""What this release knows that not every earlier one did."""


class ProtocolError(EdgeError):
    """A peer sent something that is not in the schema, or disconnected in the middle of a line."""


class PeerMessage(BaseModel):
    """Base of every message: one line on the socket."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", allow_inf_nan=False)

    ADDED: ClassVar[dict[str, str]] = {}
    """Field → the feature that it came with."""

    @model_serializer(mode="wrap")
    def _without_what_says_nothing(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = handler(self)
        return {k: v for k, v in fields.items() if v or k not in self.ADDED}


_M = TypeVar("_M", bound=PeerMessage)


def known_to(line: _M, features: Collection[str]) -> _M:
    """Return a message without the fields that a peer with these features would refuse."""
    unknown = [field for field, feature in line.ADDED.items() if feature not in features]
    fields = type(line).model_fields
    return (
        line.model_copy(update={f: fields[f].get_default() for f in unknown}) if unknown else line
    )


class Requester(PeerMessage):
    """Who asked for a change, for the audit.

    Attributes:
        kind, name, role: as in an order to inspection (`orders.Author`).
        via: how it came: page, console, mqtt, device.
    """

    kind: Literal["person", "root", "key", "machine"]
    name: str = Field(min_length=1, max_length=64)
    role: str = Field("", max_length=16)
    via: str = Field("", max_length=16)


THE_AGENT = Requester(kind="machine", name="agent", via="device")
"""Nobody asked: a roll-back by rule, what a restart left over."""


class _About(PeerMessage):
    """Base of the messages about one bundle in one slot."""

    slot: SlotName
    sha256: Sha256


class Prepare(_About):
    """Load the bundle and check its golden set; `memory_mb` is what that took in the trial."""

    type: Literal["prepare"] = "prepare"
    purpose: Purpose
    memory_mb: int = Field(0, ge=0)


class StartShadow(_About):
    """Judge live parts beside the current model, without any consequence."""

    type: Literal["start_shadow"] = "start_shadow"
    parts: int = Field(ge=1)
    max_min: float = Field(gt=0)


class Switch(_About):
    """Use it from the next part on.

    Attributes:
        by: who asked for it; None: an earlier agent does not say.
        why: what was asked for.
    """

    ADDED: ClassVar[dict[str, str]] = {"by": AUTHOR, "why": AUTHOR}

    type: Literal["switch"] = "switch"
    by: Requester | None = None
    why: Reason = ""


class StartProbation(_About):
    """Compare it with the old model's figures, and roll back if it does worse."""

    type: Literal["start_probation"] = "start_probation"
    parts: int = Field(ge=1)
    max_min: float = Field(gt=0)
    max_latency_ratio: float = Field(ge=1)
    baseline: Figures | None = None


class Commit(_About):
    """It stays; the old model may go."""

    type: Literal["commit"] = "commit"


class Rollback(_About):
    """Drop the candidate, or use `back_to` again (null: no model); `by`: as in `Switch`."""

    ADDED: ClassVar[dict[str, str]] = {"by": AUTHOR}

    type: Literal["rollback"] = "rollback"
    back_to: Sha256 | None
    reason: Reason = ""
    by: Requester | None = None


class Hello(PeerMessage):
    """First message of the inspection process; slot → digest of its active bundle, or of the one
    about to be loaded, or null. `features`: what it knows."""

    ADDED: ClassVar[dict[str, str]] = {"features": AUTHOR}

    type: Literal["hello"] = "hello"
    pid: int
    slots: dict[SlotName, Sha256 | None]
    features: tuple[Feature, ...] = Field((), max_length=100)


class Building(_About):
    """Engines are being built before it is loaded; `percent` of all of them together."""

    type: Literal["building"] = "building"
    percent: float = Field(ge=0, le=100)


class Loaded(_About):
    type: Literal["loaded"] = "loaded"


class Golden(_About):
    """The golden set gave the expected results in inspection's own session; else `failed`."""

    type: Literal["golden"] = "golden"
    pictures: int = 0
    latency_ms: float | None = None


class Shadow(_About):
    """Progress of the comparison. Frames that came while it was busy are `skipped`."""

    type: Literal["shadow"] = "shadow"
    is_final: bool
    disagreement: Disagreement
    skipped: int = Field(0, ge=0)
    errors: int = Field(0, ge=0)


class Switched(_About):
    """It is active; `after_part` is the last part that the old model judged."""

    type: Literal["switched"] = "switched"
    after_part: str | None = None
    baseline: Figures | None = None


class Probation(_About):
    type: Literal["probation"] = "probation"
    state: Literal["watching", "passed", "failed"]
    figures: Figures
    first_part: str | None = None
    reason: Reason = ""


class RolledBack(_About):
    """`sha256` is neither active nor a candidate any more; `active` is, or null: no model."""

    type: Literal["rolled_back"] = "rolled_back"
    active: Sha256 | None


class Failed(_About):
    """The request could not be executed; the active bundle is unchanged."""

    type: Literal["failed"] = "failed"
    reason: Reason


class Bye(PeerMessage):
    """A planned end."""

    type: Literal["bye"] = "bye"


class FeaturesCommand(PeerMessage):
    """Ask what the agent knows: its `answer` names the features. One before it ends the
    connection."""

    type: Literal["features"] = "features"


class _Change(PeerMessage):
    """Base of the commands that change something; `by` counts from the page only: of everybody
    else the kernel says who it is."""

    ADDED: ClassVar[dict[str, str]] = {"by": AUTHOR}

    by: Requester | None = None


class InstallCommand(_Change):
    """Install the file; followed by progress until a final state."""

    type: Literal["install"] = "install"
    path: str
    slot: SlotName


class SelectCommand(_Change):
    """Change a slot over to an installed product."""

    type: Literal["select"] = "select"
    slot: SlotName
    product: str


class DecideCommand(_Change):
    """A person's decision on a candidate that was compared."""

    type: Literal["decide"] = "decide"
    slot: SlotName
    promote: bool


class SlotsCommand(PeerMessage):
    type: Literal["slots"] = "slots"


class Release(PeerMessage):
    """One bundle in the list of slots."""

    sha256: Sha256
    product: str
    serial: int


class SlotEntry(PeerMessage):
    """One slot as the agent knows it."""

    slot: SlotName
    active: Release | None
    previous: Release | None
    installed: tuple[Release, ...]
    state: str = ""
    reason: str = ""


class Progress(PeerMessage):
    type: Literal["progress"] = "progress"
    reported: Reported


class Answer(PeerMessage):
    type: Literal["answer"] = "answer"
    is_ok: bool
    text: str
    slots: tuple[SlotEntry, ...] = ()


Order = Prepare | StartShadow | Switch | StartProbation | Commit | Rollback
News = Building | Loaded | Golden | Shadow | Switched | Probation | RolledBack | Failed
Change = InstallCommand | SelectCommand | DecideCommand
Command = Change | SlotsCommand | FeaturesCommand
ToAgent = Hello | Bye | News | Command
ToPeer = Order | Progress | Answer

TO_AGENT: TypeAdapter[ToAgent] = TypeAdapter(
    Annotated[ToAgent, Field(discriminator="type")], config=ConfigDict(defer_build=True)
)
TO_PEER: TypeAdapter[ToPeer] = TypeAdapter(
    Annotated[ToPeer, Field(discriminator="type")], config=ConfigDict(defer_build=True)
)


class PeerSocket:
    """A connected socket as messages of the schema. One thread receives; any may send.

    Args:
        connection: connected; closed by `close`.
        adapter: what may be received.
    """

    def __init__(
        self, connection: socket.socket, adapter: TypeAdapter[ToAgent] | TypeAdapter[ToPeer]
    ) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_S, 0))
        self._connection = connection
        self._sending = threading.Lock()
        self._adapter = adapter
        self._reader = connection.makefile("rb")

    def send(self, line: PeerMessage) -> None:
        """Send one message.

        Raises:
            OSError: the peer is gone, or has not read for SEND_S.
        """
        with self._sending:
            self._connection.sendall(line.model_dump_json().encode() + b"\n")

    def receive(self) -> PeerMessage | None:
        """Return the next message; None when either side has closed the connection.

        Raises:
            OSError: the connection broke.
            ProtocolError: the line is not in the schema, is too long or was cut off.
        """
        try:
            raw = self._reader.readline(MAX_LINE_BYTES)
        except ValueError:  # another thread has closed the reader
            return None
        if not raw:
            return None
        if not raw.endswith(b"\n"):
            raise ProtocolError(f"a line ended after {len(raw)} bytes without its end of line")
        try:
            line: PeerMessage = self._adapter.validate_json(raw)
        except ValidationError as error:
            what = "; ".join(e["msg"] for e in error.errors(include_url=False)[:3])
            raise ProtocolError(f"a line is not in the protocol: {what}") from error
        return line

    def close(self) -> None:
        """Close the connection; may be called twice and from any thread."""
        with suppress(OSError):  # it may not be connected any more
            self._connection.shutdown(socket.SHUT_RDWR)  # a receive in another thread ends
        self._reader.close()
        self._connection.close()
