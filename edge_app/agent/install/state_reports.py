"""Reports the states of a slot's orders, each with the bundle it is about."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from edge_app.mqtt.deploy_messages import DeployState, Disagreement, Reported
from edge_app.mqtt.timestamps import rfc3339

_log = logging.getLogger(__name__)

PROGRESS_STEP = 10.0
"""Per cent; inspection sends its progress twice a second."""

Report = Callable[[Reported], None]


class StateReporter:
    """Makes a slot's reports. Used by the slot's thread.

    Args:
        publish: takes every report; must return at once.

    Attributes:
        latest: the last report; None before the first.
        disagreement: of the comparison, once there is one.
    """

    def __init__(
        self, slot: str, publish: Report, clock_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._slot, self._publish, self._clock_ns = slot, publish, clock_ns
        self._sha256: str | None = None
        self._product: str | None = None
        self._serial: int | None = None
        self.latest: Reported | None = None
        self.disagreement: Disagreement | None = None

    def begin(
        self, sha256: str | None, product: str | None = None, serial: int | None = None
    ) -> None:
        """A new order begins."""
        self._sha256, self._product, self._serial = sha256, product, serial
        self.disagreement = None

    def about(self, sha256: str, product: str, serial: int) -> None:
        """The order's bundle is known."""
        self._sha256, self._product, self._serial = sha256, product, serial

    def report_progress(self, state: DeployState, percent: float) -> None:
        """Report how far a state is, in steps that are worth a message."""
        latest = self.latest
        before = latest.percent if latest is not None and latest.state == state else None
        if before is None or percent - before >= PROGRESS_STEP:
            self.report(state, percent=percent)

    def report_once(self, state: DeployState, reason: str) -> None:
        """Report a state and its reason, unless that was the last report."""
        latest = self.latest
        if latest is None or (latest.state, latest.reason) != (state, reason):
            self.report(state, reason)

    def report(self, state: DeployState, reason: str = "", percent: float | None = None) -> None:
        """Report a state."""
        report = Reported(
            slot=self._slot,
            state=state,
            sha256=self._sha256,
            product=self._product,
            serial=self._serial,
            percent=percent,
            reason=reason,
            disagreement=self.disagreement,
            at=rfc3339(self._clock_ns()),
        )
        level = logging.WARNING if state in ("refused", "rolled_back") else logging.INFO
        what = f"{self._product} {self._serial}" if self._product else (self._sha256 or "")[:12]
        _log.log(level, "slot %s: %s: %s %s", self._slot, what, state, reason)
        self.latest = report
        self._publish(report)
