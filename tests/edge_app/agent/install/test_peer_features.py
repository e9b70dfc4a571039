"""Who asked for a change, told across the agent's sockets: also beside peers of before it was."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.brokers import wait_until
from support.child_processes import SCRIPT_ENVIRONMENT
from support.release_0_1_0 import run_on_release, unpack_release

from edge_app.activation.agent_client import AgentConnection
from edge_app.agent.install import socket_server
from edge_app.agent.install.socket_server import PeerServer, Respond
from edge_app.ipc.client import ask, features_of
from edge_app.ipc.peers import Peer, Role, role_socket
from edge_app.ipc.protocol import (
    FEATURES,
    TO_AGENT,
    TO_PEER,
    Answer,
    Hello,
    Order,
    PeerMessage,
    Requester,
    Rollback,
    SelectCommand,
    Switch,
    known_to,
)
from edge_app.page.changeover import Changeover

SHA256 = "ab" * 32
ANNA = Requester(kind="person", name="anna", role="operator", via="page")
BEFORE = "e67180a715f68954d65d731b979a6a6b36290692"
"""The last commit whose agent, page and inspection do not know who asked."""

SWITCH = Switch(slot="main", sha256=SHA256, by=ANNA, why="changed over")
ROLLBACK = Rollback(slot="main", sha256=SHA256, back_to=None, by=ANNA)


class Desk:
    """Writes down what reached the agent, and answers commands."""

    def __init__(self) -> None:
        self.hellos: list[Hello] = []
        self.commands: list[PeerMessage] = []
        self.gone: list[bool] = []

    def inspection_came(self, hello: Hello) -> None:
        self.hellos.append(hello)

    def inspection_said(self, news: PeerMessage) -> None: ...

    def inspection_gone(self, is_planned: bool) -> None:
        self.gone.append(is_planned)

    def commanded(self, command: PeerMessage, respond: Respond) -> None:
        self.commands.append(command)
        respond(Answer(is_ok=True, text="done"))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Desk, PeerServer, Path]]:
    desk = Desk()
    server = PeerServer(tmp_path / "agent.sock", desk)
    server.start()
    yield desk, server, tmp_path / "agent.sock"
    server.stop()


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of the commit before."""
    return unpack_release(tmp_path_factory.mktemp("before"), BEFORE)


def test_inspection_is_told_who_asked(served: tuple[Desk, PeerServer, Path]) -> None:
    """It says what it knows, and gets the author with the switch and with the roll-back."""
    desk, server, path = served
    orders: list[Order] = []
    client = AgentConnection(path, lambda: Hello(pid=1, slots={"main": SHA256}))
    client.greet()
    client.start(orders.append, lambda: None)
    wait_until(lambda: len(desk.hellos) == 2)
    assert [hello.features for hello in desk.hellos] == [FEATURES, FEATURES]
    for order in (SWITCH, ROLLBACK):
        assert server.order(order)
    wait_until(lambda: len(orders) == 2)
    assert orders == [SWITCH, ROLLBACK]
    client.stop()


def test_the_page_names_the_author_and_people_are_who_the_kernel_says(
    served: tuple[Desk, PeerServer, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a command says of its author counts from the page only."""
    desk, _, path = served
    Changeover(path).select("main", "alpha", ANNA)
    assert desk.commands[-1] == SelectCommand(slot="main", product="alpha", by=ANNA)
    for uid, kind in ((0, "root"), (4_000_123, "person")):
        monkeypatch.setattr(socket_server, "peer_of", lambda _c, u=uid: Peer(1, u, u))
        monkeypatch.setattr(socket_server, "may_play", lambda _role, _uid: True)
        ask(path, SelectCommand(slot="main", product="alpha", by=ANNA))
        command = desk.commands[-1]
        assert isinstance(command, SelectCommand)
        name = "root" if uid == 0 else "user 4000123"
        assert command.by == Requester(kind=kind, name=name, via="console")


def test_what_says_nothing_is_not_sent() -> None:
    """So that an earlier peer reads every message that needs none of what is new."""
    line = Switch(slot="main", sha256=SHA256)
    assert line.model_dump_json() == f'{{"slot":"main","sha256":"{SHA256}","type":"switch"}}'
    assert known_to(SWITCH, ()) == line
    assert known_to(SWITCH, FEATURES) is SWITCH
    assert '"back_to":null' in ROLLBACK.model_dump_json()
    assert "features" not in Hello(pid=1, slots={}).model_dump_json()
    for sent in (SWITCH, ROLLBACK):
        assert TO_PEER.validate_json(sent.model_dump_json()) == sent
    command = SelectCommand(slot="main", product="alpha", by=ANNA)
    assert TO_AGENT.validate_json(command.model_dump_json()) == command


EARLIER_INSPECTION = """
import sys, time
from pathlib import Path
from edge_app.activation.agent_client import AgentConnection
from edge_app.ipc.protocol import Hello

orders = []
client = AgentConnection(Path(sys.argv[1]), lambda: Hello(pid=7, slots={"main": None}))
client.greet()
client.start(orders.append, lambda: None)
until_s = time.monotonic() + 20
while len(orders) < 2 and time.monotonic() < until_s:
    time.sleep(0.02)
client.stop()
for order in orders:
    print(order.type, order.sha256)
"""

EARLIER_PAGE = """
import sys
from pathlib import Path
from edge_app.page.changeover import Changeover

print(Changeover(Path(sys.argv[1])).select("main", "alpha"))
"""

EARLIER_AGENT = """
import sys, time
from pathlib import Path
from edge_app.agent.install.socket_server import PeerServer
from edge_app.ipc.protocol import Answer, Rollback, Switch

def say(word, what):  # in one piece: several threads do
    sys.stdout.write(f"{word} {what}\\n")
    sys.stdout.flush()

class Desk:
    def inspection_came(self, hello):
        say("came", hello.pid)
    def inspection_said(self, news):
        pass
    def inspection_gone(self, is_planned):
        say("gone", is_planned)
    def commanded(self, command, respond):
        say("commanded", command.model_dump_json())
        respond(Answer(is_ok=True, text="done"))

server = PeerServer(Path(sys.argv[1]), Desk())
server.start()
print("listens", flush=True)
for line in sys.stdin:
    kind = {"switch": Switch, "rollback": Rollback}[line.split()[0]]
    more = {"back_to": None} if kind is Rollback else {}
    server.order(kind(slot="main", sha256="ab" * 32, **more))
server.stop()
"""


@pytest.mark.needs("the repository's history")
def test_an_earlier_inspection_beside_this_agent_goes_on(
    served: tuple[Desk, PeerServer, Path], before: Path
) -> None:
    """It gets both orders as it knows them, on one connection."""
    desk, server, path = served
    child = subprocess.Popen(
        [sys.executable, "-c", EARLIER_INSPECTION, str(path)],
        cwd=before, env={**SCRIPT_ENVIRONMENT, "PYTHONPATH": str(before)},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_until(lambda: len(desk.hellos) == 2, 20)
    assert desk.hellos[0].features == ()
    assert server.order(SWITCH)
    assert server.order(ROLLBACK)
    out, _ = child.communicate(timeout=30)
    assert out.split("\n")[:2] == [f"switch {SHA256}", f"rollback {SHA256}"]
    wait_until(lambda: desk.gone == [True])


@pytest.mark.needs("the repository's history")
def test_an_earlier_page_beside_this_agent_changes_over(
    served: tuple[Desk, PeerServer, Path], before: Path
) -> None:
    """Nobody is named, and nothing else is missing."""
    desk, _, path = served
    assert run_on_release(before, EARLIER_PAGE, str(path)).strip() == "(True, 'done')"
    assert desk.commands == [SelectCommand(slot="main", product="alpha")]


@contextmanager
def earlier_agent(release: Path, path: Path) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Run an agent's sockets of before; what it says, line by line, is put into the list."""
    child = subprocess.Popen(
        [sys.executable, "-c", EARLIER_AGENT, str(path)],
        cwd=release, env={**SCRIPT_ENVIRONMENT, "PYTHONPATH": str(release)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
    )  # fmt: skip
    said: list[str] = []
    assert child.stdout is not None
    assert child.stdout.readline() == "listens\n"
    try:
        yield child, said
    finally:
        out, _ = child.communicate(timeout=20)
        said += out.splitlines()


@pytest.mark.needs("the repository's history")
def test_this_inspection_and_page_beside_an_earlier_agent_go_on(
    tmp_path: Path, before: Path
) -> None:
    """Asked what it knows it hangs up, which counts as nobody's crash; then both speak to it as
    before, and the changeover happens."""
    path = tmp_path / "agent.sock"
    orders: list[Order] = []
    client = AgentConnection(path, lambda: Hello(pid=7, slots={"main": None}))
    with earlier_agent(before, path) as (child, said):
        assert features_of(role_socket(path, Role.INSPECTION)) == frozenset()
        client.greet()
        client.start(orders.append, lambda: None)
        assert Changeover(path).select("main", "alpha", ANNA) == (True, "done")
        assert child.stdin is not None
        for kind in ("switch", "rollback"):
            child.stdin.write(f"{kind}\n")
            child.stdin.flush()
        wait_until(lambda: len(orders) == 2, 10)
        client.stop()
    assert [order.type for order in orders] == ["switch", "rollback"]
    assert orders[0] == Switch(slot="main", sha256=SHA256)
    asked = SelectCommand(slot="main", product="alpha").model_dump_json()
    assert sorted(line for line in said if line != "gone True") == [
        "came 7",
        "came 7",
        f"commanded {asked}",
    ]
