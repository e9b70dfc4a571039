"""Notices that two machines are one device, or that a machine has gone back in time. No IO.

A numbering (`store_id`) is given up for ever when another begins, and in each a number is given out
once. Two machines restored from one backup take turns with two numberings; a copied disk, or an
image that is older than the machine's last alert, gives out numbers again.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from edge_app.mqtt.messages import Alert

MAX_NUMBERS = 20_000
"""Remembered a device: an old image is a day or a week behind, not a hundred thousand alerts."""
MAX_NUMBERINGS = 100
MAX_DEVICES = 2000

TWINS = (
    "two machines are this device: their alerts, with two numberings, take turns. Were both "
    "restored from one backup? Switch one off, or give it a name of its own"
)
AGAIN = (
    "numbers alerts a second time (from {seq}): a copy of its disk, or an older image of it, was "
    "started. Switch the copy off, or restore a backup on it (docs/replace_device.md)"
)


@dataclass(slots=True)
class _Device:
    current: str = ""
    given_up: OrderedDict[str, None] = field(default_factory=OrderedDict)
    numbers: OrderedDict[tuple[str, int], str] = field(default_factory=OrderedDict)


class Twins:
    """Compares every alert with what its device has sent before; each fault is named once.

    Alerts without a `store_id` (release 0.1.0) and those told from memory say nothing.
    """

    def __init__(self) -> None:
        self._devices: OrderedDict[str, _Device] = OrderedDict()
        self._told: set[tuple[str, str]] = set()

    def fault_of(self, alert: Alert) -> str | None:
        """Return what is wrong with an alert's numbering, for people; None: nothing that is new."""
        store_id = alert.store_id
        if not store_id or alert.is_from_memory:
            return None
        name = f"{alert.site}/{alert.line}/{alert.device}"
        device = self._devices.setdefault(name, _Device())
        self._devices.move_to_end(name)
        if len(self._devices) > MAX_DEVICES:
            self._devices.popitem(last=False)
        if self._is_again(device, (store_id, alert.seq), alert.message_id):
            return self._once(name, AGAIN, AGAIN.format(seq=alert.seq))
        if store_id == device.current:
            return None
        is_back = store_id in device.given_up
        if device.current:
            device.given_up[device.current] = None
            _limit(device.given_up, MAX_NUMBERINGS)
        device.current = store_id
        return self._once(name, TWINS, TWINS) if is_back else None

    @staticmethod
    def _is_again(device: _Device, number: tuple[str, int], message_id: str) -> bool:
        known = device.numbers.setdefault(number, message_id)
        _limit(device.numbers, MAX_NUMBERS)
        return known != message_id

    def _once(self, name: str, kind: str, text: str) -> str | None:
        if (name, kind) in self._told or len(self._told) > 2 * MAX_DEVICES:
            return None
        self._told.add((name, kind))
        return f"{name}: {text}"


def _limit(entries: OrderedDict[str, None] | OrderedDict[tuple[str, int], str], most: int) -> None:
    while len(entries) > most:
        entries.popitem(last=False)
