"""Pulling marked parts from a device: what is kept, what is put aside, what a kill leaves."""

from __future__ import annotations

import hashlib
import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.pictures_read import picture_at

from edge_app.errors import BrokerError, ConfigError, DataError
from export.cli.main import main
from export.feedback.device import Device, DeviceAddress
from export.feedback.folder import FeedbackFolder
from export.feedback.pull import PullResult, pull
from export.feedback.records import PROVENANCE_FILE, is_inside, read_provenance

TOKEN = "token-0123456789"
ACCEPTED = {"accepted_at": "2026-11-30T08:00:00Z", "accepted_by": "eva"}


def jpeg(number: int) -> bytes:
    pixels = np.full((40, 60, 3), number * 7 % 250, np.uint8)
    return bytes(cv2.imencode(".jpg", pixels)[1])


def mark(name: str, who: str = "anna", accepted: bool = True, **more: Any) -> dict[str, Any]:
    acceptance = ACCEPTED if accepted else {"accepted_at": None, "accepted_by": ""}
    return {"mark": name, "author": who, "is_current": True, **acceptance, **more}


class Plant(ThreadingHTTPServer):
    """A device's page: its reviewed parts and their pictures."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.parts: list[dict[str, Any]] = []
        self.pictures: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.failures: list[int] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add(self, number: int, state: str, *marks: dict[str, Any], **more: Any) -> dict[str, Any]:
        data = jpeg(number)
        name = f"2026-11-30/c-{number}.jpg"
        self.pictures[name] = data
        part = {
            "id": number, "part_id": f"c-{number}", "camera": "c", "state": state,
            "captured_at": "2026-11-30T07:00:00Z", "score": 2.5, "threshold": 2.0,
            "threshold_id": "t1", "product": "k7", "serial": 3, "bundle_sha256": "ab" * 32,
            "is_suspect": False, "evidence_url": f"http://elsewhere:1/evidence/{name}",
            "evidence_sha256": hashlib.sha256(data).hexdigest(), "kept_for": ["ng"],
            "corners": [[1, 1], [50, 1], [50, 30], [1, 30]],
            "defects": [{"class": "", "polygon": [[5, 5], [20, 5], [20, 20], [5, 20]]}],
            "decisions": list(marks), **more,
        }  # fmt: skip
        self.parts.insert(0, part)
        return part


class Handler(BaseHTTPRequestHandler):
    server: Plant

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.server.failures:
            return self._send(self.server.failures.pop(0), b"")
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._send(401, b"")
        if self.path.startswith("/api/v1/parts"):
            parts = self.server.parts
            if "cursor=" in self.path:
                last = int(self.path.rpartition("cursor=")[2])
                parts = [p for p in parts if p["id"] < last]
            page, rest = parts[:3], parts[3:]
            following = str(page[-1]["id"]) if rest else None
            return self._send(200, json.dumps({"parts": page, "next": following}).encode())
        found = self.server.pictures.get(self.path.removeprefix("/api/v1/evidence/"))
        return self._send(404, b"") if found is None else self._send(200, found)

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def plant() -> Iterator[Plant]:
    server = Plant()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@contextmanager
def device(plant: Plant, token: str = TOKEN) -> Iterator[Device]:
    with Device(DeviceAddress(plant.url, token, name="press 3"), lambda _s: None) as found:
        yield found


def pulled(plant: Plant, out: Path, with_proposals: bool = False) -> PullResult:
    with device(plant) as source:
        return pull(source, FeedbackFolder(out), with_proposals)


def files(out: Path) -> set[str]:
    found = {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()}
    return {name for name in found if name not in (PROVENANCE_FILE, "lock")}


def fill(plant: Plant) -> None:
    plant.add(1, "NG", mark("false_alarm"))
    plant.add(2, "NG", {**mark("right"), "class": "stain"})
    plant.add(3, "OK", mark("missed", region=[[10, 10], [30, 10], [30, 30]]))
    plant.add(4, "NG", mark("right"), mark("false_alarm", "ben"))
    plant.add(5, "NG", mark("unsure"))
    plant.add(6, "NG", mark("right", accepted=False))
    plant.add(7, "OK", mark("right"))


def test_marked_parts_become_a_data_set_with_masks(plant: Plant, tmp_path: Path) -> None:
    fill(plant)
    result = pulled(plant, tmp_path)
    assert result.uses == {"good": 2, "defect": 2, "disputed": 1, "unsure": 1, "proposed": 1}
    assert result.disputed == ["c-4"]
    records = {r.part_id: r for r in read_provenance(tmp_path).values()}
    assert records["c-1"].file.startswith("train/good/press_3-c-1-")
    assert records["c-2"].file.startswith("test/stain/")
    assert records["c-2"].mask_from == "device"
    assert records["c-3"].file.startswith("test/defect/")
    assert records["c-3"].mask_from == "person"
    assert records["c-4"].file.startswith("aside/disputed/")
    assert records["c-6"].file == ""
    mask = picture_at(tmp_path / records["c-3"].mask, cv2.IMREAD_UNCHANGED)
    assert mask.shape == (40, 60)
    assert mask[12, 28] == 255
    assert mask[28, 12] == 0
    assert (tmp_path / records["c-1"].file).read_bytes() == jpeg(1)


def test_a_second_pull_fetches_nothing_and_follows_a_changed_mind(
    plant: Plant, tmp_path: Path
) -> None:
    fill(plant)
    pulled(plant, tmp_path)
    before = files(tmp_path)
    plant.asked.clear()
    again = pulled(plant, tmp_path)
    assert again.fetched == 0
    assert files(tmp_path) == before
    assert not [path for path in plant.asked if "evidence" in path]
    next(p for p in plant.parts if p["id"] == 1)["decisions"] = [mark("right")]
    next(p for p in plant.parts if p["id"] == 2)["decisions"] = [mark("right", accepted=False)]
    pulled(plant, tmp_path)
    records = {r.part_id: r for r in read_provenance(tmp_path).values()}
    assert records["c-1"].use == "defect"
    assert records["c-2"].use == "proposed"
    named = {n for r in records.values() for n in (r.file, r.mask) if n}
    assert files(tmp_path) == named, "what was kept of them before is gone"


def test_a_picture_that_was_changed_here_is_fetched_again(plant: Plant, tmp_path: Path) -> None:
    plant.add(1, "NG", mark("false_alarm"))
    pulled(plant, tmp_path)
    (name,) = files(tmp_path)
    (tmp_path / name).write_bytes(b"other")
    assert pulled(plant, tmp_path).fetched == 1
    assert (tmp_path / name).read_bytes() == jpeg(1)


def test_other_bytes_than_the_device_recorded_are_not_kept(plant: Plant, tmp_path: Path) -> None:
    plant.add(1, "NG", mark("false_alarm"))
    plant.pictures["2026-11-30/c-1.jpg"] = jpeg(9)
    result = pulled(plant, tmp_path)
    assert result.damaged == ["c-1"]
    assert not files(tmp_path)


def test_a_picture_the_device_has_deleted_is_said_and_goes_on(plant: Plant, tmp_path: Path) -> None:
    plant.add(1, "NG", mark("false_alarm"))
    plant.add(2, "NG", mark("false_alarm"))
    del plant.pictures["2026-11-30/c-1.jpg"]
    result = pulled(plant, tmp_path)
    assert result.uses == {"good": 1, "gone": 1}


def test_a_dropped_request_is_tried_again_and_a_silent_device_named(
    plant: Plant, tmp_path: Path
) -> None:
    plant.add(1, "NG", mark("false_alarm"))
    plant.failures = [503, 502]
    assert pulled(plant, tmp_path).uses["good"] == 1
    plant.failures = [500]
    with pytest.raises(BrokerError, match="answered 500"):
        pulled(plant, tmp_path)
    with (
        Device(DeviceAddress("http://127.0.0.1:9"), lambda _s: None) as nobody,
        pytest.raises(BrokerError, match="does not answer"),
    ):
        pull(nobody, FeedbackFolder(tmp_path / "b"), False)


def test_a_refused_token_and_an_old_release_are_told_apart(plant: Plant, tmp_path: Path) -> None:
    with device(plant, "wrong-token-000") as source, pytest.raises(ConfigError, match="token"):
        pull(source, FeedbackFolder(tmp_path), False)
    plant.failures = [404]
    with pytest.raises(ConfigError, match="Update the device"):
        pulled(plant, tmp_path)


def test_a_record_that_a_kill_cut_off_is_fetched_again(plant: Plant, tmp_path: Path) -> None:
    fill(plant)
    pulled(plant, tmp_path)
    whole, kept = (tmp_path / PROVENANCE_FILE).read_bytes(), files(tmp_path)
    places = random.Random(5).sample(range(len(whole)), 25)
    for end in places:
        (tmp_path / PROVENANCE_FILE).write_bytes(whole[:end])
        result = pulled(plant, tmp_path)
        assert result.uses["good"] == 2
        assert files(tmp_path) == kept
        assert len(read_provenance(tmp_path)) == 7


def test_a_damaged_record_and_a_later_format_are_refused(plant: Plant, tmp_path: Path) -> None:
    plant.add(1, "NG", mark("false_alarm"))
    pulled(plant, tmp_path)
    file = tmp_path / PROVENANCE_FILE
    good = file.read_bytes()
    file.write_bytes(b"{}\n")
    with pytest.raises(DataError, match="format"):
        FeedbackFolder(tmp_path)
    file.write_bytes(b"not json\n" + good)
    with pytest.raises(DataError, match="line 1"):
        FeedbackFolder(tmp_path)
    outside = json.loads(good)
    outside["file"] = "../../etc/passwd"
    file.write_bytes(json.dumps(outside).encode() + b"\n")
    with pytest.raises(DataError, match="line 1"):
        FeedbackFolder(tmp_path)


@pytest.mark.parametrize("seed", range(60))
def test_whatever_a_device_says_stays_in_the_folder(
    plant: Plant, tmp_path: Path, seed: int
) -> None:
    """Names with paths, control characters and other kinds of values; one odd field a part."""
    random_ = random.Random(seed)
    odd: list[Any] = [
        "../../x",
        "/etc/x",
        "\x00",
        "a" * 5000,
        "",
        None,
        5,
        [],
        {},
        "good",
        "..",
        "é/ü",
        1e400,
    ]
    plant.add(1, "NG", mark("false_alarm"))
    part = plant.add(2, "NG", {**mark("right"), "class": random_.choice(odd)})
    field = random_.choice(sorted(part))
    part[field] = random_.choice(odd)
    out = tmp_path / "out"
    result = pulled(plant, out)
    assert result.uses["good"] >= 1
    assert {p.name for p in tmp_path.iterdir()} == {"out"}
    assert all(is_inside(r.file) for r in read_provenance(out).values())


def test_the_command_says_what_it_found(
    plant: Plant, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(plant)
    (tmp_path / "token").write_text(TOKEN)
    options = ["--token-file", str(tmp_path / "token"), "--out", str(tmp_path / "set")]
    assert main(["pull", "--device", plant.url, *options]) == 0
    told = capsys.readouterr()
    assert "2 good parts and 2 defects" in told.out
    assert "c-4" in told.err
    plant.parts = [p for p in plant.parts if p["id"] == 6]
    other = ["--token-file", str(tmp_path / "token"), "--out", str(tmp_path / "other")]
    assert main(["pull", "--device", plant.url, *other]) == 2
    assert "no engineer has accepted" in capsys.readouterr().err
    assert main(["pull", "--device", "press-3", "--out", str(tmp_path / "c")]) == 2
    assert main(["pull", "--device", plant.url, "--device", plant.url, *options]) == 2
    assert "same name" in capsys.readouterr().err
