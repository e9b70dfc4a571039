"""Consumers of records that this device keeps for itself, tried one by one."""

from __future__ import annotations

import json
import socket
import sqlite3
from collections.abc import Callable
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import TypeAdapter
from registry import Consumer
from support.alert_drafts import draft
from support.app_config import write_config

from edge_app.agent.commands.journal import CommandJournal
from edge_app.alerts.sidecar import read_sidecar
from edge_app.config.last_good import _digest, _remembered
from edge_app.errors import ConfigError
from edge_app.history.reader import part_of
from edge_app.history.rows import classes_of
from edge_app.ipc.page_link import Settings
from edge_app.ipc.protocol import PeerSocket, ProtocolError, SlotsCommand
from edge_app.mqtt.outbox_rows import Row
from edge_app.page.settings_file import SettingsFile
from edge_app.runtime.waiting_alarms import alarm_of

_FOLDER = TemporaryDirectory()
"""Of the configuration, whose bundle has to be there."""


def _commands(payload: bytes, folder: Path) -> bool:
    (folder / "commands.json").write_bytes(payload)
    now = datetime(2026, 11, 29, 12, tzinfo=timezone.utc)
    journal = CommandJournal(folder, lambda: now)
    journal.take(f"new-{len(list(folder.iterdir()))}", now)
    return "a" in journal._taken


@lru_cache
def _configuration() -> tuple[Path, bytes]:
    """Return a path and what is kept of the file that is there."""
    path = write_config(Path(_FOLDER.name), "sim:round", 1)
    text = path.read_text()
    entry = {"path": str(path), "text": text, "sha256": _digest(path, text)}
    return path, json.dumps(entry).encode()


def _kept_configuration(payload: bytes, folder: Path) -> bool:
    (folder / "kept.json").write_bytes(payload)
    try:
        return _remembered(folder / "kept.json", _configuration()[0]) is not None
    except ConfigError:
        return False


def _row_body(payload: bytes, _folder: Path) -> bool:
    """A row without a check: what is no alert has a fault, what has none can be sent."""
    return _is_sent(Row(1, 1, b"cam1", payload, None, b""))


def _waiting_alarm(payload: bytes, _folder: Path) -> bool:
    return alarm_of(payload.decode("utf-8", "replace")) is not None


def _row_extra(payload: bytes, _folder: Path) -> bool:
    return _is_sent(Row(1, 1, b"cam1", _body(), None, payload))


def _is_sent(row: Row) -> bool:
    if row.fault() is not None:
        return False
    row.alert("a")
    return True


@lru_cache
def _body() -> bytes:
    return draft(1).model_dump_json().encode()


def _peer(payload: bytes, _folder: Path) -> bool:
    """One line of a peer: taken, or the connection ends in words."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        peer = PeerSocket(ours, TypeAdapter(SlotsCommand))  # type: ignore[arg-type]
        theirs.settimeout(5)
        theirs.sendall(payload.replace(b"\n", b" ")[:50_000] + b"\n")
        try:
            return peer.receive() is not None
        except ProtocolError:
            return False
        finally:
            peer.close()


def _page_settings(payload: bytes, folder: Path) -> bool:
    (folder / "settings.json").write_bytes(payload)
    return SettingsFile(folder / "settings.json").read() is not None


def _history_part(payload: bytes, _folder: Path) -> bool:
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    text = payload.decode("utf-8", "replace")
    row = connection.execute(
        "SELECT ? AS corners, ? AS defects, 0 AS is_suspect, 1 AS is_final,"
        " 1 AS captured_ns, 1 AS recorded_ns",
        (text, text),
    ).fetchone()
    connection.close()
    return bool(part_of(row)["defects"])


def _history_classes(payload: bytes, _folder: Path) -> bool:
    return bool(classes_of(payload.decode("utf-8", "replace")))


def _sidecar(payload: bytes, folder: Path) -> bool:
    (folder / "sidecar.json").write_bytes(payload)
    return read_sidecar(folder / "sidecar.json") is not None


def _json(value: object) -> Callable[[], bytes]:
    return lambda: json.dumps(value).encode()


CONSUMERS = (
    Consumer(
        "edge_app.agent.commands.journal:CommandJournal._read",
        _json({"commands": {"a": "2026-11-29T12:05:00Z"}}),
        _commands,
    ),
    Consumer(
        "edge_app.config.last_good:_remembered", lambda: _configuration()[1], _kept_configuration
    ),
    Consumer("edge_app.mqtt.outbox_rows:Row._odd", _body, _row_body),
    Consumer("edge_app.mqtt.outbox_rows:Row.alert", _json({"told_as": None}), _row_extra),
    Consumer("edge_app.runtime.waiting_alarms:alarm_of", _body, _waiting_alarm),
    Consumer("edge_app.ipc.protocol:PeerSocket.receive", _json({"type": "slots"}), _peer),
    Consumer(
        "edge_app.page.settings_file:SettingsFile.read",
        lambda: Settings(host="127.0.0.1", port=8080).model_dump_json().encode(),
        _page_settings,
    ),
    Consumer(
        "edge_app.alerts.sidecar:read_sidecar", _json({"format": "cropliq-evidence/1"}), _sidecar
    ),
    Consumer("edge_app.history.times:list_of", _json([{"class": "a"}]), _history_part),
    Consumer("edge_app.history.rows:classes_of", _json([{"class": "a"}]), _history_classes),
)
