"""The agent's sockets, one a role: who is let in, what each may say, how many fit."""

from __future__ import annotations

import select
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.brokers import wait_until

from edge_app.agent.install import socket_server
from edge_app.agent.install.socket_server import MAX_PEERS, MESSAGES, PeerServer, Respond
from edge_app.ipc import peers
from edge_app.ipc.client import connect_to_agent
from edge_app.ipc.peers import SOCKET_MODES, Role, role_socket
from edge_app.ipc.protocol import (
    FEATURES,
    TO_PEER,
    Answer,
    DecideCommand,
    FeaturesCommand,
    Hello,
    InstallCommand,
    PeerMessage,
    PeerSocket,
    SelectCommand,
    SlotsCommand,
)

FIRST: dict[type[PeerMessage], PeerMessage] = {
    Hello: Hello(pid=1, slots={}),
    InstallCommand: InstallCommand(path="/x", slot="main"),
    SelectCommand: SelectCommand(slot="main", product="p"),
    DecideCommand: DecideCommand(slot="main", promote=True),
    SlotsCommand: SlotsCommand(),
    FeaturesCommand: FeaturesCommand(),
}
NOBODY = 65534


class Desk:
    """Writes down what reached the agent."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def inspection_came(self, hello: Hello) -> None:
        self.seen.append("Hello")

    def inspection_said(self, news: PeerMessage) -> None:
        self.seen.append(type(news).__name__)

    def inspection_gone(self, is_planned: bool) -> None: ...

    def commanded(self, command: PeerMessage, respond: Respond) -> None:
        self.seen.append(type(command).__name__)
        respond(Answer(is_ok=True, text="done"))


@pytest.fixture
def served() -> Iterator[tuple[Desk, Path]]:
    """An agent's sockets in a folder that every account reaches."""
    with tempfile.TemporaryDirectory(prefix="cropliq-peers-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        desk = Desk()
        server = PeerServer(folder / "agent.sock", desk)
        server.start()
        yield desk, folder / "agent.sock"
        server.stop()
        assert list(folder.iterdir()) == []


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("kind", FIRST)
def test_a_role_says_only_what_is_its_own(
    served: tuple[Desk, Path], role: Role, kind: type[PeerMessage]
) -> None:
    """Every message on every socket: what belongs to another role reaches nobody and is answered
    with a sentence."""
    desk, path = served
    peer = PeerSocket(connect_to_agent(role_socket(path, role)), TO_PEER)
    peer.send(FIRST[kind])
    if kind is FeaturesCommand:
        answer = peer.receive()
        assert isinstance(answer, Answer)
        assert answer.text.split() == list(FEATURES)
        assert desk.seen == [], "answered without asking the agent"
    elif kind in MESSAGES[role]:
        wait_until(lambda: desk.seen == [kind.__name__])
    else:
        answer = peer.receive()
        assert isinstance(answer, Answer)
        assert not answer.is_ok
        assert "each role has its own" in answer.text
        assert peer.receive() is None
        assert desk.seen == []
    peer.close()


@pytest.mark.needs("root")
@pytest.mark.parametrize(
    ("role", "account", "is_let_in"),
    [
        (Role.INSPECTION, None, False),
        (Role.PAGE, None, False),
        (Role.PAGE, Role.PAGE, True),
        (Role.INSPECTION, Role.INSPECTION, True),
        (Role.PEOPLE, Role.INSPECTION, False),
        (Role.PEOPLE, Role.PAGE, False),
        (Role.PEOPLE, None, True),
    ],
)
def test_the_account_decides_and_not_what_the_peer_says(
    served: tuple[Desk, Path],
    monkeypatch: pytest.MonkeyPatch,
    role: Role,
    account: Role | None,
    is_let_in: bool,
) -> None:
    """A process of another account connects: whatever its message, it is heard only in its role."""
    desk, path = served
    uids = {} if account is None else {peers.ACCOUNTS[account]: NOBODY}
    monkeypatch.setattr(
        socket_server,
        "may_play",
        lambda role, uid: peers.may_play(role, uid, own_uid=0, lookup=uids.get),
    )
    target = role_socket(path, role)
    target.chmod(0o666)
    kind = MESSAGES[role][0]
    said = FIRST[kind].model_dump_json().encode() + b"\n"
    program = (
        "import os, socket, sys\n"
        f"os.setgid({NOBODY}); os.setuid({NOBODY})\n"
        "s = socket.socket(socket.AF_UNIX); s.settimeout(5)\n"
        f"s.connect({str(target)!r})\n"
        f"s.sendall({said!r})\n"
        "s.shutdown(socket.SHUT_WR)\n"
        "while s.recv(4096): pass\n"
    )
    subprocess.run([sys.executable, "-c", program], timeout=20, check=False, stderr=-3)
    if is_let_in:
        wait_until(lambda: desk.seen == [kind.__name__])
    else:
        assert desk.seen == []


def test_the_sockets_modes_are_the_tables(served: tuple[Desk, Path]) -> None:
    """Group only, but for the page, whose account is in no group of ours."""
    _, path = served
    for role in Role:
        assert role_socket(path, role).stat().st_mode & 0o777 == SOCKET_MODES[role]


@pytest.mark.parametrize("role", Role)
def test_silent_peers_take_no_other_roles_place(served: tuple[Desk, Path], role: Role) -> None:
    """Twice as many silent connections as fit: those beyond are closed at once, and the other
    roles are served."""
    _, path = served
    silent = [connect_to_agent(role_socket(path, role)) for _ in range(2 * MAX_PEERS[role])]
    other = Role.PEOPLE if role is not Role.PEOPLE else Role.PAGE
    peer = PeerSocket(connect_to_agent(role_socket(path, other)), TO_PEER)
    peer.send(SlotsCommand())
    assert isinstance(peer.receive(), Answer)
    wait_until(lambda: count_closed(silent) == MAX_PEERS[role])
    peer.close()
    for connection in silent:
        connection.close()


def count_closed(connections: list[socket.socket]) -> int:
    """Return how many of them the agent has closed."""
    return len(select.select(connections, [], [], 0)[0])


def test_a_peer_that_says_nothing_is_hung_up_on(
    served: tuple[Desk, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its place is free again after FIRST_MESSAGE_S."""
    monkeypatch.setattr(socket_server, "FIRST_MESSAGE_S", 0.2)
    _, path = served
    connection = connect_to_agent(path)
    connection.settimeout(5)
    assert connection.recv(1) == b""
    connection.close()
