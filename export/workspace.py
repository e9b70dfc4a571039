"""The folder beside the bundle where a build keeps what each step found, so that it can resume.

A step is done when its `done.json` names the same key, the step's own settings and the keys of
all steps before it, and holds a record of the step's type. Anything else is done again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from edge_app.records import JsonObject
from export.folder_lock import FolderLock, lock_folder

Record = TypeVar("Record")

FORMAT = 3
"""Of what the steps keep; a work folder of another format is done again."""

OnProgress = Callable[[str, float], None]
"""Called with what is being done and the share of it that is done, 0..1."""

OnStep = Callable[[str, str, float], None]
"""Called with (step, text, share of the step that is done, 0..1)."""


@dataclass(slots=True)
class Workspace:
    """Runs a build's steps in order, each in a folder of its own.

    Attributes:
        folder: everything lies below it; may be deleted after the build.
        report: shows progress.
        timings_s: step → seconds of this run; 0.0 where an earlier run's result was taken.
    """

    folder: Path
    report: OnStep
    timings_s: dict[str, float] = field(default_factory=dict)
    _chain: str = ""
    _lock: FolderLock | None = None

    def lock(self) -> None:
        """Keep other processes out for as long as this workspace is used.

        Raises:
            DataError: another build works here.
        """
        self._lock = lock_folder(self.folder)

    def step(
        self,
        name: str,
        settings: JsonObject,
        record: type[Record],
        work: Callable[[Path, OnProgress], Record],
    ) -> tuple[Path, Record]:
        """Do a step, or take its earlier result.

        Args:
            name: the step's folder.
            settings: what its result depends on besides the steps before it; JSON values.
            record: what the step keeps: a dataclass whose fields are JSON values, other such
                dataclasses or pydantic models.
            work: gets an empty folder and a progress callback, returns the record.

        Returns:
            The step's folder and its record, as a resumed build reads it.
        """
        key = self._key(name, settings)
        folder = self.folder / name
        done = folder / "done.json"
        started = time.monotonic()
        kept = TypeAdapter(record)
        result = _earlier_result(done, key, kept)
        if result is None:
            self.report(name, "", 0.0)
            # A step may leave a checkpoint under its key; anything of another key goes.
            if (folder / "key").exists() and (folder / "key").read_text() != key:
                shutil.rmtree(folder)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "key").write_text(key)
            fresh = work(folder, lambda text, share: self.report(name, text, share))
            plain = json.loads(json.dumps(kept.dump_python(fresh, mode="json")))
            _write_whole(done, {"key": key, "result": plain})
            result = kept.validate_python(plain)
            self.timings_s[name] = time.monotonic() - started
        else:
            self.timings_s[name] = 0.0
        self.report(name, "done", 1.0)
        self._chain = key
        return folder, result

    def branch(self, name: str, report: OnStep | None = None) -> Workspace:
        """Return a workspace in the folder `name` below this one, for steps beside each other.

        Its first step depends on the steps done here so far; nothing done there changes this one.

        Args:
            report: shows the branch's progress; None: as this one does.
        """
        inside = self.folder / name
        return Workspace(inside, report or self.report, _chain=self._chain, _lock=self._lock)

    def _key(self, name: str, settings: JsonObject) -> str:
        text = json.dumps([FORMAT, self._chain, name, settings], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def _earlier_result(done: Path, key: str, kept: TypeAdapter[Record]) -> Record | None:
    try:
        saved: dict[str, Any] = json.loads(done.read_text())
        return kept.validate_python(saved["result"]) if saved["key"] == key else None
    except (OSError, ValueError, KeyError, ValidationError):
        return None


def _write_whole(path: Path, content: JsonObject) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content))
    partial.replace(path)
