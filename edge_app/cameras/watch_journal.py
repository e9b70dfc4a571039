"""Which of a watched folder's files were shown, under which number; survives a power cut."""

from __future__ import annotations

import json
import os
import stat
from bisect import bisect_left
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from edge_app.errors import CameraUnavailable
from edge_app.store.durable_write import Step, perform

JOURNAL = ".edge-app-watch.jsonl"
MAX_NUMBER = 2**62
"""No camera shows so many pictures; the outbox cannot hold a number beyond 2^63."""


@dataclass(frozen=True, slots=True)
class FileVersion:
    """One content of one file: written again, it has another time."""

    name: str
    mtime_ns: int

    def age_key(self) -> tuple[int, str]:
        """Sorts oldest first."""
        return self.mtime_ns, self.name


class WatchJournal:
    """One line per shown file: number, name, time; deleted files are forgotten at opening.

    Args:
        folder: the watched folder; the journal lies in it, hidden.
        finished: the last number that got its verdict; what the journal has behind it is to be
            shown again.

    Raises:
        CameraUnavailable: the folder cannot be written to, or something else has the journal's
            name.
    """

    def __init__(self, folder: Path, finished: int) -> None:
        self._path = folder / JOURNAL
        entries = [e for e in self._read() if e[0] > finished or _is_there(folder / e[1].name)]
        self._seen = {version for _, version in entries}
        self._unfinished = deque(entry for entry in entries if entry[0] > finished)
        self._last_number = max([finished, *(number for number, _ in entries)])
        try:
            self._file: TextIO = self._rewrite(entries)
        except OSError as error:
            raise CameraUnavailable(
                f"The folder {folder} cannot be written to ({error.strerror}). The list of the "
                f"pictures shown is kept there, in {JOURNAL}: give this user the right to write."
            ) from error

    def has(self, version: FileVersion) -> bool:
        """Tell whether this content was shown."""
        return version in self._seen

    def next_unfinished(self) -> tuple[int, FileVersion] | None:
        """Return what was shown before a crash and never judged, oldest first; each once."""
        return self._unfinished.popleft() if self._unfinished else None

    def add(self, version: FileVersion) -> int:
        """Note a file as shown and return its number; on disk when this returns."""
        self._last_number += 1
        self._seen.add(version)
        try:
            self._file.write(_line(self._last_number, version))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise CameraUnavailable(
                f"{self._path} cannot be written: {error.strerror}. Make room on its disk."
            ) from error
        return self._last_number

    def close(self) -> None:
        self._file.close()

    def _read(self) -> list[tuple[int, FileVersion]]:
        """Return the entries; lines that a power cut or a bad disk damaged are passed over."""
        try:
            if not stat.S_ISREG(self._path.stat().st_mode):
                raise CameraUnavailable(
                    f"{self._path} is no plain file; the list of the pictures shown is kept there. "
                    "Remove it."
                )
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise CameraUnavailable(
                f"{self._path} cannot be read: {error.strerror}. The list of the pictures shown is "
                "kept there: give this user the right to read it."
            ) from error
        entries = [entry for line in lines if (entry := _entry(line)) is not None]
        return _in_order(entries)

    def _rewrite(self, entries: list[tuple[int, FileVersion]]) -> TextIO:
        """Write what is still needed and return the file, open for more."""
        new = self._path.with_suffix(".new")
        with new.open("w", encoding="utf-8") as file:
            file.writelines(_line(number, version) for number, version in entries)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)
        with suppress(OSError):  # some network shares sync no folders
            perform(Step("sync", self._path.parent))
        return self._path.open("a", encoding="utf-8")


def _entry(line: bytes) -> tuple[int, FileVersion] | None:
    """Return what a line says, None if that cannot be."""
    try:
        number, name, mtime_ns = json.loads(line)
    except (ValueError, TypeError, RecursionError):
        return None
    is_whole = type(number) is int and type(mtime_ns) is int and isinstance(name, str)
    if not is_whole or not 0 < number <= MAX_NUMBER or Path(name).name != name:
        return None
    return number, FileVersion(name, mtime_ns)


def _in_order(entries: list[tuple[int, FileVersion]]) -> list[tuple[int, FileVersion]]:
    """Return the most entries whose numbers grow: numbers were given out in this order.

    What is left out has a damaged number, or stands where it was not written. Its file counts as
    not shown: a part judged twice costs less than one that nobody judges.
    """
    lowest: list[int] = []  # of the chains of each length, the lowest last number
    ends: list[int] = []  # where that number stands
    before: list[int | None] = []
    for place, (number, _) in enumerate(entries):
        length = bisect_left(lowest, number)
        before.append(ends[length - 1] if length else None)
        lowest[length : length + 1] = [number]
        ends[length : length + 1] = [place]
    chain, at = [], ends[-1] if ends else None
    while at is not None:
        chain.append(entries[at])
        at = before[at]
    return chain[::-1]


def _is_there(file: Path) -> bool:
    try:
        return file.exists()
    except OSError:  # a name that no file can have
        return False


def _line(number: int, version: FileVersion) -> str:
    return json.dumps([number, version.name, version.mtime_ns]) + "\n"
