"""Pictures of suspect parts: kept beside the alerts', never at their expense."""

from __future__ import annotations

import errno
import logging
import time
from pathlib import Path

import numpy as np
import pytest
from support.alert_drafts import bad_part

from edge_app.alerts.evidence import EvidenceStore
from edge_app.alerts.evidence_worker import EvidenceWorker, Picture
from edge_app.alerts.keep_limits import SHARES
from edge_app.host.age_clock import AgeClock
from edge_app.records import Evidence, Frame, FrameReport, KeptPart, U8Array

NOON_S = 1_767_268_800.0  # 2026-01-01 12:00 UTC
DAY = "2026-01-01"


class Clock:
    """A clock that goes on by a second with every look."""

    def __init__(self) -> None:
        self.now_s = NOON_S

    def __call__(self) -> float:
        self.now_s += 1
        return self.now_s


def picture(seed: int = 0) -> U8Array:
    """Return noise: every one has about the same size as JPEG."""
    return np.random.default_rng(seed).integers(0, 255, (48, 64, 3), dtype=np.uint8)


def opened(folder: Path, max_bytes: int = 10_000_000, **options: object) -> EvidenceStore:
    return EvidenceStore(folder, 24, max_bytes, 85, "http://h", AgeClock(Clock()), **options)  # type: ignore[arg-type]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*/*"))


def size_of_one(tmp_path: Path) -> int:
    store = opened(tmp_path / "size")
    store.save("a", picture())
    return store.stats().bytes


def test_a_suspects_picture_is_told_apart_by_its_name(tmp_path: Path) -> None:
    """It can be fetched like any other, and after a restart it is still known for what it is."""
    store = opened(tmp_path)
    kept = store.save("cam1-1-000042", picture(), "suspect")
    store.save("cam1-1-000042", picture(), "suspect")
    assert kept is not None
    assert kept.url == f"http://h/evidence/{DAY}/cam1-1-000042.suspect.jpg"
    assert store.path_of(f"{DAY}/cam1-1-000042.suspect.jpg") is not None
    store.save("cam1-1-000043", picture())
    for found in (store, opened(tmp_path)):
        assert (found.stats().count, found.stats().suspects) == (3, 2)


def test_suspects_take_a_share_of_the_store_at_most(tmp_path: Path) -> None:
    """The oldest of them go for new ones; the alerts' pictures stay."""
    size = size_of_one(tmp_path)
    store = opened(tmp_path / "store", max_bytes=80 * size + size // 2)
    for i in range(10):
        store.save(f"bad-{i}", picture(i))
    for i in range(30):
        assert store.save(f"odd-{i}", picture(i), "suspect") is not None
    kept = names(tmp_path / "store")
    fit = int(SHARES["suspect"] * 80)
    assert [n for n in kept if n.startswith("bad")] == [f"bad-{i}.jpg" for i in range(10)]
    last = {f"odd-{i}.suspect.jpg" for i in range(30 - fit, 30)}
    assert last - {f"odd-{30 - fit}.suspect.jpg"} <= {n for n in kept if "odd" in n} <= last
    stats = store.stats()
    assert (stats.suspects_dropped, stats.dropped) == (0, 0)
    assert stats.bytes == sum(p.stat().st_size for p in (tmp_path / "store").glob("*/*.jpg"))


def test_a_full_disk_takes_suspects_first_and_for_them_nothing_else(tmp_path: Path) -> None:
    """An alert's picture makes room among the suspects; a suspect's never among the alerts."""
    full = {"is": False}

    def write(path: Path, data: bytes) -> None:
        left = list((tmp_path / "store").glob("*/*.jpg"))
        if full["is"] and len(left) >= 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        path.write_bytes(data)

    store = opened(tmp_path / "store", write=write)
    store.save("bad-1", picture())
    store.save("bad-2", picture())
    store.save("odd-1", picture(), "suspect")
    full["is"] = True
    assert store.save("bad-3", picture()) is not None
    assert names(tmp_path / "store") == ["bad-1.jpg", "bad-2.jpg", "bad-3.jpg"]
    assert store.save("odd-2", picture(), "suspect") is None
    assert names(tmp_path / "store") == ["bad-1.jpg", "bad-2.jpg", "bad-3.jpg"]
    stats = store.stats()
    assert (stats.dropped, stats.suspects_dropped, stats.problem) == (0, 1, "")


def test_old_suspects_expire_like_the_others(tmp_path: Path) -> None:
    """Age is age."""
    clock = Clock()
    store = EvidenceStore(
        tmp_path, 1, 10_000_000, 85, "http://h", AgeClock(clock, clock, lambda: True, hold_s=0)
    )
    store.save("odd", picture(), "suspect")
    store.save("bad", picture())
    clock.now_s += 3700
    assert store.prune() == 2
    assert names(tmp_path) == []


@pytest.mark.parametrize("pixels", [np.zeros((0, 0, 3), np.uint8), picture()])
def test_what_cannot_be_kept_is_counted_apart(tmp_path: Path, pixels: U8Array) -> None:
    """No picture, or one larger than their share: no alert is said to lack one."""
    store = opened(tmp_path, max_bytes=4000)
    assert store.save("odd", pixels, "suspect") is None
    assert (store.stats().dropped, store.stats().suspects_dropped) == (0, 1)


def report_of(*numbers: int, pixels: U8Array | None = None) -> FrameReport:
    shown = picture() if pixels is None else pixels
    frame = Frame("cam1", 1, shown, 0)
    parts = tuple(KeptPart(bad_part(n), frame, ("suspect",)) for n in numbers)
    return FrameReport(frame, (), {}, {}, {}, (), (), kept=parts)


def test_the_worker_writes_what_a_report_carries(tmp_path: Path) -> None:
    """One picture per suspect part, under the part's id."""
    worker = EvidenceWorker(opened(tmp_path))
    worker.offer_kept(report_of(1, 2))
    worker.offer_kept(report_of())
    worker.start()
    worker.stop()
    ids = [bad_part(n).part_id for n in (1, 2)]
    assert names(tmp_path) == [f"{i}.suspect.{s}" for i in ids for s in ("jpg", "json")]


def test_suspects_leave_room_for_alerts_in_the_queue(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A quarter of the queue is theirs; what does not fit is dropped without a warning."""
    caplog.set_level(logging.INFO)
    store = opened(tmp_path)
    pixels = [np.full((2000, 2000, 3), i, np.uint8) for i in range(5)]  # 12 MB each
    worker = EvidenceWorker(store)
    done: list[Evidence | None] = []
    for p in pixels:
        worker.offer_kept(report_of(1, pixels=p))
    assert store.stats().suspects_dropped == 3  # two are within 32 MiB
    for p in pixels:
        worker.offer(Picture("bad", p.copy(), lambda kept, _reasons: done.append(kept)))
    assert store.stats().dropped == 0
    assert done == []
    assert caplog.records == []
    worker.start()
    end_s = time.monotonic() + 20
    while not worker.is_idle and time.monotonic() < end_s:
        time.sleep(0.01)
    worker.stop()
    assert (len(done), store.stats().suspects) == (5, 2)
    assert None not in done
