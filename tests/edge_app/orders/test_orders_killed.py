"""SIGKILL between the steps of an order: recorded and done, or neither."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.small_bundles import write_bright_bundle

from edge_app.activation.model_loader import Ready
from edge_app.audit.reader import every_record
from edge_app.audit.verify import verify
from edge_app.bundle.archive import read_bundle
from edge_app.model.loaded_model import load_model
from edge_app.orders.device_orders import limits_of_device

CHILD = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from support.order_makers import OWN, order
from edge_app.activation.model_loader import Ready
from edge_app.audit.log import AuditLog
from edge_app.bundle.archive import read_bundle
from edge_app.model.loaded_model import load_model
from edge_app.orders import device_orders
from edge_app.orders.desk import OrderDesk
from edge_app.orders.limit_orders import LimitOrders
from edge_app.store import durable_write

folder, step = Path(sys.argv[1]), int(sys.argv[3])
count = 0

def at(number, work):
    def wrapped(*args, **kwargs):
        global count
        count += 1
        if count == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return work(*args, **kwargs)
    return wrapped

class Slots:
    def __init__(self, own):
        model = load_model(read_bundle(folder / "a.bundle"))
        self.ready = {"main": own.applied("main", Ready("a" * 64, model, "no"))}
        self.own = own

    def follow_limits(self, slot, timeout_s):
        self.ready[slot] = self.own.applied(slot, self.ready[slot])
        return True

own = device_orders.limits_of_device(folder)
slots, log = Slots(own), AuditLog(folder / "audit.sqlite")
desk = OrderDesk("a/b/c", log, LimitOrders(slots, own), None, None)
log.record = at(1, log.record)
own.follow = at(2, own.follow)
durable_write.os.fsync = at(3, os.fsync)
slots.follow_limits = at(5, slots.follow_limits)
for value in (160.0, 170.0):
    answer = desk.execute(
        order("set_limit", score_threshold=value, for_sha256="a" * 64), OWN
    )
    print(value, flush=True)
"""

SLOW = pytest.mark.slow
STEPS = [s if s in (2, 3, 7) else pytest.param(s, marks=SLOW) for s in range(1, 11)]
"""record, follow, sync of the file, sync of its folder, exchange; of each of two orders."""


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_between_two_steps(tmp_path: Path, step: int) -> None:
    """After a restart the limit in force is the last recorded one, and nothing that was answered is
    missing."""
    write_bright_bundle(tmp_path / "a.bundle")
    tests = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), tests, str(step)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    model = load_model(read_bundle(tmp_path / "a.bundle"))
    own = limits_of_device(tmp_path)
    limits = own.applied("main", Ready("a" * 64, model, "no")).model.limits
    recorded = []
    if (tmp_path / "audit.sqlite").exists():
        assert verify(tmp_path / "audit.sqlite").is_whole
        found = every_record(tmp_path / "audit.sqlite")
        recorded = [r["new"]["score_threshold"] for r in found if r["event"] == "limit"]
    assert limits.score_threshold == (recorded[-1] if recorded else 150.0)
    answered = [float(line) for line in done.stdout.splitlines()]
    assert recorded[: len(answered)] == answered
    assert len(recorded) == (step - 1 + 4) // 5
