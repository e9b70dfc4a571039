"""Which engines a bundle still needs on this machine, and building them one after another."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edge_app.backends.choice import batch_of
from edge_app.backends.engine_build import BUILD_TIMEOUT_S, build_into
from edge_app.backends.engine_cache import EngineCache, EngineKey
from edge_app.backends.protocol import CLASSIFIER
from edge_app.bundle.archive import Bundle
from edge_app.bundle.manifest import Variant
from edge_app.errors import EdgeError, ModelError
from edge_app.model.variant_selection import precisions_to_try

_log = logging.getLogger(__name__)

KeyOf = Callable[[bytes, str, int], EngineKey]
"""Returns the key of a graph's engine: (model, precision, most crops in one call)."""

Percent = Callable[[float], None]
"""Called with the progress of all builds together, 0 to 100."""


class BuildGivenUp(EdgeError):
    """Nobody wants the engines any more; raised by the progress callback."""


@dataclass(frozen=True, slots=True)
class EngineJob:
    """One engine to build.

    Attributes:
        graph: its name, for people.
        model: the ONNX file's bytes.
    """

    graph: str
    model: bytes
    key: EngineKey


class EngineBuilder:
    """Builds what a bundle lacks, each engine in a child process of low priority.

    Args:
        key_of: what an engine depends on here.
        precision: the variant to begin with; None is the bundle's preferred one.
        target: a GPU that is not here, e.g. "SM86" (TensorRT-RTX only); None: this machine's.
        timeout_s: for one engine.
    """

    def __init__(
        self,
        cache: EngineCache,
        key_of: KeyOf,
        max_batch: int,
        precision: str | None = None,
        target: str | None = None,
        timeout_s: float = BUILD_TIMEOUT_S,
    ) -> None:
        self._cache, self._key_of, self._max_batch = cache, key_of, max_batch
        self._precision, self._target, self._timeout_s = precision, target, timeout_s

    def missing(self, bundle: Bundle) -> list[EngineJob]:
        """Return the engines of every variant that may come to judge, less those built before.

        Raises:
            ModelError: no GPU or no TensorRT here.
        """
        has_wanted = any(v.precision == self._precision for v in bundle.manifest.variants)
        wanted = self._precision if has_wanted else None  # as `load_for_device` does
        return [
            job
            for precision in precisions_to_try(bundle, wanted)
            for job in jobs_of(bundle, bundle.variant(precision), self._key_of, self._max_batch)
            if not self._cache.has(job.key)
        ]

    def build_missing(self, bundle: Bundle, percent: Percent) -> str:
        """Build them; return why some could not be built, "" when none is missing any more.

        Without its engine a graph runs on ONNX Runtime, or its bundle is refused, as the
        configuration says: that is decided where graphs are opened, not here.

        Raises:
            BuildGivenUp: `percent` raised it; the build in hand is ended.
        """
        try:
            jobs = self.missing(bundle)
        except ModelError as error:
            return str(error)
        failures = []
        for number, job in enumerate(jobs):
            share = _Share(number, len(jobs), percent)
            try:
                self._build(job, share)
            except ModelError as error:
                _log.warning("%s %s: no engine: %s", job.key.precision, job.graph, error)
                failures.append(f"{job.key.precision} {job.graph}: {error}")
        return "; ".join(failures)

    def _build(self, job: EngineJob, progress: _Share) -> None:
        progress("", 0.0)
        entry = build_into(
            self._cache,
            job.key,
            job.graph,
            job.model,
            progress=progress,
            timeout_s=self._timeout_s,
            compute_capability=self._target,
        )
        _log.info("%s %s: engine built in %.1f s", job.key.precision, job.graph, entry.build_s)


class _Share:
    """One build's progress as a part of all of them; it never goes back.

    The builder's phases are nested: the first that it names encloses the others.
    """

    def __init__(self, number: int, count: int, percent: Percent) -> None:
        self._number, self._count, self._percent = number, count, percent
        self._outermost = ""
        self._done = 0.0

    def __call__(self, phase: str, share: float) -> None:
        self._outermost = self._outermost or phase
        if phase == self._outermost:
            self._done = max(self._done, share)
        self._percent(100.0 * (self._number + self._done) / self._count)


def jobs_of(bundle: Bundle, variant: Variant, key_of: KeyOf, max_batch: int) -> Iterator[EngineJob]:
    """Yield every engine of a variant, built or not.

    Raises:
        ModelError: no GPU or no TensorRT here.
    """
    for graph, file in (
        ("detector", variant.detector),
        ("inspector", variant.inspector),
        (CLASSIFIER, variant.classifier),
    ):
        if file is not None:
            model = bundle.files[file]
            key = key_of(model, variant.precision, batch_of(graph, max_batch))
            yield EngineJob(graph, model, key)
