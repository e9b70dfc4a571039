"""Named pictures that are missing, damaged or gone for their age are told apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from support.alert_drafts import bad_part

from edge_app.alerts.evidence import EvidenceStore
from edge_app.alerts.kept_check import SHOWN, NamedPicture, PictureAccount, check_named
from edge_app.alerts.sidecar import PictureFacts
from edge_app.host.age_clock import AgeClock
from edge_app.records import KeepReason, UprightCrop

NOON_S = 1_767_268_800.0
HOUR_S = 3600.0


@dataclass
class Kept:
    """A store with pictures an hour apart, and the rows that name them."""

    folder: Path
    store: EvidenceStore
    now_s: list[float]
    rows: list[NamedPicture]

    def save(
        self, number: int, reason: KeepReason = "ng", has_crop: bool = True, has_map: bool = False
    ) -> Path:
        self.now_s[0] += HOUR_S
        noise = np.random.default_rng(number)
        verdict = replace(bad_part(number), part_id=f"p-{number}")
        crop = UprightCrop(
            noise.integers(0, 255, (8, 12, 3), np.uint8),
            ((0.0, 0.0),) * 4,
            noise.random((4, 6), np.float32) if has_map else None,
        )
        facts = PictureFacts(verdict, (reason,), crop if has_crop else None)
        pixels = noise.integers(0, 255, (24, 32, 3), np.uint8)
        kept = self.store.save(f"p-{number}", pixels, reason, facts)
        assert kept is not None
        at_ns = int(self.now_s[0] * 1e9)
        self.rows.append(NamedPicture(f"p-{number}", kept.url, kept.sha256, at_ns))
        return self.folder / kept.url.split("/evidence/")[1]

    def check(self) -> PictureAccount:
        return check_named(self.folder, reversed(self.rows))


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    now_s = [NOON_S]
    ages = AgeClock(lambda: now_s[0], lambda: now_s[0], lambda: True, hold_s=0)
    store = EvidenceStore(tmp_path / "evidence", 24, 10**7, 85, "http://h", ages)
    return Kept(tmp_path / "evidence", store, now_s, [])


def test_all_are_whole(kept: Kept) -> None:
    """Of each kind, with and without a crop."""
    kinds: tuple[KeepReason, ...] = ("ng", "suspect", "near_miss", "not_inspected", "random")
    for number in range(20):
        kept.save(number, kinds[number % 5], has_crop=number % 2 == 0)
    found = kept.check()
    assert (found.named, found.whole, found.gone, found.is_whole) == (20, 20, 0, True)


def test_what_the_store_deleted_is_not_missing(kept: Kept) -> None:
    """A day for frames, four weeks for crops: what is older has gone, as it should."""
    for number in range(30):
        kept.save(number, has_crop=number % 3 == 0)
    kept.store.prune()
    found = kept.check()
    assert found.is_whole
    assert (found.named, found.whole) == (30, 25)
    assert (found.crops, found.gone) == (2, 3)


def test_a_damaged_map_is_named(kept: Kept) -> None:
    """With other bytes, and gone although its sidecar names it."""
    changes: list[Callable[[Path], object]] = [lambda p: p.write_bytes(b"x"), Path.unlink]
    for number, change in enumerate(changes, start=1):
        path = kept.save(number, has_map=True)
        assert kept.check().damaged.count == number - 1
        change(path.with_name(path.name.replace(".jpg", ".map.png")))
        found = kept.check()
        assert found.damaged.count == number
        assert f"p-{number}.map.png" in " ".join(found.damaged.names)


def test_one_that_is_missing_is_named(kept: Kept) -> None:
    """Older ones of its kind are there; those of another kind say nothing."""
    paths = [kept.save(number) for number in range(6)]
    only = kept.save(6, "random")
    paths[3].unlink()
    only.unlink()
    paths[0].unlink()  # the oldest: might have gone for want of space
    found = kept.check()
    assert found.missing.names == [f"2026-01-01/{paths[3].name} (part p-3)"]
    assert (found.missing.count, found.is_whole) == (1, False)
    assert (found.crops, found.whole) == (3, 4)


@pytest.mark.parametrize("what", ["frame", "crop", "sidecar", "no crop", "no sidecar", "swapped"])
def test_one_that_is_damaged_is_named(kept: Kept, what: str) -> None:
    """Any of its files changed, or lost beside the others."""
    paths = [kept.save(number) for number in range(4)]
    frame = paths[2]
    crop = frame.with_name("p-2.crop.jpg")
    notes = frame.with_name("p-2.json")
    damaged = {"frame": frame, "crop": crop, "no crop": crop}.get(what, notes)
    if what.startswith("no "):
        damaged.unlink()
    elif what == "swapped":
        notes.write_bytes(frame.with_name("p-1.json").read_bytes())
    else:
        data = bytearray(damaged.read_bytes())
        data[len(data) // 2] ^= 0x80
        damaged.write_bytes(data)
    found = kept.check()
    assert found.damaged.names == [f"2026-01-01/{damaged.name} (part p-2)"]
    assert (found.whole, found.is_whole) == (3, False)


def test_a_crop_that_is_left_is_checked_too(kept: Kept) -> None:
    """Its frame has gone for its age."""
    for number in range(30):
        kept.save(number)
    kept.store.prune()
    crop = kept.folder / "2026-01-01" / "p-2.crop.jpg"
    crop.write_bytes(crop.read_bytes()[:-1])
    found = kept.check()
    assert found.damaged.names == ["2026-01-01/p-2.crop.jpg (part p-2)"]


def test_many_findings_are_counted(kept: Kept) -> None:
    """The first are named."""
    paths = [kept.save(number) for number in range(20)]
    kept.now_s[0] -= 19 * HOUR_S
    paths += [kept.save(100 + number) for number in range(20)]
    for path in paths[1:]:
        path.unlink()
    kept.rows.sort(key=lambda row: row.recorded_ns)
    found = kept.check()
    assert (found.missing.count, len(found.missing.names)) == (39, SHOWN)


@pytest.mark.parametrize("url", ["", "x", "http://h/../../etc/passwd", "None", "a/b/c.jpg\0"])
def test_an_address_that_is_none_is_gone(kept: Kept, url: str) -> None:
    """A damaged row leads to no other file."""
    kept.rows.append(NamedPicture("p", url, "", 1))
    assert (kept.check().gone, kept.check().whole) == (1, 0)
