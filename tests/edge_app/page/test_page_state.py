"""What the page says: stories of parts, told to the state and read as JSON."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
from page_reports import make_event, make_report, make_verdict

from edge_app.device_words import PLAIN
from edge_app.page.pictures import PictureCache
from edge_app.page.snapshot import alerts_json, state_json
from edge_app.page.source import LocalSource
from edge_app.page.state import MAX_ALERTS, PageState
from edge_app.page.words import age_words, camera_words, reason_words
from edge_app.records import (
    AlarmEvent,
    EventKind,
    Evidence,
    Gap,
    JsonObject,
    KeptPart,
    VerdictState,
)
from edge_app.shown_state import CameraFacts, CaptureFact, shown_state

OK, NG, NOT_INSPECTED = VerdictState.OK, VerdictState.NG, VerdictState.NOT_INSPECTED


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(clock: Clock) -> PageState:
    return PageState(clock)


def camera(state: PageState, name: str = "belt-1") -> JsonObject:
    return next(c for c in state_json(state)["cameras"] if c["name"] == name)


def test_the_banner_shows_the_last_part(state: PageState) -> None:
    """A good part leaves, then a part is lost to overload: the banner follows, in plain words."""
    state.show(make_report())
    assert camera(state)["verdict"] is None
    state.show(make_report(finished=(make_verdict(OK),)))
    assert camera(state)["verdict"]["words"] == "OK"
    state.show(make_report())
    assert camera(state)["verdict"]["words"] == "OK"
    state.show(make_report(finished=(make_verdict(NOT_INSPECTED, reason="overload"),)))
    shown = camera(state)["verdict"]
    assert shown["words"] == "NOT INSPECTED"
    assert shown["reason"] == "parts came faster than they can be inspected"


def test_a_bad_part_is_shown_before_it_leaves(state: PageState) -> None:
    """NG stands as soon as one view is judged, even while a good part leaves in the same frame."""
    bad, good = make_verdict(NG, "part-2"), make_verdict(OK, "part-1")
    state.show(make_report(seen=(bad,), finished=(good,)))
    assert camera(state)["verdict"]["part_id"] == "part-2"


def test_an_entering_part_does_not_change_the_banner(state: PageState) -> None:
    """A part that is only half in the picture has no verdict to show."""
    state.show(make_report(finished=(make_verdict(OK),)))
    state.show(make_report(seen=(make_verdict(NOT_INSPECTED, "part-2", "never_whole"),)))
    assert camera(state)["verdict"]["words"] == "OK"


def test_a_suspect_part_is_ok_in_other_words_and_counted(state: PageState) -> None:
    """Good, but worth a look: said on the banner, counted among the good ones."""
    state.show(make_report(finished=(make_verdict(OK, is_suspect=True),)))
    shown = camera(state)["verdict"]
    assert (shown["state"], shown["is_suspect"], shown["words"]) == ("OK", True, "OK (suspect)")
    state.show(make_report(finished=(make_verdict(OK, "part-2"),)))
    assert (camera(state)["verdict"]["words"], camera(state)["verdict"]["is_suspect"]) == (
        "OK",
        False,
    )
    figures = camera(state)["figures"]
    assert (figures["parts"], figures["suspect"], figures["ng"]) == (2, 1, 0)


def test_the_banner_prefers_what_is_worse(state: PageState) -> None:
    """Of several parts that leave at once: NG, then not inspected, then suspect, then OK."""
    good, odd = make_verdict(OK, "a"), make_verdict(OK, "b", is_suspect=True)
    lost, bad = make_verdict(NOT_INSPECTED, "c", "overload"), make_verdict(NG, "d")
    everyone = (good, odd, lost, bad)
    for worst in range(4):
        state.show(make_report(finished=everyone[: worst + 1]))
        assert camera(state)["verdict"]["part_id"] == everyone[worst].part_id


def test_the_frame_of_a_suspect_part_is_not_held(state: PageState) -> None:
    """Only the shown picture stays in memory."""
    report = make_report(finished=(make_verdict(OK, is_suspect=True),))
    suspect = KeptPart(report.finished[0], report.frame, ("suspect",))
    state.show(replace(report, kept=(suspect,)))
    held = state.picture("belt-1")
    assert held is not None
    assert held[1].kept == ()


def test_figures_count_each_part_once(state: PageState, clock: Clock) -> None:
    """Four parts in two seconds: counts, percentage, rate and latency; skipped from health."""
    for verdict in (OK, OK, NG, NOT_INSPECTED):
        state.show(make_report(finished=(make_verdict(verdict),)))
        clock.now_s += 0.5
    state.set_health({"cameras": [{"camera": "belt-1", "frames_skipped": 7}]})
    figures = camera(state)["figures"]
    assert (figures["parts"], figures["ng"], figures["not_inspected"]) == (4, 1, 1)
    assert figures["ng_percent"] == 25.0
    assert figures["frames_per_second"] == pytest.approx(1.5)
    assert (figures["latency_ms"], figures["skipped"]) == (31.0, 7)
    clock.now_s += 60
    assert camera(state)["figures"]["frames_per_second"] == 0.0


def test_a_fresh_camera_has_no_made_up_figures(state: PageState) -> None:
    """Nothing seen yet: no percentage, no latency, no count of skipped pictures."""
    state.set_camera("belt-1", shown_state(CameraFacts("reconnecting", "no answer from 10.0.0.7")))
    figures = camera(state)["figures"]
    assert (figures["ng_percent"], figures["latency_ms"], figures["skipped"]) == (None, None, None)
    assert "no answer from 10.0.0.7" in camera(state)["state_text"]


def test_a_stalled_camera_is_said_with_the_pictures_age(state: PageState, clock: Clock) -> None:
    """A stall leaves the picture, its age and no doubt that nothing is inspected."""
    state.show(make_report(finished=(make_verdict(OK),)))
    state.set_camera("belt-1", shown_state(CameraFacts("stalled")))
    clock.now_s += 8
    shown = camera(state)
    assert shown["state_text"] == "stalled – last picture 8 s old"
    assert (shown["is_good"], shown["is_blind"]) == (False, True)


@pytest.mark.parametrize(("name", "is_blind"), [("blind", True), ("impaired", False)])
def test_pictures_that_are_not_right_are_never_a_good_camera(
    name: CaptureFact, is_blind: bool
) -> None:
    """Blind: NOT INSPECTING; impaired: judged on, but the chip says what is wrong."""
    state = PageState()
    state.show(make_report(finished=(make_verdict(VerdictState.OK),)))
    state.set_camera("belt-1", shown_state(CameraFacts(name, "the lamp is off")))
    shown = camera(state)
    assert (shown["is_good"], shown["is_blind"]) == (False, is_blind)
    assert "the lamp is off" in shown["state_text"]
    assert "the lamp is off" not in shown["state_words"]


def test_a_camera_that_has_ended_leaves_no_green_ok(state: PageState) -> None:
    """Its last part was OK; nothing is inspected any more, and nothing says that it is."""
    state.show(make_report(finished=(make_verdict(OK),)))
    state.set_camera("belt-1", shown_state(CameraFacts("ended", "the folder has no more pictures")))
    shown = camera(state)
    assert (shown["is_good"], shown["is_blind"]) == (None, True)
    assert "the folder has no more pictures" in shown["state_text"]


def test_every_camera_is_listed_before_its_first_picture(state: PageState) -> None:
    """In the order in which they were named, whichever delivers first."""
    for name in ("right", "left"):
        state.set_camera(name, shown_state(CameraFacts()))
    state.show(make_report())
    names = [entry["name"] for entry in state_json(state)["cameras"]]
    assert names == ["right", "left", "belt-1"]
    assert state_json(state)["cameras"][0]["state_text"] == "starting – it is being opened"


def test_an_unreadable_picture_keeps_the_last_one(state: PageState) -> None:
    """A report with a frame of no channels counts its part and leaves the live picture alone."""
    state.show(make_report())
    missed = make_verdict(NOT_INSPECTED, reason="corrupt_picture")
    state.show(make_report(finished=(missed,), frame_hwc=(200, 320, 0)))
    assert camera(state)["sequence"] == 1
    assert camera(state)["verdict"]["reason"] == "the picture could not be read"
    assert PictureCache(LocalSource(state)).jpeg("belt-1", with_map=False) is not None


def test_one_alarm_is_one_card(state: PageState) -> None:
    """new, update and end of one part become one card that keeps the last picture."""
    kept = Evidence("http://x:1/evidence/2026-01-01/a.jpg", "")
    bad = make_verdict(NG)
    worse = replace(bad, score=15.0, product_corners_xy=((0, 0), (9, 0), (9, 9), (0, 9)))
    state.show(make_report(events=(make_event(EventKind.NEW, bad),)))
    state.add_picture(make_event(EventKind.NEW, bad, kept))
    state.show(make_report(events=(make_event(EventKind.UPDATE, worse),)))
    state.show(make_report(events=(make_event(EventKind.END, worse),)))
    (card,) = alerts_json(state)["alerts"]
    assert (card["kind"], card["is_over"]) == ("end", True)
    assert card["verdict"]["score"] == 15.0
    assert card["evidence"] == "/evidence/2026-01-01/a.jpg"
    assert card["part_xyxy"][0] > 9, "the picture is the first view's, so is the part's place in it"


def test_a_picture_may_be_kept_before_its_report_is_shown(state: PageState) -> None:
    """The worker is sometimes faster than the line: the card has its picture all the same."""
    kept = Evidence("http://x:1/evidence/2026-01-01/a.jpg", "")
    bad = make_verdict(NG)
    state.add_picture(make_event(EventKind.NEW, bad, kept))
    assert alerts_json(state)["alerts"] == []
    state.show(make_report(events=(make_event(EventKind.NEW, bad), make_event(EventKind.END, bad))))
    (card,) = alerts_json(state)["alerts"]
    assert (card["is_over"], card["evidence"]) == (True, "/evidence/2026-01-01/a.jpg")


def test_cards_keep_no_frame(state: PageState) -> None:
    """Twenty cards must not keep twenty frames alive."""
    report = make_report()
    event = replace(make_event(EventKind.NEW, make_verdict(NG)), frame=report.frame)
    state.show(replace(report, events=(event,)))
    assert state.alerts()[0].event.frame is None


def test_only_the_last_alarms_are_kept_newest_first(state: PageState) -> None:
    """Twenty-five bad parts: the last twenty, the newest on top."""
    for number in range(25):
        event = make_event(EventKind.NEW, make_verdict(NG, f"part-{number}"))
        state.show(make_report(events=(event,)))
    parts = [card["verdict"]["part_id"] for card in alerts_json(state)["alerts"]]
    assert parts == [f"part-{number}" for number in range(24, 24 - MAX_ALERTS, -1)]


def test_a_gap_is_told_in_words(state: PageState) -> None:
    """Parts lost while nobody looked have a card that says how many and why."""
    gap = Gap("belt-1", 118, 131, "restart")
    event = AlarmEvent(EventKind.GAP, "belt-1", "gap-1", gap=gap)
    state.show(make_report(events=(event,)))
    (card,) = alerts_json(state)["alerts"]
    assert card["text"] == (
        "14 parts passed without being judged (numbers 118 to 131): the inspection was restarted"
    )
    assert (card["verdict"], card["evidence"]) == (None, None)


def test_cameras_do_not_mix(state: PageState) -> None:
    """Two cameras: two verdicts, two counts."""
    state.show(make_report(finished=(make_verdict(OK),)))
    state.show(make_report(camera="belt-2", finished=(make_verdict(NG, camera="belt-2"),)))
    assert camera(state, "belt-1")["verdict"]["words"] == "OK"
    assert camera(state, "belt-2")["verdict"]["words"] == "NG"
    assert camera(state, "belt-2")["figures"]["parts"] == 1


def test_notes_appear_only_when_something_is_wrong(state: PageState) -> None:
    """A healthy device has no notes; a full disk and lost pictures have."""
    state.set_health({"outbox": {"depth": 0, "counted_only": 0, "reserve_released": False}})
    assert state_json(state)["notes"] == []
    state.set_health(
        {
            "outbox": {"depth": 60, "counted_only": 2, "reserve_released": True},
            "evidence": {"dropped": 3, "problem": "the disk refused a picture"},
        }
    )
    assert len(state_json(state)["notes"]) == 3, "no broker is used: none is waited for"
    state.set_broker("connected", is_good=True)
    notes = state_json(state)["notes"]
    assert len(notes) == 4
    assert notes[0].startswith("The disk is full")
    assert "60" in notes[3]
    state.set_broker("unreachable for 12 s - 60 alerts wait safely on disk", is_good=False)
    assert len(state_json(state)["notes"]) == 3


@pytest.mark.parametrize("code", sorted(PLAIN))
def test_no_name_of_an_error_is_shown(state: PageState, code: int) -> None:
    """Of the broker, a camera, or why an alert has no picture."""
    error = f"[Errno {code}] {os.strerror(code)}"
    state.set_broker(f"connecting: {error}", is_good=False)
    state.set_camera("belt-1", shown_state(CameraFacts("reconnecting", error)))
    state.set_health({"evidence": {"dropped": 1, "problem": f"the disk refused it ({error})"}})
    shown = json.dumps(state_json(state))
    assert shown.count(PLAIN[code]) >= 4
    assert "Errno" not in shown
    assert os.strerror(code) not in shown


def test_once_pictures_are_kept_again_nothing_is_said_of_those_before(state: PageState) -> None:
    """A sentence without its reason helps nobody: "1 alerts have no picture: ."."""
    state.set_health({"evidence": {"dropped": 1, "problem": ""}})
    assert state_json(state)["notes"] == []


def test_a_weak_model_is_the_first_note(state: PageState) -> None:
    """It stays as long as that model is used."""
    state.set_health({"outbox": {"depth": 0, "counted_only": 0, "reserve_released": True}})
    state.set_weaknesses(["This bundle misses more than half of clearly visible defects."])
    notes = state_json(state)["notes"]
    assert notes[0].startswith("This bundle misses more than half")
    assert len(notes) == 2
    state.set_weaknesses(())
    assert len(state_json(state)["notes"]) == 1


def test_a_frame_is_drawn_once_for_all_who_ask(state: PageState) -> None:
    """The JPEG is cached per frame and per kind; a new frame makes a new one."""
    state.set_map_threshold(1.0)
    pictures = PictureCache(LocalSource(state))
    assert pictures.jpeg("belt-1", with_map=False) is None
    state.show(make_report(seen=(make_verdict(NG),)))
    first, again = (pictures.jpeg("belt-1", with_map=False) for _ in range(2))
    mapped = pictures.jpeg("belt-1", with_map=True)
    assert first is not None
    assert mapped is not None
    assert again is not None
    assert again[1] is first[1]
    assert mapped[1] != first[1]
    state.show(make_report(seen=(make_verdict(OK),)))
    newer = pictures.jpeg("belt-1", with_map=False)
    assert newer is not None
    assert newer[0] == first[0] + 1
    assert newer[1] != first[1]


def test_a_map_travels_with_its_part_until_it_leaves(state: PageState) -> None:
    """Judged once, seen again 40 px further unjudged: the map is there; gone with the part."""
    state.show(make_report(seen=(make_verdict(NG),)))
    judged = make_report(seen=(make_verdict(NG),))
    (view,) = judged.views
    cx, cy, w, h, angle_rad = view.detection.box_cxcywhr
    further = replace(view.detection, box_cxcywhr=(cx + 40, cy, w, h, angle_rad))
    moved = replace(
        judged, views=(replace(view, detection=further),), anomalies={}, crop_corners_xy={}
    )
    state.show(moved)
    shown = state.picture("belt-1")
    assert shown is not None
    before, after = (r.crop_corners_xy[view.part_id] for r in (judged, shown[1]))
    assert shown[1].anomalies.keys() == {view.part_id}
    assert [x for x, _ in after] == pytest.approx([x + 40 for x, _ in before])
    state.show(make_report())
    shown = state.picture("belt-1")
    assert shown is not None
    assert shown[1].anomalies == {}


@pytest.mark.parametrize("frame_hwc", [(1, 1, 3), (1, 2000, 3), (3000, 20, 3)])
def test_odd_frames_become_pictures(state: PageState, frame_hwc: tuple[int, int, int]) -> None:
    """One pixel, one row and a tall strip are shown, scaled down where they are large."""
    state.show(make_report(seen=(make_verdict(NG),), frame_hwc=frame_hwc))
    jpeg = PictureCache(LocalSource(state)).jpeg("belt-1", with_map=True)
    assert jpeg is not None
    assert jpeg[1].startswith(b"\xff\xd8")


def test_unknown_codes_are_shown_not_hidden() -> None:
    """A reason or state that has no words yet appears with its name."""
    assert reason_words("laser_off") == "laser off"
    assert reason_words("") == ""
    assert camera_words("warming_up", "", None) == "warming up"


@pytest.mark.parametrize(
    ("age_s", "words"),
    [(0, "0 s"), (89, "89 s"), (300, "5 min"), (3 * 3600, "3 h"), (172_800, "2 days")],
)
def test_ages_are_readable(age_s: float, words: str) -> None:
    """Ages come in the unit a person would use."""
    assert age_words(age_s) == words
