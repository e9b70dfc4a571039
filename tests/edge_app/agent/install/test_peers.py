"""The agent's socket: peers that lie, chatter, hang up in the middle or come twice."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest
from support.brokers import wait_until

from edge_app.agent.install.socket_server import PeerServer, Respond
from edge_app.errors import ConfigError
from edge_app.ipc.client import connect_to_agent
from edge_app.ipc.peers import Role, role_socket
from edge_app.ipc.protocol import (
    MAX_LINE_BYTES,
    TO_PEER,
    Bye,
    Hello,
    PeerMessage,
    PeerSocket,
    Rollback,
    Switch,
)

SHA256 = "ab" * 32
HELLO = Hello(pid=1, slots={"main": SHA256})


class Desk:
    """Writes down what reached the agent."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def inspection_came(self, hello: Hello) -> None:
        self.seen.append(f"came {hello.pid}")

    def inspection_said(self, news: PeerMessage) -> None:
        self.seen.append(type(news).__name__)

    def inspection_gone(self, is_planned: bool) -> None:
        self.seen.append("stopped" if is_planned else "crashed")

    def commanded(self, command: PeerMessage, respond: Respond) -> None:
        self.seen.append(type(command).__name__)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[tuple[Desk, PeerServer, Path]]:
    desk = Desk()
    server = PeerServer(tmp_path / "agent.sock", desk)
    server.start()
    yield desk, server, role_socket(tmp_path / "agent.sock", Role.INSPECTION)
    server.stop()


BAD_LINES = {
    "no JSON": b"hello\n",
    "no object": b"[1, 2]\n",
    "an unknown type": b'{"type": "reboot"}\n',
    "a field too many": b'{"type": "bye", "force": true}\n',
    "a field too few": b'{"type": "switched", "slot": "main"}\n',
    "a digest that is none": b'{"type": "loaded", "slot": "main", "sha256": "../../x"}\n',
    "not a number": b'{"type": "probation", "slot": "main", "sha256": "%s", "state": "passed",'
    b' "figures": {"parts": NaN}}\n' % SHA256.encode(),
    "an order, from the wrong side": Switch(slot="main", sha256=SHA256).model_dump_json().encode()
    + b"\n",
    "a line cut off": b'{"type": "by',
    "a line without end": b"x" * (MAX_LINE_BYTES + 10),
}


@pytest.mark.parametrize("what", BAD_LINES)
def test_a_line_that_is_not_in_the_schema_ends_the_connection(
    desk: tuple[Desk, PeerServer, Path], what: str
) -> None:
    """The peer counts as crashed, nothing of the line is used, and the next peer is served."""
    seen, _, path = desk
    for pid in (1, 2):
        peer = connect_to_agent(path)
        hello = HELLO.model_copy(update={"pid": pid})
        peer.sendall(hello.model_dump_json().encode() + b"\n")
        wait_until(partial(lambda n: f"came {n}" in seen.seen, pid))
        with closing(peer), suppress(BrokenPipeError, ConnectionResetError):
            peer.sendall(BAD_LINES[what])  # an end without a reader is a reset
            peer.shutdown(socket.SHUT_WR)
            assert peer.recv(1) == b""
        wait_until(partial(lambda n: seen.seen.count("crashed") == n, pid))
    assert seen.seen == ["came 1", "crashed", "came 2", "crashed"]


def test_a_goodbye_is_no_crash(desk: tuple[Desk, PeerServer, Path]) -> None:
    """`bye` before the end of the connection makes it a planned stop."""
    seen, server, path = desk
    peer = PeerSocket(connect_to_agent(path), TO_PEER)
    peer.send(HELLO)
    wait_until(lambda: seen.seen == ["came 1"])
    assert server.order(Rollback(slot="main", sha256=SHA256, back_to=None))
    assert isinstance(peer.receive(), Rollback)
    peer.send(Bye())
    peer.close()
    wait_until(lambda: seen.seen[-1] == "stopped")
    assert not server.order(Switch(slot="main", sha256=SHA256))


def test_the_newest_inspection_process_counts(desk: tuple[Desk, PeerServer, Path]) -> None:
    """A second one takes the place of the first, which is hung up on and not counted as crashed."""
    seen, server, path = desk
    first, second = (PeerSocket(connect_to_agent(path), TO_PEER) for _ in range(2))
    first.send(HELLO)
    wait_until(lambda: seen.seen == ["came 1"])
    second.send(HELLO.model_copy(update={"pid": 2}))
    assert first.receive() is None
    wait_until(lambda: "came 2" in seen.seen)
    assert server.order(Switch(slot="main", sha256=SHA256))
    assert isinstance(second.receive(), Switch)
    assert seen.seen == ["came 1", "came 2"]
    first.close()
    second.close()


def test_a_stale_socket_file_is_replaced_and_a_missing_folder_explained(tmp_path: Path) -> None:
    """A killed agent's socket does not stop the next one."""
    path = tmp_path / "agent.sock"
    path.write_text("left over")
    server = PeerServer(path, Desk())
    server.start()
    PeerSocket(connect_to_agent(path), TO_PEER).close()
    server.stop()
    with pytest.raises(ConfigError, match="cannot be made: No such file"):
        PeerServer(tmp_path / "no" / "agent.sock", Desk()).start()
    with pytest.raises(ConfigError, match="Start `edge-app agent`"):
        connect_to_agent(path)


def test_every_line_survives_its_own_json() -> None:
    """What is sent can be read by the other side: the schema is one."""
    line = Switch(slot="main", sha256=SHA256)
    assert TO_PEER.validate_json(line.model_dump_json()) == line
    assert json.loads(line.model_dump_json())["type"] == "switch"


def test_hanging_up_ends_a_receive_in_another_thread(tmp_path: Path) -> None:
    """Whichever moment it is in: before it reads, while it waits, between two lines."""
    for wait_s in (0.0, 0.0, 0.001, 0.01):
        ours, theirs = socket.socketpair()
        peer = PeerSocket(ours, TO_PEER)
        told: list[PeerMessage | None] = []
        reader = threading.Thread(target=lambda p=peer, t=told: t.append(p.receive()))
        reader.start()
        time.sleep(wait_s)
        peer.close()
        reader.join(5)
        theirs.close()
        assert told == [None]
    assert peer.receive() is None, "after it too"
