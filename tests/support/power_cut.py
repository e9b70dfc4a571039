"""A device that is cut off at a chosen moment, as often as there are moments.

`power_cut.py FOLDER SIDE FIRST STRIDE` forks agent and inspection from one process that has
imported everything, ends them with `os._exit` at the n-th spark, starts them again, and prints one
JSON object per moment: what is active then, and whether it is whole. A spark is a change on disk,
a report or an order given (SIDE agent and both), or a line said or an order taken (SIDE
inspection).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from edge_app.activation import agent_client as activation_link
from edge_app.activation import controller as activation
from edge_app.agent.agent import Agent
from edge_app.agent.install import shadow_phase as comparing
from edge_app.agent.install import switch_phase as switching
from edge_app.agent.install.slot_worker import FlowTimes
from edge_app.agent.install.socket_server import PeerServer
from edge_app.agent.main import make_checks
from edge_app.app import EdgeApp
from edge_app.config.load import load_config
from edge_app.ipc.protocol import Order, PeerMessage
from edge_app.mqtt.deploy_messages import FINAL_STATES, Reported
from edge_app.records import FrameReport
from edge_app.store.bundle_store import Store
from edge_app.store.durable_write import Step, perform
from support.activation_bundles import manifest_of, write_release
from support.agent_and_line import try_here, write_config
from support.small_bundles import write_pictures

RULES = "shadow_parts = 1\nprobation_parts = 2"
SETTLE_S = 30.0


class Fuse:
    """Ends the process at its n-th spark as a power cut does: nothing is flushed or said."""

    def __init__(self, at: int) -> None:
        self._at = at
        self._lock = threading.Lock()
        self.count = 0

    def spark(self) -> None:
        with self._lock:
            self.count += 1
            if self.count == self._at:
                os._exit(137)


def agent_process(config_path: Path, install: Path | None, at: int, counted: Path) -> None:
    """Be the agent until killed; with `install` write down how many sparks that took."""
    fuse, config = Fuse(at), load_config(config_path)

    def do(step: Step) -> None:
        fuse.spark()
        perform(step)

    def report(reported: Reported) -> None:
        fuse.spark()
        if install is not None and reported.state in FINAL_STATES:
            counted.write_text(f"{fuse.count} {reported.state} {reported.reason}")

    order = PeerServer.order

    def say(server: PeerServer, line: PeerMessage) -> bool:
        fuse.spark()
        return order(server, line)

    PeerServer.order = say  # type: ignore[assignment, method-assign]
    checks = dataclasses.replace(make_checks(config, threading.Event()), try_out=try_here)
    agent = Agent(
        Store(config.agent.store_dir, do),
        checks,
        {"main": config.slot("main")},
        FlowTimes(10.0, 20.0),
        1,
        config.agent.socket,
        report,
    )
    agent.start()
    if install is not None:
        agent.install(install, "main", "file")
    threading.Event().wait()


def inspection_process(config_path: Path, at: int, judged: Path, counted: Path) -> None:
    """Inspect until killed; `judged` holds the digest of what judged last."""
    fuse = Fuse(at)

    def note(report: FrameReport) -> None:
        for verdict in report.finished:
            sha256 = verdict.model.bundle_sha256 if verdict.model else "none"
            judged.with_suffix(".new").write_text(sha256)
            judged.with_suffix(".new").replace(judged)

    app = EdgeApp(load_config(config_path), observers=[note])
    connection, orders = app._slots._connection, app._slots._activation
    assert connection is not None
    assert orders is not None
    tell, handle = connection.tell, orders.handle

    def say(line: PeerMessage) -> None:
        fuse.spark()
        tell(line)
        counted.write_text(str(fuse.count))

    def take(order: Order) -> None:
        fuse.spark()
        handle(order)

    connection.tell = orders._tell = say  # type: ignore[method-assign]
    orders.handle = take  # type: ignore[method-assign]
    app.run()


class Bench:
    """One device, put back to its beginning before every cut."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "edge-app.toml"
        self.judged, self.counted = folder / "judged", folder / "counted"
        write_pictures(folder / "in", 3, set())
        write_config(folder, RULES, "folder:in?loop=1&interval_s=0.03")
        self.old = write_release(folder / "old.bundle", manifest_of("alpha", 1))
        self.new = write_release(folder / "new.bundle", manifest_of("alpha", 2))
        self.store = Store(folder / "store")
        self._pids: list[int] = []
        self._install_old()

    def fork(self, work: Callable[[], None]) -> int:
        """Run `work` in a process of its own."""
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            try:
                work()
            finally:
                os._exit(1)
        self._pids.append(pid)
        return pid

    def agent(self, install: Path | None = None, at: int = -1) -> int:
        return self.fork(lambda: agent_process(self.config, install, at, self.counted))

    def inspection(self, at: int = -1) -> int:
        return self.fork(
            lambda: inspection_process(self.config, at, self.judged, self.folder / "said")
        )

    def end(self, pid: int) -> None:
        if pid in self._pids:
            self._pids.remove(pid)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def has_ended(self, pid: int) -> bool:
        if pid in self._pids and os.waitpid(pid, os.WNOHANG)[0] == pid:
            self._pids.remove(pid)
        return pid not in self._pids

    def end_all(self) -> None:
        for pid in list(self._pids):
            self.end(pid)

    def _install_old(self) -> None:
        self.agent(self.old)
        self.inspection()
        wait(self.counted.exists, "the first installation")
        self.end_all()
        shutil.copytree(self.store.root, self.folder / "origin", symlinks=True)

    def cut(self, side: str, at: int) -> dict[str, object]:
        """Install the new bundle, cut at one moment, start again, and tell what is active."""
        shutil.rmtree(self.store.root)
        shutil.copytree(self.folder / "origin", self.store.root, symlinks=True)
        for path in (self.counted, self.judged):
            path.unlink(missing_ok=True)
        agent = self.agent(self.new, at if side != "inspection" else -1)
        inspection = self.inspection(at if side == "inspection" else -1)
        victim = inspection if side == "inspection" else agent
        wait(lambda: self.has_ended(victim) or self.counted.exists(), f"moment {at}")
        told = self.counted.read_text() if self.counted.exists() else ""
        if "committed" not in told:  # the other side may hear of the end before the kernel tells us
            wait(lambda: self.has_ended(victim), f"the end at moment {at}")
        has_died = self.has_ended(victim)
        if has_died and side == "both":
            self.end_all()
        after = self._restart_and_settle(side if has_died else "none")
        self.end_all()
        return {"side": side, "at": at, "has_died": has_died, "told": told, **after}

    def _restart_and_settle(self, side: str) -> dict[str, object]:
        choices = self.store.choices("main")
        if side in ("agent", "both"):
            self.agent()
        if side in ("inspection", "both"):
            self.judged.unlink(missing_ok=True)
            self.inspection()
        wait(self._is_settled, "one bundle that judges and no record")
        return {
            "active": self.store.active("main"),
            "judges": self.judged.read_text(),
            "whole": all(
                self._is_whole(sha256) for sha256 in [*choices, *self.store.choices("main")]
            ),
            "choices": len(choices),
        }

    def _is_settled(self) -> bool:
        """The record and everything half made is gone, and the slot's bundle judges."""
        if any(self.store.root.rglob(".*.new")):
            return False
        if not self.judged.exists() or self.store.intent("main") is not None:
            return False
        return self.judged.read_text() == self.store.active("main")

    def _is_whole(self, sha256: str) -> bool:
        return hashlib.sha256(self.store.release(sha256).read_bytes()).hexdigest() == sha256


def wait(is_true: Callable[[], bool], what: str) -> None:
    end_s = time.monotonic() + SETTLE_S
    while not is_true():
        if time.monotonic() > end_s:
            raise TimeoutError(f"not within {SETTLE_S} s: {what}")
        time.sleep(0.01)


def hurry() -> None:
    """Shorten the waits that only cost a test time: retries and ticks."""
    activation_link.RETRY_S = activation.TICK_S = switching.POLL_S = comparing.POLL_S = 0.03


def main(folder: Path, side: str, first: int, stride: int) -> None:
    """Cut at every `stride`-th moment from the `first` on, until an installation passes whole."""
    logging.disable(logging.CRITICAL)
    hurry()
    bench = Bench(folder)
    try:
        for at in range(first, 500, stride):
            found = bench.cut(side, at)
            print(json.dumps(found), flush=True)
            if not found["has_died"]:
                return
    finally:
        bench.end_all()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
