"""Consumers of files that this product writes, and that damage or people may change."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from registry import Consumer
from support.deploy_pointers import pointer
from support.small_bundles import bright_manifest

from deploy.fleet.pointer import Offer
from deploy.fleet.rollout_state import load_state, new_state
from edge_app.agent.pull.pointer_journal import PointerJournal
from edge_app.bundle.contents import parse_manifest
from edge_app.errors import BundleError, ConfigError
from edge_app.imaging.camera_calibration import load_geometry
from edge_app.mqtt.high_water import read_high_water
from edge_app.store.intent import read_intent
from edge_app.store.release_info import read_card, read_serials

Take = Callable[[bytes, Path], bool]


def _reader(name: str, read: Callable[[Path], Any], *refusals: type[Exception]) -> Take:
    """Return a `take` that writes the bytes to a file and reads it."""

    def take(payload: bytes, folder: Path) -> bool:
        (folder / name).write_bytes(payload)
        try:
            return read(folder / name) is not None
        except refusals:
            return False

    return take


def _json(**fields: Any) -> Callable[[], bytes]:
    return lambda: json.dumps(fields).encode()


OFFER = Offer("screws", 1, "ab" * 32, 100, "https://h/x.bundle")
DEEP = "16 kB of [ in the file raise RecursionError, which is not refused in words"

CONSUMERS = (
    Consumer(
        "deploy.fleet.rollout_state:load_state",
        lambda: new_state(OFFER, "main", [["a/b/c"]]).model_dump_json().encode(),
        _reader("state.json", load_state, ConfigError),
    ),
    Consumer(
        "edge_app.agent.pull.pointer_journal:PointerJournal._read",
        lambda: json.dumps({"current": json.loads(pointer("https://h/x").payload())}).encode(),
        _reader("pointer-main.json", lambda file: PointerJournal(file.parent).record("main")),
    ),
    Consumer(
        "edge_app.store.intent:read_intent",
        _json(
            slot="main",
            kind="install",
            phase="switching",
            old_sha256=None,
            new_sha256="a" * 64,
        ),
        _reader("intent.json", read_intent),
    ),
    Consumer(
        "edge_app.store.release_info:read_card",
        _json(product="screws", serial=1),
        _reader("card.json", read_card),
    ),
    Consumer(
        "edge_app.store.release_info:read_serials",
        _json(screws=1),
        _reader("serials.json", read_serials, BundleError),
        known_fault=DEEP,
    ),
    Consumer(
        "edge_app.imaging.camera_calibration:load_geometry",
        _json(
            format="cropliq-edge-geometry-1",
            frame_hw=[4, 6],
            lens_matrix=None,
            lens_distortion=None,
            to_mm=[[1, 0, 0], [0, 1, 0], [0, 0, 1]],
            about={},
        ),
        _reader("cam1.json", load_geometry, ConfigError),
        known_fault=DEEP,
    ),
    Consumer(
        "edge_app.bundle.contents:parse_manifest",
        lambda: bright_manifest().model_dump_json().encode(),
        lambda payload, _: _is_manifest(payload),
    ),
    Consumer(
        "edge_app.mqtt.high_water:read_high_water",
        _json(seq=1, session=1),
        _reader("highwater", read_high_water),
    ),
)
CONSUMERS += tuple(
    Consumer(site, tested_in=where)
    for site, where in {
        "edge_app.agent.commands.journal:CommandJournal._read": "tests/edge_app/agent",
        "edge_app.agent.install.trial_process:_outcome": "tests/edge_app/agent",
        "edge_app.backends.engine_build:_listen": "tests/edge_app/backends",
        "edge_app.backends.engine_build:child_main": "tests/edge_app/backends",
        "edge_app.backends.engine_cache:EngineCache._entry": "tests/edge_app/backends",
        "edge_app.bundle.signature:_parsed": "tests/edge_app/bundle",
        "edge_app.cameras.isolation.wire:Wire.receive": "tests/edge_app/cameras",
        "edge_app.cameras.watch_journal:WatchJournal._read": "tests/edge_app/cameras",
        "edge_app.ipc.protocol:PeerSocket.receive": "tests/edge_app/agent",
        "edge_app.mqtt.overflow:take_overflow": "tests/edge_app/mqtt/test_outbox.py",
        "edge_app.config.last_good:_remembered": "tests/edge_app/config",
        "edge_app.mqtt.outbox_rows:Row._odd": "tests/edge_app/mqtt/test_outbox_damage.py",
        "edge_app.mqtt.outbox_rows:Row.alert": "tests/edge_app/mqtt/test_outbox_damage.py",
        "edge_app.mqtt.outbox_rows:replace_body": "tests/edge_app/mqtt/test_outbox_damage.py",
    }.items()
)


def _is_manifest(payload: bytes) -> bool:
    try:
        parse_manifest(payload, "x.bundle")
    except BundleError:
        return False
    return True
