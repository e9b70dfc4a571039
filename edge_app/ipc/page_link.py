"""The protocol between inspection and the page's process: one JSON object per line.

    inspection                       page
    settings                      →
    line (state, alarms) …        →
                                  ←  watch …       cameras that somebody looks at
    ring (with a descriptor)      →                where pictures lie, see frame_ring.py
    picture …                     →
                                  ←  give_back …

Inspection never waits for the page: what the page does not read in time ends the connection, and
so does a line that is not in the schema, or too many of them.
"""

from __future__ import annotations

import array
import json
import os
import select
import socket
import struct
from collections import deque
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from edge_app.ipc.protocol import ProtocolError
from edge_app.shifts import DEFAULT_STARTS

MAX_LINE_BYTES = {"page": 8 << 20, "inspection": 16 << 10}
"""Longest line either side reads: a state with every alarm's outlines, and a list of cameras."""

SEND_S = 2
"""A page that has not read for this many seconds is hung up on."""

READ_BYTES = 64 << 10
MAX_WATCHED = 64

CameraName = Annotated[str, Field(min_length=1, max_length=64)]


class LinkMessage(BaseModel):
    """Base of every message."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="ignore")


class Settings(LinkMessage):
    """What the page serves, where and for whom; the configuration belongs to inspection.

    Attributes:
        is_enabled: False: no page is wanted.
        token: see `edge_app/page/server.py`.
        changeover_socket: the agent's socket; None: the page is read-only.
        evidence_folder: None: no pictures are kept.
        history, audit: inspection's files; None: it keeps none.
        orders_socket: where inspection takes orders; None: nowhere.
        people_folder: where a page that has no folder of its own keeps accounts.
        tls_certificate, tls_key: PEM; None: plain HTTP.
        site, line, device: what people know this device by.
        bad_parts: whether a bad part waits for a person, or is off the line by itself.
        shifts: when they begin, local times such as "06:00", checked, ascending.
    """

    type: Literal["settings"] = "settings"
    is_enabled: bool = True
    host: str
    port: int = Field(ge=0, le=65_535)
    token: str | None = Field(None, repr=False)
    changeover_socket: str | None = None
    evidence_folder: str | None = None
    history: str | None = None
    audit: str | None = None
    orders_socket: str | None = None
    people_folder: str | None = None
    tls_certificate: str | None = None
    tls_key: str | None = Field(None, repr=False)
    site: str = ""
    line: str = ""
    device: str = ""
    bad_parts: Literal["latch", "list"] = "latch"
    shifts: tuple[str, ...] = DEFAULT_STARTS


class LineState(LinkMessage):
    """What /api/state and, when it has changed, /api/alerts answer."""

    type: Literal["line"] = "line"
    state: dict[str, Any]
    alerts: dict[str, Any] | None = None


class Ring(LinkMessage):
    """A new segment; its descriptor comes with the line."""

    type: Literal["ring"] = "ring"
    generation: int = Field(ge=1)
    slot_bytes: int = Field(ge=1)


class Picture(LinkMessage):
    """A slot holds a picture: so many bytes of notes, then the pixels (uint8, height × width ×
    channels, row by row)."""

    type: Literal["picture"] = "picture"
    camera: CameraName
    sequence: int = Field(ge=1)
    generation: int = Field(ge=1)
    slot: int = Field(ge=0, lt=16)
    shape: tuple[int, int, int]
    notes_bytes: int = Field(ge=0)


class Watch(LinkMessage):
    """Somebody looks at these cameras now."""

    type: Literal["watch"] = "watch"
    cameras: tuple[CameraName, ...] = Field(max_length=MAX_WATCHED)


class GiveBack(LinkMessage):
    """A slot is free again."""

    type: Literal["give_back"] = "give_back"
    generation: int
    slot: int


ToPage = Settings | LineState | Ring | Picture
ToInspection = Watch | GiveBack
Side = Literal["page", "inspection"]

_ADAPTERS: dict[str, TypeAdapter[Any]] = {
    "page": TypeAdapter(
        Annotated[ToPage, Field(discriminator="type")], config=ConfigDict(defer_build=True)
    ),
    "inspection": TypeAdapter(
        Annotated[ToInspection, Field(discriminator="type")], config=ConfigDict(defer_build=True)
    ),
}


class PageLink:
    """A connected socket as messages. Used by one thread.

    Args:
        connection: connected; closed by `close`.
        side: whose end this is; says what may be received.
    """

    def __init__(self, connection: socket.socket, side: Side) -> None:
        connection.setblocking(True)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_S, 0))
        self._connection = connection
        self._poll = select.poll()  # select() takes no descriptor above 1023
        self._poll.register(connection, select.POLLIN)
        self._room = select.poll()
        self._room.register(connection, select.POLLOUT)
        self._adapter = _ADAPTERS[side]
        self._max_line_bytes = MAX_LINE_BYTES[side]
        self._unread = bytearray()
        self._descriptors: deque[int] = deque()

    def fileno(self) -> int:
        """Return the socket's descriptor, for `select`."""
        return self._connection.fileno()

    @property
    def has_room(self) -> bool:
        """Whether the socket takes a message of usual size at once: the peer reads."""
        return any(flags & select.POLLOUT for _, flags in self._room.poll(0))

    def send(self, message: LinkMessage, descriptor: int | None = None) -> None:
        """Send one message, with a descriptor if given.

        Raises:
            OSError: the peer is gone, or has not read for SEND_S.
        """
        text = json.dumps(message.model_dump(), ensure_ascii=False)
        data = text.encode(errors="replace") + b"\n"  # a file's name need not be Unicode
        if descriptor is not None:
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))
            data = data[self._connection.sendmsg([data], [rights]) :]
        self._connection.sendall(data)

    def receive(self, timeout_s: float) -> list[Any] | None:
        """Return the messages that have come, waiting for the first at most so long; None: closed.

        Raises:
            OSError: the connection broke.
            ProtocolError: a line is not in the schema, or too long.
        """
        if not self._poll.poll(timeout_s * 1000):
            return []
        data = self._read()
        if not data:
            return None
        self._unread += data
        *lines, rest = self._unread.split(b"\n")
        self._unread = bytearray(rest)
        if len(rest) > self._max_line_bytes:
            raise ProtocolError(f"a line is longer than {self._max_line_bytes} bytes")
        return [self._parse(bytes(line)) for line in lines]

    def take_descriptor(self) -> int:
        """Return the descriptor that came with a message; the caller closes it.

        Raises:
            ProtocolError: none came.
        """
        if not self._descriptors:
            raise ProtocolError("a message came without its descriptor")
        return self._descriptors.popleft()

    def close(self) -> None:
        """Close the connection and what came over it unclaimed."""
        self._connection.close()
        while self._descriptors:
            os.close(self._descriptors.popleft())

    def _read(self) -> bytes:
        """Return some bytes; only the page's end takes descriptors."""
        if self._adapter is _ADAPTERS["inspection"]:
            return self._connection.recv(READ_BYTES)
        data, descriptors, _, _ = socket.recv_fds(self._connection, READ_BYTES, 1)
        self._descriptors.extend(descriptors)
        return data

    def _parse(self, line: bytes) -> Any:
        try:
            return self._adapter.validate_json(line)
        except ValidationError as error:
            what = "; ".join(e["msg"] for e in error.errors(include_url=False)[:3])
            raise ProtocolError(f"a line is not in the protocol: {what}") from error
