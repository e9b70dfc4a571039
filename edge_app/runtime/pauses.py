"""Which cameras a person has paused, and until when; kept over a restart.

A pause is measured on the monotonic clock, which nobody sets. After a restart of the machine only
the wall clock is left: if it does not lie between the pause's begin and end, the pause is over,
because inspecting too early is the lesser fault.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_app.audit.records import Head, heads_in
from edge_app.host.boot import boot_id
from edge_app.host.small_file import read_state
from edge_app.store.durable_write import perform, write_durably

_log = logging.getLogger(__name__)

PAUSES_FILE = "pauses.json"
"""Its name in the state folder."""

FORMAT = "cropliq-pauses/1"
PAUSED, RESUMED, ENDED = "pause", "resumed", "pause_ended"
"""Events of the audit."""

MAX_FILE_BYTES = 1 << 20
MOST_NS = 480 * 60 * 10**9


class Pause(BaseModel):
    """One camera's pause.

    Attributes:
        began_ns, until_ns: by the wall clock, ns since the epoch.
        until_monotonic_ns: by the clock of the boot `boot`.
        why: the person's words.
    """

    model_config = ConfigDict(defer_build=True, frozen=True, extra="ignore")

    camera: str = Field(min_length=1, max_length=64)
    began_ns: int = Field(ge=0, lt=2**63)
    until_ns: int = Field(ge=0, lt=2**63)
    until_monotonic_ns: int = Field(ge=0, lt=2**63)
    boot: str = Field(max_length=40)
    why: str = Field(max_length=500)


class _File(BaseModel):
    model_config = ConfigDict(defer_build=True, frozen=True, extra="ignore")

    format: str
    audit_head: str
    pauses: tuple[Pause, ...] = Field(max_length=1000)


@dataclass(frozen=True, slots=True)
class PauseClocks:
    """What a pause knows of time; tests pass their own."""

    monotonic_ns: Callable[[], int] = time.monotonic_ns
    wall_ns: Callable[[], int] = time.time_ns
    boot: Callable[[], str] = boot_id


class PauseBook:
    """The pauses, and the file that holds them.

    Args:
        path: the file; a damaged one is made anew from the audit.
        cameras: the configured ones; pauses of others are dropped.

    Attributes:
        head: the audit's record that the pauses follow from.
    """

    def __init__(
        self, path: Path, cameras: Collection[str], clocks: PauseClocks = PauseClocks()
    ) -> None:
        self._path, self._cameras, self._clocks = path, frozenset(cameras), clocks
        self.head = Head()
        self._pauses: dict[str, Pause] = {}
        self._ended: dict[str, Pause] = {}
        self._read()

    def current(self) -> dict[str, Pause]:
        """Return camera → pause, of those that are paused."""
        return dict(self._pauses)

    def planned(self, cameras: Iterable[str], minutes: int, why: str) -> list[Pause]:
        """Return pauses from now on, or that go on from now; nothing is changed yet."""
        length_ns = minutes * 60 * 10**9
        now_ns, monotonic_ns = self._clocks.wall_ns(), self._clocks.monotonic_ns()
        return [
            Pause(
                camera=camera,
                began_ns=before.began_ns if (before := self._pauses.get(camera)) else now_ns,
                until_ns=now_ns + length_ns,
                until_monotonic_ns=monotonic_ns + length_ns,
                boot=self._clocks.boot(),
                why=why,
            )
            for camera in cameras
        ]

    def over(self) -> list[Pause]:
        """Return the pauses whose time is over and that are to be ended."""
        return [p for p in self._pauses.values() if self.left_ns(p) <= 0]

    def ended(self) -> list[Pause]:
        """Return the pauses that have ended, but stay in the file; see `end`."""
        return list(self._ended.values())

    def left_ns(self, pause: Pause) -> int:
        """Return how long a pause still lasts, ns; 0 when it is over."""
        if pause.boot and pause.boot == self._clocks.boot():
            left_ns = pause.until_monotonic_ns - self._clocks.monotonic_ns()
        else:
            now_ns = self._clocks.wall_ns()
            is_within = pause.began_ns <= now_ns < pause.until_ns
            left_ns = pause.until_ns - now_ns if is_within else 0
        return left_ns if 0 < left_ns <= MOST_NS else 0

    def follow(self, records: Iterable[Mapping[str, Any]], settled: Collection[Pause] = ()) -> None:
        """Take records of the audit in, in their order, and keep the outcome.

        Args:
            settled: pauses whose end stands in the audit, before these records.
        """
        for pause in settled:
            if self._ended.get(pause.camera) == pause:
                del self._ended[pause.camera]
        for record in records:
            self._take(record)
        self._write()

    def end(self, pause: Pause) -> None:
        """A pause's time is over. The file keeps it until the audit has its end: a process that is
        killed in between leaves it to the next one, which finds it over and records that."""
        if self._pauses.get(pause.camera) == pause:
            self._ended[pause.camera] = self._pauses.pop(pause.camera)

    def _take(self, record: Mapping[str, Any]) -> None:
        self.head = Head(str(record["hash"]), int(record["seq"]))
        event, new = record.get("event"), record.get("new")
        if event not in (PAUSED, RESUMED, ENDED) or not isinstance(new, dict):
            return
        if event != PAUSED:
            for camera in new.get("cameras", ()):
                self._pauses.pop(camera, None)
                self._ended.pop(camera, None)
            return
        for found in new.get("pauses", ()):
            try:
                pause = Pause.model_validate(found)
            except ValidationError as error:
                _log.error("record %s of the audit holds no pause: %s", record["seq"], error)
                continue
            if pause.camera in self._cameras:
                self._pauses[pause.camera] = pause

    def _read(self) -> None:
        data = read_state(self._path, "pauses", MAX_FILE_BYTES)
        if data is None:
            return
        found, self.head = pauses_in(data)
        self._pauses = {p.camera: p for p in found if p.camera in self._cameras}

    def _write(self) -> None:
        kept = tuple({**self._ended, **self._pauses}.values())
        file = _File(format=FORMAT, audit_head=str(self.head), pauses=kept)
        try:
            data = file.model_dump_json(indent=1).encode()
            write_durably(perform, self._path, data, is_private=True)
        except OSError as error:
            _log.error(
                "the pauses are not written to %s, the audit has them: %s", self._path, error
            )


def pauses_in(data: bytes) -> tuple[tuple[Pause, ...], Head]:
    """Return a file's pauses and its head; nothing of a damaged one."""
    try:
        file = _File.model_validate_json(data)
    except (ValidationError, RecursionError) as error:
        _log.error("the pauses' file is damaged, they are taken from the audit: %s", error)
        return (), Head()
    heads = heads_in(file.audit_head)
    if file.format != FORMAT or not heads:
        return (), Head()
    return file.pauses, heads[0]
