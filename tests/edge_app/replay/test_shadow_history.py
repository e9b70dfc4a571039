"""`edge-app shadow --history` on what a running device has kept."""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from support.app_config import running, write_config
from support.format_2 import with_limits
from support.small_bundles import bright_files, bright_manifest, write_pictures

from edge_app.bundle.archive import write_bundle
from edge_app.cli.main import main
from edge_app.cli.shadow import Progress
from edge_app.errors import HistoryError
from edge_app.history.part_filter import ANY, PartFilter
from edge_app.history.reader import HistoryReader
from edge_app.history.schema import HISTORY_FILE
from edge_app.ipc.order_client import OrderClient, orders_socket
from edge_app.ipc.order_schema import Author, MarkPart
from edge_app.mqtt.timestamps import uuid7

PARTS = 8
BAD = {2, 5, 7}
DEAD_PORT = 9


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A device that has judged eight pictures, three of them bad, and kept what it keeps."""
    folder = tmp_path_factory.mktemp("device")
    write_pictures(folder / "in", PARTS, BAD)
    made = write_config(folder, "folder:in", DEAD_PORT)
    reader = HistoryReader(folder / "state" / HISTORY_FILE)
    with running(made):
        until = time.monotonic() + 60
        while _kept(reader) < len(BAD) or _all(reader) < PARTS:
            assert time.monotonic() < until
            time.sleep(0.2)
        say(folder / "state", reader, {"0002.png": "right", "0005.png": "false_alarm"})
    return made


def say(state: Path, reader: HistoryReader, marks: dict[str, str]) -> None:
    """Mark parts as root does."""
    client = OrderClient(orders_socket(state, None))
    for part in reader.parts(PartFilter(states=("NG",)), None, 100):
        if part["source_name"] in marks:
            order = MarkPart(
                author=Author(kind="root", name="root"),
                order_id=uuid7(time.time_ns(), secrets.randbits),
                part=part["id"], part_id=part["part_id"], mark=marks[part["source_name"]],
            )  # fmt: skip
            answer = client.send(order)
            assert answer.is_done, answer.text


def _kept(reader: HistoryReader) -> int:
    return _count(reader, PartFilter(kept_for=ANY, states=("NG",)))


def _all(reader: HistoryReader) -> int:
    return _count(reader, PartFilter())


def _count(reader: HistoryReader, wanted: PartFilter) -> int:
    try:
        return len(reader.parts(wanted, None, 100))
    except HistoryError:
        return 0


def bundle(folder: Path, **thresholds: object) -> Path:
    path = folder / "next.bundle"
    write_bundle(path, with_limits(bright_manifest(), **thresholds), bright_files())
    return path


def shadow(config: Path, out: Path, new: Path, *more: str) -> int:
    return main(
        [
            "shadow",
            "--history",
            "--config",
            str(config),
            "--new",
            str(new),
            "--out",
            str(out),
            *more,
        ]
    )


def test_a_deafer_model_is_told_by_the_alarms_it_would_let_pass(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deaf = bundle(tmp_path, score_threshold=400.0, threshold_id="deaf")
    assert shadow(config, tmp_path / "out", deaf, "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert found["changes"] == {"defect_lost": 1, "false_alarm_gone": 1, "now_passes": 1}
    assert (found["marked"]["good"], found["marked"]["defect"]) == (1, 1)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Do not use the new model as it is: 1 confirmed" in page
    assert "people say: defect" in page
    assert len(list((tmp_path / "out").glob("*-new.jpg"))) == len(BAD)
    assert shadow(config, tmp_path / "again", deaf, "--accept") == 0


def test_the_same_model_changes_nothing(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shadow(config, tmp_path / "out", bundle(tmp_path)) == 0
    told = capsys.readouterr().out
    assert "No confirmed defect of 1 would be lost." in told
    assert "kept pictures that can tell are judged as on the line." in told
    assert "No verdict changes." in (tmp_path / "out" / "report.html").read_text()


def test_pictures_that_are_judged_otherwise_than_on_the_line_count_apart(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As where JPEG lifts a score over the limit: neither a rate of alarms nor a lost defect comes
    of what today's model itself says otherwise of the picture than it said of the part."""
    history = config.parent / "state" / HISTORY_FILE
    with closing(sqlite3.connect(history)) as connection, connection:
        before = connection.execute("SELECT id, score FROM parts WHERE state = 'NG'").fetchall()
        connection.execute("UPDATE parts SET score = 0.0 WHERE state = 'NG'")
    try:
        deaf = bundle(tmp_path, score_threshold=400.0, threshold_id="deaf")
        today = tmp_path / "today.bundle"
        write_bundle(today, bright_manifest(), bright_files())
        assert shadow(config, tmp_path / "out", deaf, "--json", "--old", str(today)) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["changes"] == {"unlike_line": len(BAD)}
        alarmed = found["like_line"]["alarmed_by_picture"], found["like_line"]["defects"]
        assert alarmed == (len(BAD), 1)
        page = (tmp_path / "out" / "report.html").read_text()
        assert "3 alarmed by the picture alone" in page
    finally:
        with closing(sqlite3.connect(history)) as connection, connection:
            connection.executemany("UPDATE parts SET score = ?2 WHERE id = ?1", before)


def test_a_model_that_was_not_on_the_line_says_that_nothing_is_known(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = bundle(tmp_path, score_threshold=255.0, threshold_id="other")
    assert shadow(config, tmp_path / "out", other, "--old", str(other)) == 0
    assert "judged none of these parts on the line" in capsys.readouterr().out


def test_wrong_use_is_told_before_the_work(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.bundle"
    write_bundle(other, bright_manifest().model_copy(update={"product": "k7"}), bright_files())
    assert shadow(config, tmp_path / "out", other) == 2
    assert "Name a bundle for the same product" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert shadow(config, tmp_path, bundle(tmp_path)) == 2
    assert "exists already" in capsys.readouterr().err
    assert shadow(config, tmp_path / "out", bundle(tmp_path), "--slot", "second") == 2
    assert "Expected one of: main" in capsys.readouterr().err


def test_progress_says_how_long_the_rest_takes(capsys: pytest.CaptureFixture[str]) -> None:
    now = iter([0.0, 1.0, 6.0, 7.0, 12.0])
    show = Progress(300, lambda: next(now))
    for count in (5, 30, 35, 60):
        show(count)
    assert capsys.readouterr().err == (
        "30 of 300 parts judged, about 54 s to go\n60 of 300 parts judged, about 48 s to go\n"
    )
