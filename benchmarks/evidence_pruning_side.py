"""One arm of `evidence_pruning`, in a process of its own: the `edge_app` on PYTHONPATH is measured.

    evidence_pruning_side.py before|after FOLDER BUNDLE EXPIRED FRAMES PERIOD_MS

`before` is release 0.1.0, whose modules have other names. Prints one JSON object: times in ms of
`inspect` alone and of `inspect` with storing its events, per frame, and how long pruning took.
"""

from __future__ import annotations

import importlib
import itertools
import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

FILE_BYTES = 20_000
"""Of an expired picture. Real ones have 100 to 500 kB; ten thousand of those would fill disks that
the measurement should not depend on."""

HOUR_S = 3600.0


@dataclass(slots=True)
class Arm:
    """What the measurement needs of either code."""

    inspect: Callable[[Any], Any]
    deliver: Callable[[Any], None]
    prune: Callable[[], None]
    is_pruned: Callable[[], bool]
    close: Callable[[], None]


class Clock:
    """Wall clock for the store; jumps ahead to let everything expire at once."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


def main() -> None:
    """Fill the store, let its pictures expire, and judge bad parts while they are deleted."""
    name, folder, bundle, expired, frames, period_ms = sys.argv[1:7]
    cv2.setNumThreads(1)
    store = Path(folder) / "evidence"
    fill(store, int(expired))
    clock = Clock()
    make = {"before": before, "after": after}[name]
    arm = make(Path(folder), Path(bundle), clock, int(expired))
    shots = bad_frames(int(frames) + 5)
    for frame in shots[:5]:  # buffers that grow once
        arm.deliver(arm.inspect(frame))
    time.sleep(0.5)
    clock.ahead_s = 48 * HOUR_S if int(expired) else 0.0
    print(json.dumps(measured(arm, shots[5:], float(period_ms) / 1e3)))
    arm.close()


def fill(store: Path, count: int) -> None:
    """Write pictures as the store names them."""
    day = store / time.strftime("%Y-%m-%d", time.gmtime())
    day.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (day / f"cam-1-{number:06d}.jpg").write_bytes(b"\xff" * FILE_BYTES)


def bad_frames(count: int) -> list[Any]:
    """Return simulated pictures of one part each."""
    settings = _of("simulator.config").SimulatorConfig(product="tapered", seed=44)
    line = _of("simulator.scene").good_line(settings)
    frame = _of("records").Frame
    return [
        frame("cam", n, line.single(n)[0], time.time_ns(), source_number=n)
        for n in range(1, count + 1)
    ]


def measured(arm: Arm, shots: list[Any], period_s: float) -> dict[str, Any]:
    """Start pruning and judge one frame per period, as a camera would deliver them."""
    inspects: list[float] = []
    together: list[float] = []
    started_s = time.perf_counter()
    arm.prune()
    for number, frame in enumerate(shots):
        time.sleep(max(0.0, started_s + number * period_s - time.perf_counter()))
        before_s = time.perf_counter()
        report = arm.inspect(frame)
        inspected_s = time.perf_counter()
        arm.deliver(report)
        assert report.finished[0].state == "NG", report.finished[0]
        inspects.append((inspected_s - before_s) * 1e3)
        together.append((time.perf_counter() - before_s) * 1e3)
    while not arm.is_pruned():
        time.sleep(0.005)
    pruned_s = time.perf_counter() - started_s
    return {"inspect_ms": inspects, "with_deliver_ms": together, "pruned_s": pruned_s}


def before(folder: Path, bundle: Path, clock: Clock, expired: int) -> Arm:
    """Return release 0.1.0: `inspect` writes the picture, the main thread prunes every 5 s."""
    store = _of("evidence").EvidenceStore(*_limits(folder), clock)
    models, outbox = _of("model"), _outbox(folder)
    line = _line(
        models, _of("bundle").read_bundle(bundle),
        lambda frame, view, _anomaly: store.save(view.part_id, frame.pixels_hwc),
    )  # fmt: skip
    sink = _of("alarm_sink").AlarmSink(_who(), outbox, None, lambda: True, {"cam": 1.0})
    pruning = threading.Thread(target=store.prune)
    return Arm(
        inspect=line.inspect,
        deliver=lambda report: sink.deliver("cam", report.events, None),
        prune=pruning.start,
        is_pruned=lambda: not pruning.is_alive() and store.stats().expired >= expired,
        close=outbox.close,
    )


def after(folder: Path, bundle: Path, clock: Clock, expired: int) -> Arm:
    """Return the code of today: a worker writes and prunes, beginning when it starts."""
    ages = _of("host.age_clock").AgeClock(clock, clock, lambda: True, 0)
    store = _of("alerts.evidence").EvidenceStore(*_limits(folder), ages)
    models, outbox = _of("model.loaded_model"), _outbox(folder)
    line = _line(models, _of("bundle.archive").read_bundle(bundle))
    worker = _of("alerts.evidence_worker").EvidenceWorker(store)
    drafts = _of("alerts.alert_drafts").AlertDrafts(_who(), lambda: True)
    sink = _of("alerts.alarm_sink").AlarmSink(drafts, outbox, None, {"cam": 1.0}, worker)

    def close() -> None:
        worker.stop()
        outbox.close()

    return Arm(
        inspect=line.inspect,
        deliver=lambda report: sink.deliver("cam", report.events, None),
        prune=worker.start,
        is_pruned=lambda: store.stats().expired >= expired,
        close=close,
    )


def _of(module: str) -> Any:
    return importlib.import_module(f"edge_app.{module}")


def _limits(folder: Path) -> tuple[Path, float, int, int, str]:
    """Return folder, age in hours, bytes, JPEG quality (the default) and URL."""
    return folder / "evidence", 24.0, 10 << 30, 90, "http://x"


def _who() -> Any:
    return _of("mqtt.topics").DeviceName("site", "line", "device")


def _outbox(folder: Path) -> Any:
    return _of("mqtt.outbox").Outbox(folder / "outbox.sqlite", reserve_bytes=0)


def _line(models: Any, bundle: Any, *keep_evidence: Any) -> Any:
    """Return the line of a bundle for which every part is NG."""
    model = models.load_model(bundle, threads=1)
    limits = type(model.limits)(-1e6, model.limits.map_threshold, "all-bad")
    tracker = models.OnePartPerFrame("cam-1", model.fills_frame)
    ids = (f"alarm-{n}" for n in itertools.count(1))
    return models.make_line(
        model.with_limits(limits), "cam", tracker, lambda: next(ids), *keep_evidence
    )


if __name__ == "__main__":
    main()
