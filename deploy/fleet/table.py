"""The fleet as a table: one row per device and slot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from rich.table import Table
from rich.text import Text

from deploy.fleet.state import DeviceView, Fleet, SlotView
from edge_app.host.plain_text import one_line
from edge_app.mqtt.timestamps import epoch_ns
from edge_app.mqtt.topics import DeviceName

COLOURS = {
    "committed": "green",
    "online": "green",
    "rolled_back": "red",
    "refused": "red",
    "offline": "red",
    "degraded": "yellow",
}
SHORT_SHA = 12
MAX_CELL_CHARS = 250
"""A device's name has three levels of at most 64 characters."""


@dataclass(frozen=True, slots=True)
class FleetRow:
    """One slot of one device.

    Attributes:
        inspection, agent: their status, "-" if there is none.
        model: product and serial in use.
        state: of the newest update, with its percentage.
        for_s: seconds since the newest report; None without one.
    """

    device: str
    inspection: str
    agent: str
    slot: str
    model: str
    update: str
    state: str
    for_s: float | None
    reason: str


def fleet_rows(fleet: Fleet, now_ns: int) -> list[FleetRow]:
    """Return the rows, sorted by device and slot."""
    rows: list[FleetRow] = []
    for who in sorted(fleet.devices, key=str):
        rows += _device_rows(who, fleet.devices[who], now_ns)
    return rows


def _device_rows(who: DeviceName, device: DeviceView, now_ns: int) -> Iterator[FleetRow]:
    models = {slot.slot: slot.model for slot in device.info.slots} if device.info else {}
    status = device.status
    trouble = f"degraded: {status.reason}" if status and status.state == "degraded" else ""
    for name in sorted({*models, *device.slots}) or ["-"]:
        slot = device.slots.get(name, SlotView())
        model = models.get(name)
        report = slot.reported
        yield FleetRow(
            device=str(who),
            inspection=status.state if status else "-",
            agent=device.agent.state if device.agent else "-",
            slot=name,
            model=f"{model.product} {model.serial}" if model else "-",
            update=_update(slot),
            state=_state(slot),
            for_s=(now_ns - epoch_ns(report.at)) / 1e9 if report else None,
            reason="; ".join(
                filter(None, (device.turns.fault, report.reason if report else "", trouble))
            ),
        )


def _update(slot: SlotView) -> str:
    """Return the bundle of the newest pointer, or else of the newest report."""
    newest = slot.desired or slot.reported
    if newest is None or newest.sha256 is None:
        return "-"
    serial = "?" if newest.serial is None else newest.serial
    return f"{newest.product or '?'} {serial} ({newest.sha256[:SHORT_SHA]})"


def _state(slot: SlotView) -> str:
    """Return the update's state and percentage; `asked` until the device answers a pointer."""
    report, desired = slot.reported, slot.desired
    if desired is not None and (report is None or _is_unanswered(slot)):
        return "asked"
    if report is None:
        return "-"
    percent = "" if report.percent is None else f" {report.percent:.0f} %"
    return f"{report.state}{percent}"


def _is_unanswered(slot: SlotView) -> bool:
    report, desired = slot.reported, slot.desired
    if report is None or desired is None or report.sha256 == desired.sha256:
        return False
    return report.desired_id is None or report.desired_id < desired.message_id


def fleet_table(rows: list[FleetRow]) -> Table:
    """Return the rows as a table for a terminal."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    titles = ("DEVICE", "INSPECTION", "AGENT", "SLOT", "MODEL", "UPDATE", "STATE", "FOR")
    for title in titles:
        table.add_column(title, no_wrap=True)
    table.add_column("REASON", overflow="fold")
    for row in rows:
        cells = [row.device, row.inspection, row.agent, row.slot, row.model, row.update, row.state]
        table.add_row(*map(_coloured, cells), _age(row.for_s), Text(one_line(row.reason)))
    return table


def trouble_lines(fleet: Fleet) -> list[str]:
    """Return, for people, which messages could not be read: one line per topic and cause."""
    lines = [
        f"{topic}: {count} messages could not be read, {why}" if count > 1 else f"{topic}: {why}"
        for (topic, why), count in fleet.faults.items()
    ]
    rest = fleet.unreadable - sum(fleet.faults.values())
    return [*lines, f"{rest} more messages could not be read"] if rest else lines


def fleet_json(rows: list[FleetRow]) -> list[dict[str, object]]:
    """Return the rows for a program."""
    return [asdict(row) for row in rows]


def _coloured(text: str) -> Text:
    return Text(one_line(text, MAX_CELL_CHARS), style=COLOURS.get(text.partition(" ")[0], ""))


def _age(for_s: float | None) -> str:
    if for_s is None:
        return "-"
    for unit, seconds in (("d", 86_400), ("h", 3600), ("min", 60)):
        if for_s >= 2 * seconds:
            return f"{for_s / seconds:.0f} {unit}"
    return f"{max(0.0, for_s):.0f} s"
