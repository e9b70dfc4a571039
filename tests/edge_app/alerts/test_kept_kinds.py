"""Pictures without an alert: their numbers, their shares, their sidecars, and crops that stay."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from support.alert_drafts import bad_part
from support.needs import ROOT, needing
from support.pictures_read import picture_of
from support.release_0_1_0 import run_on_release, unpack_release

from edge_app.alerts.evidence import EvidenceStore
from edge_app.alerts.evidence_files import KINDS, kind_of, suffix_of
from edge_app.alerts.evidence_worker import EvidenceWorker
from edge_app.alerts.keep_limits import (
    ALERT_SHARE,
    CROP_SHARE,
    PER_DAY,
    PER_HOUR,
    SHARES,
    KeepLimits,
    Sizes,
    reach,
)
from edge_app.alerts.sidecar import PictureFacts, read_sidecar
from edge_app.config.model import EvidenceConfig
from edge_app.host.age_clock import AgeClock
from edge_app.records import (
    Evidence,
    F32Array,
    F64Array,
    Frame,
    FrameReport,
    KeepReason,
    KeptPart,
    PartVerdict,
    U8Array,
    UprightCrop,
    VerdictState,
)
from edge_app.store import free_space

NOON_S = 1_767_268_800.0  # 2026-01-01 12:00 UTC
HOUR_S, DAY_S = 3600.0, 86_400.0
CORNERS = ((1.0, 2.0), (9.0, 2.0), (9.0, 6.0), (1.0, 6.0))
OTHERS: tuple[KeepReason, ...] = ("suspect", "near_miss", "not_inspected", "random")


class Clock:
    """A clock the test moves by hand."""

    def __init__(self) -> None:
        self.now_s = NOON_S

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def noise(seed: int = 0, hw: tuple[int, int] = (48, 64)) -> U8Array:
    return np.random.default_rng(seed).integers(0, 255, (*hw, 3), dtype=np.uint8)


def opened(
    folder: Path, clock: Clock, limits: KeepLimits | None = None, max_bytes: int = 50_000_000
) -> EvidenceStore:
    ages = AgeClock(clock, clock, lambda: True, hold_s=0)
    return EvidenceStore(folder, 168, max_bytes, 85, "http://h", ages, limits=limits)


def a_map(number: int = 1) -> F32Array:
    return np.random.default_rng(number).random((4, 6), np.float32) * 7


def facts(number: int = 1, *reasons: KeepReason, has_map: bool = False) -> PictureFacts:
    verdict = replace(bad_part(number), source_number=number, source_name="a\udc80b.png")
    crop = UprightCrop(noise(number, (16, 24)), CORNERS, a_map(number) if has_map else None)
    return PictureFacts(verdict, reasons or ("ng",), crop, f"alarm-{number}")


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_a_kind_is_in_the_name() -> None:
    """With and without a copy's number, and nothing else makes one."""
    for kind in KINDS:
        for copy in ("", "-2"):
            assert kind_of(f"cam1-18f3a2-000042{suffix_of(kind)}{copy}.jpg") == kind
    assert kind_of("a.suspect-182032-000001.jpg") == "ng"


def test_a_picture_its_crop_and_its_sidecar(tmp_path: Path, clock: Clock) -> None:
    """All that is needed to draw the marks and to find the part; every hash is true."""
    store = opened(tmp_path, clock, KeepLimits(sample_share=0.25))
    kept = store.save("cam1-1-7", noise(), facts=facts(7, "ng", "random"))
    assert kept is not None
    day = tmp_path / "2026-01-01"
    assert files(tmp_path) == [f"2026-01-01/cam1-1-7{s}" for s in (".crop.jpg", ".jpg", ".json")]
    found = read_sidecar(day / "cam1-1-7.json")
    assert found is not None
    assert found["map"] is None
    for part in ("frame", "crop"):
        data = (day / found[part]["file"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == found[part]["sha256"]
        h, w = picture_of(data).shape[:2]
        assert (h, w) == (found[part]["height"], found[part]["width"])
    assert kept.sha256 == found["frame"]["sha256"]
    assert found["crop"]["corners"] == [list(p) for p in CORNERS]
    verdict = bad_part(7)
    assert found["part_id"] == verdict.part_id
    assert (found["number"], found["verdict"], found["score"]) == (7, "NG", verdict.score)
    assert found["limit"] == {
        "threshold": verdict.threshold, "threshold_id": verdict.threshold_id,
    }  # fmt: skip
    assert verdict.model is not None
    assert found["model"]["bundle_sha256"] == verdict.model.bundle_sha256
    assert len(found["defects"]) == len(verdict.defects)
    assert found["defects"][0]["polygon"] == [list(p) for p in verdict.defects[0].polygon_xy]
    assert found["outline"] == [list(p) for p in verdict.product_corners_xy]
    assert (found["kept_for"], found["alarm_id"]) == (["ng", "random"], "alarm-7")
    assert found["sample"] == {"share": 0.25, "is_drawn": True}
    assert store.stats().bytes == sum(p.stat().st_size for p in day.iterdir())


def test_a_map_lies_beside_its_crop(tmp_path: Path, clock: Clock) -> None:
    """Without loss to within half a step of 255; its bytes are counted; it goes with the crop."""
    store = opened(tmp_path, clock)
    store.save("p-1", noise(), facts=facts(1, has_map=True))
    store.save("p-2", noise(), "suspect", facts(2, "suspect", has_map=True))
    day = tmp_path / "2026-01-01"
    found = read_sidecar(day / "p-1.json")
    assert found is not None
    data = (day / "p-1.map.png").read_bytes()
    assert hashlib.sha256(data).hexdigest() == found["map"]["sha256"]
    levels = picture_of(data, cv2.IMREAD_UNCHANGED)
    assert levels.dtype == np.uint8
    assert levels.shape == (found["map"]["height"], found["map"]["width"]) == (4, 6)
    scale = found["map"]["scale"]
    assert np.abs(levels * scale - a_map(1)).max() <= scale / 2 + 1e-6
    assert store.stats().bytes == sum(p.stat().st_size for p in day.iterdir())
    assert opened(tmp_path, clock).stats().bytes == store.stats().bytes
    clock.now_s += 168 * HOUR_S + 1
    again = opened(tmp_path, clock)
    assert files(tmp_path) == [
        f"2026-01-01/{stem}{end}"
        for stem in ("p-1", "p-2.suspect")
        for end in (".crop.jpg", ".json", ".map.png")
    ]
    assert again.stats().bytes == sum(p.stat().st_size for p in day.iterdir())
    clock.now_s += 504 * HOUR_S
    again.prune()
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    "odd",
    [np.zeros((4, 6)), np.full((4, 6), np.nan), np.zeros((0, 0)), np.ones(6), np.full((2, 2), -1)],
    ids=["nothing stands out", "not finite", "empty", "flat", "negative"],
)
def test_a_map_that_is_none_is_left_out(odd: F64Array, tmp_path: Path, clock: Clock) -> None:
    """The picture is kept without it."""
    about = facts(1)
    assert about.crop is not None
    crop = replace(about.crop, map_hw=odd.astype(np.float32))
    assert opened(tmp_path, clock).save("p", noise(), facts=replace(about, crop=crop)) is not None
    found = read_sidecar(tmp_path / "2026-01-01" / "p.json")
    assert found is not None
    assert found["map"] is None
    assert not list(tmp_path.rglob("*.map.png"))


def test_surplus_and_a_start_leave_no_map_behind(tmp_path: Path, clock: Clock) -> None:
    """Deleted with a frame that leaves no crop; and where a kill left it alone."""
    store = opened(tmp_path, clock, KeepLimits({**PER_HOUR, "ng": 0}), max_bytes=10**6)
    store.save("p-1", noise(), facts=facts(1, has_map=True))
    assert any(name.endswith(".map.png") for name in files(tmp_path))
    clock.now_s += 168 * HOUR_S + 1
    store.prune()
    assert files(tmp_path) == []
    day = tmp_path / "2026-01-01"
    day.mkdir(exist_ok=True)
    (day / "p-2.map.png").write_bytes(b"x")
    opened(tmp_path, clock)
    assert files(tmp_path) == []


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_a_sidecar_holds_no_number_that_json_has_not(
    odd: float, tmp_path: Path, clock: Clock
) -> None:
    """A graph may give anything; a reader in another language must read it."""
    about = facts()
    defects = tuple(replace(d, peak=odd) for d in about.verdict.defects)
    about = replace(about, verdict=replace(about.verdict, score=odd, defects=defects))
    assert opened(tmp_path, clock).save("p-1", noise(), facts=about) is not None
    (path,) = tmp_path.rglob("*.json")
    found = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert found["score"] is found["defects"][0]["peak"] is None


@pytest.mark.parametrize("reason", OTHERS)
def test_no_more_than_their_number_an_hour_and_a_day(
    reason: KeepReason, tmp_path: Path, clock: Clock
) -> None:
    """Further ones are counted; an hour later there is room, until the day is full."""
    limits = KeepLimits({**PER_HOUR, reason: 3}, {**PER_DAY, reason: 5})
    store = opened(tmp_path, clock, limits)
    kept = []
    for _ in range(3):
        kept.append(sum(store.save(f"p-{n}", noise(n), reason) is not None for n in range(10)))
        clock.now_s += HOUR_S + 1
    assert kept == [3, 2, 0]
    assert store.stats().not_kept == {reason: 25}
    assert store.stats().dropped == 0
    again = opened(tmp_path, clock, limits)
    assert again.save("p-99", noise(), reason) is None, "a restart begins no new day"
    clock.now_s += DAY_S
    assert again.save("p-99", noise(), reason) is not None


@pytest.mark.parametrize("reason", OTHERS)
def test_none_is_kept_of_a_kind_whose_number_is_zero(
    reason: KeepReason, tmp_path: Path, clock: Clock
) -> None:
    """Of the others all."""
    store = opened(tmp_path, clock, KeepLimits({**PER_HOUR, reason: 0}))
    for of in OTHERS:
        assert (store.save("p-1", noise(), of) is None) == (of == reason)


def test_where_its_first_reason_has_enough_another_one_counts(tmp_path: Path, clock: Clock) -> None:
    """A drawn suspect beyond the sample's number is still a suspect."""
    store = opened(tmp_path, clock, KeepLimits({**PER_HOUR, "random": 1}))
    for number in (1, 2):
        store.save(f"p-{number}", noise(), "random", facts(number, "suspect", "random"))
    names = [Path(f).name for f in files(tmp_path) if f.endswith("json")]
    assert names == ["p-1.random.json", "p-2.suspect.json"]


def test_a_flood_of_bad_parts_does_not_displace_last_weeks(tmp_path: Path, clock: Clock) -> None:
    """Every alert has its picture; those beyond the number of an hour go first."""
    probe = opened(tmp_path / "probe", clock)
    probe.save("week-10", noise(), facts=facts(10))
    size = probe.stats().bytes
    limits = KeepLimits({**PER_HOUR, "ng": 4})
    store = opened(tmp_path / "store", clock, limits, 20 * size + size // 2)
    for number in range(12):
        clock.now_s += HOUR_S
        assert store.save(f"week-{number}", noise(number), facts=facts(number)) is not None
    clock.now_s += HOUR_S
    for number in range(200):
        assert store.save(f"flood-{number}", noise(number), facts=facts(number)) is not None
    left = [Path(f).name for f in files(tmp_path / "store") if f.endswith(".jpg")]
    assert sum(name.startswith("week-") for name in left) == 24
    assert store.stats().crops == 0, "the flood's crops would displace others"
    left = [name for name in left if ".crop" not in name]
    assert [n for n in left if n.startswith("flood") and "surplus" not in n] == [
        f"flood-{n}.jpg" for n in range(4)
    ]
    assert "flood-199.surplus.jpg" in left
    assert store.stats().dropped == 0
    assert store.stats().bytes <= 20 * size + size // 2


@pytest.mark.parametrize("reason", OTHERS)
def test_a_flood_without_alerts_leaves_the_alerts_their_share(
    reason: KeepReason, tmp_path: Path, clock: Clock
) -> None:
    """Whatever floods, what fits into the alerts' own share stays."""
    size = len(cv2.imencode(".jpg", noise(), [cv2.IMWRITE_JPEG_QUALITY, 85])[1])
    limits = KeepLimits(dict.fromkeys(PER_HOUR, 10**6), dict.fromkeys(PER_DAY, 10**6))
    store = opened(tmp_path, clock, limits, 60 * size)
    own = int(ALERT_SHARE * 60) - 1
    for number in range(own):
        clock.now_s += 1
        store.save(f"bad-{number}", noise(number))
    for number in range(100):
        clock.now_s += 1
        assert store.save(f"p-{number}", noise(number), reason) is not None
    assert store.stats().frames["ng"] == own
    assert store.stats().frames[reason] <= SHARES[reason] * 60


def test_the_crop_stays_when_the_frame_goes(tmp_path: Path, clock: Clock) -> None:
    """By age: a week the picture, four the crop, each with its sidecar; then the day's folder."""
    store = opened(tmp_path, clock)
    store.save("p-1", noise(), facts=facts(1))
    store.save("p-2", noise(), "near_miss", facts(2, "near_miss"))
    store.save("p-3", noise(), "suspect")  # nothing was cut out of it
    clock.now_s += 168 * HOUR_S + 1
    assert store.prune() == 3
    stems = ("p-1", "p-2.near_miss")
    assert files(tmp_path) == [
        f"2026-01-01/{stem}{end}" for stem in stems for end in (".crop.jpg", ".json")
    ]
    assert (store.stats().count, store.stats().crops, store.stats().expired) == (0, 2, 3)
    again = opened(tmp_path, clock)
    on_disk = sum(p.stat().st_size for p in tmp_path.rglob("*.*") if p.is_file())
    assert again.stats().bytes == store.stats().bytes == on_disk
    assert again.stats().crops == 2
    clock.now_s += 504 * HOUR_S
    assert again.prune() == 2
    assert files(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
    assert again.stats().bytes == 0


def test_crops_take_their_share_and_the_size_is_kept(tmp_path: Path, clock: Clock) -> None:
    """Frames go for want of space, their crops stay up to a share; the sum never exceeds."""
    limit = 200_000
    store = opened(tmp_path, clock, max_bytes=limit)
    for number in range(200):
        clock.now_s += 60
        assert store.save(f"p-{number}", noise(number), facts=facts(number)) is not None
        used = sum(p.stat().st_size for p in tmp_path.rglob("*.*") if p.is_file())
        assert used <= limit
        assert used == store.stats().bytes
    crops = [p for p in tmp_path.rglob("*.crop.jpg") if not p.with_name(
        p.name.replace(".crop", "")).exists()]  # fmt: skip
    assert len(crops) == store.stats().crops > 5
    assert all(p.with_name(p.name.replace(".crop.jpg", ".json")).is_file() for p in crops)
    notes = [p.with_name(p.name.replace(".crop.jpg", ".json")) for p in crops]
    of_crops = sum(p.stat().st_size for p in [*crops, *notes])
    assert 0.8 * CROP_SHARE * limit < of_crops <= CROP_SHARE * limit


def test_a_name_whose_crop_is_still_there_is_not_used_again(tmp_path: Path, clock: Clock) -> None:
    """A sidecar and a crop never come to belong to another picture."""
    store = opened(tmp_path, clock)
    store.save("p", noise(), facts=facts(1))
    (tmp_path / "2026-01-01" / "p.jpg").unlink()
    kept = store.save("p", noise(2), facts=facts(2))
    assert kept is not None
    assert kept.url.endswith("/p-2.jpg")


def test_a_start_deletes_sidecars_of_nothing_and_nobody_elses_files(
    tmp_path: Path, clock: Clock
) -> None:
    """Killed between sidecar and picture; a stranger's JSON file stays."""
    opened(tmp_path, clock).save("p-1", noise(), facts=facts(1))
    day = tmp_path / "2026-01-01"
    (day / "p-1.crop.jpg").unlink()
    (day / "p-1.jpg").unlink()
    (day / "notes.json").write_text('{"mine": 1}')
    assert opened(tmp_path, clock).stats().count == 0
    assert files(tmp_path) == ["2026-01-01/notes.json"]


def test_pictures_leave_the_last_of_the_disk_to_alerts(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nearly full: an alert's picture takes the place of older ones, the others their own kind's;
    with nothing left to delete the alert goes out without."""
    store = opened(tmp_path, clock)
    for number in range(3):
        store.save(f"bad-{number}", noise(number))
        store.save(f"p-{number}", noise(number), "random")
    room = os.statvfs(tmp_path)
    free = room.f_bavail * room.f_frsize
    names = ("f_blocks", "f_frsize")

    def nearly_full(_: Path) -> SimpleNamespace:
        used = sum(p.stat().st_size for p in tmp_path.rglob("*.jpg"))
        left = free_space.LEFT_FREE_BYTES + start - used
        return SimpleNamespace(
            f_bavail=left // room.f_frsize, **{n: getattr(room, n) for n in names}
        )

    assert free > free_space.LEFT_FREE_BYTES
    start = store.stats().bytes
    monkeypatch.setattr(os, "statvfs", nearly_full)
    assert store.save("bad-3", noise(9)) is not None
    assert store.stats().frames["random"] < 3
    assert store.stats().frames["ng"] == 4
    start = 0
    assert store.save("p-9", noise(9), "suspect") is None
    assert store.stats().frames["ng"] == 4
    assert store.save("bad-4", noise(9)) is None
    assert (store.stats().count, store.stats().dropped) == (0, 1)
    assert "left to alerts" in store.stats().problem or "full" in store.stats().problem


def test_the_worker_tells_what_was_kept_and_why(tmp_path: Path, clock: Clock) -> None:
    """A drawn suspect lies among the sample: whether it stays must not depend on its score."""
    worker = EvidenceWorker(opened(tmp_path, clock))
    told: list[tuple[str, tuple[KeepReason, ...], str]] = []
    verdict = replace(bad_part(3), state=VerdictState.OK, is_suspect=True)
    frame = Frame("cam1", 3, noise(), 0)
    parts = (
        KeptPart(verdict, frame, ("suspect", "random"), UprightCrop(noise(1, (8, 8)), CORNERS)),
        KeptPart(replace(verdict, part_id="x-4"), Frame("cam1", 4, np.zeros((0, 0, 3), np.uint8),
                                                        0), ("not_inspected",)),
    )  # fmt: skip

    def on_kept(part: PartVerdict, reasons: tuple[KeepReason, ...], evidence: Evidence) -> None:
        told.append((part.part_id, reasons, evidence.url))

    worker.offer_kept(FrameReport(frame, (), {}, {}, {}, (), (), kept=parts), on_kept)
    worker.start()
    worker.stop()
    url = f"http://h/evidence/2026-01-01/{verdict.part_id}.random.jpg"
    assert told == [(verdict.part_id, ("suspect", "random"), url)]


def test_last_week_is_there_by_default() -> None:
    """3 parts a second, 1 % bad, the demo's pictures, every other kind up to its number."""
    e = EvidenceConfig()
    found = reach(e.max_mb << 20, e.max_age_h, e.limits, 0.03)
    assert found.frames == 7.0
    page = (ROOT / "docs" / "page.md").read_text(encoding="utf-8")
    for max_mb, sizes in product((1024, e.max_mb, 16384), (Sizes(), Sizes(700e3, 20e3))):
        found = reach(max_mb << 20, e.max_age_h, e.limits, 0.03, sizes)
        told = f" | {found.frames:.1f} days | {found.crops:.1f} days |"
        rows = re.findall(rf"\| {sizes.frame / 1000:.0f} kB.* \| {max_mb}\b.*", page)
        assert all(row.endswith(told) for row in rows), (rows, told)
        assert rows or max_mb != e.max_mb


def test_the_default_holds_what_it_says(tmp_path: Path, clock: Clock) -> None:
    """The same by the store itself, at a hundredth of space and rate: eight days, one by one."""
    shown = np.random.default_rng(3).random((36, 52), np.float32)
    e, sizes, scale = EvidenceConfig(), Sizes(), 100
    per_day = {kind: count // scale for kind, count in PER_DAY.items()}
    store = opened(tmp_path, clock, KeepLimits(per_day, per_day), (e.max_mb << 20) // scale)
    frame, about = noise(1, (332, 434)), facts(1)
    crop = UprightCrop(noise(2, (107, 120)), CORNERS, shown)
    about = replace(about, crop=crop)
    bad_a_day = round(0.03 * DAY_S / scale)
    for day in range(8):
        for number in range(bad_a_day):
            clock.now_s += DAY_S / bad_a_day
            assert store.save(f"bad-{day}-{number}", frame, facts=about) is not None
            for kind in OTHERS:
                if number < per_day[kind]:
                    assert store.save(f"p-{day}-{number}", frame, kind, about) is not None
    found = {p.name: p.stat().st_size for p in tmp_path.rglob("*.*") if p.is_file()}
    assert abs(found["bad-7-0.jpg"] / sizes.frame - 1) < 0.05
    assert abs(found["bad-7-0.crop.jpg"] / sizes.crop - 1) < 0.1
    assert abs(found["bad-7-0.map.png"] / sizes.map - 1) < 0.1
    last_week = [f"bad-{day}-{n}.jpg" for day in range(1, 8) for n in range(bad_a_day)]
    assert set(last_week[1:]) <= set(found)


@needing("the repository's history")
def test_release_0_1_0_lives_with_the_folder(tmp_path: Path, clock: Clock) -> None:
    """After a rollback pictures and crops are pictures to it, within its size; sidecars lie still.

    Back on this release, sidecars whose pictures it has deleted go.
    """
    store = opened(tmp_path / "evidence", clock)
    for number in range(6):
        store.save(f"p-{number}", noise(number), facts=facts(number))
        store.save(f"q-{number}", noise(number), OTHERS[number % 4], facts(number))
    release = unpack_release(tmp_path / "release")
    said = run_on_release(
        release,
        "import sys\nfrom pathlib import Path\nimport numpy as np\n"
        "from edge_app.evidence import EvidenceStore\n"
        "store = EvidenceStore(Path(sys.argv[1]), 1e9, 30000, 85, 'http://h')\n"
        "print(store.save('new-1', np.full((48, 64, 3), 90, np.uint8)) is not None)\n"
        "print(store.stats().bytes <= 30000)\n",
        str(tmp_path / "evidence"),
    )
    assert said.split() == ["True", "True"]
    again = opened(tmp_path / "evidence", clock)
    assert again.save("new-2", noise(), facts=facts(9)) is not None
    left = [tmp_path / "evidence" / f for f in files(tmp_path / "evidence")]
    assert again.stats().bytes == sum(p.stat().st_size for p in left)
    for path in left:
        if path.suffix == ".json":
            stem = path.name.removesuffix(".json")
            assert any(path.with_name(stem + end) in left for end in (".jpg", ".crop.jpg"))
