"""The bundles on this device: one tar each, never unpacked, and which of them each slot uses.

    {root}/releases/{sha256}.bundle          and {sha256}.json, its card
    {root}/slots/{slot}/active, previous     → ../../releases/{sha256}.bundle
    {root}/slots/{slot}/installed/{product}.bundle → ../../../releases/{sha256}.bundle
    {root}/slots/{slot}/before/{product}.bundle    the product's bundle before that one
    {root}/state/serials.json, admitted.json, intent-{slot}.json
    {root}/incoming/

The agent writes; `edge-app run` reads, and trusts a file no further than its signature.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from edge_app.errors import BundleError, ConfigError
from edge_app.store.durable_write import (
    Perform,
    Step,
    link_durably,
    perform,
    remove_durably,
    write_durably,
)
from edge_app.store.intent import Intent, clear_intent, read_intent, write_intent
from edge_app.store.release_info import Card, read_card, read_serials

__all__ = ["Card", "Store"]

_log = logging.getLogger(__name__)

_SUFFIX = ".bundle"


class Store:
    """Reads and changes the store. Every change is a chain of numbered steps that may end anywhere.

    Args:
        root: the agent's folder.
        do: executes a step; tests pass their own.
    """

    def __init__(self, root: Path, do: Perform = perform) -> None:
        self.root = root
        self.incoming = root / "incoming"
        self._releases = root / "releases"
        self._state = root / "state"
        self._do = do
        self._in_hand: dict[str, str | None] = {}
        self._pruning = threading.Lock()

    # -- reading: agent and run -----------------------------------------------------------------

    def release(self, sha256: str) -> Path:
        """Return where a bundle lies, whether it is there or not."""
        return self._releases / f"{sha256}{_SUFFIX}"

    def has(self, sha256: str) -> bool:
        return self.release(sha256).is_file()

    def active(self, slot: str) -> str | None:
        """Return the digest of the slot's bundle; None when it has none."""
        return self._linked(self._slot(slot) / "active")

    def previous(self, slot: str) -> str | None:
        """Return the digest of the same product's bundle before it; None when there is none."""
        return self._linked(self._slot(slot) / "previous")

    def installed(self, slot: str) -> dict[str, str]:
        """Return product → digest of its latest committed bundle in this slot."""
        return self._by_product(slot, "installed")

    def before(self, slot: str) -> dict[str, str]:
        """Return product → digest of the bundle that its latest one replaced."""
        return self._by_product(slot, "before")

    def intent(self, slot: str) -> Intent | None:
        """Return the record of the slot's unfinished order; None when there is none.

        One that names another slot is damaged: carried out, it could never be removed.
        """
        path = self._intent(slot)
        intent = read_intent(path)
        if intent is not None and intent.slot != slot:
            _log.error("the record %s is of slot %r and is ignored", path, intent.slot)
            return None
        return intent

    def choices(self, slot: str) -> list[str]:
        """Return the digests that `run` tries at its start, best first: the record's, the links'.

        Bundles whose file is not there are left out.
        """
        intent = self.intent(slot)
        wanted = [*(intent.choices() if intent else ()), self.active(slot), self.previous(slot)]
        if intent is not None and intent.phase == "rolling_back":
            wanted = [sha256 for sha256 in wanted if sha256 != intent.new_sha256]
        return [s for s in dict.fromkeys(wanted) if s is not None and self.has(s)]

    def slots(self) -> list[str]:
        """Return the slots the store knows."""
        folder = self.root / "slots"
        return sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []

    def card(self, sha256: str) -> Card | None:
        """Return a release's card, or None."""
        return read_card(self._releases / f"{sha256}.json")

    def high_water(self, product: str) -> int | None:
        """Return the highest serial ever committed of a product; None if it never was.

        Raises:
            BundleError: the record cannot be read: without it an old bundle could be replayed.
        """
        return self._serials().get(product)

    # -- changing: the agent alone --------------------------------------------------------------

    def prepare(self, slots: Iterable[str]) -> None:
        """Make the folders.

        Raises:
            OSError: the folder cannot be made.
        """
        folders = [self._releases, self._state, self.incoming]
        names = list(slots)
        folders += [self._slot(slot) / kind for slot in names for kind in ("installed", "before")]
        for folder in folders:
            if not folder.is_dir():
                self._do(Step("make_folder", folder))
                self._do(Step("sync", folder.parent))
        for slot in names:  # parents made on the way to .../installed
            self._do(Step("sync", self._slot(slot).parent))
        self._do(Step("sync", self.root))

    def lock(self) -> IO[bytes]:
        """Lock the store for this process until the returned file is closed; after `prepare`.

        Raises:
            ConfigError: another agent has locked it.
        """
        file = (self._state / "lock").open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise ConfigError(
                f"Another agent uses the store {self.root}. Stop it first (systemctl stop "
                "edge-app-agent), or set another agent.store_dir."
            ) from error
        return file

    def check_space(self, length: int, min_free: int) -> None:
        """Refuse a bundle that would leave less than `min_free`; both in bytes.

        Raises:
            BundleError: too little room; says how much there is.
        """
        free = shutil.disk_usage(self.root).free
        if free - length < min_free:
            raise BundleError(
                f"no room for the bundle: {free >> 20} MB are free, it takes {length >> 20} MB and "
                f"{min_free >> 20} MB must stay free (agent.min_free_mb). Free some space in "
                f"{self.root}."
            )

    def bring_in(self, file: Path) -> Path:
        """Return the file below `incoming`, copied there if it lies elsewhere.

        Raises:
            OSError: it cannot be read, or not be copied; nothing is left behind.
        """
        if file.parent == self.incoming:
            return file
        copy = self.incoming / f"file-{os.getpid()}-{file.name}"
        try:
            self._do(Step("copy", copy, file))
        except OSError:
            self.discard(copy)
            raise
        return copy

    def discard(self, file: Path) -> None:
        """Remove a file from `incoming`; one that cannot be removed is logged."""
        try:
            self._do(Step("remove", file))
        except OSError as error:
            _log.warning("%s cannot be removed: %s", file, error.strerror)

    def admit(self, file: Path, sha256: str, card: Card) -> None:
        """Move a verified file among the releases, durably.

        Raises:
            OSError: it stays where it is.
        """
        write_durably(self._do, self._releases / f"{sha256}.json", card.model_dump_json().encode())
        self._note_admitted(sha256)
        self._do(Step("sync", file))
        self._do(Step("rename", file, self.release(sha256)))
        self._do(Step("sync", self._releases))

    def set_intent(self, intent: Intent) -> None:
        """Write the record; see `write_intent`."""
        write_intent(self._do, self._intent(intent.slot), intent)

    def clear_intent(self, slot: str) -> None:
        """Remove the record; see `clear_intent`."""
        clear_intent(self._do, self._intent(slot))

    def set_active(self, slot: str, sha256: str | None) -> None:
        """Point the slot at a bundle, or at none; doing it again changes nothing.

        Raises:
            OSError: the link is unchanged.
        """
        self._point(self._slot(slot) / "active", sha256, self.active(slot))

    def set_previous(self, slot: str, sha256: str | None) -> None:
        """Note the bundle to fall back to; see `set_active`."""
        self._point(self._slot(slot) / "previous", sha256, self.previous(slot))

    def set_installed(self, slot: str, product: str, sha256: str) -> None:
        """Note a product's latest committed bundle and what it replaced; see `set_active`."""
        now = self.installed(slot).get(product)
        for kind, wanted in (("before", now if now != sha256 else None), ("installed", sha256)):
            if wanted is not None:
                link = self._slot(slot) / kind / f"{product}{_SUFFIX}"
                self._point(link, wanted, self._by_product(slot, kind).get(product), depth=3)

    def raise_high_water(self, product: str, serial: int) -> None:
        """Remember a committed serial; a lower one changes nothing.

        Raises:
            OSError: it is not stored.
            BundleError: see `high_water`.
        """
        serials = self._serials()
        if serials.get(product, -1) >= serial:
            return
        text = json.dumps({**serials, product: serial}, indent=1, sort_keys=True)
        write_durably(self._do, self._state / "serials.json", text.encode())

    def hold(self, slot: str, sha256: str | None) -> None:
        """Protect the bundle of a slot's order from another slot's pruning; None: no order."""
        with self._pruning:
            self._in_hand[slot] = sha256

    def prune(self, keep: int) -> list[str]:
        """Remove releases that nothing needs, the oldest first; return their digests.

        What a link or a record names is needed, and so is what a slot holds; of the rest the
        `keep` newest stay. A file that cannot be removed is left for the next time.
        """
        with self._pruning:
            return self._prune(keep)

    def _prune(self, keep: int) -> list[str]:
        needed = self._needed() | set(self._in_hand.values())
        spare = [p for p in self._releases.glob(f"*{_SUFFIX}") if p.stem not in needed]
        order = {sha256: place for place, sha256 in enumerate(self._admitted())}
        spare.sort(key=lambda p: (order.get(p.stem, -1), p.stat().st_mtime_ns), reverse=True)
        gone = []
        for path in spare[keep:]:
            try:
                remove_durably(self._do, path)
                remove_durably(self._do, path.with_suffix(".json"))
            except OSError as error:
                _log.warning("old bundle %s cannot be removed: %s", path.name, error.strerror)
                continue
            gone.append(path.stem)
        return gone

    def sweep(self) -> None:
        """Remove incomplete files that a power cut left; called at the agent's start."""
        for path in [*self.root.rglob(".*.new"), *self.incoming.glob("file-*")]:
            self.discard(path)

    def _admitted(self) -> list[str]:
        """Return digests in the order in which they came: a file's time is that of some clock."""
        try:
            found = json.loads((self._state / "admitted.json").read_bytes())
        except (OSError, ValueError, RecursionError, MemoryError):
            return []
        return [s for s in found if isinstance(s, str)] if isinstance(found, list) else []

    def _note_admitted(self, sha256: str) -> None:
        order = [s for s in self._admitted() if s != sha256 and self.has(s)] + [sha256]
        write_durably(self._do, self._state / "admitted.json", json.dumps(order).encode())

    def _needed(self) -> set[str]:
        needed: set[str | None] = set()
        for slot in self.slots():
            intent = self.intent(slot)
            needed |= {self.active(slot), self.previous(slot)}
            needed |= {*self.installed(slot).values(), *self.before(slot).values()}
            needed |= {intent.old_sha256, intent.new_sha256} if intent else set()
        return {sha256 for sha256 in needed if sha256 is not None}

    def _by_product(self, slot: str, kind: str) -> dict[str, str]:
        folder = self._slot(slot) / kind
        links = sorted(folder.glob(f"*{_SUFFIX}")) if folder.is_dir() else []
        found = {link.name.removesuffix(_SUFFIX): self._linked(link) for link in links}
        return {product: sha256 for product, sha256 in found.items() if sha256 is not None}

    def _slot(self, slot: str) -> Path:
        return self.root / "slots" / slot

    def _intent(self, slot: str) -> Path:
        return self._state / f"intent-{slot}.json"

    def _linked(self, link: Path) -> str | None:
        try:
            return link.readlink().name.removesuffix(_SUFFIX)
        except OSError:
            return None

    def _point(self, link: Path, sha256: str | None, now: str | None, depth: int = 2) -> None:
        if sha256 is None:
            remove_durably(self._do, link)
        elif sha256 == now:
            self._do(Step("sync", link.parent))  # a kill may have come before this
        else:
            target = Path(*[".."] * depth, "releases", f"{sha256}{_SUFFIX}")
            link_durably(self._do, link, target)

    def _serials(self) -> dict[str, int]:
        return read_serials(self._state / "serials.json")
