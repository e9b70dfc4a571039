"""Fetching one bundle over HTTPS: resumed after every cut, never longer than announced.

    {incoming}/{slot}-{sha256}.partial   grows, survives restarts
    {incoming}/{slot}-{sha256}.bundle    complete, digest checked, fsynced

What ends a download for good is a `DownloadError`: a forbidden address, another length, another
digest, no room. What may pass (no route, a cut, a server error) is tried again for as long as
`give_up_after_s` allows.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import ssl
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from edge_app.agent.pull.download_rules import DownloadRules, check_address, first_byte_of
from edge_app.agent.pull.http_range import (
    ClockDoubt,
    Interrupted,
    RangeAnswer,
    open_range,
)
from edge_app.errors import DownloadCancelled, DownloadError
from edge_app.host.clock import clock_is_synchronised
from edge_app.mqtt.backoff import Backoff
from edge_app.mqtt.deploy_messages import Desired
from edge_app.store.durable_write import Step, perform

CHUNK_BYTES = 1 << 16
"""One read; also how often a cancel is noticed."""
RETRIED_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
"""The server may do better in a moment (RFC 9110, section 15; RFC 6585 for 429)."""

Progress = Callable[[float, str], None]
"""Takes the percentage that has arrived, and why nothing arrives at present ("" if it does)."""
Hold = Callable[[Path, threading.Event, Progress], None]
"""Holds back a complete file that cannot be judged yet; raises DownloadCancelled."""


def _at_once(file: Path, cancel: threading.Event, progress: Progress) -> None:
    """Hold nothing back."""


class Downloader:
    """Fetches bundles into one folder.

    Args:
        incoming: the store's folder for files that are not verified yet.
        rules: what this device is willing to fetch.
        tls: None trusts the system's certificates.
        now_s: monotonic clock.
        random_unit: numbers in [0, 1) for the back-off.
        is_clock_right: whether a time source sets the wall clock; None: unknown.
        hold: called with each complete file before it is returned.
    """

    def __init__(
        self,
        incoming: Path,
        rules: DownloadRules,
        tls: ssl.SSLContext | None = None,
        now_s: Callable[[], float] = time.monotonic,
        random_unit: Callable[[], float] = random.random,
        is_clock_right: Callable[[], bool | None] = clock_is_synchronised,
        hold: Hold = _at_once,
    ) -> None:
        self._incoming = incoming
        self._rules = rules
        self._tls = tls or ssl.create_default_context()
        self._now_s = now_s
        self._random = random_unit
        self._is_clock_right = is_clock_right
        self._hold = hold
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def fetch(
        self,
        desired: Desired,
        slot: str,
        cancel: threading.Event,
        progress: Progress,
        kept: Path | None = None,
    ) -> Path:
        """Return the complete file that a pointer names; what had arrived before is not repeated.

        Args:
            slot: whose file it is: the agent moves it away, so slots do not share one.
            kept: where the file may lie from earlier; returned if it is whole.

        Raises:
            DownloadCancelled: `cancel` was set; the next call continues from here.
            DownloadError: it cannot be had; nothing of it is left on the disk.
        """
        complete = self._incoming / f"{stem_of(slot, desired)}.bundle"
        partial = complete.with_suffix(".partial")
        try:
            check_address(desired.url, self._rules)
            self._check_length(desired)
            if kept is not None and _is_whole(kept, desired):
                self._hold(kept, cancel, progress)
                return kept
            self._incoming.mkdir(parents=True, exist_ok=True)
            with self._locks[complete.name]:  # an earlier, cancelled call may not have ended yet
                if _is_whole(complete, desired):
                    self._hold(complete, cancel, progress)
                else:
                    self._fetch_twice(desired, partial, cancel, progress)
                    self._hold(partial, cancel, progress)
                    _move_durably(partial, complete)
        except DownloadCancelled:
            raise
        except DownloadError:
            partial.unlink(missing_ok=True)
            raise
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise DownloadError(
                f"Bundle not stored in {self._incoming}: {error}. Mend the disk or free space, "
                "then push again."
            ) from error
        return complete

    def forget_others(self, stems: set[str], is_start: bool = False) -> None:
        """Delete partial and complete files of bundles that are not wanted any more.

        Args:
            stems: `stem_of` what is still wanted.
            is_start: nothing is being installed yet: complete files may go as well.
        """
        for path in self._incoming.glob("*.*" if is_start else "*.partial"):
            if path.stem not in stems and path.suffix in (".partial", ".bundle"):
                path.unlink(missing_ok=True)

    def _check_length(self, desired: Desired) -> None:
        if desired.length > self._rules.max_bytes:
            raise DownloadError(
                f"Bundle of {desired.length} bytes refused: this device takes at most "
                f"{self._rules.max_bytes} (bundle.max_bundle_mb)."
            )

    def _fetch_twice(
        self, desired: Desired, partial: Path, cancel: threading.Event, progress: Progress
    ) -> None:
        """Fetch and check the digest; where earlier bytes were involved, once more from zero."""
        was_resumed = partial.exists()
        self._fetch_all(desired, partial, cancel, progress)
        if was_resumed and not _is_whole(partial, desired):
            partial.unlink()
            self._fetch_all(desired, partial, cancel, progress)
        if not _is_whole(partial, desired):
            raise DownloadError(
                f"Bundle from {desired.url} refused: its {desired.length} bytes do not have "
                f"sha256 {desired.sha256}; the file was changed or replaced. Push it again."
            )

    def _fetch_all(
        self, desired: Desired, partial: Path, cancel: threading.Event, progress: Progress
    ) -> None:
        """Ask again and again until every byte is here."""
        rules = self._rules
        backoff = Backoff(rules.retry_min_s, rules.retry_max_s, self._random)
        progress_s, most = self._now_s(), _length(partial)
        while True:
            try:
                self._fetch_once(desired, partial, cancel, progress)
                return
            except ClockDoubt as error:
                why = str(error)
                if self._is_final(error):
                    raise DownloadError(f"Server not trusted: {why}.") from error
                if self._waits_for_clock(error):
                    progress_s = self._now_s()  # it waits for the clock, however long that takes
            except Interrupted as error:
                why = str(error)
            now_s, size = self._now_s(), _length(partial)
            if size > most:
                progress_s, most = now_s, size
                backoff.reset()
            if now_s - progress_s > rules.give_up_after_s:
                raise DownloadError(
                    f"Bundle given up after {rules.give_up_after_s:.0f} s without a new byte, at "
                    f"{size} of {desired.length}: {why}. Check the server, then push again."
                )
            progress(100 * size / desired.length, f"trying again: {why}")
            if cancel.wait(backoff.next_s()):
                raise DownloadCancelled("download cancelled")

    def _is_final(self, doubt: ClockDoubt) -> bool:
        """Tell whether a certificate is refused for good: a clock that is not right decides
        nothing, and one that is right sees an early certificate become valid."""
        return not doubt.is_early and bool(self._is_clock_right())

    def _waits_for_clock(self, doubt: ClockDoubt) -> bool:
        """Tell whether a certificate is tried again without end: while the clock is known to be
        wrong, and an early one also where nobody knows."""
        is_right = self._is_clock_right()
        return is_right is False or (is_right is None and doubt.is_early)

    def _fetch_once(
        self, desired: Desired, partial: Path, cancel: threading.Event, progress: Progress
    ) -> None:
        """Append what one answer brings.

        Raises:
            Interrupted: it ended too early.
        """
        size = _length(partial)
        if size > desired.length:
            partial.unlink()
            size = 0
        if size == desired.length:
            return
        self._check_room(desired.length - size)
        with open_range(desired.url, size, self._rules, self._tls) as answer:
            if answer.status in RETRIED_STATUS:
                raise Interrupted(f"{answer.where} answers with status {answer.status}")
            first = first_byte_of(answer.status, answer.headers, size, desired.length, answer.where)
            with partial.open("r+b" if partial.exists() else "wb") as file:
                file.truncate(first)
                file.seek(first)
                self._store(answer, file, desired.length, cancel, progress)

    def _store(
        self,
        answer: RangeAnswer,
        file: BinaryIO,
        length: int,
        cancel: threading.Event,
        progress: Progress,
    ) -> None:
        """Write the body behind what the file holds, up to `length` bytes and no further."""
        size = file.tell()
        while size < length:
            if cancel.is_set():
                raise DownloadCancelled("download cancelled")
            chunk = answer.read(min(CHUNK_BYTES, length - size))
            if not chunk:
                raise Interrupted(f"cut off at {size} of {length} bytes")
            file.write(chunk)
            size += len(chunk)
            progress(100 * size / length, "")

    def _check_room(self, missing: int) -> None:
        free = shutil.disk_usage(self._incoming).free
        needed = missing + self._rules.min_free_bytes
        if free < needed:
            raise DownloadError(
                f"Disk full: {needed} bytes are needed in {self._incoming}, {free} are free. "
                "Remove old releases or files, then push again."
            )


def stem_of(slot: str, desired: Desired) -> str:
    """Return the name of a slot's file without its ending."""
    return f"{slot}-{desired.sha256}"


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _is_whole(path: Path, desired: Desired) -> bool:
    """Tell whether a file is, to the byte, what the pointer names."""
    if _length(path) != desired.length:
        return False
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest() == desired.sha256


def _move_durably(source: Path, target: Path) -> None:
    perform(Step("sync", source))
    perform(Step("rename", source, target))
    perform(Step("sync", target.parent))
