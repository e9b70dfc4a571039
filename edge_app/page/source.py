"""Where the page's answers come from: the line's state in this process, or in inspection's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from edge_app.page.health import Since, line_health
from edge_app.page.snapshot import alerts_json, state_json
from edge_app.page.state import PageState
from edge_app.records import FrameReport, JsonObject


@dataclass(frozen=True, slots=True, eq=False)
class Drawable:
    """A picture and what is drawn on it.

    Attributes:
        sequence: grows by one with every new picture of a camera.
        map_threshold: the middle of the colour scale; None: no map is drawn.
    """

    sequence: int
    report: FrameReport
    map_threshold: float | None


class LineSource(Protocol):
    """What the routes ask; every call returns at once."""

    def state(self) -> JsonObject:
        """Return what /api/state answers, but for what only the page knows."""

    def health(self) -> list[JsonObject]:
        """Return every subject of the device's health; see `edge_app.device_state`."""

    def alerts(self) -> JsonObject:
        """Return what /api/alerts answers."""

    def sequence(self, camera: str) -> int | None:
        """Return the number of a camera's newest picture, 0 before the first; None: no camera.

        Asking keeps the pictures of this camera coming for some seconds.
        """

    def picture(self, camera: str) -> Drawable | None:
        """Return the newest picture that is here; it may be older than `sequence` for a moment."""


class LocalSource:
    """The line's state in this process."""

    def __init__(self, state: PageState) -> None:
        self._state, self._since = state, Since()

    def state(self) -> JsonObject:
        return state_json(self._state)

    def health(self) -> list[JsonObject]:
        return line_health(self._state, self._since)

    def alerts(self) -> JsonObject:
        return alerts_json(self._state)

    def sequence(self, camera: str) -> int | None:
        return self._state.sequence(camera)

    def picture(self, camera: str) -> Drawable | None:
        latest = self._state.picture(camera)
        if latest is None:
            return None
        return Drawable(*latest, self._state.facts().map_threshold)
