"""A disk that forgets what was not synced: replays steps, and makes the trees a power cut leaves.

The two worst cases. `names_lost`: no folder entry is on disk before its folder was synced.
`bytes_lost`: every entry is, but files not synced themselves are empty. Nothing is taken for
granted that POSIX does not promise; a real file system keeps more.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge_app.store.durable_write import Step

Loss = Literal["names_lost", "bytes_lost"]


@dataclass
class File:
    """One file's bytes, as programs see them and as they are on disk."""

    seen: bytes
    synced: bytes = b""


Entry = File | Path
"""A file, or where a symbolic link points."""


class LossyDisk:
    """Replays the steps made below a folder.

    Args:
        root: as it is now; all of it is taken to be on disk.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._seen: dict[Path, Entry] = {}
        self._folders = {root}
        for path in root.rglob("*"):
            if path.is_symlink():
                self._seen[path] = path.readlink()
            elif path.is_dir():
                self._folders.add(path)
            else:
                self._seen[path] = File(path.read_bytes(), path.read_bytes())
        self._on_disk = dict(self._seen)

    def replay(self, step: Step, source: bytes = b"") -> None:
        """Make one step so; `source` is what a copy read."""
        if step.kind in ("write", "copy"):
            file = self._seen.setdefault(step.path, File(b""))
            assert isinstance(file, File)
            file.seen = step.data or source
        elif step.kind == "rename":
            assert step.other is not None
            self._seen[step.other] = self._seen.pop(step.path)
        elif step.kind == "link":
            assert step.other is not None
            self._seen[step.path] = step.other
        elif step.kind == "remove":
            self._seen.pop(step.path, None)
        elif step.kind == "make_folder":
            self._folders.add(step.path)
        elif step.path in self._folders:
            self._sync_folder(step.path)
        else:
            file = self._seen[step.path]
            assert isinstance(file, File)
            file.synced = file.seen

    def _sync_folder(self, folder: Path) -> None:
        kept = {p: e for p, e in self._on_disk.items() if p.parent != folder}
        self._on_disk = kept | {p: e for p, e in self._seen.items() if p.parent == folder}

    def leave(self, loss: Loss, target: Path) -> None:
        """Write what is left after a power cut now."""
        for folder in self._folders:
            (target / folder.relative_to(self._root)).mkdir(parents=True, exist_ok=True)
        entries = self._on_disk if loss == "names_lost" else self._seen
        for path, entry in entries.items():
            place = target / path.relative_to(self._root)
            if isinstance(entry, Path):
                place.symlink_to(entry)
            else:
                place.write_bytes(entry.synced)
