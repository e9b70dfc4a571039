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
"""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

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


class ProtocolError(EdgeError):
    """A peer sent something that is not in the schema, or disconnected in the middle of a line."""


class PeerMessage(BaseModel):
    """Base of every message: one line on the socket."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


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
    """Use it from the next part on."""

    type: Literal["switch"] = "switch"


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
    """Drop the candidate, or use `back_to` again (null: no model)."""

    type: Literal["rollback"] = "rollback"
    back_to: Sha256 | None
    reason: Reason = ""


class Hello(PeerMessage):
    """First message of the inspection process; slot → digest of its active bundle, or of the one
    about to be loaded, or null."""

    type: Literal["hello"] = "hello"
    pid: int
    slots: dict[SlotName, Sha256 | None]


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


class InstallCommand(PeerMessage):
    """Install the file; followed by progress until a final state."""

    type: Literal["install"] = "install"
    path: str
    slot: SlotName


class SelectCommand(PeerMessage):
    """Change a slot over to an installed product."""

    type: Literal["select"] = "select"
    slot: SlotName
    product: str


class DecideCommand(PeerMessage):
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
Command = InstallCommand | SelectCommand | DecideCommand | SlotsCommand
ToAgent = Hello | Bye | News | Command
ToPeer = Order | Progress | Answer

TO_AGENT: TypeAdapter[ToAgent] = TypeAdapter(Annotated[ToAgent, Field(discriminator="type")])
TO_PEER: TypeAdapter[ToPeer] = TypeAdapter(Annotated[ToPeer, Field(discriminator="type")])


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
