"""The latest copies of the line's results: all that the page sees of it.

The line writes, the page's threads read. Writing stores references under a lock that is never
held while a picture is drawn or a client is served, so no reader can slow the line.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from edge_app.imaging.overlay import PlacedMap, carry_maps
from edge_app.page.counters import LineCounters
from edge_app.records import AlarmEvent, FrameReport, JsonObject, PartVerdict
from edge_app.shown_state import CameraFacts, ShownState, shown_state

MAX_ALERTS = 20

_URGENCY = {"OK": 0, "NOT_INSPECTED": 2, "NG": 3}
_SUSPECT_URGENCY = 1

STARTING = shown_state(CameraFacts())


@dataclass(slots=True)
class CameraView:
    """One camera as the page sees it.

    Attributes:
        report: the result of the latest frame that has a picture.
        sequence: grows by one with every new picture.
        shown_at_s: when it arrived, on the state's monotonic clock.
        verdict: of the last part; an NG part still in the picture comes first.
        maps: by part id, the latest map of every part still in the picture.
        shown: its state.
    """

    name: str
    report: FrameReport | None = None
    sequence: int = 0
    shown_at_s: float | None = None
    verdict: PartVerdict | None = None
    maps: dict[str, PlacedMap] = field(default_factory=dict)
    shown: ShownState = STARTING
    counters: LineCounters = field(default_factory=LineCounters)


@dataclass(frozen=True, slots=True)
class AlertCard:
    """All events of one alarm as one card.

    Attributes:
        event: the latest.
        at_ns: time of the first.
        pictured: the latest event whose picture is kept: its verdict says where the part is in it.
    """

    event: AlarmEvent
    at_ns: int
    pictured: AlarmEvent | None


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts that do not belong to a frame: broker, bundle and health.

    Attributes:
        broker_state: the publisher's own word, with its reason; see `DeviceFacts.broker`.
        weaknesses: a sentence for each model in use that misses most clearly visible defects.
    """

    broker: str = ""
    broker_state: str = ""
    is_broker_good: bool | None = None
    bundle: tuple[tuple[str, str], ...] = ()
    health: JsonObject = field(default_factory=dict)
    map_threshold: float | None = None
    weaknesses: tuple[str, ...] = ()


class PageState:
    """Thread-safe holder of the latest copies, updated by the line and read by the page.

    Args:
        clock_s: monotonic seconds, for ages and rates.
        now_ns: wall clock, ns since the epoch.
    """

    def __init__(
        self,
        clock_s: Callable[[], float] = time.monotonic,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.clock_s = clock_s
        self.now_ns = now_ns
        self._lock = threading.Lock()
        self._cameras: dict[str, CameraView] = {}
        self._alerts: OrderedDict[str, AlertCard] = OrderedDict()
        self._early: OrderedDict[str, AlarmEvent] = OrderedDict()
        self._facts = Facts()
        self.alerts_version = 0  # grows with every change of an alarm

    def show(self, report: FrameReport) -> None:
        """Store the result of one frame; takes microseconds and copies no pixel.

        A report without a picture (an unreadable or skipped frame) keeps the last picture.
        """
        now_s, now_ns = self.clock_s(), self.now_ns()
        with self._lock:
            camera = self._camera(report.frame.camera)
            if report.frame.pixels_hwc.size > 0:
                # without other parts' frames: only this one stays in memory
                camera.report, camera.shown_at_s = replace(report, kept=()), now_s
                camera.sequence += 1
                camera.counters.frame(now_s)
                _keep_maps(camera.maps, report)
            for verdict in report.finished:
                camera.counters.part(verdict)
            camera.verdict = _last_verdict(report) or camera.verdict
            for event in report.events:
                self._take_event(event, now_ns)

    def add_picture(self, event: AlarmEvent) -> None:
        """Take over an event whose picture is kept by now; it may come before its report does."""
        with self._lock:
            card = self._alerts.get(event.alarm_id)
            self.alerts_version += 1
            if card is not None:
                self._alerts[event.alarm_id] = replace(card, pictured=event)
                return
            self._early[event.alarm_id] = event
            while len(self._early) > MAX_ALERTS:
                self._early.popitem(last=False)

    def set_broker(self, text: str, is_good: bool | None = None, state: str = "") -> None:
        """Set the broker's state in plain words, e.g. "connected"; None: neither good nor bad.

        Args:
            state: without what waits; "": the text itself.
        """
        self._replace(broker=text, is_broker_good=is_good, broker_state=state or text)

    def set_camera(self, camera: str, shown: ShownState) -> None:
        """Set a camera's state; cameras are listed in the order in which they come first."""
        with self._lock:
            self._camera(camera).shown = shown

    def set_health(self, health: JsonObject) -> None:
        """Store the figures of the MQTT message `health` (as JSON object)."""
        self._replace(health=dict(health))

    def set_bundle(self, texts: Mapping[str, str]) -> None:
        """Set the active bundle: label → text, shown in this order."""
        self._replace(bundle=tuple((str(k), str(v)) for k, v in texts.items()))

    def set_weaknesses(self, sentences: Sequence[str]) -> None:
        """Set what the models in use see too little of, one sentence each; empty for none."""
        self._replace(weaknesses=tuple(sentences))

    def set_map_threshold(self, map_threshold: float | None) -> None:
        """Set the middle of the anomaly map's colour scale; without it no map is drawn."""
        self._replace(map_threshold=map_threshold)

    def facts(self) -> Facts:
        """Return the facts that do not belong to a frame."""
        with self._lock:
            return self._facts

    def sequence(self, camera: str) -> int | None:
        """Return the number of a camera's latest picture, 0 before the first; None: no camera."""
        with self._lock:
            view = self._cameras.get(camera)
            return None if view is None else view.sequence

    def picture(self, camera: str) -> tuple[int, FrameReport] | None:
        """Return the latest picture's number and report, or None while there is none.

        Parts that were judged earlier keep their map, moved to their present place.
        """
        with self._lock:
            view = self._cameras.get(camera)
            if view is None or view.report is None:
                return None
            sequence, report, maps = view.sequence, view.report, dict(view.maps)
        return sequence, carry_maps(report, maps)

    def read_cameras(self, describe: Callable[[CameraView], JsonObject]) -> list[JsonObject]:
        """Return `describe` of every camera, each read in one piece; it must be quick."""
        with self._lock:
            return [describe(view) for view in self._cameras.values()]

    def alerts(self) -> list[AlertCard]:
        """Return the last alarms, newest first."""
        with self._lock:
            return list(reversed(self._alerts.values()))

    def _camera(self, name: str) -> CameraView:
        return self._cameras.setdefault(name, CameraView(name))

    def _replace(self, **changes: object) -> None:
        with self._lock:
            old = {name: getattr(self._facts, name) for name in Facts.__slots__}
            self._facts = Facts(**{**old, **changes})

    def _take_event(self, event: AlarmEvent, now_ns: int) -> None:
        before = self._alerts.get(event.alarm_id)
        early = self._early.pop(event.alarm_id, None)
        event = event.without_pixels()  # twenty frames would be hundreds of megabytes
        pictured = before.pictured if before and early is None else early
        at_ns = before.at_ns if before else now_ns
        self.alerts_version += 1
        self._alerts[event.alarm_id] = AlertCard(event, at_ns, pictured)
        while len(self._alerts) > MAX_ALERTS:
            self._alerts.popitem(last=False)


def _keep_maps(maps: dict[str, PlacedMap], report: FrameReport) -> None:
    """Take in the maps of this frame; forget those of parts no longer in the picture."""
    boxes = {view.part_id: view.detection.box_cxcywhr for view in report.views}
    for part_id in maps.keys() - boxes.keys():
        del maps[part_id]
    for part_id, anomaly in report.anomalies.items():
        if part_id in boxes:
            crop_xy = report.crop_corners_xy.get(part_id, ())
            maps[part_id] = PlacedMap(anomaly, crop_xy, boxes[part_id])


def _last_verdict(report: FrameReport) -> PartVerdict | None:
    """Return the verdict for the banner: the worst of those reached with this frame, if any."""
    judged = [v for v in report.verdicts.values() if v.views_judged > 0]
    reached = [*report.finished, *(v for v in judged if v.state.value == "NG")]
    return max(reached, key=_urgency, default=None)


def _urgency(verdict: PartVerdict) -> int:
    return _SUSPECT_URGENCY if verdict.is_suspect else _URGENCY[verdict.state.value]
