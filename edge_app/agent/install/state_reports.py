"""Reports the states of a slot's orders, each with the bundle it is about."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from edge_app.mqtt.deploy_messages import DeployState, Disagreement, Reported
from edge_app.mqtt.timestamps import rfc3339

_log = logging.getLogger(__name__)

PROGRESS_STEP = 10.0
"""Per cent; inspection sends its progress twice a second."""

Report = Callable[[Reported], None]


@dataclass(frozen=True, slots=True)
class AskedBy:
    """Whose an order is.

    Attributes:
        desired_id: of the pointer that asked for it; None: a person's file, or a changeover.
        tell: gets the reports about this order, besides everybody; must return at once.
    """

    desired_id: str | None = None
    tell: Report | None = None


NOBODY = AskedBy()
"""A changeover, or a file that nobody waits for."""


class StateReporter:
    """Makes a slot's reports. Used by the slot's thread.

    Args:
        publish: takes every report; must return at once.
        order_of: digest → id of the pointer by which that bundle is being installed, for an order
            of an earlier process.

    Attributes:
        latest: the last report; None before the first.
        disagreement: of the comparison, once there is one.
    """

    def __init__(
        self,
        slot: str,
        publish: Report,
        clock_ns: Callable[[], int] = time.time_ns,
        order_of: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        self._slot, self._publish, self._clock_ns = slot, publish, clock_ns
        self._order_of = order_of
        self._sha256: str | None = None
        self._product: str | None = None
        self._serial: int | None = None
        self._asked_by = NOBODY
        self.latest: Reported | None = None
        self.disagreement: Disagreement | None = None

    def begin(
        self,
        sha256: str | None,
        product: str | None = None,
        serial: int | None = None,
        asked_by: AskedBy = NOBODY,
    ) -> None:
        """A new order begins."""
        self._sha256, self._product, self._serial = sha256, product, serial
        self._asked_by = asked_by
        self.disagreement = None

    def resume(self, sha256: str, product: str | None, serial: int | None) -> None:
        """An unfinished order goes on: the one that was reported last, or an earlier process's."""
        is_same = sha256 == self._sha256
        asked_by = self._asked_by if is_same else AskedBy(self._order_of(sha256))
        self.begin(sha256, product, serial, asked_by)

    def about(self, sha256: str, product: str, serial: int) -> None:
        """The order's bundle is known."""
        self._sha256, self._product, self._serial = sha256, product, serial

    def report_progress(self, state: DeployState, percent: float, reason: str = "") -> None:
        """Report how far a state is, in steps that are worth a message."""
        latest = self.latest
        before = latest.percent if latest is not None and latest.state == state else None
        if before is None or percent - before >= PROGRESS_STEP:
            self.report(state, reason, percent)

    def report_once(self, state: DeployState, reason: str) -> None:
        """Report a state and its reason, unless that was the last report."""
        latest = self.latest
        if latest is None or (latest.state, latest.reason) != (state, reason):
            self.report(state, reason)

    def report(self, state: DeployState, reason: str = "", percent: float | None = None) -> None:
        """Report a state."""
        self.latest = self._say(
            Reported(
                slot=self._slot,
                state=state,
                sha256=self._sha256,
                product=self._product,
                serial=self._serial,
                percent=percent,
                reason=reason,
                disagreement=self.disagreement,
                desired_id=self._asked_by.desired_id,
                at=rfc3339(self._clock_ns()),
            ),
            self._asked_by,
        )

    def report_aside(
        self,
        state: DeployState,
        reason: str,
        asked_by: AskedBy,
        sha256: str | None,
        product: str | None = None,
        serial: int | None = None,
    ) -> None:
        """Report the end of an order that came, and ended, in the middle of this one."""
        self._say(
            Reported(
                slot=self._slot,
                state=state,
                sha256=sha256,
                product=product,
                serial=serial,
                reason=reason,
                desired_id=asked_by.desired_id,
                at=rfc3339(self._clock_ns()),
            ),
            asked_by,
        )

    def _say(self, report: Reported, asked_by: AskedBy) -> Reported:
        level = logging.WARNING if report.state in ("refused", "rolled_back") else logging.INFO
        what = f"{report.product} {report.serial}" if report.product else (report.sha256 or "")[:12]
        _log.log(level, "slot %s: %s: %s %s", self._slot, what, report.state, report.reason)
        self._publish(report)
        if asked_by.tell is not None:
            asked_by.tell(report)
        return report
