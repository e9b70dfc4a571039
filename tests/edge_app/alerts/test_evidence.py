"""Evidence pictures: kept whole, within age and size, and never at the line's expense."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.needs import needing

from edge_app.alerts.evidence import EvidenceStore, safe_name, write_whole
from edge_app.errors import ConfigError
from edge_app.host.age_clock import AgeClock
from edge_app.records import U8Array

NOON_S = 1_767_268_800.0  # 2026-01-01 12:00 UTC
HOUR_S = 3600.0
BASE = "http://10.0.0.5:8080"


class Clock:
    """A clock the test moves by hand."""

    def __init__(self) -> None:
        self.now_s = NOON_S

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def picture(seed: int = 0, hw: tuple[int, int] = (48, 64)) -> U8Array:
    return np.random.default_rng(seed).integers(0, 255, (*hw, 3), dtype=np.uint8)


def opened(
    folder: Path, clock: Clock, max_age_h: float = 24, max_bytes: int = 10_000_000
) -> EvidenceStore:
    return EvidenceStore(folder, max_age_h, max_bytes, 85, BASE, trusted(clock))


def trusted(clock: Clock) -> AgeClock:
    """Return one that has proved itself: both clocks go on together."""
    return AgeClock(clock, clock, lambda: True, hold_s=0)


def names_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_saved_picture_is_where_its_url_says_and_hashes_to_what_it_says(
    tmp_path: Path, clock: Clock
) -> None:
    """The alert's URL leads to a file whose bytes have the alert's sha256 and show the picture."""
    store = opened(tmp_path, clock)
    kept = store.save("cam1-18f3a2-000042", np.full((48, 64, 3), 90, np.uint8))
    assert kept is not None
    assert kept.url == f"{BASE}/evidence/2026-01-01/cam1-18f3a2-000042.jpg"
    path = store.path_of("2026-01-01/cam1-18f3a2-000042.jpg")
    assert path is not None
    assert hashlib.sha256(path.read_bytes()).hexdigest() == kept.sha256
    seen = cv2.imread(str(path))
    assert seen is not None
    assert seen.shape == (48, 64, 3)
    assert abs(float(seen.mean()) - 90) < 2


@pytest.mark.parametrize("hw", [(1, 1), (1, 300), (480, 7)])
def test_odd_sizes_are_kept(tmp_path: Path, clock: Clock, hw: tuple[int, int]) -> None:
    """One-pixel and very long pictures are pictures too."""
    assert opened(tmp_path, clock).save("part", picture(hw=hw)) is not None


@pytest.mark.parametrize("shape", [(0, 0, 3), (480, 640, 0), (2, 70_000, 3)])
def test_what_jpeg_cannot_hold_is_counted_not_raised(
    tmp_path: Path, clock: Clock, shape: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """No picture, no channels or too many pixels: None, one drop, and the reason."""
    store = opened(tmp_path, clock)
    assert store.save("part", np.zeros(shape, np.uint8)) is None
    assert store.stats().dropped == 1
    assert "JPEG" in store.stats().problem
    assert names_in(tmp_path) == []


def test_the_same_name_twice_keeps_both(tmp_path: Path, clock: Clock) -> None:
    """A part's second picture never changes the bytes that its first alert hashed."""
    store = opened(tmp_path, clock)
    first, second = store.save("part", picture(1)), store.save("part", picture(2))
    assert first is not None
    assert second is not None
    assert first.url != second.url
    path = store.path_of(first.url.removeprefix(f"{BASE}/evidence/"))
    assert path is not None
    assert hashlib.sha256(path.read_bytes()).hexdigest() == first.sha256


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("../../etc/passwd", "_.._.._etc_passwd"),
        ("/etc/shadow", "_etc_shadow"),
        (".hidden", "_.hidden"),
        ("", "_"),
        ("Teil 7 / links\n", "Teil_7_links_"),
        ("a\0b", "a_b"),
        ("x" * 400, "x" * 120),
    ],
)
def test_names_cannot_leave_the_folder(tmp_path: Path, clock: Clock, name: str, stem: str) -> None:
    """Whatever a part is called, its picture lies in the day's folder under a plain name."""
    assert safe_name(name) == stem
    assert opened(tmp_path, clock).save(name, picture()) is not None
    assert names_in(tmp_path) == [f"2026-01-01/{stem}.jpg"]


@pytest.mark.parametrize(
    "asked",
    [
        "../secret.jpg",
        "2026-01-01/../../secret.jpg",
        "/etc/passwd",
        "2026-01-01/.part.jpg.part",
        "2026-01-01/",
        "2026-01-01/link.jpg",
        "2026-01-02/inside.jpg",
        "2026-01-01/%2e%2e/secret.jpg",
        "2026-01-01\\..\\secret.jpg",
        "2026-01-01/part.jpg\n",
        "2026-01-01/part.jpg\0.jpg",
        "",
    ],
)
def test_asking_outside_the_store_finds_nothing(tmp_path: Path, clock: Clock, asked: str) -> None:
    """No path, link or trick of encoding reads a file that the store did not write."""
    folder = tmp_path / "evidence"
    store = opened(folder, clock)
    assert store.save("part", picture()) is not None
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "inside.jpg").write_bytes(b"secret")
    (folder / "2026-01-01" / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (folder / "2026-01-02").symlink_to(tmp_path / "elsewhere")
    assert store.path_of(asked) is None


def test_pictures_over_age_go_oldest_first(tmp_path: Path, clock: Clock) -> None:
    """After 24 h and a bit only the younger picture is left, and the empty day is gone."""
    store = opened(tmp_path, clock, max_age_h=24)
    store.save("old", picture())
    clock.now_s += 20 * HOUR_S
    store.save("young", picture())
    clock.now_s += 5 * HOUR_S
    store.prune()
    assert names_in(tmp_path) == ["2026-01-02/young.jpg"]
    assert not (tmp_path / "2026-01-01").exists()
    assert (store.stats().count, store.stats().expired) == (1, 1)


def test_pictures_over_size_go_oldest_first(tmp_path: Path, clock: Clock) -> None:
    """The store never holds more than its limit, and the newest pictures are the ones it holds."""
    limit = 5 * len_of_one(tmp_path / "probe", clock)
    store = opened(tmp_path / "store", clock, max_bytes=limit)
    for number in range(12):
        clock.now_s += 1
        assert store.save(f"part-{number:02}", picture()) is not None
        assert store.stats().bytes <= limit
    kept = [Path(name).stem for name in names_in(tmp_path / "store")]
    assert kept == [f"part-{number:02}" for number in range(7, 12)]


def len_of_one(folder: Path, clock: Clock) -> int:
    store = opened(folder, clock)
    store.save("one", picture())
    return store.stats().bytes


def test_a_picture_larger_than_the_store_is_refused_and_nothing_else_goes(
    tmp_path: Path, clock: Clock
) -> None:
    """One huge picture must not empty the store in vain."""
    store = opened(tmp_path, clock, max_bytes=20_000)
    store.save("small", picture())
    assert store.save("huge", picture(hw=(400, 400))) is None
    assert names_in(tmp_path) == ["2026-01-01/small.jpg"]
    assert "raise the evidence size limit" in store.stats().problem


def test_a_restart_knows_what_is_kept_and_clears_what_was_cut_off(
    tmp_path: Path, clock: Clock
) -> None:
    """Opening counts the pictures, keeps their age, and deletes a half-written one."""
    first = opened(tmp_path, clock)
    first.save("old", picture())
    clock.now_s += 2 * HOUR_S
    first.save("young", picture())
    (tmp_path / "2026-01-01" / ".cut.jpg.part").write_bytes(b"half")
    clock.now_s += 23 * HOUR_S
    again = opened(tmp_path, clock)
    assert names_in(tmp_path) == ["2026-01-01/young.jpg"]
    assert again.stats().count == 1
    assert again.stats().bytes == (tmp_path / "2026-01-01" / "young.jpg").stat().st_size


def test_a_strangers_pictures_are_never_deleted(tmp_path: Path, clock: Clock) -> None:
    """A folder given by mistake loses nothing: only names this store writes are touched."""
    for name in ("train/good.jpg", "2026-01-01/my holiday.jpg", "2026-01-01/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * 1000)
        os.utime(tmp_path / name, (0, 0))
    store = opened(tmp_path, clock, max_age_h=1, max_bytes=10)
    store.prune()
    assert len(names_in(tmp_path)) == 3


def test_saving_never_lists_the_tree(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the index built at start, a save looks at its own file only."""
    store = opened(tmp_path, clock, max_bytes=30_000)

    def forbidden(*_: object, **__: object) -> Iterator[Path]:
        raise AssertionError("the tree was listed")

    for lister in ("glob", "rglob", "iterdir"):
        monkeypatch.setattr(Path, lister, forbidden)
    monkeypatch.setattr(os, "scandir", forbidden)
    assert all(store.save(f"part-{n}", picture(n)) is not None for n in range(20))
    assert store.stats().expired > 0


class SmallDisk:
    """Writes to the real disk, but reports it full beyond a quota."""

    def __init__(self, folder: Path, quota_bytes: int) -> None:
        self.folder, self.quota_bytes = folder, quota_bytes

    def __call__(self, path: Path, data: bytes) -> None:
        used = sum(p.stat().st_size for p in self.folder.rglob("*.jpg"))
        if used + len(data) > self.quota_bytes:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_whole(path, data)


def test_on_a_full_disk_the_oldest_evidence_makes_room(tmp_path: Path, clock: Clock) -> None:
    """Full disk: the newest picture is kept, at the oldest one's cost."""
    one = len_of_one(tmp_path / "probe", clock)
    disk = SmallDisk(tmp_path / "store", 3 * one)
    store = EvidenceStore(tmp_path / "store", 24, 10**9, 85, BASE, trusted(clock), disk)
    for number in range(6):
        clock.now_s += 1
        assert store.save(f"part-{number}", picture()) is not None
    assert [Path(n).stem for n in names_in(tmp_path / "store")] == ["part-3", "part-4", "part-5"]
    assert store.stats().dropped == 0


def test_a_disk_full_of_other_things_costs_pictures_only(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """With nothing left to delete: None, counted, warned once; kept again once there is room."""
    disk = SmallDisk(tmp_path, 0)
    store = EvidenceStore(tmp_path, 24, 10**9, 85, BASE, trusted(clock), disk)
    with caplog.at_level(logging.INFO):
        assert [store.save(f"part-{n}", picture()) for n in range(3)] == [None] * 3
        assert store.stats().dropped == 3
        assert "No space left" in store.stats().problem
        disk.quota_bytes = 10**9
        assert store.save("part-4", picture()) is not None
    assert store.stats().problem == ""
    levels = [record.levelname for record in caplog.records]
    assert levels == ["WARNING", "INFO"]


@pytest.fixture
@needing("root", "a mounted disk")
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 64 KiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_really_full_disk_is_survived(tiny_disk: Path, clock: Clock) -> None:
    """On a real 64 KiB disk thirty pictures are saved in a row and the last ones are there."""
    store = opened(tiny_disk, clock)
    for number in range(30):
        clock.now_s += 1
        assert store.save(f"part-{number:02}", picture(number)) is not None
    assert store.stats().expired > 0
    assert store.path_of("2026-01-01/part-29.jpg") is not None
    assert not list(tiny_disk.rglob("*.part"))
    (tiny_disk / "other").write_bytes(b"x" * (os.statvfs(tiny_disk).f_bavail * 4096))
    assert store.save("big", picture(hw=(400, 600))) is None
    assert store.stats().dropped == 1


def test_a_folder_that_cannot_be_used_is_said_at_start(tmp_path: Path, clock: Clock) -> None:
    """A file in the folder's place is a configuration error that names it."""
    (tmp_path / "evidence").write_text("a file")
    with pytest.raises(ConfigError, match="evidence cannot be used"):
        opened(tmp_path / "evidence", clock)


@pytest.mark.parametrize(("age_h", "size", "quality"), [(0, 10, 85), (1, 0, 85), (1, 10, 101)])
def test_senseless_limits_are_refused(
    tmp_path: Path, age_h: float, size: int, quality: int
) -> None:
    """Limits that would keep nothing are errors, not silence."""
    with pytest.raises(ConfigError, match="Evidence limits"):
        EvidenceStore(tmp_path, age_h, size, quality, BASE)


def test_a_folder_with_a_pictures_name_holds_up_nothing(tmp_path: Path, clock: Clock) -> None:
    """It cannot be deleted as a picture can: it is none, and the others go as before."""
    odd = tmp_path / "2020-01-01" / "cam1-0.jpg"
    odd.mkdir(parents=True)
    (odd.parent / "cam1-1.jpg").write_bytes(b"x" * 7000)
    store = opened(tmp_path, clock, max_bytes=8000)
    assert store.save("a", picture()) is not None
    assert store.stats().bytes <= 8000
    assert not (odd.parent / "cam1-1.jpg").exists()
