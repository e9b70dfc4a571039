"""The whole app with a bundle of format 2: suspect parts are counted and pictured, not alarmed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import cv2
import pytest
from support.app_config import ROOT, edge_app, write_config
from support.brokers import Listener, Mosquitto, wait_until
from support.format_2 import suspect_manifest
from support.small_bundles import bright_files, grey_picture

from edge_app.activation.slots import with_overrides
from edge_app.app import EdgeApp
from edge_app.bundle.archive import read_bundle, write_bundle
from edge_app.config.load import load_config
from edge_app.history.part_filter import PartFilter
from edge_app.history.reader import HistoryReader
from edge_app.model.loaded_model import load_model

LEVELS = (100, 130, 140, 200, 100)
"""Good, suspect, suspect, bad, good under limits of 120 and 150."""


def write_parts(folder: Path) -> Path:
    """Write one picture per level."""
    folder.mkdir()
    for number, level in enumerate(LEVELS, start=1):
        pixels = grey_picture()
        pixels[32:48, 32:64] = level
        cv2.imwrite(str(folder / f"{number:04d}.png"), pixels)
    return folder


@pytest.mark.needs("mosquitto")
def test_suspect_parts_are_told_and_kept_without_an_alarm(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """Results and health name them, evidence has their pictures, alerts and levels do not know
    them; `info` says which bundles this release can judge with."""
    parts = write_parts(tmp_path / "in")
    config = write_config(
        tmp_path, f"folder:{parts}", mosquitto.port, mqtt="publish_results = true"
    )
    write_bundle(tmp_path / "a.bundle", suspect_manifest(), bright_files())
    listener = Listener(mosquitto.port, f"{ROOT}/#")
    app = EdgeApp(load_config(config))
    assert app.run() == 0
    wait_until(lambda: len(listener.bodies("/cam/cam1/result")) == len(LEVELS))
    results = sorted(listener.bodies("/cam/cam1/result"), key=lambda r: r["source_number"])
    assert [(r["verdict"], r["is_suspect"]) for r in results] == [
        ("OK", False),
        ("OK", True),
        ("OK", True),
        ("NG", False),
        ("OK", False),
    ]
    alerts = listener.bodies("/cam/cam1/alert")
    assert {a["source_number"] for a in alerts} == {4}
    assert {r["part_id"] for r in listener.bodies("/cam/cam1/alarm") if r["is_on"]} == {
        results[3]["part_id"]
    }
    (info,) = {json.dumps(i["bundle_formats"]) for i in listener.bodies("/info")}
    assert json.loads(info) == ["cropliq-bundle/1", "cropliq-bundle/2"]
    assert "suspect_limit" in listener.bodies("/info")[0]["bundle_features"]
    listener.close()
    kept = sorted(path.name for path in (tmp_path / "state" / "evidence").glob("*/*.jpg"))
    names = [*(f"{results[i]['part_id']}.suspect" for i in (1, 2)), results[3]["part_id"]]
    assert kept == sorted(name + end for name in names for end in (".jpg", ".crop.jpg"))
    history = HistoryReader(tmp_path / "state" / "history.sqlite")
    rows = {row["number"]: row for row in history.every_part(PartFilter())}
    assert [rows[n]["kept_for"] for n in range(1, 6)] == [None, "suspect", "suspect", "ng", None]
    for number in (2, 3, 4):
        path = tmp_path / "state" / rows[number]["evidence_url"].split("/", 3)[3]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == rows[number]["evidence_sha256"]
    health = app._status._read_health().cameras[0]
    assert (health.parts, health.parts_ng, health.parts_suspect) == (5, 1, 2)
    assert ("Suspect from", "120.000") in app.page_state.facts().bundle


def test_a_devices_own_limit_below_the_lower_one_leaves_no_part_suspect(tmp_path: Path) -> None:
    """The override decides; above it the lower limit stays."""
    parts = write_parts(tmp_path / "in")
    for own, suspect in ((110.0, None), (170.0, 120.0)):
        table = f'[threshold]\nscore_threshold = {own}\nreason = "trial run"\n'
        config = write_config(tmp_path, f"folder:{parts}", 1, mqtt="enabled = false", more=table)
        write_bundle(tmp_path / "a.bundle", suspect_manifest(), bright_files())
        model = load_model(read_bundle(tmp_path / "a.bundle"))
        limits = with_overrides(model, load_config(config)).limits
        assert (limits.score_threshold, limits.suspect_threshold) == (own, suspect)


def test_inspect_says_suspect(tmp_path: Path) -> None:
    """One line per picture, for people and for programs; what it draws differs."""
    parts = write_parts(tmp_path / "in")
    write_bundle(tmp_path / "a.bundle", suspect_manifest(), bright_files())
    words = ("inspect", "--bundle", str(tmp_path / "a.bundle"), str(parts))
    lines = edge_app(*words).stdout.splitlines()
    assert [line.split("  ")[0].strip() for line in lines] == [
        *("OK", "OK (suspect)", "OK (suspect)", "NG", "OK")
    ]
    said = [json.loads(line) for line in edge_app(*words, "--json").stdout.splitlines()]
    assert [s["is_suspect"] for s in said] == [False, True, True, False, False]
