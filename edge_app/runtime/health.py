"""The figures of `health`: counted from the reports that pass, read every few seconds."""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from edge_app.host.age_clock import AgeClock
from edge_app.mqtt.messages import CameraHealth, Health, MessageCounts
from edge_app.mqtt.outbox import Outbox
from edge_app.mqtt.timestamps import rfc3339
from edge_app.records import FrameReport, VerdictState
from edge_app.runtime.inspection_thread import CameraPipeline

KEPT_LATENCIES = 500
"""Latest parts the percentiles are taken over."""

_THERMAL = Path("/sys/class/thermal/thermal_zone0/temp")


class CameraCounter:
    """Counts one camera's frames, parts and latencies since the start. Written by one thread."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = monotonic_s
        self._latencies_ms: deque[float] = deque(maxlen=KEPT_LATENCIES)
        self._frames = self._parts = self._ng = self._not_inspected = 0
        self._unclassified = self._suspect = 0
        self._period_frames, self._period_start_s = 0, monotonic_s()

    def count(self, report: FrameReport) -> None:
        """Take one frame's outcome in."""
        self._frames += 1
        self._unclassified += report.unclassified
        for verdict in report.finished:
            if verdict.golden:
                continue  # no production
            self._parts += 1
            self._ng += verdict.state is VerdictState.NG
            self._not_inspected += verdict.state is VerdictState.NOT_INSPECTED
            self._suspect += verdict.is_suspect
            if verdict.views_judged:
                self._latencies_ms.append(verdict.latency_ms)

    def read(self, pipeline: CameraPipeline) -> CameraHealth:
        """Return the figures; the frame rate is over the time since the last call."""
        now_s = self._now_s()
        period_s = max(now_s - self._period_start_s, 1e-3)
        rate = (self._frames - self._period_frames) / period_s
        self._period_frames, self._period_start_s = self._frames, now_s
        ordered, counts = sorted(self._latencies_ms), pipeline.grabber.counts()
        return CameraHealth(
            camera=pipeline.name,
            frames_per_second=round(rate, 2),
            latency_ms_p50=_quantile(ordered, 0.5),
            latency_ms_p95=_quantile(ordered, 0.95),
            frames=self._frames,
            frames_skipped=counts.skipped,
            frames_captured=counts.frames,
            frames_missed=counts.missed,
            frames_repeated=counts.repeated,
            frames_unusable=counts.unusable,
            frames_corrupt=counts.corrupt,
            reconnects=counts.reconnects,
            parts=self._parts,
            parts_ng=self._ng,
            parts_not_inspected=self._not_inspected,
            parts_suspect=self._suspect,
            defects_unclassified=self._unclassified,
            queue_depth=pipeline.grabber.queue_length(),
        )


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    if not ordered:
        return None
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)


def read_health(
    pipelines: Sequence[CameraPipeline],
    counters: dict[str, CameraCounter],
    outbox: Outbox,
    state_dir: Path,
    started_s: float,
    messages_dropped: int,
    clock: AgeClock,
    messages: MessageCounts | None = None,
    clock_ns: Callable[[], int] = time.time_ns,
) -> Health:
    """Return the device's figures now."""
    return Health(
        session=outbox.session,
        at=rfc3339(clock_ns()),
        uptime_s=round(time.monotonic() - started_s, 1),
        cameras=tuple(counters[p.name].read(p) for p in pipelines),
        outbox=outbox.health(),
        results_dropped=messages_dropped,
        messages=messages,
        temperature_c=_temperature_c(),
        disk_free_bytes=_disk_free_bytes(state_dir),
        clock_synchronised=clock.is_synchronised(),
        clock_jumps=clock.jumps,
    )


def _disk_free_bytes(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:  # a state folder that is gone is no reason for being silent about the rest
        return None


def _temperature_c() -> float | None:
    try:
        return int(_THERMAL.read_text()) / 1000
    except (OSError, ValueError):
        return None
