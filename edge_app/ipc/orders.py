"""Orders of people and programs to the inspection process: schema, client and server.

One JSON line in, one out, per connection, on `orders.sock`. The kernel states the peer's account
(SO_PEERCRED): the page's service, which names its author, root, and the account that inspects.

    page, command                 inspection
    order (author, order_id)   →
                               ←  answer        after the record is safe in the audit

An order is carried out once: the same `order_id` again gets the same answer, so that whoever had no
answer asks again without harm.
"""

from __future__ import annotations

import logging
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator as After
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from edge_app.errors import ConfigError, EdgeError, OrderError
from edge_app.ipc.calibration import Calibration
from edge_app.ipc.peers import SOCKET_MODES, Peer, Role, listen, may_play, peer_of
from edge_app.ipc.unix_socket import connected_to, stop_listening
from edge_app.mqtt.timestamps import UUID7_PATTERN
from edge_app.store.intent import Sha256

_log = logging.getLogger(__name__)

ORDERS_SOCKET = "orders.sock"
"""Beside page.sock where the page is a service; else in the state folder."""

MAX_LINE_BYTES = 32 << 10
"""Longest line either side reads."""

RECEIVE_S = 5.0
"""A peer that connects says at once what it wants, and reads the answer."""

ANSWER_S = 5.0
STOP_S = 2.0
"""A stop waits so long for the order in hand: its disk may hang."""

MAX_PEERS = 8
"""Connections at once; the ones above are closed unread."""

BACKLOG = 8
MAX_THRESHOLD = 1e9
MAX_PAUSE_MIN = 480


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("only printable characters in one line are expected")
    return text


Line = Annotated[str, Field(max_length=1000), After(_printable)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=64), After(_printable)]
Why = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=500),
    After(_printable),
]
OptionalName = Annotated[str, Field(max_length=64), After(_printable)]
Threshold = Annotated[float, Field(ge=-MAX_THRESHOLD, le=MAX_THRESHOLD)]
PersonRole = Literal["viewer", "operator", "engineer"]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Author(_Message):
    """Who ordered something.

    Attributes:
        kind: person: with an account of the page. root: at the device's console, by command.
            key: of a signature. machine: a configured program.
        role: of the page's account or the machine; "" for root and keys.
    """

    kind: Literal["person", "root", "key", "machine"]
    name: Name
    role: PersonRole | Literal[""] = ""


class _Order(_Message):
    """Base of every order.

    Attributes:
        order_id: UUID version 7, made by whoever orders; see `edge_app.mqtt.timestamps.uuid7`.
        device: site/line/device that is meant; "": whichever listens.
    """

    author: Author
    order_id: str = Field(pattern=UUID7_PATTERN)
    device: str = Field("", max_length=400)


class SetLimit(_Order):
    """Judge with these thresholds from the next part on; what is None stays as it is.

    Attributes:
        for_sha256: the bundle that the author saw; another one in the slot refuses the order.
    """

    type: Literal["set_limit"] = "set_limit"
    slot: Name
    score_threshold: Threshold | None = None
    suspect_threshold: Threshold | None = None
    map_threshold: Threshold | None = None
    for_sha256: Sha256
    why: Why


class UndoLimit(_Order):
    """Return to the thresholds before the last `set_limit` of the slot's bundle."""

    type: Literal["undo_limit"] = "undo_limit"
    slot: Name
    why: Why


class Pause(_Order):
    """Inspect nothing for a while; "" means all cameras."""

    type: Literal["pause"] = "pause"
    camera: OptionalName = ""
    minutes: int = Field(ge=1, le=MAX_PAUSE_MIN)
    why: Why


class Resume(_Order):
    """Inspect again."""

    type: Literal["resume"] = "resume"
    camera: OptionalName = ""
    why: Why


class Record(_Order):
    """Put into the audit what the page has done: accounts, tokens, roles, reviews.

    Attributes:
        event: e.g. user_added, role_changed, token_revoked.
    """

    type: Literal["record"] = "record"
    event: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    old: Line = ""
    new: Line = ""
    why: Line = ""


class NoteHead(_Order):
    """Ask for the audit's head and count; changes nothing."""

    type: Literal["note_head"] = "note_head"


class ShowLimits(_Order):
    """Ask for each slot's limits; changes nothing."""

    type: Literal["show_limits"] = "show_limits"


AnyOrder: TypeAlias = SetLimit | UndoLimit | Pause | Resume | Record | NoteHead | ShowLimits


class LimitState(_Message):
    """What a slot judges with.

    Attributes:
        bundle_score_threshold: the bundle's own, or the configuration's in its place.
        steps: how many `undo_limit` lead back to it.
        calibration: the good parts' scores of the bundle; None: inspection of an older release.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    slot: str
    product: str
    serial: int
    sha256: Sha256
    precision: str
    threshold_id: str
    score_threshold: float
    suspect_threshold: float | None
    map_threshold: float
    bundle_score_threshold: float
    steps: int = 0
    calibration: Calibration | None = None


class OrderAnswer(_Message):
    """What became of an order.

    Attributes:
        text: for people.
        audit_seq: number of its record; None: nothing was recorded.
        audit_head: HASH:COUNT of the audit after it; "" where there is none.
        limits: of every slot with a bundle; to `show_limits` only.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")  # later releases may add

    is_done: bool
    text: str = Field(max_length=4000)
    audit_seq: int | None = None
    audit_head: str = Field("", max_length=100)
    limits: tuple[LimitState, ...] = ()


ORDER: TypeAdapter[AnyOrder] = TypeAdapter(Annotated[AnyOrder, Field(discriminator="type")])

Execute = Callable[[AnyOrder, Peer], OrderAnswer]
"""Carries an order out; raises an EdgeError for what is refused."""


def orders_socket(state_dir: Path, page_socket: Path | None) -> Path:
    """Return where inspection listens for orders."""
    folder = state_dir if page_socket is None else page_socket.parent
    return folder / ORDERS_SOCKET


class OrderClient:
    """Gives orders; one connection each.

    Args:
        path: see `orders_socket`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, order: AnyOrder, timeout_s: float = ANSWER_S) -> OrderAnswer:
        """Return inspection's answer.

        Raises:
            ConfigError: inspection is not there, or this account may not connect.
            OrderError: it did not answer in time, or not in the protocol. Whether the order was
                carried out is unknown; the same order again (same order_id) is safe.
        """
        until_s = time.monotonic() + timeout_s
        try:
            connection = connected_to(self._path)
        except OSError as error:
            raise ConfigError(
                f"Inspection takes no orders on {self._path}: {error.strerror or error}. Start "
                "`edge-app run` (as a service: systemctl start edge-app), and give this order as "
                "root or as the account that inspects."
            ) from error
        try:
            connection.settimeout(timeout_s)
            connection.sendall(order.model_dump_json().encode() + b"\n")
            line = _line(connection, until_s)
        except OSError as error:
            raise OrderError(
                f"Inspection did not answer within {timeout_s:g} s ({error.strerror or error}): "
                "whether the order was carried out is not known. Look at `edge-app audit list`."
            ) from error
        finally:
            connection.close()
        return _answer_of(line)


def _answer_of(line: bytes) -> OrderAnswer:
    if not line:
        raise OrderError(
            "Inspection closed the connection without an answer: this account may give no orders, "
            "or inspection is stopping. Its journal says which."
        )
    try:
        return OrderAnswer.model_validate_json(line)
    except ValidationError as error:
        raise OrderError("Inspection's answer is not in the protocol of this release.") from error


def _line(connection: socket.socket, until_s: float) -> bytes:
    """Return one line without its end; what came before the peer closed, if that is less.

    Raises:
        OSError: nothing came in time, the connection broke or the line is too long.
    """
    data = bytearray()
    while b"\n" not in data:
        if len(data) > MAX_LINE_BYTES:
            raise OSError(f"a line is longer than {MAX_LINE_BYTES} bytes")
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("timed out")
        connection.settimeout(left_s)
        piece = connection.recv(MAX_LINE_BYTES)
        if not piece:
            break
        data += piece
    return bytes(data.partition(b"\n")[0])


class OrderServer:
    """Listens for orders; each peer's account is checked before a byte is read.

    Args:
        path: the socket; a stale file in its place is removed.
        execute: called in the connection's thread, one order at a time.
    """

    def __init__(self, path: Path, execute: Execute) -> None:
        self.path = path
        self._execute = execute
        self._listener: socket.socket | None = None
        self._places = threading.BoundedSemaphore(MAX_PEERS)
        self._one = threading.Lock()
        self._refused = 0
        self._thread = threading.Thread(target=self._accept, name="orders", daemon=True)

    def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: the socket cannot be made.
        """
        try:
            self._listener = listen(self.path, SOCKET_MODES[Role.PAGE], BACKLOG)
        except OSError as error:
            raise ConfigError(
                f"The socket {self.path} for orders cannot be made: {error.strerror or error}. "
                "Its folder must be writable for the account that inspects."
            ) from error
        self._thread.start()

    def stop(self) -> None:
        """Listen no more; the order in hand is finished."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        stop_listening(listener, self._thread, self.path)
        if self._one.acquire(timeout=STOP_S):
            self._one.release()

    def _accept(self) -> None:
        while (listener := self._listener) is not None:
            try:
                connection, _ = listener.accept()
            except OSError as error:
                if self._listener is None:
                    return
                _log.warning("no order can be taken: %s", error)
                time.sleep(1.0)  # no descriptor is free: alarms need them first
                continue
            who = peer_of(connection)
            if not may_play(Role.PAGE, who.uid):
                self._turn_away(connection, f"user {who.uid} may give no orders")
            elif not self._places.acquire(blocking=False):
                self._turn_away(connection, f"{MAX_PEERS} connections are open already")
            else:
                threading.Thread(
                    target=self._serve, args=(connection, who), name="order", daemon=True
                ).start()

    def _turn_away(self, connection: socket.socket, why: str) -> None:
        connection.close()
        self._refused += 1
        _log.log(logging.WARNING if self._refused == 1 else logging.DEBUG, "orders: %s", why)
        time.sleep(0.05)  # at most 20 of them a second cost anything

    def _serve(self, connection: socket.socket, who: Peer) -> None:
        try:
            timeout = struct.pack("ll", int(RECEIVE_S), 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)
            line = _line(connection, time.monotonic() + RECEIVE_S)
            connection.settimeout(RECEIVE_S)
            connection.sendall(self._answer(line, who).model_dump_json().encode() + b"\n")
        except OSError as error:
            _log.warning("orders: process %d was not answered: %s", who.pid, error)
        finally:
            connection.close()
            self._places.release()

    def _answer(self, line: bytes, who: Peer) -> OrderAnswer:
        try:
            order = ORDER.validate_json(line)
        except (ValidationError, RecursionError) as error:
            return OrderAnswer(is_done=False, text=_words(error))
        with self._one:
            if self._listener is None:
                return OrderAnswer(is_done=False, text="Inspection is stopping: nothing was done.")
            return self._carry_out(order, who)

    def _carry_out(self, order: AnyOrder, who: Peer) -> OrderAnswer:
        try:
            return self._execute(order, who)
        except EdgeError as error:
            return OrderAnswer(is_done=False, text=str(error)[:4000])
        except Exception:  # one order must not end the others
            _log.exception("an order failed")
            return OrderAnswer(is_done=False, text="The order failed; see inspection's journal.")


def _words(error: Exception) -> str:
    """Return why a line is no order, in one sentence."""
    found: list[Any] = (
        list(error.errors(include_url=False)[:3]) if isinstance(error, ValidationError) else []
    )
    what = "; ".join(f"{'.'.join(map(str, e['loc'][1:]))}: {e['msg']}" for e in found)
    return f"This is no order that inspection knows: {what or 'it is nested too deeply'}"[:4000]
