"""SIGKILL round pauses: one begin and one end each, nothing inspected early or let pass late."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.app_config import write_config
from support.order_makers import OWN, order
from support.small_bundles import write_pictures

from edge_app.audit.log import AuditLog
from edge_app.audit.reader import every_record, records_since
from edge_app.audit.verify import verify
from edge_app.history.ledger import check_history
from edge_app.orders.desk import OrderDesk
from edge_app.orders.pause_orders import PauseEffects, PauseOrders
from edge_app.runtime.pauses import PauseBook, PauseClocks

TESTS = str(Path(__file__).parents[2])
NS = 10**9


# -- between the steps --------------------------------------------------------------------------


@pytest.fixture
def killed_at() -> Iterator[Callable[[Path, int, str], int]]:
    """Pauses and ends a pause in a process that kills itself at a step; returns its status.

    It is the child of a process that does nothing else and has one thread. Of pytest's own other
    threads may hold a lock at the fork, of SQLite's memory for one, that nobody then releases.
    """
    path = os.pathsep.join([TESTS, str(Path(TESTS).parent)])
    with subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
        env={**os.environ, "PYTHONPATH": path},
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        asked, answers = parent.stdin, parent.stdout

        def status_of(folder: Path, step: int, ends_by: str) -> int:
            asked.write(json.dumps([str(folder), step, ends_by]) + "\n")
            return int(answers.readline())

        yield status_of
        asked.close()


def fork_as_asked() -> None:
    """Read one (folder, step, how it ends) a line; write each child's status."""
    for line in sys.stdin:
        folder, step, ends_by = json.loads(line)
        child = os.fork()
        if child:
            print(os.waitpid(child, 0)[1], flush=True)
            continue
        try:
            pause_and_end(Path(folder), step, ends_by)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)


def pause_and_end(folder: Path, step: int, ends_by: str) -> None:
    count = 0

    def killing(owner: Any, name: str) -> None:
        work = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return work(*args, **kwargs)

        setattr(owner, name, wrapped)

    for name in ("_append", "note", "_write_notes"):
        killing(AuditLog, name)
    for name in ("_write", "end"):
        killing(PauseBook, name)
    for name in ("_begin", "_end"):
        killing(PauseOrders, name)
    killing(os, "fsync")
    clock = Clock()
    desk, orders, log, _ = a_desk(folder, clock)
    desk.execute(order("pause", camera="cam1", minutes=5), OWN)
    if ends_by == "resume":
        desk.execute(order("resume", camera="cam1"), OWN)
    else:
        clock.now_ns += 301 * NS
        orders.tick()
        log._attempt()
        orders.tick()


class Clock:
    """One clock for both; of one boot."""

    now_ns = 1_790_000_000 * NS

    def clocks(self) -> PauseClocks:
        return PauseClocks(lambda: self.now_ns, lambda: self.now_ns, lambda: "boot")


def a_desk(
    folder: Path, clock: Clock
) -> tuple[OrderDesk, PauseOrders, AuditLog, list[tuple[str, bool]]]:
    """Start as a device does: the file follows the audit, then pauses go on."""
    book = PauseBook(folder / "pauses.json", ("cam1", "cam2"), clock.clocks())
    book.follow(records_since(folder / "audit.sqlite", book.head))
    log = AuditLog(folder / "audit.sqlite")
    line: list[tuple[str, bool]] = []
    effects = PauseEffects(
        lambda camera, on: line.append((camera, on)),
        lambda *_: None,
        lambda *_: None,
        log.note,
        lambda: not log.health().waiting,
    )
    orders = PauseOrders(book, ("cam1", "cam2"), effects, lambda: clock.now_ns)
    orders.start()
    return OrderDesk("a/b/c", log, None, orders, None), orders, log, line  # type: ignore[arg-type]


def events_of(state: Path) -> list[str]:
    assert verify(state / "audit.sqlite").is_whole
    found = (r["event"] for r in every_record(state / "audit.sqlite"))
    return [e for e in found if e in ("pause", "resumed", "pause_ended")]


@pytest.mark.parametrize("ends_by", ["its time", "resume"])
def test_a_kill_between_two_steps_leaves_one_begin_and_one_end(
    tmp_path: Path, ends_by: str, killed_at: Callable[[Path, int, str], int]
) -> None:
    """At every step of a pause and its end: the next starts come to the same account, and a third
    adds nothing."""
    steps = 0
    while True:
        steps += 1
        folder = tmp_path / str(steps)
        folder.mkdir()
        status = killed_at(folder, steps, ends_by)
        if status == 0:
            break
        assert os.WIFSIGNALED(status)
        assert os.WTERMSIG(status) == signal.SIGKILL
        clock = Clock()
        for later_s in (1, 302, 303):
            clock.now_ns = Clock.now_ns + later_s * NS
            _, orders, log, line = a_desk(folder, clock)
            orders.tick()
            log._attempt()
            orders.tick()
            log.close()
            assert dict(line).get("cam1", False) == is_paused(folder), f"step {steps}"
        events = events_of(folder)
        ends = {"pause_ended"} | ({"resumed"} if ends_by == "resume" else set())
        assert events == [] or (events[0] == "pause" and events[1] in ends), f"step {steps}"
        assert len(events) in (0, 2), f"step {steps}: {events}"
    assert steps > 9, "the last run had no kill"
    assert events_of(folder) == ["pause", "resumed" if ends_by == "resume" else "pause_ended"]


def is_paused(folder: Path) -> bool:
    """Tell what the audit says of cam1."""
    events = events_of(folder)
    return bool(events) and events[-1] == "pause"


def test_a_resume_whose_pause_ends_meanwhile_is_the_one_end(tmp_path: Path) -> None:
    """The time is over between the order's check and its record: the line inspects at once, and
    only the order's record says so; an order that then is not recorded leaves it to the time."""
    clock = Clock()
    desk, orders, log, line = a_desk(tmp_path, clock)
    desk.execute(order("pause", camera="cam1", minutes=5), OWN)
    record = log.record

    def late(entry: Any, answer: Any = None) -> Any:
        clock.now_ns += 301 * NS
        orders.tick()
        assert line[-1] == ("cam1", False), "it never outlives its end"
        return record(entry, answer)

    log.record = late  # type: ignore[method-assign]
    desk.execute(order("resume", camera="cam1"), OWN)
    log.record = record  # type: ignore[method-assign]
    orders.tick()
    log._attempt()
    assert events_of(tmp_path) == ["pause", "resumed"]
    assert line == [("cam1", True), ("cam1", False)]
    desk.execute(order("pause", camera="cam1", minutes=5), OWN)
    orders._claim(("cam1",))  # of an order that failed
    clock.now_ns += 301 * NS
    orders.tick()
    orders._claimed_until_s["cam1"] = 0.0
    orders.tick()
    log._attempt()
    orders.tick()
    assert events_of(tmp_path) == ["pause", "resumed", "pause", "pause_ended"]
    assert json.loads((tmp_path / "pauses.json").read_text())["pauses"] == []
    log.close()


# -- a running device ---------------------------------------------------------------------------

DEVICE = """
import os, random, sys, threading, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from support.order_makers import order
from edge_app.app import EdgeApp
from edge_app.config.load import load_config
from edge_app.errors import EdgeError
from edge_app.ipc.order_client import OrderClient
from edge_app.runtime import pauses

LENGTH_S = 0.7
chance = random.Random(int(sys.argv[3]))
is_last = sys.argv[4] == "last"
planned = pauses.PauseBook.planned

def shorter(self, cameras, minutes, why):
    made = planned(self, cameras, minutes, why)
    off = minutes * 60 * 10**9 - int(LENGTH_S * 1e9)
    return [
        p.model_copy(update={"until_ns": p.until_ns - off,
                             "until_monotonic_ns": p.until_monotonic_ns - off})
        for p in made
    ]

pauses.PauseBook.planned = shorter
config = load_config(Path(sys.argv[1]))
app = EdgeApp(config)
threading.Thread(target=app.run, daemon=True).start()
client = OrderClient(config.device.state_dir / "orders.sock")
while True:
    try:
        client.send(order("note_head"))
        break
    except EdgeError:
        time.sleep(0.02)
print("ready", flush=True)
if is_last:
    time.sleep(2.5)
    app.stop()
    time.sleep(1.5)
    sys.exit()
while True:
    time.sleep(chance.uniform(0, 0.4))
    answer = client.send(order("pause", minutes=1, camera="cam1"))
    print("paused", time.time_ns(), flush=True)
    time.sleep(chance.uniform(0, 1.2))
    if chance.random() < 0.5:
        print("resuming", time.time_ns(), flush=True)
        try:
            client.send(order("resume", camera="cam1"))
        except EdgeError:
            pass
"""


@dataclass
class Run:
    """One process: what it said, when it was started and took its first order."""

    lines: list[list[str]] = field(default_factory=list)
    launched_ns: int = 0
    ready_ns: int = 0

    def starts_in(self, begin_ns: int, end_ns: int) -> bool:
        """Tell whether it was starting at some moment of a time."""
        return self.launched_ns < end_ns and self.ready_ns > begin_ns


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_round_pauses(tmp_path: Path) -> None:
    """30 kills, or as many as CROPLIQ_KILLS says, on a line of 50 numbered parts a second with
    pauses of 0.7 s: the audit has one begin and one end of each pause; no part that was captured
    while a pause was answered and not over was judged; none was let pass behind a pause's end, and
    that end came when its time was over or the next process began; the numbers add up."""
    kills = int(os.environ.get("CROPLIQ_KILLS", "30"))
    chance = random.Random(7)
    write_pictures(tmp_path / "in", 6, set())
    url = "folder:in?loop=1&interval_s=0.02"
    config = write_config(tmp_path, url, 1, mqtt="enabled = false")
    state = tmp_path / "state"
    runs = [device_run(config, number, chance.uniform(0.05, 2.2)) for number in range(kills)]
    runs.append(device_run(config, kills, 0))
    bounds = list(pauses_in(state))
    assert len(bounds) >= kills, "fewer pauses than kills show little"
    parts = captured(state)
    assert not [p for p in parts if p.state == "OK" and is_under_pause(p.at_ns, runs, bounds)]
    late = [later_s(p, bounds) for p in parts if p.reason == "paused"]
    assert max(late) < TURN_S, sorted(late)[-5:]
    overdue = [b for b in bounds if b.ended_ns - b.until_ns > OVERDUE_NS]
    assert not [b for b in overdue if not any(r.starts_in(b.until_ns, b.ended_ns) for r in runs)]
    assert check_history(state / "history.sqlite").is_whole
    shown = {r: sum(p.reason == r for p in parts) for r in {p.reason for p in parts}}
    print(f"{kills} kills, {len(bounds)} pauses, parts by reason: {shown}")


def device_run(config: Path, seed: int, kill_after_s: float) -> Run:
    """Run the device until it is killed, or for the last time to its orderly end."""
    is_last = kill_after_s == 0
    run = Run(launched_ns=time.time_ns())
    child = subprocess.Popen(
        [sys.executable, "-c", DEVICE, str(config), TESTS, str(seed),
         "last" if is_last else "killed"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == "ready\n"
        run.ready_ns = time.time_ns()
        if not is_last:
            time.sleep(kill_after_s)
            child.kill()
        run.lines = [line.split() for line in child.stdout]
        assert child.wait(30) == (0 if is_last else -signal.SIGKILL)
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    return run


@dataclass(frozen=True)
class Bounds:
    """One pause by the audit: from its first record to its end, ns since the epoch."""

    began_ns: int
    until_ns: int
    ended_ns: int


def pauses_in(state: Path) -> Iterator[Bounds]:
    """Yield every pause of the audit; a pause that was made longer is one.

    Raises:
        AssertionError: one has no end, or an end has no pause.
    """
    assert verify(state / "audit.sqlite").is_whole
    open_pause: dict[str, Any] | None = None
    for record in every_record(state / "audit.sqlite"):
        if record["event"] == "pause":
            (pause,) = record["new"]["pauses"]
            assert bool(record["old"]) == (open_pause is not None), record
            open_pause = pause
        elif record["event"] in ("resumed", "pause_ended"):
            assert open_pause is not None, f"an end without a pause: {record}"
            yield Bounds(open_pause["began_ns"], open_pause["until_ns"], at_ns(record["at"]))
            open_pause = None
    assert open_pause is None, "a pause without an end"


def at_ns(text: str) -> int:
    from edge_app.mqtt.timestamps import epoch_ns

    return epoch_ns(text)


@dataclass(frozen=True)
class Part:
    at_ns: int
    state: str
    reason: str


def captured(state: Path) -> list[Part]:
    with closing(sqlite3.connect(state / "history.sqlite")) as connection:
        query = "SELECT captured_ns, state, reason FROM parts ORDER BY id"
        return [Part(*row) for row in connection.execute(query)]


SLACK_NS = 150_000_000
"""A picture is captured when it is read, and judged a moment later: the turn between two parts."""

TURN_S = 1.0
"""From the end of a pause to the first part that is judged: one turn of the line, and what waits
before it in the queue was captured earlier."""

OVERDUE_NS = 5 * NS
"""A pause that is over is looked for twice a second, on a machine that others use; where no process
ran meanwhile, the next start ends it."""


def is_under_pause(moment_ns: int, runs: list[Run], bounds: list[Bounds]) -> bool:
    """Tell whether a pause was answered before a moment and neither over nor being resumed then."""
    pause = next((b for b in bounds if b.began_ns <= moment_ns < b.until_ns), None)
    if pause is None or moment_ns >= min(pause.until_ns, pause.ended_ns):
        return False
    told = [(int(words[1]), words[0]) for run in runs for words in run.lines if len(words) == 2]
    answered = [at for at, what in told if what == "paused" and at >= pause.began_ns]
    resuming = [at for at, what in told if what == "resuming" and at >= pause.began_ns]
    is_answered = bool(answered) and min(answered) + SLACK_NS < moment_ns
    return is_answered and not (resuming and min(resuming) <= moment_ns)


def later_s(part: Part, bounds: list[Bounds]) -> float:
    """Return how long after the end of every pause that could be meant a part was captured, s."""
    ends = [b.ended_ns for b in bounds if b.began_ns - OVERDUE_NS <= part.at_ns]
    return min((part.at_ns - end) / NS for end in ends)


if __name__ == "__main__":
    fork_as_asked()
