"""The store: what is kept, what goes, and what a replay meets."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from edge_app.errors import BundleError
from edge_app.store.bundle_store import Store
from edge_app.store.durable_write import Step, perform, write_durably
from edge_app.store.intent import Intent
from edge_app.store.release_info import Card


def sha(name: str) -> str:
    """Return a digest that begins with a name's letters."""
    return name.encode().hex().ljust(64, "0")


def filled(root: Path, *names: str) -> Store:
    """Return a store with these releases, the first one the oldest."""
    store = Store(root)
    store.prepare(["main"])
    for age, name in enumerate(names):
        store.release(sha(name)).write_bytes(b"x")
        os.utime(store.release(sha(name)), (1000 + age, 1000 + age))
    return store


def test_pruning_keeps_what_is_needed(tmp_path: Path) -> None:
    """In use, its predecessor, every installed product with its predecessor, and what a record
    names stay; of the rest the newest."""
    names = ["active", "previous", "product", "before", "old", "new", "spare1", "spare2", "spare3"]
    store = filled(tmp_path, *names)
    store.set_active("main", sha("active"))
    store.set_previous("main", sha("previous"))
    store.set_installed("main", "beta", sha("before"))
    store.set_installed("main", "beta", sha("product"))
    store.set_intent(Intent(slot="main", kind="install", phase="switching",
                            old_sha256=sha("old"), new_sha256=sha("new")))  # fmt: skip
    assert store.prune(keep=1) == [sha("spare2"), sha("spare1")]
    assert [n for n in names if not store.has(sha(n))] == ["spare1", "spare2"]


def test_a_product_name_cannot_leave_its_folder(tmp_path: Path) -> None:
    """The manifest allows a product called `..`; its link is a file like any other."""
    store = filled(tmp_path, "a")
    store.set_installed("main", "..", sha("a"))
    assert store.installed("main") == {"..": sha("a")}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["incoming", "releases", "slots", "state"]


def test_a_serial_only_grows(tmp_path: Path) -> None:
    """The high-water mark is per product and never sinks; damaged, it refuses everything."""
    store = filled(tmp_path)
    store.raise_high_water("alpha", 7)
    store.raise_high_water("alpha", 3)
    store.raise_high_water("beta", 1)
    assert (store.high_water("alpha"), store.high_water("beta")) == (7, 1)
    assert store.high_water("gamma") is None
    (tmp_path / "state" / "serials.json").write_text("[7")
    with pytest.raises(BundleError, match="an old bundle could come back"):
        store.high_water("alpha")


def test_too_little_room_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """The message has the figures and the key."""
    with pytest.raises(BundleError, match=r"1024 MB must stay free \(agent.min_free_mb\)"):
        filled(tmp_path).check_space(1 << 60, 1 << 30)


def test_a_file_from_elsewhere_is_copied_and_one_that_cannot_be_read_leaves_nothing(
    tmp_path: Path,
) -> None:
    """The stick may be pulled afterwards."""
    store = filled(tmp_path / "store")
    stick = tmp_path / "stick.bundle"
    stick.write_bytes(b"bundle")
    copy = store.bring_in(stick)
    assert (copy.read_bytes(), copy.parent) == (b"bundle", store.incoming)
    store.admit(copy, sha("a"), Card(product="alpha", serial=1))
    assert store.has(sha("a"))
    assert store.card(sha("a")) == Card(product="alpha", serial=1)
    with pytest.raises(OSError, match="No such file"):
        store.bring_in(tmp_path / "gone.bundle")
    assert list(store.incoming.iterdir()) == []


def test_a_failed_write_leaves_the_old_content_and_no_rubbish(tmp_path: Path) -> None:
    """A full disk in the middle: the file is as it was, the half-made one is gone."""
    path = tmp_path / "record"
    path.write_bytes(b"old")

    def full(step: Step) -> None:
        if step.kind == "sync":
            raise OSError(errno.ENOSPC, "No space left on device")
        perform(step)

    with pytest.raises(OSError, match="No space"):
        write_durably(full, path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_record_that_is_none_is_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It was written whole or not at all; rubbish in its place is told, and the links count."""
    store = filled(tmp_path, "a")
    store.set_active("main", sha("a"))
    (tmp_path / "state" / "intent-main.json").write_text("{}")
    assert store.choices("main") == [sha("a")]
    assert "cannot be read and is ignored" in caplog.text


@pytest.mark.parametrize("newest_s", [0.0, 2e9, 4e9])
def test_a_clock_that_was_wrong_does_not_decide_which_bundle_is_old(
    tmp_path: Path, newest_s: float
) -> None:
    """Admitted at 1970, in 2033 or in 2096 by the machine's clock: the last one to come stays."""
    store = filled(tmp_path, "first", "second")
    for name, at_s in (("third", 1_800_000_000.0), ("fourth", newest_s)):
        file = store.incoming / f"{name}.bundle"
        file.write_bytes(b"x")
        os.utime(file, (at_s, at_s))
        store.admit(file, sha(name), Card(product="p", serial=1))
    assert set(store.prune(keep=1)) == {sha("first"), sha("second"), sha("third")}
    assert store.has(sha("fourth"))


@pytest.mark.parametrize("text", ["", "{}", "[1, null]", "[" * 100_000])
def test_a_damaged_order_falls_back_to_the_files_times(tmp_path: Path, text: str) -> None:
    """It costs the order only."""
    store = filled(tmp_path, "old", "new")
    (tmp_path / "state" / "admitted.json").write_text(text)
    assert store.prune(keep=1) == [sha("old")]


def test_a_record_of_another_slot_is_none(tmp_path: Path) -> None:
    """Carried out, it could never be removed: each start would begin it again."""
    store = Store(tmp_path)
    store.prepare(["main"])
    store.set_intent(
        Intent(slot="main", kind="install", phase="probation", old_sha256=None, new_sha256="a" * 64)
    )
    file = tmp_path / "state" / "intent-main.json"
    file.write_text(file.read_text().replace('"main"', '"maim"'))
    assert store.intent("main") is None
