"""What a version must make of a device that was cut off: go on as release 0.1.0 would."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cut_device import bundle, digest_of
from field_device import FieldDevice, wait_until
from support.child_processes import SCRIPT_ENVIRONMENT
from workstation import Workstation, serving

REPOSITORY = Path(__file__).parents[2]
AT_ONCE = 4
"""Devices at the same time: they wait more than they work."""

GOES_ON_WITH: dict[str, str | None] = {
    "empty": None,
    "first": "alpha-1",
    "killed": "alpha-1",
    "copied": "alpha-1",
    "admitted": "alpha-1",
    "comparing": "alpha-1",
    "compared": "alpha-1",
    "refused": "alpha-1",
    "record_half_written": "alpha-1",
    "switching": "alpha-2",
    "switched": "alpha-2",
    "probation": "alpha-2",
    "crashed_twice": "alpha-2",
    "committing": "alpha-2",
    "committing_half": "alpha-2",
    "committed": "alpha-2",
    "rolling_back": "alpha-1",
    "rolling_back_half": "alpha-1",
    "rolled_back": "alpha-1",
    "two_products": "beta-1",
    "commanded": "alpha-1",
    "selecting": "alpha-1",
    "downloading": "alpha-2",
    "downloaded": "alpha-2",
    "handed_over": "alpha-2",
    "pushed": "alpha-2",
}
"""Phase → the bundle that is in use once the device has come to rest (docs/activation.md)."""


class Brokers:
    """Starts brokers; see `broker_server.py`. Thread-safe. Use it as a context manager."""

    def __enter__(self) -> Brokers:
        self._lock = threading.Lock()
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("broker_server.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=REPOSITORY,
            env=SCRIPT_ENVIRONMENT,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._server.communicate()

    @contextmanager
    def at(self, device: FieldDevice) -> Iterator[Workstation]:
        """Give a device a broker of its own, and return a workstation at it."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        with self._lock:
            self._server.stdin.write("\n")
            self._server.stdin.flush()
            port = int(self._server.stdout.readline())
        device.set(port=port)
        station = Workstation(port)
        try:
            yield station
        finally:
            station.close()


def goes_on(device: FieldDevice, station: Workstation, wanted: str | None) -> set[str]:
    """Start a device and see it end what was unfinished with the wanted bundle, every alert told.

    The alerts that waited come first, in order and with their numbers, then one of a part that
    comes now, judged by the bundle in use and with the next number; no part is told twice. Returns
    the watched folder's pictures that were told of.
    """
    station.forget()
    waiting, next_seq = device.outbox()
    digest = digest_of(wanted) if wanted else None
    device.start()
    with resumed_download(device, station):
        wait_until(
            lambda: device.record() is None and device.link("active") == digest,
            f"{wanted} in use; {device.agent and device.agent.text}",
        )
    wait_until(lambda: judging(station) == digest, f"{wanted} judges, not {judging(station)}")
    name = device.put_picture()
    wait_until(lambda: alert_of(station, name) is not None, f"an alert of {name}")
    alert = alert_of(station, name)
    assert alert is not None
    assert alert["verdict"] == ("NG" if wanted else "NOT_INSPECTED"), alert
    assert (alert["model"] or {}).get("bundle_sha256") == digest
    alerts = station.alerts()
    assert [(a["seq"], a["message_id"]) for a in alerts[: len(waiting)]] == [
        (w["seq"], w["message_id"]) for w in waiting
    ]
    first = waiting[0]["seq"] if waiting else next_seq
    assert [a["seq"] for a in alerts] == list(range(first, first + len(alerts)))
    assert alerts[len(waiting)]["seq"] == next_seq
    assert not [a for a in alerts if a["event"] == "gap"]
    new = [a for a in alerts if a["event"] == "new"]
    numbers = Counter((a["camera"], a["source_number"]) for a in new)
    names = Counter(a["source_name"] for a in new if a["camera"] == "drop")
    assert max((numbers | names).values()) == 1, (numbers, names)
    return set(names)


def rests(device: FieldDevice) -> None:
    """Stop a device; both of its processes say that all is well, and no half-made file is left."""
    device.stop()
    assert not list(device.store.rglob(".*.new"))
    assert not list((device.store / "incoming").iterdir())


def judging(station: Workstation) -> str | None:
    """Return the digest of what judges, as the device says of itself."""
    told = station.bodies("d3/info")
    model = told[-1]["slots"][0]["model"] if told else None
    return str(model["bundle_sha256"]) if model else None


def alert_of(station: Workstation, name: str) -> dict[str, Any] | None:
    """Return the alert over a picture of the watched folder."""
    found = [a for a in station.alerts() if (a["camera"], a["source_name"]) == ("drop", name)]
    return found[0] if found else None


@contextmanager
def resumed_download(device: FieldDevice, station: Workstation) -> Iterator[None]:
    """Offer the bundle that a pointer asked for before the cut, its server at another port; what
    had arrived must not be asked for again."""
    path = device.store / "state" / "pointer-main.json"
    wish = json.loads(path.read_text())["current"] if path.exists() else None
    if wish is None:
        yield
        return
    (arrived,) = (device.store / "incoming").iterdir()
    length = arrived.stat().st_size
    with serving(bundle(f"{wish['product']}-{wish['serial']}")) as server:
        station.place({**wish, "url": server.url})
        yield
        assert server.asked == ([f"bytes={length}-"] if length < wish["length"] else [])


def all_at_once(names: Iterable[str], work: Callable[[str], None]) -> None:
    """Do the work for every name, some at a time; fail with every failure."""
    failures = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for name, future in [(name, pool.submit(work, name)) for name in names]:
            error = future.exception()
            if error is not None:
                failures.append(f"{name}: {error}")
    assert not failures, "\n\n".join(failures)
