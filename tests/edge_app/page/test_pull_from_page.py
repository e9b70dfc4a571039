"""From a mark on the page to a data set: a real page, a real inspection's ear, a real pull."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from people_pages import ROOT, PeoplePage, people_page
from support.history_parts import verdict
from support.review_rig import ReviewRig

from edge_app.accounts.roles import AccessRole
from export.feedback.device import Device, DeviceAddress
from export.feedback.folder import FeedbackFolder
from export.feedback.pull import PullResult, pull
from export.feedback.records import Provenance, read_provenance


@pytest.fixture
def page(tmp_path: Path) -> Iterator[PeoplePage]:
    """A page whose inspection recorded three bad parts with their pictures."""
    with people_page(tmp_path / "page") as served:
        rig = ReviewRig(tmp_path / "page")
        served.inspection = rig.desk.execute
        for number in (1, 2, 3):
            part = verdict(number, "NG", 3.0)
            rig.judge([part])
            kept = served.evidence.save(part.part_id, np.full((48, 64, 3), 40 * number, np.uint8))
            assert kept is not None
            rig.writer.kept_part(part, ("ng",), kept)
        rig.judge([verdict(4)])
        yield served
        rig.close()


def pulled(page: PeoplePage, out: Path, token: str) -> PullResult:
    address = DeviceAddress(page.url, token, name="press 3")
    with Device(address, lambda _s: None) as source:
        return pull(source, FeedbackFolder(out), with_proposals=False)


def records(out: Path) -> dict[str, Provenance]:
    return {record.part_id: record for record in read_provenance(out).values()}


def say(client: httpx.Client, address: str, **body: Any) -> None:
    answer = client.post(f"/api/v1/{address}", json=body)
    assert answer.status_code == 200, answer.text


def test_mark_accept_pull(page: PeoplePage, tmp_path: Path) -> None:
    """Only what an engineer accepted is learnt from; what he declines later goes away again; names
    of people do not leave the device with a viewer's token."""
    anna, eva = page.person("operator", "anna"), page.engineer()
    token = page.directory.add_token(ROOT, "station", AccessRole.VIEWER, 30)
    out = tmp_path / "feedback"
    for number in (1, 2, 3):
        say(anna, f"parts/{number}/decisions", part_id=f"c-{number}", mark="false_alarm")
    assert pulled(page, out, token).uses == {"proposed": 3}
    found = eva.get("/api/v1/decisions?acceptance=open").json()["decisions"]
    for mark in found:
        say(
            eva,
            f"decisions/{mark['id']}/acceptance",
            part=mark["part"],
            part_id=mark["part_id"],
            accepted=mark["part"] != 3,
        )
    assert pulled(page, out, token).uses == {"good": 2, "proposed": 1}
    kept = records(out)["c-1"]
    assert kept.file.startswith("train/good/press_3-c-1-")
    part = anna.get("/api/v1/parts/1").json()
    place = part["evidence_url"].partition("/evidence/")[2]
    picture = anna.get(f"/api/v1/evidence/{place}").content
    assert (out / kept.file).read_bytes() == picture
    assert records(out)["c-3"].file == ""
    everything = b"".join(p.read_bytes() for p in out.rglob("*.json*") if p.is_file())
    assert b"anna" not in everything
    assert b"eva" not in everything
    first = next(mark for mark in found if mark["part"] == 1)
    say(eva, f"decisions/{first['id']}/acceptance", part=1, part_id="c-1", accepted=False)
    assert pulled(page, out, token).uses == {"good": 1, "proposed": 2}
    assert not (out / kept.file).exists()
