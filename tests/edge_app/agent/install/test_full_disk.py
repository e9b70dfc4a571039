"""The store's disk is full at every step of an installation in turn."""

from __future__ import annotations

import errno
from functools import partial
from pathlib import Path

import pytest
from support.activation_bundles import manifest_of, signer, write_release
from support.agent_and_line import Device, device, write_config
from support.brokers import wait_until
from support.signed_bundles import trusting
from support.small_bundles import write_pictures

from edge_app.agent.install import slot_worker as flow
from edge_app.bundle.verify import verify_bundle
from edge_app.mqtt.deploy_messages import FINAL_STATES, Reported
from edge_app.store.durable_write import Step, perform

NEEDS_ROOM = ("make_folder", "write", "copy", "sync", "link", "rename")
"""A rename may need a new block for its folder; a removal frees."""


class FullDisk:
    """Makes steps until the n-th that needs room; that one and the further ones fail."""

    def __init__(self) -> None:
        self.count = 0
        self.full_at: int | None = None

    def __call__(self, step: Step) -> None:
        if step.kind in NEEDS_ROOM:
            self.count += 1
            if self.full_at is not None and self.count >= self.full_at:
                raise OSError(errno.ENOSPC, "No space left on device", str(step.path))
        perform(step)


@pytest.mark.parametrize(
    "stride", [5, pytest.param(1, marks=pytest.mark.slow)], ids=["fifth step", "step"]
)
def test_a_disk_that_is_full_at_every(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stride: int
) -> None:
    """Whichever step fails, the order is refused or taken back with the reason and the bundle
    before it goes on judging; a commit that has begun waits for room. Then the next one works."""
    monkeypatch.setattr(flow, "RETRY_S", 0.1)
    disk = FullDisk()
    write_pictures(tmp_path / "in", 3, set())
    url = "folder:in?loop=1&interval_s=0.05"
    config = write_config(tmp_path, "shadow_parts = 0\nprobation_parts = 1", url)
    with device(config, disk, tries_here=True) as (agent, line):
        before = "none"
        ends: list[str] = []
        for serial in range(1, 200):
            disk.count, disk.full_at = 0, 1 + (serial - 2) * stride if serial > 1 else None
            file = write_release(tmp_path / "a.bundle", manifest_of("alpha", serial))
            agent.reports.clear()
            agent.agent.install(file, "main", "file")
            wait_until(
                partial(lambda n: told_of(agent, n) != [], serial), 20, f"an end of {serial}"
            )
            told = told_of(agent, serial)[0]
            ends.append(told.state)
            if told.state != "committed":
                assert "No space left on device" in told.reason, told
                assert_whole(agent)
            if told.state in ("refused", "rolled_back"):
                wait_until(
                    partial(lambda b: line.judges == b, before), 10, f"{before} after {serial}"
                )
            disk.full_at = None
            wait_until(lambda: agent.store.intent("main") is None, 10, "the record is gone")
            if told.state not in ("refused", "rolled_back"):
                before = f"alpha {serial}"
            wait_until(partial(lambda b: line.judges == b, before), 10, f"{before} with room again")
            assert list(agent.store.incoming.iterdir()) == []
            if serial > 1 and told.state == "committed":
                break
    assert min(ends.count(end) for end in ("refused", "rolled_back", "probation")) >= 5 // stride
    assert set(line.unjudged) == {"no_model"}


def told_of(agent: Device, serial: int) -> list[Reported]:
    """Return how an order ended, or that it waits for room; a file not yet read has no serial."""
    mine = [r for r in agent.reports if r.serial in (serial, None)]
    return [r for r in mine if r.state in FINAL_STATES or "once there is room" in r.reason]


def assert_whole(agent: Device) -> None:
    """What `run` would load now is whole and signed."""
    (active, *_) = agent.store.choices("main")
    found = verify_bundle(agent.store.release(active), trusting(signer().public()))
    assert found.sha256 == active
