"""A device's health in words: every state that can be generated has its plain sentences."""

from __future__ import annotations

import errno
import itertools
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, get_args

import pytest

from edge_app.device_state import (
    DeviceFacts,
    HealthLevel,
    SlotFacts,
    Subject,
    SubjectHealth,
    device_health,
    page_health,
    unknown_health,
)
from edge_app.device_words import ADVICE, HEADLINES, plain_reason
from edge_app.shown_state import CameraFacts, CaptureFact, ShownState, StateName, shown_state

REASONS = ("", "[Errno 19] No such device: '/dev/video0'", "timed out")
FULL = "[Errno 28] No space left on device"
GOOD = DeviceFacts(
    cameras=(("cam1", shown_state(CameraFacts("capturing"))),),
    broker="connected",
    slots=(SlotFacts("main", "screws"),),
    free_bytes=50 << 30,
    disk_bytes=100 << 30,
    temperature_c=51.2,
    is_clock_synchronised=True,
    has_agent=True,
    is_agent_there=True,
    history="",
    audit="",
)


def cameras() -> Iterator[ShownState]:
    """Yield every state that a camera's facts lead to."""
    captures = get_args(CaptureFact)
    for capture, reason, paused, bundle, engine, update in itertools.product(
        captures, REASONS, (False, True), (False, True), ("", "no engine"), ("", "an update")
    ):
        yield shown_state(
            CameraFacts(
                capture, reason, paused, has_bundle=bundle, engine_missing=engine, update=update
            )
        )


def generated() -> Iterator[DeviceFacts]:
    """Yield facts: each way in which one thing can be, and pairs of cameras."""
    yield DeviceFacts()
    yield GOOD
    for shown in cameras():
        yield replace(GOOD, cameras=(("cam1", shown),))
    by_state = list({shown.state: shown for shown in cameras()}.values())
    for first, second in itertools.product(by_state, repeat=2):
        yield replace(GOOD, cameras=(("cam1", first), ("cam2", second)))
    yield from (replace(GOOD, **changes) for changes in single_changes())


def single_changes() -> Iterator[dict[str, Any]]:
    brokers = ("", "not used", "connected", "connecting", "stopped", "degraded: publish refused",
               "connecting: [Errno 111] Connection refused",
               "connecting: [Errno -2] Name or service not known")  # fmt: skip
    for broker, waiting, memory in itertools.product(brokers, (0, 3, 700), (0, 2)):
        yield {"broker": broker, "broker_waiting": waiting, "broker_in_memory": memory}
    for has, shortfall, update in itertools.product(
        (True, False), ("", f"no engine: {FULL}"), ("", "a new bundle is being made ready")
    ):
        slot = SlotFacts("main", "screws" if has else "", has, shortfall, update)
        for agent in ((True, True), (True, False), (False, False), (None, False)):
            yield {"slots": (slot,), "has_agent": agent[0], "is_agent_there": agent[1]}
    yield {"slots": ()}
    yield {"weaknesses": ("It misses most of the clearly visible defects.",)}
    for free, reserve, counted in itertools.product(
        (None, 0, 10 << 20, 4 << 30, 50 << 30), (True, False), (0, 9)
    ):
        yield {"free_bytes": free, "is_reserve_used": reserve, "counted_only": counted}
    yield from ({"temperature_c": value} for value in (None, -5.0, 84.9, 85.0, 95.0, 120.0))
    for known, jumps in itertools.product((None, True, False), (0, 2)):
        yield {"is_clock_synchronised": known, "clock_jumps": jumps}
    for keeps, why, lost, (dropped, problem) in itertools.product(
        (True, False), (None, "", FULL, "disk I/O error"), (0, 5), ((0, ""), (5, FULL), (5, ""))
    ):
        yield {
            "keeps_history": keeps,
            "history": why,
            "history_lost": lost,
            "pictures_dropped": dropped,
            "pictures_problem": problem,
        }
    audits = (None, "", f"the audit cannot be written ({FULL}): orders are refused",
              "the audit was changed from outside: record 3")  # fmt: skip
    yield from ({"audit": why, "audit_waiting": 3} for why in audits)
    yield from ({"golden": (("g", state),)} for state in ("alarmed", "due", "good"))


def every_subject() -> list[SubjectHealth]:
    found = [subject for facts in generated() for subject in device_health(facts)]
    pages = [page_health(problem) for problem in ("", "not_running", "silent")]
    return [*found, *pages, *unknown_health()]


ALL = every_subject()
NAMES_OF_ERRORS = re.compile(
    r"errno|traceback|exception|\bnan\b|\{|\}|"
    + "|".join(re.escape(os.strerror(code)) for code in errno.errorcode),
    re.IGNORECASE,
)


def test_every_state_has_plain_sentences() -> None:
    """A headline, and what to do unless nothing is wrong; no number or name of an error, no gap
    where a parameter belongs."""
    assert len(ALL) > 4000
    for found in ALL:
        texts = [found.headline.text, found.what_to_do.text, *(d.text for d in found.details)]
        assert not [text for text in texts if NAMES_OF_ERRORS.search(text)], texts
        assert found.headline.text.endswith(".")
        assert found.level in get_args(HealthLevel)
        assert found.subject in get_args(Subject)
        if found.level in ("warn", "bad"):
            assert found.what_to_do.text, found.headline
            assert found.what_to_do.key == f"{found.headline.key}.do"
        body = found.as_json()
        told = set(
            re.findall(r"\{(\w+)\}", HEADLINES[found.headline.key] + ADVICE[body["headline_key"]])
        )
        assert told <= set(body["params"])


def test_no_sentence_is_there_for_nothing() -> None:
    """Each key comes out of some facts, and has its advice, if only that there is none."""
    used = {found.headline.key for found in ALL} | {d.key for f in ALL for d in f.details}
    assert used - {"detail"} == set(HEADLINES)
    assert set(ADVICE) == set(HEADLINES)
    assert {c.state for c in cameras()} == set(get_args(StateName))


def test_all_is_well_or_nothing_is_known() -> None:
    """A healthy device is good in everything; of one that says nothing, everything is unknown."""
    assert {s.level for s in device_health(GOOD)} == {"good"}
    assert {s.level for s in device_health(DeviceFacts())} == {"unknown"}
    assert {s.level for s in unknown_health()} == {"unknown"}
    subjects = [s.subject for s in device_health(GOOD)]
    assert "golden" not in subjects, "nothing is said of a line without golden parts"
    assert [*subjects, "golden", "page"] == list(get_args(Subject))
    assert [s.subject for s in unknown_health()] == subjects


@pytest.mark.parametrize(
    ("changes", "subject", "level", "key"),
    [
        ({"history": FULL}, "history", "warn", "history.not_written"),
        ({"pictures_dropped": 1, "pictures_problem": FULL}, "history", "warn",
         "history.no_pictures"),
        ({"pictures_dropped": 1}, "history", "good", "history.good"),
        ({"is_reserve_used": True}, "disk", "bad", "disk.full"),
        ({"golden": (("a", "due"), ("b", "alarmed"))}, "golden", "bad", "golden.alarmed"),
        ({"free_bytes": 4 << 30}, "disk", "warn", "disk.low"),
        ({"broker": "connecting: x", "broker_waiting": 7}, "broker", "bad",
         "broker.unreachable_waiting"),
        ({"has_agent": True, "is_agent_there": False}, "updates", "warn", "updates.agent_gone"),
        ({"temperature_c": 96.0}, "temperature", "bad", "temperature.hot"),
        ({"audit": FULL}, "audit", "bad", "audit.not_written"),
    ],
)  # fmt: skip
def test_one_thing_amiss_is_one_subject(
    changes: dict[str, Any], subject: str, level: str, key: str
) -> None:
    """No red herring: all others stay good."""
    found = {s.subject: s for s in device_health(replace(GOOD, **changes))}
    amiss = found.pop(subject)  # type: ignore[call-overload]
    assert (amiss.level, amiss.headline.key) == (level, key)
    assert {s.level for s in found.values()} == {"good"}


def test_the_worst_camera_is_named_and_the_others_are_counted() -> None:
    """Four cameras, one that never came up and one that is paused."""
    four = [CameraFacts("capturing"), CameraFacts("reconnecting", "[Errno 113] No route to host"),
            CameraFacts("capturing", is_paused=True), CameraFacts("capturing")]  # fmt: skip
    named = tuple((f"cam{n}", shown_state(f)) for n, f in enumerate(four, 1))
    found = device_health(replace(GOOD, cameras=named))[0]
    assert found.level == "bad"
    assert found.headline.text == ("Camera cam2 cannot be reached: its parts are not inspected.")
    texts = [d.text for d in found.details]
    assert texts[0] == "Other cameras that are not as they should be: 1."
    assert "cam2 cannot be reached" in texts[2]
    assert "(the network has no way there)" in texts[2]
    assert len(texts) == 5


@pytest.mark.parametrize("code", sorted(errno.errorcode))
def test_the_systems_words_do_not_come_through(code: int) -> None:
    """With its number and without."""
    words = os.strerror(code)
    for text in (f"[Errno {code}] {words}", f"it failed: {words}: '/x'", words.lower()):
        plain = plain_reason(text)
        assert plain
        assert words.lower() not in plain.lower()
        assert "errno" not in plain.lower()


def test_what_is_no_error_stays_as_it_is() -> None:
    """A person's words, numbers, places."""
    for text in ("", "paused by a person until 12:30: cleaning", "5 of 9 parts"):
        assert plain_reason(text) == text


@pytest.mark.parametrize(
    ("size_bytes", "said"),
    [(0, "0 MB"), (350 << 20, "350 MB"), (3 << 29, "1.5 GB"), (70 << 30, "70 GB")],
)
def test_room_on_a_disk_is_said_as_people_read_it(size_bytes: int, said: str) -> None:
    found = device_health(replace(GOOD, free_bytes=size_bytes))
    (disk,) = (subject for subject in found if subject.subject == "disk")
    assert said in disk.headline.text
