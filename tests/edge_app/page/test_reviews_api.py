"""Parts, decisions and bad parts that wait, over the API: from a click to the history and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from people_pages import PeoplePage, people_page
from support.history_parts import START_NS, verdict
from support.review_rig import ReviewRig, four_parts

from edge_app.alerts.sidecar import PictureFacts
from edge_app.history.times import time_text
from edge_app.records import UprightCrop

REGION = [[1.0, 2.0], [30.0, 2.0], [30.0, 20.5]]


@pytest.fixture
def page(tmp_path: Path) -> Iterator[PeoplePage]:
    """A page whose inspection really records; part 2 is bad, with picture, crop and sidecar."""
    with people_page(tmp_path / "page") as served:
        rig = ReviewRig(tmp_path / "page")
        served.inspection = rig.desk.execute
        rig.judge(four_parts())
        part = verdict(2, "NG", 3.0)
        crop = UprightCrop(np.full((16, 16, 3), 70, np.uint8), ((0, 0), (9, 0), (9, 9), (0, 9)))
        facts = PictureFacts(part, ("ng",), crop, "alarm-2")
        frame = np.full((48, 64, 3), 90, np.uint8)
        kept = served.evidence.save("c-2", frame, facts=facts)
        assert kept is not None
        rig.writer.kept_part(part, ("ng", "random"), kept)
        rig.judge([verdict(5)])
        yield served
        rig.close()


def got(client: httpx.Client, path: str) -> Any:
    answer = client.get(f"/api/v1{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def mark(client: httpx.Client, number: int, mark: str, **more: Any) -> httpx.Response:
    body = {"part_id": f"c-{number}", "mark": mark, **more}
    return client.post(f"/api/v1/parts/{number}/decisions", json=body)


def test_a_mark_comes_back_with_its_part(page: PeoplePage) -> None:
    """With class, region and note; a note of several lines becomes one."""
    eva = page.engineer()
    note = "at the rim\nnear the hole"
    answer = mark(eva, 2, "right", region=REGION, note=note, **{"class": "crack"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["is_done"]
    assert answer.json()["audit_seq"]
    part = got(eva, "/parts/2")
    (said,) = part["decisions"]
    assert said["region"] == REGION
    assert said["note"] == "at the rim near the hole"
    assert (said["class"], said["author"], said["role"]) == ("crack", "eva", "engineer")
    assert said["is_current"] is True
    (listed,) = got(eva, "/decisions")["decisions"]
    assert (listed["part"], listed["part_id"], listed["number"]) == (2, "c-2", 2)
    assert (listed["camera"], listed["state"]) == ("c", "NG")


def test_names_are_for_those_who_may_mark(page: PeoplePage) -> None:
    """A viewer, and whoever only reads, sees the same pseudonym everywhere, the audit too."""
    anna = page.person("operator", "anna")
    assert mark(anna, 2, "right").status_code == 200
    body = {"part_id": "c-2", "outcome": "good"}
    assert anna.post("/api/v1/take-out/2", json=body).status_code == 200
    for client, is_named in (
        (anna, True), (page.engineer(), True), (page.program("operator"), True),
        (page.person("viewer"), False), (page.client(), False), (page.program("viewer"), False),
    ):  # fmt: skip
        part = got(client, "/parts/2")
        found = got(client, "/audit")["records"]
        records = [r for r in found if r["event"] in ("decision", "settled")]
        names = {d["author"] for d in part["decisions"]}
        names |= {part["take_out"]["settled_by"]}
        names |= {d["author"] for d in got(client, "/decisions")["decisions"]}
        names |= {r["author"]["name"] for r in records}
        assert len(records) == 2
        assert len(names) == 1
        assert (names == {"anna"}) is is_named
        assert is_named or names.pop().startswith("reviewer-")
        if not is_named:
            assert "anna" not in json.dumps([part, records])


def test_bad_parts_wait_until_somebody_says_what_became_of_them(page: PeoplePage) -> None:
    anna = page.person("operator", "anna")
    waiting = got(anna, "/take-out")
    assert (waiting["mode"], waiting["waiting"]) == ("latch", 1)
    (part,) = waiting["parts"]
    assert part["take_out"]["settled_at"] is None
    assert part["take_out"]["since"]
    body = {"part_id": "c-2", "outcome": "taken_out"}
    done = anna.post("/api/v1/take-out/2", json=body)
    assert done.json()["text"] == "c-2: taken out."
    assert got(anna, "/take-out")["waiting"] == 0
    again = anna.post("/api/v1/take-out/2", json={**body, "outcome": "good"})
    assert again.status_code == 200
    assert "was taken out by anna at" in again.json()["text"]
    refused = anna.post("/api/v1/take-out/1", json={**body, "part_id": "c-1"})
    assert refused.status_code == 409
    assert "does not wait to be taken out" in refused.json()["detail"]


def test_refusals_come_in_inspections_words(page: PeoplePage) -> None:
    anna = page.person("operator", "anna")
    for number, said, part_id, words in (
        (1, "false_alarm", "c-1", "can be marked right or missed or unsure"),
        (99, "right", "c-99", "not recorded"),
        (2, "right", "c-1", "Look at the part again"),
    ):
        answer = mark(anna, number, said, part_id=part_id)
        assert answer.status_code == 409
        assert words in answer.json()["detail"]
    assert mark(anna, 2**62 + 1, "right").status_code == 404
    for body in ({"mark": "bad"}, {"mark": "right", "region": [[0, 0]]}, {"mark": "right", "x": 1}):
        answer = anna.post("/api/v1/parts/2/decisions", json={"part_id": "c-2", **body})
        assert answer.status_code == 400
    assert got(anna, "/decisions")["decisions"] == []


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("reviewed=true", [3, 2]),
        ("reviewed=false", [5, 4, 1]),
        ("mark=false_alarm", [3]),
        ("disputed=true", []),
        ("serial=4", [4]),
        ("kept_for=ng", [2]),
        ("kept_for=any", [2]),
        ("kept_for=suspect", []),
        ("reviewed=false&state=NOT_INSPECTED", [4]),
        (f"reviewed=true&to={time_text(START_NS + 2 * 10**9)}", []),
    ],
)
def test_parts_are_asked_for_by_what_was_said(
    page: PeoplePage, query: str, numbers: list[int]
) -> None:
    anna = page.person("operator", "anna")
    assert mark(anna, 2, "right").status_code == 200
    assert mark(anna, 3, "false_alarm").status_code == 200
    assert [part["number"] for part in got(anna, f"/parts?{query}")["parts"]] == numbers


def test_decisions_come_a_page_at_a_time(page: PeoplePage) -> None:
    anna = page.person("operator", "anna")
    for number in (1, 2, 3, 4):
        assert mark(anna, number, "right").status_code == 200
    first = got(anna, "/decisions?limit=3")
    assert [d["part"] for d in first["decisions"]] == [4, 3, 2]
    rest = got(anna, f"/decisions?limit=3&cursor={first['next']}")
    assert [d["part"] for d in rest["decisions"]] == [1]
    assert rest["next"] is None


def test_an_engineer_accepts_a_mark(page: PeoplePage) -> None:
    """Named to those who may mark; a viewer gets a pseudonym, in the audit as well."""
    anna, eva, vic = page.person("operator", "anna"), page.engineer(), page.person("viewer")
    assert mark(anna, 2, "false_alarm").status_code == 200
    (proposal,) = got(anna, "/decisions?acceptance=open")["decisions"]
    assert (proposal["acceptance"], proposal["accepted_at"]) == (None, None)
    path = f"/api/v1/decisions/{proposal['id']}/acceptance"
    body = {"part": 2, "part_id": "c-2", "accepted": True, "note": "I saw\nit"}
    assert anna.post(path, json=body).status_code == 403
    answer = eva.post(path, json=body)
    assert answer.json()["text"] == "c-2 (a false alarm): accepted."
    (said,) = got(anna, "/parts/2")["decisions"]
    assert (said["acceptance"], said["accepted_by"]) == ("accepted", "eva")
    assert said["accepted_at"].endswith("Z")
    assert got(eva, "/decisions?acceptance=open")["decisions"] == []
    assert got(eva, "/decisions?acceptance=declined")["decisions"] == []
    (listed,) = got(vic, "/decisions?acceptance=accepted")["decisions"]
    (record,) = [r for r in got(vic, "/audit")["records"] if r["event"] == "accepted"]
    assert listed["accepted_by"] == record["author"]["name"] != "eva"
    assert listed["accepted_by"].startswith("reviewer-")
    assert record["why"] == "I saw it"
    for number, part_id, words in ((99, "c-2", "no mark 99"), (proposal["id"], "c-1", "is c-2")):
        answer = eva.post(
            f"/api/v1/decisions/{number}/acceptance", json={**body, "part_id": part_id}
        )
        assert answer.status_code == 409
        assert words in answer.json()["detail"]
    assert eva.post(f"/api/v1/decisions/{2**62 + 1}/acceptance", json=body).status_code == 404
    assert eva.get("/api/v1/decisions?acceptance=maybe").status_code == 400


def test_what_is_kept_of_a_part_is_answered(page: PeoplePage) -> None:
    """The crop, the sidecar; of others 404 in words, and nothing else opens."""
    client = page.client()
    part = got(client, "/parts/2")
    assert part["has_crop"] is True
    assert part["kept_for"] == ["ng", "random"]
    crop = client.get("/api/v1/parts/2/crop.jpg")
    assert crop.headers["content-type"] == "image/jpeg"
    assert crop.content.startswith(b"\xff\xd8")
    sidecar = got(client, "/parts/2/sidecar")
    assert sidecar["part_id"] == "c-2"
    assert sidecar["crop"]["width"] == 16
    assert got(client, "/parts/1")["has_crop"] is False
    for path in ("/parts/1/crop.jpg", "/parts/1/sidecar", "/parts/1/map.png", "/parts/77/crop.jpg"):
        answer = client.get(f"/api/v1{path}")
        assert answer.status_code == 404
        assert len(answer.json()["detail"]) > 20


def test_a_crop_whose_frame_has_gone_is_still_answered(page: PeoplePage) -> None:
    client = page.client()
    place = got(client, "/parts/2")["evidence_url"].partition("/evidence/")[2]
    frame = page.history.parent / "evidence" / place
    frame.unlink()
    assert client.get(f"/api/v1/evidence/{place}").status_code == 404
    assert client.get("/api/v1/parts/2/crop.jpg").status_code == 200
    assert got(client, "/parts/2/sidecar")["part_id"] == "c-2"


def test_a_person_needs_the_pages_own_script(page: PeoplePage) -> None:
    """Without the CSRF token, or from another site, nothing is marked."""
    anna = page.person("operator", "anna")
    body = {"part_id": "c-2", "mark": "right"}
    token = anna.headers.pop("X-CSRF-Token")
    for headers in ({}, {"X-CSRF-Token": "x" * len(token)},
                    {"X-CSRF-Token": token, "Sec-Fetch-Site": "cross-site"}):  # fmt: skip
        for path in ("/parts/2/decisions", "/take-out/2"):
            sent = body if "parts" in path else {"part_id": "c-2", "outcome": "good"}
            answer = anna.post(f"/api/v1{path}", json=sent, headers=headers)
            assert answer.status_code == 403, (path, headers)
    assert got(anna, "/decisions")["decisions"] == []
    assert got(anna, "/take-out")["waiting"] == 1
