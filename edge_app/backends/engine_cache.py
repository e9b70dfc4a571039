"""Engines kept on disk, so that TensorRT builds each of them once.

An engine fits one GPU, one TensorRT and one graph only. All of that is its key, kept beside it as
JSON, so that after a system update it is ignored instead of crashing, and the reason is known.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from edge_app.backends.cuda_driver import Gpu
from edge_app.errors import ModelError
from edge_app.host.file_ownership import give_to_owner, make_folder

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_log = logging.getLogger(__name__)

FORMAT = 1
"""Of the JSON file beside an engine; other versions are not read."""


@dataclass(frozen=True, slots=True)
class EngineKey:
    """All that an engine depends on.

    Attributes:
        onnx_sha256: of the graph's bytes.
        library: the TensorRT module's name.
        version: of TensorRT.
        gpu: name.
        compute_capability: e.g. "8.7".
        precision: of the bundle's variant; decides on TF32.
        max_batch: most crops in one call.
    """

    onnx_sha256: str
    library: str
    version: str
    gpu: str
    compute_capability: str
    precision: str
    max_batch: int

    def digest(self) -> str:
        """Return 16 hexadecimal digits that identify the whole key."""
        text = json.dumps([FORMAT, asdict(self)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Entry:
    """One engine on disk.

    Attributes:
        graph: the graph's name, for people ("detector", "inspector").
        plan_sha256: of the engine's bytes.
        build_s: how long the build took, seconds.
    """

    key: EngineKey
    graph: str
    plan_sha256: str
    length: int
    build_s: float


@functools.cache
def _entry_type() -> TypeAdapter[Entry]:
    """Return what checks an entry; made when one is read, since --help reads none."""
    from pydantic import TypeAdapter

    return TypeAdapter(Entry)


def engine_key(
    model: bytes, library: str, version: str, gpu: Gpu, precision: str, max_batch: int
) -> EngineKey:
    """Return the key of a graph's engine on this machine."""
    names = gpu.name, gpu.compute_capability
    return EngineKey(graph_digest(model), library, version, *names, precision, max_batch)


def graph_digest(model: bytes) -> str:
    """Return the sha256 of a graph's bytes, as keys have it."""
    return hashlib.sha256(model).hexdigest()


class EngineCache:
    """A folder of engines. One process writes; readers see complete files only.

    Args:
        folder: made when the first engine is stored.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, key: EngineKey) -> bytes:
        """Return the engine for `key`, its bytes checked.

        Raises:
            ModelError: there is none; says which other one there is and how it differs.
        """
        entry = self._entry(self._about(key))
        if entry is None or entry.key != key:
            raise ModelError(self._why_void(key))
        try:
            plan = self._plan(key).read_bytes()
        except OSError as error:
            raise ModelError(
                f"The engine {self._plan(key).name} cannot be read ({error.strerror}). {BUILD}"
            ) from error
        if hashlib.sha256(plan).hexdigest() != entry.plan_sha256:
            raise ModelError(
                f"The engine {self._plan(key).name} is damaged: its bytes are not those that were "
                f"built. {BUILD}"
            )
        return plan

    def has(self, key: EngineKey) -> bool:
        """Tell whether the engine for `key` is there, its bytes undamaged."""
        try:
            self.load(key)
        except ModelError:
            return False
        return True

    def store(self, key: EngineKey, graph: str, plan: bytes, build_s: float) -> Entry:
        """Keep an engine; readers see it when it is complete.

        Raises:
            ModelError: the folder cannot be written.
        """
        entry = Entry(key, graph, hashlib.sha256(plan).hexdigest(), len(plan), round(build_s, 1))
        about = json.dumps({"format": FORMAT, **asdict(entry)}, indent=1).encode()
        try:
            make_folder(self.folder)
            _write_whole(self._plan(key), plan)
            _write_whole(self._about(key), about)  # last: without it the engine is ignored
        except OSError as error:
            raise ModelError(
                f"The engine cache {self.folder} cannot be written ({error.strerror}): the engine "
                "would be built again at every start. Give the service a writable "
                "runtime.engine_dir with room for it."
            ) from error
        return entry

    def entries(self) -> list[Entry]:
        """Return every engine that is complete, by graph and key."""
        found = [self._entry(file) for file in sorted(self.folder.glob("*.json"))]
        return sorted((e for e in found if e), key=lambda e: (e.graph, e.key.digest()))

    def prune(self, keep: Callable[[EngineKey], bool]) -> list[Path]:
        """Remove every engine not to be kept, and left-overs; return what was removed."""
        wanted = {e.key.digest() for e in self.entries() if keep(e.key)}
        removed = []
        for file in sorted(self.folder.glob("*")):
            is_engine = file.suffix in {".plan", ".json", ".partial"}
            if is_engine and file.name.split(".")[0] not in wanted:
                file.unlink(missing_ok=True)
                removed.append(file)
        return removed

    def timing_cache_file(self, key: EngineKey) -> Path:
        """Return where the builder's timings for this GPU and TensorRT are kept."""
        names = json.dumps([key.library, key.version, key.gpu, key.compute_capability])
        return self.folder / f"{hashlib.sha256(names.encode()).hexdigest()[:16]}.timing"

    def store_timings(self, key: EngineKey, timings: bytes) -> None:
        """Store the builder's timings completely or not at all; without them builds are slower."""
        try:
            _write_whole(self.timing_cache_file(key), timings)
        except OSError as error:
            _log.warning("the builder's timings cannot be kept (%s)", error.strerror)

    def _plan(self, key: EngineKey) -> Path:
        return self.folder / f"{key.digest()}.plan"

    def _about(self, key: EngineKey) -> Path:
        return self.folder / f"{key.digest()}.json"

    def _entry(self, file: Path) -> Entry | None:
        """Return the entry of a JSON file; None if it is missing, foreign or half written."""
        try:
            content = json.loads(file.read_bytes())
            if content.pop("format") != FORMAT or not file.with_suffix(".plan").is_file():
                return None
            return _entry_type().validate_python(content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    def _why_void(self, key: EngineKey) -> str:
        """Return a sentence on the nearest engine of the same graph, if there is one."""
        others = [e.key for e in self.entries() if e.key.onnx_sha256 == key.onnx_sha256]
        if not others:
            return f"No engine was built for this graph yet. {BUILD}"
        nearest = min(others, key=lambda other: len(differences(other, key)))
        changes = ", ".join(f"{n}: {a}, now {b}" for n, a, b in differences(nearest, key))
        return f"The engine on disk was built for another machine state ({changes}). {BUILD}"


OPENVINO = "openvino"
"""The library of what `openvino.py` compiles and keeps here by itself."""

BUILD = "Build it: edge-app engine build --config FILE."


def differences(old: EngineKey, new: EngineKey) -> list[tuple[str, object, object]]:
    """Return (name, old, new) of every field in which two keys differ."""
    pairs = ((f.name, getattr(old, f.name), getattr(new, f.name)) for f in fields(EngineKey))
    return [pair for pair in pairs if pair[1] != pair[2]]


def total_mb(entries: Iterable[Entry]) -> float:
    """Return what engines take on disk, in MB (2^20 bytes)."""
    return sum(e.length for e in entries) / (1 << 20)


def _write_whole(file: Path, content: bytes) -> None:
    partial = file.with_name(file.name + ".partial")
    with partial.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    give_to_owner(partial)
    partial.replace(file)
