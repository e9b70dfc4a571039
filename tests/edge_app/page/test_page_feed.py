"""Inspection's end of the page, and a page that lies, floods, sleeps or is somebody else."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_reports import BOX, make_event, make_report, make_verdict
from support.brokers import wait_until

from edge_app.imaging.oriented_box import corners_of
from edge_app.imaging.overlay import draw_report
from edge_app.ipc import page_link, peers
from edge_app.ipc.frame_ring import SLOTS
from edge_app.ipc.page_link import GiveBack, LineState, PageLink, Picture, Settings, Watch
from edge_app.ipc.protocol import ProtocolError
from edge_app.page import door, feed
from edge_app.page.door import PageListener
from edge_app.page.feed import PageFeed
from edge_app.page.picture_notes import notes_of, report_of
from edge_app.page.remote import RemoteLine
from edge_app.page.snapshot import alerts_json, state_json
from edge_app.page.state import PageState
from edge_app.records import (
    Anomaly,
    Detection,
    EventKind,
    Frame,
    FrameReport,
    PartView,
    PointXy,
    VerdictState,
)
from edge_app.shown_state import CameraFacts, shown_state

SETTINGS = Settings(host="127.0.0.1", port=8080, token="a-long-enough-token-0123")


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[PageState, PageFeed]]:
    monkeypatch.setattr(feed, "REFUSE_S", 0.3)
    monkeypatch.setattr(page_link, "SEND_S", 1)
    state = PageState()
    one = PageFeed(state, SETTINGS)
    one.start()
    yield state, one
    one.stop()


def connect(one: PageFeed, buffer_bytes: int | None = None) -> socket.socket:
    ours, theirs = socket.socketpair()
    if buffer_bytes is not None:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
    one.adopt(theirs)
    ours.settimeout(5)
    return ours


def is_hung_up_on(connection: socket.socket) -> bool:
    """Read until the end; False if it does not come."""
    try:
        while connection.recv(65_536):
            pass
    except TimeoutError:
        return False
    except ConnectionResetError:
        pass
    return True


def messages_of(link: PageLink, kind: type[Any], count: int = 1) -> list[Any]:
    """Wait for so many messages of a kind."""
    found: list[Any] = []
    end_s = time.monotonic() + 30
    while len(found) < count:
        assert time.monotonic() < end_s, f"not within 30 s: {kind.__name__}"
        came = link.receive(0.1)
        assert came is not None
        found += [message for message in came if isinstance(message, kind)]
    return found


LIES = {
    "no JSON": b"hello\n",
    "no object": b"[1, 2]\n",
    "nested without end": b"[" * 10_000 + b"\n",
    "an unknown type": b'{"type": "select"}\n',
    "inspection's own": b'{"type": "settings", "host": "0.0.0.0", "port": 1}\n',
    "a list too long": json.dumps({"type": "watch", "cameras": ["c"] * 1000}).encode() + b"\n",
    "a name too long": json.dumps({"type": "watch", "cameras": ["c" * 1000]}).encode() + b"\n",
    "a number that is none": b'{"type": "give_back", "generation": "x", "slot": 0}\n',
    "a huge number": b'{"type": "give_back", "generation": 1' + b"0" * 5000 + b', "slot": 0}\n',
    "no text": b"\xff\xfe\n",
    "a line without end": b"x" * 100_000,
    "too much": b'{"type": "give_back", "generation": 1, "slot": 0}\n' * 2000,
}


@pytest.mark.parametrize("what", LIES)
def test_a_page_that_breaks_the_protocol_is_hung_up_on(
    served: tuple[PageState, PageFeed], what: str
) -> None:
    """And after a moment the next one is served; the line's state is as before."""
    state, one = served
    state.show(make_report(seen=(make_verdict(VerdictState.OK),)))
    with closing(connect(one)) as liar:
        with suppress(OSError):
            liar.sendall(LIES[what])
        assert is_hung_up_on(liar)
    honest = PageLink(connect(one), "page")
    (settings,) = messages_of(honest, Settings)
    assert settings == SETTINGS
    (line,) = messages_of(honest, LineState)
    assert line.state["cameras"][0]["name"] == "belt-1"
    honest.close()


def test_slots_that_were_never_out_change_nothing(served: tuple[PageState, PageFeed]) -> None:
    """Given back before they were lent, twice, of other segments: pictures go on coming whole."""
    state, one = served
    state.show(make_report())
    link = PageLink(connect(one), "page")
    link.send(Watch(cameras=("belt-1", "nobody")))
    for number in range(-2, 6):
        link.send(GiveBack(generation=number, slot=number))
    (first,) = messages_of(link, Picture)
    assert (first.camera, first.sequence, first.shape) == ("belt-1", 1, (200, 320, 3))
    link.close()


def test_a_page_that_gives_nothing_back_gets_no_more(served: tuple[PageState, PageFeed]) -> None:
    """The line goes on, and no memory is taken beyond the slots."""
    state, one = served
    link = PageLink(connect(one), "page")
    state.show(make_report())
    pictures = 0
    for _ in range(4 * SLOTS):
        link.send(Watch(cameras=("belt-1",)))
        state.show(make_report())
        time.sleep(0.06)
        pictures += sum(isinstance(message, Picture) for message in link.receive(0) or ())
    assert pictures == SLOTS
    link.close()


def test_a_page_that_does_not_read_is_hung_up_on_and_slows_nobody(
    served: tuple[PageState, PageFeed],
) -> None:
    """While its buffer is full the line shows a thousand frames; then the connection is closed."""
    state, one = served
    bad = make_verdict(VerdictState.NG)
    deaf = connect(one)
    for number in range(1000):
        state.show(make_report(seen=(bad,), events=(make_event(EventKind.NEW, bad),)))
        if number % 100 == 0:
            time.sleep(0.02)
    honest = PageLink(connect(one), "page")
    messages_of(honest, LineState)
    assert is_hung_up_on(deaf)
    honest.close()
    deaf.close()


def test_a_page_that_starts_slowly_is_waited_for(
    served: tuple[PageState, PageFeed], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its buffer fills while it still imports on a busy machine; then it reads, and is served. It
    was hung up on, started again, and again took too long."""
    monkeypatch.setattr(feed, "STATE_EVERY_S", 0.0)
    state, one = served
    link = PageLink(connect(one, buffer_bytes=32_768), "page")
    state.show(make_report(seen=(make_verdict(VerdictState.OK),)))
    assert messages_of(link, Settings)
    time.sleep(3.0)  # three times as long as a send may take
    state.show(make_report(camera="late", seen=(make_verdict(VerdictState.OK),)))
    wait_until(lambda: "late" in _cameras(link), 10, "the newest state")
    link.close()


def _cameras(link: PageLink) -> list[str]:
    """Return the cameras of the states that have come; fails where the link has been closed."""
    messages = link.receive(1.0)
    assert messages is not None
    states = [m.state for m in messages if isinstance(m, LineState)]
    return [camera["name"] for state in states for camera in state["cameras"]]


def test_a_page_that_reads_nothing_for_long_is_hung_up_on(
    served: tuple[PageState, PageFeed], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "STATE_EVERY_S", 0.0)
    monkeypatch.setattr(feed, "PATIENCE_S", 0.5)
    deaf = connect(served[1], buffer_bytes=32_768)
    time.sleep(3.0)
    assert is_hung_up_on(deaf)
    deaf.close()


def test_a_picture_that_outgrows_the_segment_gets_a_larger_one(
    served: tuple[PageState, PageFeed],
) -> None:
    """Through the page's own reader: whatever the size and shape, the pixels are the line's."""
    state, one = served
    line = RemoteLine(lambda _settings: None)
    stop = threading.Event()
    reader = threading.Thread(target=line.read, args=(connect(one), stop.is_set))
    reader.start()
    try:
        for size in ((200, 320, 3), (900, 1200, 3), (17, 1, 3), (1, 1, 3), (480, 640)):
            pixels = np.random.default_rng(1).integers(0, 255, size, np.uint8)
            report = make_report()
            state.show(
                FrameReport(Frame("belt-1", 1, pixels, 0), (), {}, {}, {}, report.finished, ())
            )
            wanted = state.sequence("belt-1")
            wait_until(partial(lambda w: has_picture(line, w), wanted))
            shown = line.picture("belt-1")
            assert shown is not None
            assert np.array_equal(shown.report.frame.pixels_hwc, pixels)
        assert line.alerts() == alerts_json(state)
    finally:
        stop.set()
        reader.join(5)


def has_picture(line: RemoteLine, sequence: int | None) -> bool:
    line.sequence("belt-1")
    picture = line.picture("belt-1")
    return picture is not None and picture.sequence == sequence


def any_report(chance: random.Random) -> FrameReport:
    """Return a report with parts of every kind, odd names and odd numbers among them."""
    states = list(VerdictState)
    names = ["belt-1-1-000001", "ü ß \udc80", "a/b", "x" * 200, "0"]
    seen = [
        make_verdict(chance.choice(states), f"{chance.choice(names)}-{n}", is_suspect=n == 3)
        for n in range(chance.randrange(5))
    ]
    report = make_report(seen=tuple(seen), finished=tuple(seen[:1]))
    maps = {
        v.part_id: Anomaly(
            1.0, np.random.default_rng(n).random((chance.randrange(1, 9), 7), np.float32)
        )
        for n, v in enumerate(seen)
    }
    if seen and chance.random() < 0.3:
        maps[seen[0].part_id] = Anomaly(float("nan"), np.full((3, 3), np.nan, np.float32))
    boxes = tuple(
        PartView(v.part_id, 0, Detection((*BOX[:4], chance.random()), 0.5), True) for v in seen
    )
    crops: dict[str, tuple[PointXy, ...]] = {v.part_id: corners_of(BOX) for v in seen}
    return FrameReport(
        report.frame, boxes, maps, crops, report.verdicts, report.finished, report.events
    )


@pytest.mark.parametrize("seed", range(40))
def test_the_page_draws_what_inspection_would_have_drawn(seed: int) -> None:
    """Pixel for pixel, with and without the map, over the notes."""
    chance = random.Random(seed)
    report = any_report(chance)
    threshold = chance.choice((None, 1.0, 0.3))
    again, told = report_of("belt-1", report.frame.pixels_hwc, notes_of(report, threshold))
    assert told == threshold
    if "\udc80" not in "".join(report.verdicts):
        assert np.array_equal(draw_report(again, told), draw_report(report, threshold))
    assert len(again.views) == len(report.views)


@pytest.mark.parametrize("seed", range(60))
def test_notes_that_are_damaged_are_refused_in_one_way(seed: int) -> None:
    """Cut, flipped, emptied: drawn all the same or ProtocolError, never anything else."""
    chance = random.Random(seed)
    report = any_report(chance)
    notes = bytearray(notes_of(report, 1.0))
    for _ in range(20):
        damaged = bytearray(notes)
        for _ in range(chance.randrange(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        if chance.random() < 0.5:
            damaged = damaged[: chance.randrange(len(damaged))]
        with suppress(ProtocolError):
            report_of("belt-1", report.frame.pixels_hwc, bytes(damaged))


@pytest.mark.needs("root")
@pytest.mark.parametrize("is_page", [True, False])
def test_only_the_pages_account_is_let_in(
    served: tuple[PageState, PageFeed], monkeypatch: pytest.MonkeyPatch, is_page: bool
) -> None:
    """Another account's process is hung up on unheard; the page's gets the settings."""
    _, one = served
    uids = {peers.ACCOUNTS[peers.Role.PAGE]: 65534} if is_page else {}
    monkeypatch.setattr(
        door, "may_play", lambda role, uid: peers.may_play(role, uid, own_uid=0, lookup=uids.get)
    )
    with tempfile.TemporaryDirectory(prefix="cropliq-door-") as name:
        Path(name).chmod(0o755)
        listener = PageListener(Path(name) / "page.sock", one)
        listener.start()
        program = (
            "import os, socket\nos.setgid(65534); os.setuid(65534)\n"
            f"s = socket.socket(socket.AF_UNIX); s.settimeout(5); s.connect('{name}/page.sock')\n"
            "print(s.recv(4096).decode())\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False
        )
        listener.stop()
    assert ('"settings"' in done.stdout) is is_page


def test_a_line_that_says_nothing_is_not_shown_as_live() -> None:
    """Connected but silent for three seconds: every camera is blind, in words, with the age."""
    now_s = [100.0]
    line = RemoteLine(lambda _settings: None, clock_s=lambda: now_s[0])
    state = PageState(lambda: now_s[0])
    state.set_camera("belt-1", shown_state(CameraFacts("capturing")))
    state.show(make_report(seen=(make_verdict(VerdictState.OK),)))
    line._keep(LineState(state=state_json(state), alerts=None))
    assert line.state()["cameras"][0]["is_blind"] is False
    now_s[0] += 8
    told = line.state()
    assert told["notes"] == [
        "Inspection does not answer: no part is judged. It was last heard 8 s ago."
    ]
    (camera,) = told["cameras"]
    assert camera["is_blind"] is True
    assert camera["picture_age_text"] == "8 s"
