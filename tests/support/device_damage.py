"""Damage to whatever else a device keeps, and what a start afterwards has to keep to.

The outbox' files are in `outbox_damage.py`. Each piece is made once, damaged, and then started as
the product starts it.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np

from edge_app.agent.commands.journal import CommandJournal
from edge_app.agent.pull.pointer_journal import PointerJournal
from edge_app.alerts.evidence import EvidenceStore
from edge_app.alerts.sidecar import PictureFacts
from edge_app.backends.engine_cache import EngineCache, EngineKey, total_mb
from edge_app.cameras.watch import WatchCamera
from edge_app.cameras.watch_journal import JOURNAL
from edge_app.config.last_good import load_or_last_good, remember
from edge_app.config.load import load_config
from edge_app.errors import BundleError, ConfigError, FrameCorrupt, FrameTimeout, ModelError
from edge_app.records import Frame, UprightCrop
from edge_app.store.bundle_store import Card, Store
from edge_app.store.intent import Figures, Intent
from support.alert_drafts import bad_part
from support.app_config import write_config
from support.deploy_pointers import pointer
from support.mutations import mutated
from support.outbox_damage import do_damage
from support.small_bundles import write_pictures

NOW = datetime(2026, 11, 29, 12, tzinfo=timezone.utc)
MAX_NUMBER = 2**63 - 1
"""What the outbox can hold as a camera's progress."""
OLD, NEW, SPARE = "a" * 64, "b" * 64, "c" * 64
KEY = EngineKey("0" * 64, "tensorrt", "10.3", "Orin", "8.7", "fp16", 8)


@dataclass(frozen=True)
class Piece:
    """Something that is kept on disk.

    Attributes:
        make: writes it into an empty folder, as a kill may leave it.
        damaged: the files that damage may hit, relative to the folder, as patterns.
        start: starts what reads it; returns what is not as it should be. Whatever it raises is a
            fault as well.
        may_be_folder: people may have put a folder in a file's place.
    """

    make: Callable[[Path, random.Random], None]
    damaged: tuple[str, ...]
    start: Callable[[Path, Path], list[str]]
    may_be_folder: bool = False

    def damage(self, folder: Path, rng: random.Random) -> list[str]:
        """Damage one to three files; return what was done, in words."""
        files = sorted(f for pattern in self.damaged for f in folder.glob(pattern))
        what = rng.random()
        file = rng.choice(files)
        if self.may_be_folder and what < 0.05:
            file.unlink()
            file.mkdir()
            return [f"a folder in place of {file.name}"]
        if what < 0.4:
            lines = file.read_bytes().splitlines(keepends=True)
            place = rng.randrange(len(lines)) if file.suffix == ".jsonl" else None
            whole = file.read_bytes() if place is None else lines[place]
            other = mutated(whole, rng.randrange(1 << 30))
            file.write_bytes(other if place is None else b"".join(_put(lines, place, other)))
            return [f"another value in {file.name}"]
        return do_damage(folder, rng, tuple(str(f.relative_to(folder)) for f in files))


def _put(lines: list[bytes], place: int, line: bytes) -> list[bytes]:
    return [*lines[:place], line + b"\n", *lines[place + 1 :]]


@dataclass(frozen=True)
class Kept:
    """A piece as it was left by a kill, and the place where it is damaged and started.

    Attributes:
        place: always the same: some files hold their own path.
    """

    piece: Piece
    origin: Path
    place: Path

    def attempt(self, rng: random.Random) -> tuple[list[str], list[str]]:
        """Damage it and start; return what was done and what was wrong then."""
        shutil.rmtree(self.place)
        shutil.copytree(self.origin, self.place, symlinks=True)
        done = self.piece.damage(self.place, rng)
        try:
            return done, self.piece.start(self.place, self.origin)
        except Exception as error:  # a start that fails, fails again: a crash loop
            return done, ["".join(traceback.format_exception(error))]


def keep(piece: Piece, folder: Path, seed: int) -> Kept:
    """Make a piece."""
    place, origin = folder / "place", folder / "origin"
    place.mkdir(parents=True)
    piece.make(place, random.Random(seed))
    shutil.copytree(place, origin, symlinks=True)
    return Kept(piece, origin, place)


def _intact(folder: Path, origin: Path, name: str) -> bool:
    """Tell whether a file is byte for byte what it was."""
    file = folder / name
    return file.is_file() and file.read_bytes() == (origin / name).read_bytes()


# -- a watched folder ---------------------------------------------------------------------------

FINISHED, SHOWN, PICTURES = 3, 6, 8
"""Judged before the kill; shown; there."""


def _read_all(folder: Path, finished: int, count: int) -> list[tuple[int, str]]:
    camera = WatchCamera(folder, "cam1", settle_s=0.0, sleep=lambda _: None)
    camera.open(finished)
    found: list[tuple[int, str]] = []
    try:
        while len(found) < count:
            shown: Frame | FrameCorrupt
            try:
                shown = camera.read(0.3)
            except FrameCorrupt as error:  # one part that is NOT_INSPECTED, and said
                shown = error
            assert shown.source_number is not None
            found.append((shown.source_number, shown.source_name or ""))
    except FrameTimeout:
        pass
    finally:
        camera.close()
    return found


def _make_watched(folder: Path, rng: random.Random) -> None:
    write_pictures(folder, SHOWN, set())
    for number, file in enumerate(sorted(folder.glob("*.png"))):
        _set_time(file, 1_790_000_000_000_000_000 + number * 1_000_000_007)
    _read_all(folder, 0, SHOWN)
    for number in range(SHOWN + 1, PICTURES + 1):
        (folder / f"{number:04d}.png").write_bytes((folder / "0001.png").read_bytes())
        _set_time(folder / f"{number:04d}.png", 1_791_000_000_000_000_000 + number)


def _set_time(file: Path, at_ns: int) -> None:
    os.utime(file, ns=(at_ns, at_ns))


def _start_watched(folder: Path, origin: Path) -> list[str]:
    """Every picture that was not judged is shown, under a number of its own that can be stored."""
    found = _read_all(folder, FINISHED, 3 * PICTURES)
    numbers = [number for number, _ in found]
    unjudged = {f"{n:04d}.png" for n in range(FINISHED + 1, PICTURES + 1)}
    wrong = []
    if missing := unjudged - {name for _, name in found}:
        wrong.append(f"never shown: {sorted(missing)}")
    if len(set(numbers)) < len(numbers) or not all(FINISHED < n <= MAX_NUMBER for n in numbers):
        wrong.append(f"numbers {numbers}")
    if _intact(folder, origin, JOURNAL) and len(found) != len(unjudged):
        wrong.append(f"shown again: {found}")
    return wrong


# -- what the agent remembers -------------------------------------------------------------------


def _make_memory(folder: Path, rng: random.Random) -> None:
    pointers = PointerJournal(folder)
    for _ in range(rng.randint(1, 4)):
        wish = pointer("https://station.plant/screws.bundle")
        pointers.take_up("main", wish)
        pointers.count_start("main", wish)
    commands = CommandJournal(folder, lambda: NOW)
    for number in range(rng.randint(1, 5)):
        commands.take(f"command-{number}", NOW + timedelta(minutes=number))


def _start_memory(folder: Path, _origin: Path) -> list[str]:
    """A new pointer and a new command are taken, whatever is left of the old ones."""
    pointers = PointerJournal(folder)
    wish = pointer("https://station.plant/nuts.bundle")
    pointers.take_up("main", wish)
    pointers.count_start("main", wish)
    pointers.end("main", wish.message_id)
    CommandJournal(folder, lambda: NOW).take("a-new-command", NOW + timedelta(minutes=1))
    CommandJournal(folder, lambda: NOW)
    again = PointerJournal(folder)
    return [] if again.is_handled("main", wish.message_id) else ["a pointer is forgotten at once"]


# -- the agent's store --------------------------------------------------------------------------


def _make_store(folder: Path, rng: random.Random) -> None:
    store = Store(folder)
    store.prepare(["main"])
    for sha256 in (OLD, NEW, SPARE):
        store.release(sha256).write_bytes(sha256.encode())
        store.admit(store.release(sha256), sha256, Card(product="screws", serial=1))
    store.set_active("main", OLD)
    store.set_installed("main", "screws", OLD)
    store.raise_high_water("screws", 7)
    phase = rng.choice(("switching", "probation", "committing", "rolling_back"))
    kind = rng.choice(("install", "select"))
    baseline = Figures(parts=100, ng=3, latency_ms_p95=12.5)
    store.set_intent(
        Intent(slot="main", kind=kind, phase=phase, old_sha256=OLD, new_sha256=NEW,
               crashes=rng.randint(0, 2), baseline=rng.choice((None, baseline)))
    )  # fmt: skip


def _here(store: Store) -> set[str]:
    return {sha256 for sha256 in (OLD, NEW, SPARE) if store.has(sha256)}


def _start_store(folder: Path, origin: Path) -> list[str]:
    """Inspection finds a bundle to start with; the agent can end the order and begin another."""
    store, before = Store(folder), Store(origin)
    wrong = []
    choices = store.choices("main")
    if OLD not in choices:
        wrong.append(f"the slot's own bundle is no choice: {choices}")
    if _intact(folder, origin, "state/intent-main.json") and choices != before.choices("main"):
        wrong.append(f"choices {choices}")
    store.prepare(["main"])
    with store.lock():
        store.sweep()
        store.prune(0)
        intent = store.intent("main")
        if intent is not None and intent.slot != "main":
            wrong.append(f"the record of {intent.slot} is taken for that of main")
        if intent is not None:
            store.set_intent(intent.model_copy(update={"crashes": intent.crashes + 1}))
            store.clear_intent("main")
        try:
            store.high_water("screws")
        except BundleError as error:  # said in words; the file is a person's to put back
            if _intact(folder, origin, "state/serials.json"):
                wrong.append(str(error))
        needed = {OLD} if intent is None else {OLD, intent.new_sha256} & {OLD, NEW, SPARE}
        wrong += [f"{sha256[:3]} is needed and was pruned" for sha256 in needed - _here(store)]
        for sha256 in (OLD, NEW, SPARE):
            store.card(sha256)
        if store.intent("main") is not None:
            wrong.append("the record cannot be cleared")
    return wrong


# -- engines ------------------------------------------------------------------------------------


def _make_engines(folder: Path, rng: random.Random) -> None:
    cache = EngineCache(folder)
    for number, graph in enumerate(("detector", "inspector")):
        plan = rng.randbytes(600)
        cache.store(replace(KEY, max_batch=8 + number), graph, plan, 1.5)
    file = folder / "plans.txt"  # not an engine: what was built, for the check
    file.write_text(json.dumps([asdict(entry) for entry in cache.entries()]))


def _start_engines(folder: Path, origin: Path) -> list[str]:
    """An engine is the one that was built, or is built again; the list can be printed."""
    cache, wrong = EngineCache(folder), []
    for number in (0, 1):
        key = replace(KEY, max_batch=8 + number)
        try:
            plan = cache.load(key)
        except ModelError:
            names = (f"{key.digest()}.json", f"{key.digest()}.plan")
            if all(_intact(folder, origin, name) for name in names):
                wrong.append(f"an undamaged engine is refused: {number}")
        else:
            if plan != (origin / f"{key.digest()}.plan").read_bytes():
                wrong.append(f"another engine than was built: {number}")
    total_mb(cache.entries())
    cache.prune(lambda key: key.max_batch > 8)
    cache.store(KEY, "detector", b"plan", 1.0)
    return wrong if cache.has(KEY) else [*wrong, "a new engine cannot be kept"]


# -- evidence -----------------------------------------------------------------------------------


def _evidence(folder: Path, max_bytes: int = 1 << 20) -> EvidenceStore:
    return EvidenceStore(folder, 24.0, max_bytes, 90, "http://h:1")


def _make_evidence(folder: Path, rng: random.Random) -> None:
    store = _evidence(folder)
    for number in range(4):
        noise = np.random.default_rng(rng.randrange(1 << 30))
        crop = UprightCrop(noise.integers(0, 255, (8, 12, 3), np.uint8), ((0.0, 0.0),) * 4)
        facts = PictureFacts(bad_part(number), ("ng",), crop)
        store.save(f"cam1-{number}", noise.integers(0, 255, (40, 60, 3), np.uint8), facts=facts)
        store.save(f"cam1-{number}s", np.full((20, 30, 3), 90, np.uint8), "suspect")


def _start_evidence(folder: Path, _origin: Path) -> list[str]:
    """New pictures are kept, and the size is: whatever has become of the old ones."""
    store = _evidence(folder, 12_000)
    noise = np.random.default_rng(1).integers(0, 255, (40, 60, 3), np.uint8)
    kept = [store.save(f"new-{number}", noise) for number in range(4)]
    on_disk = sum(f.stat().st_size for f in folder.glob("*/*.jpg") if f.is_file())
    wrong = [] if all(kept) else [f"a new picture is not kept: {store.stats()}"]
    return wrong if on_disk <= 12_000 else [*wrong, f"{on_disk} bytes on disk"]


# -- the configuration and its last good copy ---------------------------------------------------


def _make_config(folder: Path, _rng: random.Random) -> None:
    file = write_config(folder, "sim:round", 1)
    (folder / "state").mkdir()
    remember(load_config(file), file)


CONFIG, KEPT = "edge-app.toml", "state/last-good-config.json"


def _start_config(folder: Path, origin: Path) -> list[str]:
    """The last one that started stands in, unless both are damaged."""
    good = load_config(origin / CONFIG)
    try:
        loaded = load_or_last_good(folder / CONFIG, {"STATE_DIRECTORY": str(folder / "state")})
    except ConfigError as error:
        is_rescuable = _intact(folder, origin, CONFIG) or _intact(folder, origin, KEPT)
        return [f"refused: {error}"] if is_rescuable else []
    remember(loaded.config, folder / CONFIG)
    is_same = loaded.config.device.site == good.device.site
    return [] if is_same or not loaded.fault else ["another configuration stands in"]


PIECES = {
    "watched folder": Piece(_make_watched, (JOURNAL,), _start_watched),
    "agent's memory": Piece(_make_memory, ("*.json",), _start_memory),
    "bundle store": Piece(_make_store, ("state/*.json", "releases/*.json"), _start_store),
    "engines": Piece(_make_engines, ("*.json", "*.plan"), _start_engines),
    "evidence": Piece(_make_evidence, ("*/*.jpg",), _start_evidence, may_be_folder=True),
    "configuration": Piece(_make_config, (CONFIG, KEPT), _start_config),
}
