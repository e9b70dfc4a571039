"""Which of a watched folder's files were shown, under which number; survives a power cut."""

from __future__ import annotations

import json
import os
import stat
from bisect import bisect_left
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from edge_app.errors import CameraUnavailable
from edge_app.records import JsonObject
from edge_app.store.durable_write import Step, perform

JOURNAL = ".edge-app-watch.jsonl"
MAX_NUMBER = 2**62
"""No camera shows so many pictures; the outbox cannot hold a number beyond 2^63."""


@dataclass(frozen=True, slots=True)
class FileVersion:
    """One content of one file: written again, it has another time, or at least other bytes.

    Attributes:
        size: in bytes; -1 in a journal of 0.1.0, which kept none.
        digest: of the whole file, "" where it has not been read or was not kept.
    """

    name: str
    mtime_ns: int
    size: int = -1
    digest: str = ""

    def age_key(self) -> tuple[int, str]:
        """Sorts oldest first."""
        return self.mtime_ns, self.name


class WatchJournal:
    """What was shown, two lines a file: number, name and time; size and digest.

    Deleted files are forgotten at opening.

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
        self._seen: dict[tuple[str, int], list[FileVersion]] = {}
        for _, version in entries:
            self._remember(version)
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
        """Tell whether this content was shown; without a digest, size and time decide."""
        return any(
            shown.size in (-1, version.size)
            and (not version.digest or shown.digest in ("", version.digest))
            for shown in self._seen.get((version.name, version.mtime_ns), [])
        )

    def is_new(self, version: FileVersion, newest: int) -> bool:
        """Tell whether a file is among the `newest` shown ones, whose content may have changed
        within its time; of an entry without a digest there is nothing to compare."""
        latest = list(self._seen)[-newest:]
        known = self._seen.get((version.name, version.mtime_ns), [])
        return (version.name, version.mtime_ns) in latest and any(k.digest for k in known)

    def _remember(self, version: FileVersion) -> None:
        self._seen.setdefault((version.name, version.mtime_ns), []).append(version)

    def next_unfinished(self) -> tuple[int, FileVersion] | None:
        """Return what was shown before a crash and never judged, oldest first; each once."""
        return self._unfinished.popleft() if self._unfinished else None

    def add(self, version: FileVersion) -> int:
        """Note a file as shown and return its number; on disk when this returns."""
        self._last_number += 1
        self._remember(version)
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
        return _in_order(_entries(lines))

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


def _entries(lines: list[bytes]) -> list[tuple[int, FileVersion]]:
    """Return what the lines say; what cannot be is passed over."""
    entries: list[tuple[int, FileVersion]] = []
    for line in lines:
        try:
            found = json.loads(line)
        except (ValueError, TypeError, RecursionError):
            continue
        if isinstance(found, dict):
            if entries:
                entries[-1] = _with_content(entries[-1], found)
        elif (entry := _entry(found)) is not None:
            entries.append(entry)
    return entries


def _entry(found: object) -> tuple[int, FileVersion] | None:
    """Return what a line's first form says, None if that cannot be."""
    if not isinstance(found, list) or len(found) != 3:
        return None
    number, name, mtime_ns = found
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


def _with_content(entry: tuple[int, FileVersion], found: JsonObject) -> tuple[int, FileVersion]:
    """Return an entry with size and digest, if the line behind it is about the same number."""
    number, version = entry
    content = found.get("content")
    if found.get("of") != number or not isinstance(content, list) or len(content) != 2:
        return entry
    size, digest = content
    if type(size) is not int or not isinstance(digest, str):
        return entry
    return number, replace(version, size=size, digest=digest)


def _line(number: int, version: FileVersion) -> str:
    """Return an entry's lines: 0.1.0 reads the first and passes over the second, which must not
    have three members."""
    lines = json.dumps([number, version.name, version.mtime_ns]) + "\n"
    if version.size >= 0:
        lines += json.dumps({"of": number, "content": [version.size, version.digest]}) + "\n"
    return lines
