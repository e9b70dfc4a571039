"""Consumers of orders, of the audit, and of the files that follow from it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from registry import Consumer

from edge_app.activation.own_limits import FORMAT as LIMITS_FORMAT
from edge_app.activation.own_limits import limits_in
from edge_app.audit.reader import _shown
from edge_app.audit.records import AuditEntry, Head, body_of, hash_of
from edge_app.audit.restored import note_in
from edge_app.audit.verify import _faults
from edge_app.errors import AuditError, OrderError
from edge_app.ipc.order_client import _answer_of
from edge_app.ipc.order_schema import NoteHead, OrderAnswer
from edge_app.ipc.order_server import OrderServer
from edge_app.ipc.peers import Peer
from edge_app.orders.configuration_record import parsed
from edge_app.runtime.pauses import FORMAT as PAUSES_FORMAT
from edge_app.runtime.pauses import pauses_in

ID = "01930000-0000-7000-8000-000000000001"
HEAD = f"{'a' * 64}:7"


def _json(**fields: Any) -> Callable[[], bytes]:
    return lambda: json.dumps(fields).encode()


def _record() -> bytes:
    return body_of(AuditEntry("pause", "root", "anna", new={"a": 1}, order_id=ID), Head())


def _order(payload: bytes, folder: Path) -> bool:
    """A line that is no order is answered in words."""
    server = OrderServer(folder / "x", lambda _order, _peer: OrderAnswer(is_done=True, text=""))
    server.start()
    try:
        return server._answer(payload, Peer(1, 0, 0)).is_done
    finally:
        server.stop()


def _answer(payload: bytes, _folder: Path) -> bool:
    try:
        return _answer_of(payload).is_done
    except OrderError:
        return False


def _stored(payload: bytes, _folder: Path) -> bool:
    try:
        return bool(_shown(payload, "x"))
    except AuditError:
        return False


CONSUMERS = (
    Consumer(
        "edge_app.ipc.order_server:OrderServer._answer",
        lambda: (
            NoteHead.model_validate({"author": {"kind": "root", "name": "root"}, "order_id": ID})
            .model_dump_json()
            .encode()
        ),
        _order,
    ),
    Consumer("edge_app.ipc.order_client:_answer_of", _json(is_done=True, text="x"), _answer),
    Consumer("edge_app.audit.reader:_shown", _record, _stored),
    Consumer(
        "edge_app.audit.verify:_faults",
        _record,
        lambda payload, _folder: not _faults(Head(), 1, payload, hash_of(payload)),
    ),
    Consumer(
        "edge_app.activation.own_limits:limits_in",
        _json(
            format=LIMITS_FORMAT,
            audit_head=HEAD,
            limits=[
                {
                    "slot": "main",
                    "changes": [
                        {
                            "threshold_id": "limit-1",
                            "score_threshold": 1.0,
                            "map_threshold": 1.0,
                            "suspect_threshold": None,
                            "sha256": "b" * 64,
                            "precision": "fp32",
                        }
                    ],
                }
            ],
        ),
        lambda payload, _folder: bool(limits_in(payload)[0]),
    ),
    Consumer(
        "edge_app.runtime.pauses:pauses_in",
        _json(
            format=PAUSES_FORMAT,
            audit_head=HEAD,
            pauses=[
                {
                    "camera": "cam1",
                    "began_ns": 1,
                    "until_ns": 2,
                    "until_monotonic_ns": 3,
                    "boot": "x",
                    "why": "cleaning",
                }
            ],
        ),
        lambda payload, _folder: bool(pauses_in(payload)[0]),
    ),
    Consumer(
        "edge_app.audit.restored:note_in",
        _json(
            note_id=ID, by="root", device="a/b/c", made_at="x", old_head="", new_head="", kept=""
        ),
        lambda payload, _folder: note_in(payload) is not None,
    ),
    Consumer(
        "edge_app.orders.configuration_record:parsed",
        _json(a=1),
        lambda payload, _folder: parsed(payload.decode("utf-8", "replace")) is not None,
    ),
    Consumer("edge_app.audit.log:_order", tested_in="tests/edge_app/audit/test_audit_tampering.py"),
)
