"""What somebody outside can cause again and again makes few lines, in each of the processes."""

from __future__ import annotations

import ast
import logging
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timezone
from pathlib import Path

import pytest
from support.alert_drafts import WHO
from support.app_config import write_config

import edge_app
from edge_app.agent.commands.handler import CommandHandler, Orders
from edge_app.agent.commands.journal import CommandJournal
from edge_app.agent.install.socket_server import PeerServer
from edge_app.agent.pull.pointer_journal import PointerJournal
from edge_app.agent.pull.puller import Puller
from edge_app.bundle.trusted_keys import TrustPolicy
from edge_app.host.log_limit import limit_handler
from edge_app.mqtt.connection import Received
from edge_app.mqtt.outbox import Outbox
from edge_app.mqtt.outgoing import Outgoing
from edge_app.mqtt.publisher_handler import PublisherHandler
from edge_app.mqtt.publisher_state import PublisherState
from edge_app.mqtt.settings import MqttSettings
from edge_app.mqtt.topics import Topics

REPEATS = 10_000
MOST = 10
"""Lines a minute and cause."""
SOURCE = Path(edge_app.__file__).parent
LEVELS = {"info", "warning", "error", "exception", "critical"}


def log_calls() -> Iterator[tuple[str, ast.expr]]:
    """Yield the place and the message of every log call."""
    for file in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            owner = node.func.value
            name = owner.id if isinstance(owner, ast.Name) else ""
            if name.lower() in ("log", "_log", "logging") and node.func.attr in LEVELS:
                yield f"{file.relative_to(SOURCE)}:{node.lineno}", node.args[0]


def test_a_message_is_a_place_in_the_code() -> None:
    """Values are arguments: a text from outside inside the message would be a cause of its own."""
    calls = list(log_calls())
    assert len(calls) > 80
    mixed = [place for place, message in calls if not isinstance(message, ast.Constant)]
    assert not mixed


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.levelname} {record.name}: {record.getMessage()}")


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """Yield what a process would write."""
    kept, root = Kept(), logging.getLogger()
    limit_handler(kept)
    before = root.level
    root.addHandler(kept)
    root.setLevel(logging.INFO)
    yield kept.lines
    root.removeHandler(kept)
    root.setLevel(before)


def _nothing(*_: object) -> None:
    pass


class _Releases:
    def intent(self, slot: str) -> None:
        return None


def _puller(folder: Path) -> Puller:
    return Puller(
        None,  # type: ignore[arg-type]  # nothing is downloaded
        PointerJournal(folder),
        ["main"],
        install=_nothing,  # type: ignore[arg-type]
        publish=_nothing,
        releases=_Releases(),  # type: ignore[arg-type]
    )


@contextmanager
def _bad_commands(folder: Path) -> Iterator[Callable[[int], None]]:
    orders = Orders(_nothing, lambda: TrustPolicy({}))  # type: ignore[arg-type]
    journal = CommandJournal(folder, lambda: datetime.now(timezone.utc))
    handler = CommandHandler(orders, WHO, journal, ["main"], _nothing, time.time_ns)
    yield lambda n: handler.take(f"verb-{n}", f"command {n}".encode(), n % 2 == 0)


@contextmanager
def _bad_pointers(folder: Path) -> Iterator[Callable[[int], None]]:
    puller = _puller(folder)
    yield lambda n: puller.want(f"slot-{n}", f"pointer {n}".encode())


@contextmanager
def _foreign_messages(folder: Path) -> Iterator[Callable[[int], None]]:
    outbox, topics = Outbox(folder / "outbox.sqlite", reserve_bytes=0), Topics(WHO)
    state = PublisherState(MqttSettings(host="h", port=1), lambda: 0, time.monotonic, lambda: 0.5)
    handler = PublisherHandler(topics, outbox, Outgoing(), state, time.time_ns, time.monotonic)
    yield lambda n: handler._note_foreign(
        Received(topics.alert(f"cam{n}"), f"message {n}".encode(), is_retained=False)
    )
    outbox.close()


CAUSES = {
    "bad commands": _bad_commands,
    "bad pointers": _bad_pointers,
    "foreign messages": _foreign_messages,
}


@pytest.mark.parametrize("cause", CAUSES.values(), ids=CAUSES)
def test_ten_thousand_of_a_kind_make_few_lines(
    cause: Callable[[Path], AbstractContextManager[Callable[[int], None]]],
    tmp_path: Path,
    lines: list[str],
) -> None:
    """Each with a text of its own."""
    with cause(tmp_path) as do:
        for number in range(REPEATS):
            do(number)
    assert 1 <= len(lines) < MOST, lines[:20]


def test_peers_that_talk_nonsense_make_few_lines(tmp_path: Path, lines: list[str]) -> None:
    """Any local account that the socket's mode lets in could fill the agent's log."""
    server = PeerServer(tmp_path / "agent.sock", None)  # type: ignore[arg-type]  # no one arrives
    server.start()
    try:
        for number in range(200):
            with socket.socket(socket.AF_UNIX) as peer:
                peer.connect(str(tmp_path / "agent.sock"))
                peer.sendall(f'{{"type": "nonsense {number}"}}\n'.encode())
                peer.settimeout(5)
                peer.recv(1000)
    finally:
        server.stop()
    counted = Counter(line.split(":")[0] for line in lines)
    assert max(counted.values(), default=0) < MOST, lines[:20]


def test_a_folder_of_bad_pictures_makes_few_lines(tmp_path: Path) -> None:
    """The installed inspection process: one line for each of some, then they are counted."""
    pictures = tmp_path / "in"
    pictures.mkdir()
    for number in range(300):
        (pictures / f"{number:04d}.png").write_bytes(b"no picture")
    config = write_config(tmp_path, "folder:in", 1)
    text = config.read_text()
    head, _, tail = text.partition("[mqtt]")
    config.write_text(f"{head}[mqtt]\nenabled = false\n[page]{tail.partition('[page]')[2]}")
    done = subprocess.run(
        [sys.executable, "-m", "edge_app.cli.main", "run", "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert 1 <= sum("part not inspected" in line for line in done.stderr.splitlines()) < MOST
