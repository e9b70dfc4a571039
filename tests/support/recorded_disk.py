"""What a program did to a folder, recorded by strace, and what a power cut leaves of it.

A write is on disk once its file was synced after it; a name once its folder was. `LossyDisk` does
the same for the agent's own steps; here it is the system calls of a whole process that count.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Loss = Literal["names_lost", "bytes_lost", "some_bytes_lost", "killed"]
"""Names and bytes that were not synced are gone; only such bytes; some of them; none."""
LOSSES: tuple[Loss, ...] = ("names_lost", "bytes_lost", "some_bytes_lost", "killed")

CALLS = (
    "openat,write,pwrite64,pwritev,writev,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,"
    "ftruncate,truncate,mkdir,mkdirat,symlink,symlinkat,link,linkat,fallocate,copy_file_range,"
    "sendfile,mmap"
)
_LINE = re.compile(r"^(?:\d+ +)?(\w+)\((.*)\) += +(\d+)")
_BYTES = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_HANDLE = re.compile(r"^(\d+)<((?:\\x[0-9a-f]{2})*)>")
SECTOR = 512


@dataclass(frozen=True)
class Event:
    """One change: `write`, `cut`, `sync`, `rename`, `remove`, `folder`, `link`, `open` or `said`.

    Attributes:
        at: offset of a write, new length of a cut; −1: at the end.
    """

    kind: str
    path: Path
    at: int = 0
    data: bytes = b""
    other: Path | None = None


def record(script: Path, folder: Path, said: Path) -> list[Event]:
    """Run a script of the tests, with FOLDER and SAID, under strace; return what it changed there.

    Args:
        said: a file outside it; what is written there comes out as `said`.
    """
    trace = said.with_name("trace")
    subprocess.run(
        ["strace", "-f", "-y", "-xx", "-s", "100000000", "-e", f"trace={CALLS}", "-o", str(trace),
         sys.executable, str(script), str(folder), str(said)],
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(script.parents[1]), *sys.path])},
        timeout=240,
    )  # fmt: skip
    return list(_events(trace, folder, said))


def _events(trace: Path, folder: Path, said: Path) -> Iterator[Event]:
    places: dict[int, int] = {}
    for line in trace.read_text(encoding="ascii").splitlines():
        assert "unfinished ..." not in line, "two threads at once: run the command single-threaded"
        found = _LINE.match(line)
        if found is None:
            continue
        call, args, result = found[1], found[2], int(found[3])
        handle = _HANDLE.match(args)
        path = _path(handle[2]) if handle else None
        texts = [_raw(text) for text in _BYTES.findall(args)]
        if path is not None and path == said and call == "write":
            yield Event("said", said, data=texts[0])
            continue
        paths = [Path(text.decode()) for text in texts[:2]] if handle is None else [path]
        if call == "openat":
            paths = [Path(texts[0].decode())]
        if not any(p is not None and p.is_relative_to(folder) for p in paths):
            continue
        yield from _event(call, args, result, handle, path, texts, places)


def _event(
    call: str,
    args: str,
    result: int,
    handle: re.Match[str] | None,
    path: Path | None,
    texts: list[bytes],
    places: dict[int, int],
) -> Iterator[Event]:
    if call == "openat":
        file, flags = Path(texts[0].decode()), args
        places[result] = -1 if "O_APPEND" in flags else 0
        if "O_CREAT" in flags:
            yield Event("open", file)
        if "O_TRUNC" in flags:
            yield Event("cut", file, 0)
    elif call == "pwrite64" and path:
        assert len(texts[0]) >= result
        yield Event("write", path, int(args.rsplit(",", 1)[1]), texts[0][:result])
    elif call == "write" and path and handle:
        place = places.get(int(handle[1]), 0)
        yield Event("write", path, place, texts[0][:result])
        places[int(handle[1])] = place if place < 0 else place + result
    elif call in ("fsync", "fdatasync") and path:
        yield Event("sync", path)
    elif call == "ftruncate" and path:
        yield Event("cut", path, int(args.rsplit(",", 1)[1]))
    elif call.startswith("rename"):
        yield Event("rename", Path(texts[0].decode()), other=Path(texts[1].decode()))
    elif call.startswith("unlink"):
        yield Event("remove", Path(texts[-1].decode()))
    elif call == "mkdir":
        yield Event("folder", Path(texts[0].decode()))
    elif call == "symlink":
        yield Event("link", Path(texts[1].decode()), other=Path(texts[0].decode()))
    elif call == "mmap":
        assert "MAP_SHARED" not in args or "PROT_WRITE" not in args, f"writes unseen: {args[:200]}"
    else:
        raise AssertionError(f"strace shows a change that this does not know: {call}")


def _raw(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _path(text: str) -> Path:
    return Path(_raw(text).decode())


@dataclass
class _File:
    synced: bytes = b""
    pending: list[Event] = field(default_factory=list)

    def seen(self, kept: list[Event] | None = None) -> bytes:
        data = bytearray(self.synced)
        for event in self.pending if kept is None else kept:
            if event.kind == "cut":
                del data[event.at :]
                data += bytes(event.at - len(data))
                continue
            at = len(data) if event.at < 0 else event.at
            data += bytes(max(0, at - len(data)))
            data[at : at + len(event.data)] = event.data
        return bytes(data)


class RecordedDisk:
    """Replays events below a folder that was empty."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._names: dict[Path, _File | Path] = {}
        self._on_disk: dict[Path, _File | Path] = {}
        self._folders = {root}

    def replay(self, event: Event) -> None:
        """Make one change so."""
        if event.kind == "folder":
            self._folders.add(event.path)
        elif event.kind == "open":
            self._names.setdefault(event.path, _File())
        elif event.kind == "link":
            assert event.other is not None
            self._names[event.path] = event.other
        elif event.kind == "rename":
            assert event.other is not None
            self._names[event.other] = self._names.pop(event.path)
        elif event.kind == "remove":
            self._names.pop(event.path, None)
        elif event.kind == "sync" and event.path in self._folders:
            kept = {p: e for p, e in self._on_disk.items() if p.parent != event.path}
            here = {p: e for p, e in self._names.items() if p.parent == event.path}
            self._on_disk = kept | here
        else:
            self._change(event)

    def _change(self, event: Event) -> None:
        file = self._names.get(event.path)
        if not isinstance(file, _File):  # of a name that is gone
            return
        if event.kind == "sync":
            file.synced, file.pending = file.seen(), []
        else:
            file.pending.append(event)

    def leave(self, loss: Loss, target: Path, rng: random.Random) -> None:
        """Write what is left after a power cut now, or after a kill."""
        for folder in self._folders:
            (target / folder.relative_to(self._root)).mkdir(parents=True, exist_ok=True)
        names = self._on_disk if loss == "names_lost" else self._names
        for path, entry in names.items():
            place = target / path.relative_to(self._root)
            if isinstance(entry, Path):
                place.symlink_to(entry)
                continue
            kept: list[Event] = []
            if loss == "killed":
                kept = entry.pending
            elif loss == "some_bytes_lost":
                kept = [part for e in entry.pending for part in _sectors(e) if rng.random() < 0.5]
            place.write_bytes(entry.seen(kept))


def _sectors(event: Event) -> Iterator[Event]:
    """Yield a write's sectors: a disk writes each whole or not at all, in any order."""
    if event.kind == "cut" or event.at < 0:
        yield event
        return
    start = 0
    while start < len(event.data):
        size = SECTOR - (event.at + start) % SECTOR
        yield Event("write", event.path, event.at + start, event.data[start : start + size])
        start += size
