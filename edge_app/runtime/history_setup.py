"""The history of parts as the configuration wants it, with what a kill may have kept from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edge_app.cameras.protocol import Camera
from edge_app.config.model import AppConfig
from edge_app.history.opening import LeftOver, ReviewsSince
from edge_app.history.retention import Retention
from edge_app.history.schema import HISTORY_FILE
from edge_app.history.writer import HistoryWriter
from edge_app.host.age_clock import AgeClock
from edge_app.mqtt.outbox import Outbox
from edge_app.runtime.waiting_alarms import waiting_alarms


def make_history(
    config: AppConfig,
    sources: Mapping[str, Camera],
    outbox: Outbox,
    clock: AgeClock,
    on_trouble: Callable[[str | None], None],
    reviews: ReviewsSince,
) -> HistoryWriter | None:
    """Return the writer, not yet started; None where no history is kept.

    Args:
        sources: camera → where its pictures come from.
        on_trouble: gets why nothing can be written, and None once it can.
        reviews: what the audit says of parts.
    """
    if not config.history.enabled:
        return None
    names = (name for name, source in sources.items() if source.describe().is_numbered)
    found = {name: outbox.last_finished(name) for name in names}
    return HistoryWriter(
        config.device.state_dir / HISTORY_FILE,
        {camera.name: camera.slot for camera in config.cameras},
        Retention(
            config.history.max_age_days, config.history.max_mb, clock,
            config.page.bad_parts_gone_after_min,
        ),
        {name: last for name, last in found.items() if last is not None},
        on_trouble,
        LeftOver(lambda: waiting_alarms(outbox), reviews),
    )  # fmt: skip


def numbered(sources: Mapping[str, Camera]) -> dict[str, bool]:
    """Return camera → whether each of its parts is known by a number or a trigger."""
    found = {name: source.describe() for name, source in sources.items()}
    return {name: info.is_numbered or info.mode == "triggered" for name, info in found.items()}
