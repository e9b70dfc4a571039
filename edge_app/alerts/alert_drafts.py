"""How the line's events become alerts that wait for their number."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from edge_app.imaging.camera_calibration import Geometry
from edge_app.mqtt.messages import AlertDraft, EvidenceBody, GapBody, alert_from_event
from edge_app.mqtt.timestamps import uuid7
from edge_app.mqtt.topics import DeviceName
from edge_app.records import AlarmEvent, Evidence


class AlertDrafts:
    """Makes alerts, each with a fresh `message_id`.

    Args:
        who: this device.
        is_clock_synchronised: asked once for the events of one frame.
        geometries: camera → its calibration, for defects in millimetres.
        clock_ns: wall clock, ns since the epoch.
    """

    def __init__(
        self,
        who: DeviceName,
        is_clock_synchronised: Callable[[], bool],
        geometries: Mapping[str, Geometry] = MappingProxyType({}),
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._who = who
        self._is_clock_synchronised = is_clock_synchronised
        self._geometries = geometries
        self._clock_ns = clock_ns

    def of(self, camera: str, events: Sequence[AlarmEvent]) -> list[AlertDraft]:
        """Return one alert per event, in order."""
        synchronised = self._is_clock_synchronised() if events else False
        return [
            alert_from_event(
                event,
                self._who,
                message_id=self._message_id(),
                clock_synchronised=synchronised,
                geometry=self._geometries.get(camera),
            )
            for event in events
        ]

    def update_with(self, draft: AlertDraft, evidence: Evidence) -> AlertDraft:
        """Return the `update` that brings the picture of an alert that was sent without."""
        changes = {"event": "update", "message_id": self._message_id()}
        return with_evidence(draft.model_copy(update=changes), evidence)

    def gap_of(self, camera: str, count: int, reason: str) -> AlertDraft:
        """Return the gap that tells alerts which are known by their number only."""
        message_id = self._message_id()
        return AlertDraft(
            site=self._who.site,
            line=self._who.line,
            device=self._who.device,
            camera=camera,
            event="gap",
            alarm_id=f"gap-{message_id}",
            message_id=message_id,
            clock_synchronised=self._is_clock_synchronised(),
            gap=GapBody(first_number=None, last_number=None, count=count, reason=reason),
        )

    def _message_id(self) -> str:
        return uuid7(self._clock_ns(), secrets.randbits)


def with_evidence(draft: AlertDraft, evidence: Evidence) -> AlertDraft:
    """Return an alert with its picture."""
    body = EvidenceBody(url=evidence.url, sha256=evidence.sha256)
    return draft.model_copy(update={"evidence": body})
