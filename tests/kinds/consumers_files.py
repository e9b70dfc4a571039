"""Consumers of files that this product writes, and that damage or people may change."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from registry import Consumer
from support.deploy_pointers import pointer
from support.small_bundles import bright_manifest

from deploy.fleet.pointer import Offer
from deploy.fleet.rollout_state import load_state, new_state
from edge_app.agent.pull.pointer_journal import PointerJournal
from edge_app.backends.engine_cache import FORMAT as CACHE_FORMAT
from edge_app.backends.engine_cache import EngineCache, EngineKey, Entry
from edge_app.bundle.contents import parse_manifest
from edge_app.cameras.watch_journal import JOURNAL, WatchJournal
from edge_app.errors import BundleError, ConfigError
from edge_app.imaging.camera_calibration import load_geometry
from edge_app.mqtt.high_water import read_high_water
from edge_app.runtime.golden_book import FORMAT, GOLDEN_FILE, _read
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


def _watch_journal(payload: bytes, folder: Path) -> bool:
    """A damaged journal costs the lines it damages: the folder is watched all the same."""
    (folder / JOURNAL).write_bytes(payload)
    journal = WatchJournal(folder, 0)
    try:
        return journal.next_unfinished() is not None
    finally:
        journal.close()


def _engine_entry(payload: bytes, folder: Path) -> bool:
    """A damaged entry is no engine: it is built again."""
    (folder / "a.json").write_bytes(payload)
    (folder / "a.plan").write_bytes(b"plan")
    return EngineCache(folder)._entry(folder / "a.json") is not None


def _json(**fields: Any) -> Callable[[], bytes]:
    return lambda: json.dumps(fields).encode()


ENTRY = Entry(
    EngineKey("0" * 64, "tensorrt", "10.3", "Orin", "8.7", "fp16", 8), "x", "0" * 64, 4, 1.0
)
OFFER = Offer("screws", 1, "ab" * 32, 100, "https://h/x.bundle")

CONSUMERS: tuple[Consumer, ...] = (
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
        "edge_app.runtime.golden_book:_read",
        _json(format=FORMAT, parts=[{"name": "scratched-1", "settled_ns": 1, "due_ns": 2}]),
        _reader(GOLDEN_FILE, lambda file: _read(file) or None),
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
    ),
    Consumer(
        "edge_app.cameras.watch_journal:_entries",
        lambda: b'[1, "a.png", 5]\n[2, "b.png", 6]\n',
        _watch_journal,
    ),
    Consumer(
        "edge_app.backends.engine_cache:EngineCache._entry",
        lambda: json.dumps({"format": CACHE_FORMAT, **asdict(ENTRY)}).encode(),
        _engine_entry,
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
        "edge_app.agent.install.trial_process:_outcome": "tests/edge_app/agent",
        "edge_app.alerts.clock_file:read_record": "tests/edge_app/alerts",
        "edge_app.store.bundle_store:Store._admitted": "tests/edge_app/store",
        "edge_app.backup.archive:_listing_of": "tests/edge_app/backup",
        "edge_app.backup.restore:_table": "tests/edge_app/backup",
        "edge_app.backends.engine_build:_listen": "tests/edge_app/backends",
        "edge_app.backends.engine_build:child_main": "tests/edge_app/backends",
        "edge_app.bundle.signature:_parsed": "tests/edge_app/bundle",
        "edge_app.bundle.signature:verify_signature": "tests/edge_app/bundle/test_one_form.py",
        "edge_app.cameras.isolation.wire:Wire.receive": "tests/edge_app/cameras",
        "edge_app.mqtt.overflow:take_overflow": "tests/edge_app/mqtt/test_outbox.py",
        "edge_app.mqtt.outbox_rows:replace_body": "tests/edge_app/mqtt/test_outbox_damage.py",
    }.items()
)


def _is_manifest(payload: bytes) -> bool:
    try:
        parse_manifest(payload, "x.bundle")
    except BundleError:
        return False
    return True
