"""From the workstation's pointers to files handed to the agent; one thread per slot fetches.

pointer → already carried out? → already in use? → fetch → install (the agent's) → its reports
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Protocol

from edge_app.agent.pull.download import Downloader, stem_of
from edge_app.agent.pull.pointer_journal import PointerJournal, parse_pointer
from edge_app.errors import DownloadCancelled, DownloadError
from edge_app.mqtt.deploy_messages import FINAL_STATES, DeployState, Desired, Reported
from edge_app.mqtt.timestamps import rfc3339
from edge_app.store.intent import Intent

MAX_STARTS = 3
"""A bundle over which the agent has ended this often without a result is not tried again."""
PROGRESS_EVERY_S = 2.0
"""Percentages are for people; fifty devices then make 25 messages a second at most."""
JOIN_S = 1.0
MAX_UNKNOWN_SLOTS = 16
"""Unknown slots that get an answer; a plant has a handful of slots."""

_log = logging.getLogger(__name__)


class Installer(Protocol):
    """The agent's installation: verify, try, switch. Returns at once; progress comes as reports
    that carry the pointer's id."""

    def __call__(self, file: Path, slot: str, origin: str, *, desired_id: str) -> None: ...


class Releases(Protocol):
    """What the store knows of bundles that are on the device already."""

    def active(self, slot: str) -> str | None:
        """Return the digest of the bundle in use."""

    def release(self, sha256: str) -> Path:
        """Return where a verified bundle lies, whether it is there or not."""

    def intent(self, slot: str) -> Intent | None:
        """Return the switch in progress, which the agent resumes by itself after a restart."""


class Puller:
    """Takes pointers, fetches bundles, hands them over. Thread-safe.

    Args:
        slots: this device's slots; pointers to others are refused.
        install: `Agent.install`.
        publish: gets every report, completed with its pointer's id.
        releases: the agent's store.
    """

    def __init__(
        self,
        downloader: Downloader,
        journal: PointerJournal,
        slots: Collection[str],
        install: Installer,
        publish: Callable[[Reported], None],
        releases: Releases,
        now_ns: Callable[[], int] = time.time_ns,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._downloader = downloader
        self._journal = journal
        self._slots = tuple(slots)
        self._install = install
        self._publish = publish
        self._releases = releases
        self._now_ns = now_ns
        self._now_s = now_s
        self._lock = threading.RLock()
        self._fetches: dict[str, _Fetch] = {}
        self._handed_over: dict[str, str] = {}
        self._standing: dict[str, str] = {}
        self._unknown_slots: set[str] = set()
        self._is_stopping = False

    def start(self) -> None:
        """Publish the last reports again, the broker may have lost them; delete old partial files.

        To be called before the agent's own start.
        """
        with self._lock:
            for slot in self._slots:
                intent = self._releases.intent(slot)
                self._journal.forget_lost(slot, intent.new_sha256 if intent else None)
            records = [self._journal.record(slot) for slot in self._slots]
            wanted = {
                stem_of(slot, record.current)
                for slot, record in zip(self._slots, records, strict=True)
                if record.current
            }
            self._downloader.forget_others(wanted, is_start=True)
            for record in records:
                if record.last_report is not None:
                    self._publish(record.last_report)

    def stop(self) -> None:
        """Cancel downloads; what has arrived is kept for the next start."""
        with self._lock:
            self._is_stopping = True
            fetches = list(self._fetches.values())
            self._fetches.clear()
        for fetch in fetches:
            fetch.cancel.set()
        for fetch in fetches:
            fetch.thread.join(JOIN_S)

    def order_of(self, slot: str, sha256: str) -> str | None:
        """Return the id of the pointer by which a bundle is being installed; None: none is."""
        with self._lock:
            return self._journal.order_of(slot, sha256)

    def note(self, report: Reported) -> None:
        """Take a report of the agent's and publish it."""
        with self._lock:
            self._publish(self._journal.note(report))

    def want(self, slot: str, payload: bytes) -> None:
        """Take a message on `deploy/{slot}/desired`; an empty payload withdraws
        the deployment."""
        with self._lock:
            if not payload:
                self._end_fetch(slot, "withdrawn by the workstation")
                return
            try:
                desired = parse_pointer(payload)
            except DownloadError as error:
                self._say(slot, "refused", None, str(error))
                return
            if slot not in self._slots:
                if self._is_one_too_many(slot):
                    return
                self._say(slot, "refused", desired, self._no_such_slot(slot))
                return
            self._standing[slot] = desired.message_id
            if not self._is_old(slot, desired):
                self._begin(slot, desired)

    def connected(self) -> None:
        """A connection begins: the broker will send the retained pointers again."""
        with self._lock:
            self._standing.clear()

    def settled(self) -> None:
        """End downloads, an earlier run's too, whose pointer was withdrawn while offline."""
        with self._lock:
            for slot in self._slots:
                current = self._journal.record(slot).current
                if current is None or self._standing.get(slot) == current.message_id:
                    continue
                if self._is_installing(slot, current):
                    continue
                self._end_fetch(slot, "withdrawn by the workstation")
                if self._journal.record(slot).current is not None:  # of an earlier run
                    why = "Download ended: withdrawn while the agent was away."
                    self._say(slot, "refused", current, why)
                self._forget_others()

    def _is_installing(self, slot: str, desired: Desired) -> bool:
        """Tell whether the agent is installing it already."""
        intent = self._releases.intent(slot)
        is_switching = intent is not None and intent.new_sha256 == desired.sha256
        return is_switching or self._handed_over.get(slot) == desired.message_id

    # -- deciding, under the lock ---------------------------------------------------------------

    def _no_such_slot(self, slot: str) -> str:
        return (
            f"Pointer refused: this device has no slot {slot!r}, only {', '.join(self._slots)}. "
            "Push with --slot, or give a camera that slot."
        )

    def _is_one_too_many(self, slot: str) -> bool:
        """Tell whether too many unknown slots were answered: each answer stays retained on the
        broker, and in this process."""
        if len(self._unknown_slots) < MAX_UNKNOWN_SLOTS:
            self._unknown_slots.add(slot)
        is_too_many = slot not in self._unknown_slots
        if is_too_many:
            _log.warning("too many pointers to unknown slots; this one is not answered: %r", slot)
        return is_too_many

    def _is_old(self, slot: str, desired: Desired) -> bool:
        """Tell whether a pointer was handled before; a superseded one is refused with a report."""
        fetch = self._fetches.get(slot)
        in_hand = fetch.desired.message_id if fetch else self._handed_over.get(slot)
        if in_hand == desired.message_id:
            return True
        if not self._journal.is_handled(slot, desired.message_id):
            return False
        if not self._journal.is_newest(slot, desired.message_id):
            why = "Pointer refused: it was replayed, the device dealt with it before. Push again."
            self._say(slot, "refused", desired, why)
        return True

    def _begin(self, slot: str, desired: Desired) -> None:
        self._end_fetch(slot, "overtaken by a newer pointer")
        self._journal.take_up(slot, desired)
        if self._journal.is_in_hand(slot, desired.sha256):
            self._join(slot, desired)
            return
        if self._is_installing(slot, desired):
            self._journal.serve_file(slot, desired)
            return
        if self._releases.intent(slot) is None and self._releases.active(slot) == desired.sha256:
            self._say(slot, "committed", desired, "already in use")
            return
        fetch = _Fetch(slot, desired)
        fetch.thread = threading.Thread(
            target=self._fetch, args=(fetch,), name=f"pull-{slot}", daemon=True
        )
        self._fetches[slot] = fetch
        self._forget_others()
        fetch.thread.start()

    def _join(self, slot: str, desired: Desired) -> None:
        """Have the installation of this very bundle, which goes on, answer the newer pointer."""
        self._handed_over[slot] = desired.message_id
        _log.info("slot %s: the bundle that was pushed again is being installed", slot)
        report = self._journal.join(slot, desired)
        if report is not None:
            self._publish(report)

    def _end_fetch(self, slot: str, reason: str) -> None:
        fetch = self._fetches.pop(slot, None)
        if fetch is not None:
            fetch.cancel.set()
            self._say(slot, "refused", fetch.desired, f"Download ended: {reason}.")

    def _say(
        self,
        slot: str,
        state: DeployState,
        desired: Desired | None,
        reason: str = "",
        percent: float | None = None,
    ) -> None:
        report = Reported(
            slot=slot,
            state=state,
            sha256=desired.sha256 if desired else None,
            product=desired.product if desired else None,
            serial=desired.serial if desired else None,
            percent=percent,
            reason=reason,
            desired_id=desired.message_id if desired else None,
            at=rfc3339(self._now_ns()),
        )
        if state in FINAL_STATES:
            _log.info("slot %s: %s %s", slot, state, reason)
        is_ours = slot in self._slots  # others leave no file behind
        self._publish(self._journal.note(report) if is_ours else report)

    # -- fetching, in the slot's thread ---------------------------------------------------------

    def _fetch(self, fetch: _Fetch) -> None:
        self._progress(fetch, 0.0, "")
        try:
            file = self._downloader.fetch(
                fetch.desired,
                fetch.slot,
                fetch.cancel,
                functools.partial(self._progress, fetch),
                kept=self._releases.release(fetch.desired.sha256),
            )
        except DownloadCancelled:
            self._clear_up()
        except DownloadError as error:
            self._hand_over(fetch, None, str(error))
        except Exception as error:  # every deployment gets an answer
            _log.exception("slot %s: the download failed", fetch.slot)
            self._hand_over(fetch, None, f"Download failed: {error!r}. See the agent's log.")
        else:
            self._hand_over(fetch, file, "")

    def _clear_up(self) -> None:
        """Delete the rest of a withdrawn download; a stop keeps it for the next start."""
        with self._lock:
            if not self._is_stopping:
                self._forget_others()

    def _forget_others(self) -> None:
        wanted = {stem_of(fetch.slot, fetch.desired) for fetch in self._fetches.values()}
        self._downloader.forget_others(wanted)

    def _progress(self, fetch: _Fetch, percent: float, why: str) -> None:
        now_s = self._now_s()
        is_due = now_s - fetch.reported_s >= PROGRESS_EVERY_S or why != fetch.reported_why
        if not is_due:
            return
        with self._lock:
            if self._fetches.get(fetch.slot) is fetch:
                fetch.reported_s, fetch.reported_why = now_s, why
                self._say(fetch.slot, "downloading", fetch.desired, why, round(percent, 1))

    def _hand_over(self, fetch: _Fetch, file: Path | None, why: str) -> None:
        """Give a fetched file to the agent, unless the slot wants another one by now."""
        with self._lock:
            if self._fetches.get(fetch.slot) is not fetch:
                return
            del self._fetches[fetch.slot]
            if (
                file is not None
                and self._journal.count_start(fetch.slot, fetch.desired) > MAX_STARTS
            ):
                file = None
                why = f"Bundle refused: the agent ended {MAX_STARTS} times while installing it."
            if file is None:
                self._say(fetch.slot, "refused", fetch.desired, why)
                return
            self._handed_over[fetch.slot] = fetch.desired.message_id
        # not under the lock: it may report at once
        self._install(file, fetch.slot, "push", desired_id=fetch.desired.message_id)


class _Fetch:
    """One download in progress."""

    def __init__(self, slot: str, desired: Desired) -> None:
        self.slot = slot
        self.desired = desired
        self.cancel = threading.Event()
        self.thread = threading.current_thread()
        self.reported_s = float("-inf")
        self.reported_why = ""
