"""Making a model ready beside the one that judges: memory, signature, engines, graphs, golden set.

One background thread; the line has priority: before every golden picture it waits until the line
has caught up.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from edge_app.bundle.archive import Bundle
from edge_app.errors import BundleError, EdgeError
from edge_app.host.memory import available_mb
from edge_app.inspection.judge import Limits
from edge_app.ipc.calibration import Calibration, calibration_of
from edge_app.model.engine_jobs import BuildGivenUp, EngineBuilder, Percent
from edge_app.model.golden_check import check_golden
from edge_app.model.loaded_model import LoadedModel
from edge_app.model.open_for_device import how_signed

_log = logging.getLogger(__name__)

GIVE_WAY_S = 0.5
"""A line that never catches up delays each golden picture at most this long."""

MEMORY_RESERVE_MB = 256
"""Left for the line's own frames: a full queue of eight 10-megapixel colour pictures is 240 MB."""

ReadBundle = Callable[[str], Bundle]
"""Returns a release by its digest, verified with this process' own keys; or raises BundleError."""


@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """A loaded model.

    Attributes:
        signed: who vouches for its bundle, in words.
        pictures, latency_ms: of the golden set, as it came out in this process; 0 and None for
            the model that judged from the start.
        bundle_limits: what the model was loaded with, where a person has set other limits since;
            None: they are in force.
        calibration: the scores its limits were made from.
    """

    sha256: str
    model: LoadedModel
    signed: str
    pictures: int = 0
    latency_ms: float | None = None
    bundle_limits: Limits | None = None
    calibration: Calibration | None = None

    @classmethod
    def of(
        cls, bundle: Bundle, model: LoadedModel, pictures: int = 0, latency_ms: float | None = None
    ) -> Ready:
        """Return a bundle's loaded model with what the bundle says of it."""
        scores = bundle.variant(model.identity.precision).thresholds.calibration_scores
        return cls(
            bundle.sha256,
            model,
            how_signed(bundle),
            pictures,
            latency_ms,
            calibration=calibration_of(scores),
        )


class Loader:
    """Prepares models one after another.

    Args:
        read: see `ReadBundle`.
        load: loads a bundle's graphs, as for the model in use.
        budget_ms: slot → what one picture may take on that slot's cameras.
        is_caught_up: no frame waits for the line.
        free_mb: see `available_mb`.
        engines: builds what a candidate lacks; None where graphs run without engines.
    """

    def __init__(
        self,
        read: ReadBundle,
        load: Callable[[Bundle], LoadedModel],
        budget_ms: Callable[[str], float | None],
        is_caught_up: Callable[[], bool],
        free_mb: Callable[[], int | None] = available_mb,
        engines: EngineBuilder | None = None,
    ) -> None:
        self._read, self._load, self._budget_ms = read, load, budget_ms
        self._is_caught_up, self._free_mb = is_caught_up, free_mb
        self._engines = engines
        self._building: dict[str, threading.Event] = {}
        self._jobs: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name="model-loader", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Take no further job; a running build is cancelled, loading ends with the process."""
        self._jobs.put(None)
        self.give_up()

    def give_up(self, slot: str | None = None) -> None:
        """Cancel the engine build of a slot, or of all slots with None."""
        for wanted, is_off in list(self._building.items()):
            if slot in (None, wanted):
                is_off.set()

    def prepare(
        self,
        slot: str,
        sha256: str,
        memory_mb: int,
        loaded: Callable[[], None],
        done: Callable[[Ready | None, str], None],
        building: Percent | None = None,
    ) -> None:
        """Prepare a model; returns at once.

        Args:
            memory_mb: what it took in its self-check; 0 where that is not known.
            loaded: called when the graphs are loaded, before the golden set.
            done: called with the model, or with None and the reason; both from the own thread.
            building: called with the progress of its missing engines; None: none are built now.
        """
        build = None
        if self._engines is not None and building is not None:
            build = self._build(self._engines, slot, building)
        self._jobs.put(lambda: done(*self._attempt(slot, sha256, memory_mb, loaded, build)))

    def _build(
        self, engines: EngineBuilder, slot: str, building: Percent
    ) -> Callable[[Bundle], str]:
        """Return what builds a bundle's engines and says why some are missing; it may be given up
        from now on."""
        self._building[slot] = is_off = threading.Event()

        def tell(percent: float) -> None:
            if is_off.is_set():
                raise BuildGivenUp("the building of its engines was cancelled")
            building(percent)

        return lambda bundle: engines.build_missing(bundle, tell)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def _attempt(
        self,
        slot: str,
        sha256: str,
        memory_mb: int,
        loaded: Callable[[], None],
        build: Callable[[Bundle], str] | None,
    ) -> tuple[Ready | None, str]:
        try:
            ready = self._ready(slot, sha256, memory_mb, loaded, build)
        except (EdgeError, MemoryError) as error:
            return None, str(error) or "out of memory"
        except Exception as error:  # whatever a graph does, the active model stays active
            _log.exception("slot %s: %s cannot be prepared", slot, sha256[:12])
            return None, f"{type(error).__name__}: {error}"
        return ready, ""

    def _ready(
        self,
        slot: str,
        sha256: str,
        memory_mb: int,
        loaded: Callable[[], None],
        build: Callable[[Bundle], str] | None,
    ) -> Ready:
        self._check_memory(memory_mb)
        bundle = self._read(sha256)
        failures = build(bundle) if build is not None else ""
        model = self._load(bundle)
        if failures:
            _log.warning("slot %s: engines are missing: %s", slot, failures)
        if failures and model.shortfall:  # the build's own words say more than "there is none"
            model = replace(model, shortfall=f"not built: {failures}")
        loaded()
        result = check_golden(model, bundle, self._budget_ms(slot), self._give_way)
        if not result.is_ok:
            raise BundleError(f"self-check in the inspection process failed: {result.reason}")
        return Ready.of(bundle, model, result.pictures, result.latency_ms)

    def _check_memory(self, needed_mb: int) -> None:
        free_mb = self._free_mb()
        if free_mb is not None and free_mb < needed_mb + MEMORY_RESERVE_MB:
            raise BundleError(
                f"too little memory for a second model: {free_mb} MB are available, it takes "
                f"{needed_mb} MB and {MEMORY_RESERVE_MB} MB are kept for the line. Stop other "
                "processes, or raise the service's MemoryMax."
            )

    def _give_way(self) -> None:
        end_s = time.monotonic() + GIVE_WAY_S
        while not self._is_caught_up() and time.monotonic() < end_s:
            time.sleep(0.005)
