"""Cuts a device off in every phase of an update, by what a version itself does on the way there.

The phases are those of the code: each change on disk after which a process may die is a step of
`agent/steps.py`, and the record's word decides how it goes on (docs/activation.md, "Power cuts").
"""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from field_device import (
    BY_HAND,
    ENDLESS_COMPARISON,
    ENDLESS_PROBATION,
    RELEASE,
    STRICT,
    FieldDevice,
    Process,
    wait_until,
)
from workstation import Workstation, pointer_to, serving

Cut = Callable[[FieldDevice], None]
Push = Callable[[FieldDevice, Workstation], None]
"""With the workstation at the device's broker."""


def bundle(name: str) -> Path:
    """Return one of the release's three bundles: "alpha-1", "alpha-2", "beta-1"."""
    return RELEASE / "bundles" / f"{name}.bundle"


def digest_of(name: str) -> str:
    """Return the digest by which a bundle is known."""
    return hashlib.sha256(bundle(name).read_bytes()).hexdigest()


def make_alerts(device: FieldDevice, count: int = 2, kind: str = "bad") -> None:
    """Have bad parts come by, one after another, until their alerts are on the disk."""
    for _ in range(count):
        before = len(device.evidence())
        device.put_picture(kind)
        wait_until(lambda n=before: len(device.evidence()) > n, "evidence")  # type: ignore[misc]


def says(process: Process, words: str) -> None:
    """Wait until a command has said something."""
    wait_until(lambda: words in process.text, f"{words!r} in {process.text!r}")


def no_bundle_yet(device: FieldDevice) -> None:
    """A device that was switched on and has nothing to judge with."""
    device.start()
    folder = device.store / "slots" / "main" / "installed"
    wait_until(folder.is_dir, "the store's folders")
    assert device.run is not None
    says(device.run, "has no bundle")
    device.stop()


def first_bundle(device: FieldDevice) -> None:
    """The first bundle is committed; two alerts wait for a broker."""
    device.start()
    assert device.install(bundle("alpha-1")).wait() == 0
    make_alerts(device)
    device.stop()


def at(wanted: dict[str, Any]) -> Cut:
    """Return the phase in which the agent dies while it installs: the disk stands as described."""

    def cut(device: FieldDevice) -> None:
        device.start(agent_cut=_with_digests(wanted))
        make_alerts(device, 1)
        device.install(bundle("alpha-2"))
        _die_and_stop(device)

    return cut


def comparing(device: FieldDevice) -> None:
    """Both models judge; the agent dies."""
    device.set(slot=ENDLESS_COMPARISON)
    device.start()
    says(device.install(bundle("alpha-2")), "shadow")
    make_alerts(device, 1)
    device.cut_off()


def compared(device: FieldDevice) -> None:
    """The comparison is over and waits for a person's word; the power goes."""
    device.set(slot=BY_HAND)
    device.start()
    says(device.install(bundle("alpha-2")), "slots promote")
    make_alerts(device, 1)
    device.cut_off()


def refused(device: FieldDevice) -> None:
    """The comparison found parts that are judged differently: the new bundle is refused."""
    device.set(slot=STRICT)
    device.start()
    install = device.install(bundle("alpha-2"))
    says(install, "shadow")
    make_alerts(device, 3, "doubtful")  # a busy comparison leaves parts out
    assert install.wait() == 1, install.text
    device.stop()


def probation(device: FieldDevice) -> None:
    """The new bundle is watched; agent and inspection die."""
    device.set(slot=ENDLESS_PROBATION)
    device.start()
    says(device.install(bundle("alpha-2")), "probation")
    make_alerts(device, 1)
    device.cut_off()


def crashed_twice(device: FieldDevice) -> None:
    """The new bundle is watched, and inspection has crashed twice with it."""
    device.set(slot=ENDLESS_PROBATION)
    device.start()
    says(device.install(bundle("alpha-2")), "probation")
    for crashes in (1, 2):
        assert device.run is not None
        make_alerts(device, 1)
        device.run.end(signal.SIGKILL)
        wait_until(
            lambda n=crashes: (device.record() or {}).get("crashes") == n,  # type: ignore[misc]
            f"crash {crashes}",
        )
        if crashes == 1:
            device.start_run()
    device.cut_off()


def taken_back(wanted: dict[str, Any] | None) -> Cut:
    """Return the phase in which the new bundle is taken back by hand during its probation; None:
    to the end."""

    def cut(device: FieldDevice) -> None:
        device.set(slot=ENDLESS_PROBATION)
        device.start(agent_cut=wanted and _with_digests(wanted))
        install = device.install(bundle("alpha-2"))
        says(install, "probation")
        make_alerts(device, 1)
        reject = device.command("slots", "reject")
        if wanted is not None:
            return _die_and_stop(device)
        assert reject.wait() == 0, reject.text
        assert install.wait() == 1, install.text
        return device.stop()

    return cut


def second_bundle(device: FieldDevice) -> None:
    """The second bundle of the product is committed."""
    device.start()
    install = device.install(bundle("alpha-2"))
    assert install.wait() == 0, install.text
    make_alerts(device, 1)
    device.stop()


def two_products(device: FieldDevice) -> None:
    """Two products are installed, and the first one was selected again."""
    device.start()
    install = device.install(bundle("beta-1"))
    assert install.wait() == 0, install.text
    for product in ("alpha", "beta"):
        select = device.command("slots", "select", product)
        assert select.wait() == 0, select.text
    make_alerts(device, 1)
    device.stop()


def downloading(device: FieldDevice, station: Workstation) -> None:
    """Half of a pushed bundle has arrived; the power goes."""
    new = bundle("alpha-2")
    half = new.stat().st_size // 2
    partial = device.store / "incoming" / f"main-{digest_of('alpha-2')}.partial"
    with serving(new, stops_at=half) as server:
        device.start()
        station.place(pointer_to(new, server.url))
        wait_until(lambda: partial.exists() and partial.stat().st_size == half, "half a bundle")
        assert device.agent is not None
        device.agent.end(signal.SIGKILL)
        device.stop()


def pushed(wanted: dict[str, Any] | None) -> Push:
    """Return the phase in which the agent dies over a pushed bundle; None: it is committed."""

    def push(device: FieldDevice, station: Workstation) -> None:
        with serving(bundle("alpha-2")) as server:
            device.start(agent_cut=wanted)
            station.place(pointer_to(bundle("alpha-2"), server.url))
            if wanted is not None:
                return _die_and_stop(device)
            wait_until(
                lambda: any(
                    (r["state"], r["serial"]) == ("committed", 2)
                    for r in station.bodies("/reported")
                ),
                "the pushed bundle is committed",
            )
            return device.stop()

    return push


def selecting(device: FieldDevice) -> None:
    """The agent dies in a changeover, the record written."""
    two_products(device)
    device.start(agent_cut={"phase": "switching", "kind": "select"})
    device.command("slots", "select", "alpha")
    _die_and_stop(device)


def _die_and_stop(device: FieldDevice) -> None:
    """Wait until the agent has died of its cut, and stop inspection."""
    assert device.agent is not None
    assert device.agent.wait() == 137, device.agent.text
    device.stop()


def _with_digests(wanted: dict[str, Any]) -> dict[str, Any]:
    """Return the description with digests in place of the bundles' names."""
    return {k: digest_of(v) if k in ("active", "previous") else v for k, v in wanted.items()}


FIRST_STEPS: dict[str, Cut] = {"empty": no_bundle_yet, "first": first_bundle}
"""From nothing."""

CUTS: dict[str, Cut] = {
    "copied": at({"exists": "incoming/file-*"}),
    "admitted": at({"releases": 2}),
    "comparing": comparing,
    "compared": compared,
    "refused": refused,
    "record_half_written": at({"exists": "state/.intent-main.json.new"}),
    "switching": at({"phase": "switching", "active": "alpha-1"}),
    "switched": at({"phase": "switching", "active": "alpha-2"}),
    "probation": probation,
    "crashed_twice": crashed_twice,
    "committing": at({"phase": "committing", "serials": {"alpha": 1}}),
    "committing_half": at({"phase": "committing", "previous": "alpha-1"}),
    "committed": second_bundle,
    "rolling_back": taken_back({"phase": "rolling_back", "active": "alpha-2"}),
    "rolling_back_half": taken_back({"phase": "rolling_back", "active": "alpha-1"}),
    "rolled_back": taken_back(None),
    "two_products": two_products,
    "selecting": selecting,
}
"""Each from "first", in which alpha 1 judges."""

PUSHES: dict[str, Push] = {
    "downloading": downloading,
    "downloaded": pushed({"exists": "incoming/main-*.bundle"}),
    "handed_over": pushed({"starts": 1}),
    "pushed": pushed(None),
}
"""The same, with a bundle that comes over the network."""
