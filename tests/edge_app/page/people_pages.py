"""A page with people, history, evidence, an agent's place and inspection's ear for orders."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from page_reports import make_report, make_verdict
from support.history_parts import alarm, keeping_all, verdict

from edge_app.accounts.attempts import Attempts
from edge_app.accounts.directory import Actor, Directory
from edge_app.accounts.people_file import PeopleFile
from edge_app.accounts.roles import AccessRole
from edge_app.accounts.sessions import Sessions
from edge_app.alerts.evidence import EvidenceStore
from edge_app.audit.schema import AUDIT_FILE
from edge_app.history.schema import HISTORY_FILE
from edge_app.history.writer import HistoryWriter
from edge_app.ipc.order_client import OrderClient
from edge_app.ipc.order_schema import AnyOrder, OrderAnswer
from edge_app.ipc.order_server import Execute, OrderServer
from edge_app.ipc.peers import Peer
from edge_app.page.api.catalogue import Office, Place
from edge_app.page.changeover import Changeover
from edge_app.page.evidence_urls import EvidenceUrls
from edge_app.page.server import LivePage
from edge_app.page.settings import PageSettings
from edge_app.page.source import LocalSource
from edge_app.page.state import PageState
from edge_app.records import VerdictState
from edge_app.shifts import ORDINARY, Shifts

PAGE_TOKEN = "a-long-enough-token-0123"
PASSWORD = "four unlikely words here"
ROOT = Actor("root", "root")
ROLES = ("viewer", "operator", "engineer")
SHA256 = "ab" * 32
NOWHERE = Place()


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self, now_s: float = 1_790_000_000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s

    def ns(self) -> int:
        return int(self.now_s) * 10**9


class PeoplePage:
    """A page on a free port, its people, and what inspection was told to do."""

    def __init__(
        self,
        folder: Path,
        token: str | None = None,
        tls: Any = None,
        place: Place = NOWHERE,
        shifts: Shifts = ORDINARY,
    ) -> None:
        self.clock = Clock()
        self.orders: list[AnyOrder] = []
        self.is_refusing = False
        self.inspection: Execute | None = None
        self._clients: list[httpx.Client] = []
        self.state = PageState()
        self.file = PeopleFile(folder / "people")
        self.directory = Directory(
            self.file, Sessions(self.clock), Attempts(self.clock), self.clock.ns
        )
        self._ear = OrderServer(folder / "orders.sock", self._execute)
        self._ear.start()
        self.evidence = EvidenceStore(folder / "evidence", 24, 10**7, 85, "http://camera-pc:8080")
        saved = self.evidence.save("c-2", np.full((20, 32, 3), 90, np.uint8))
        assert saved is not None
        self.picture = saved.url.partition("/evidence/")[2]
        self.history = folder / HISTORY_FILE
        office = Office(
            self.directory,
            history=self.history,
            audit=folder / AUDIT_FILE,
            orders=OrderClient(folder / "orders.sock"),
            urls=EvidenceUrls(self.clock),
            place=place,
            shifts=shifts,
        )
        self.live = LivePage(
            PageSettings(port=0, token=token, tls=tls),
            LocalSource(self.state),
            self.evidence,
            Changeover(folder / "agent.sock"),
            office,
        )
        self.live.start()

    @property
    def url(self) -> str:
        return self.live.url

    def stop(self) -> None:
        for client in self._clients:
            client.close()
        self.live.stop()
        self._ear.stop()

    def client(self, **headers: str) -> httpx.Client:
        """Return a client without a login."""
        made = httpx.Client(base_url=self.url, timeout=20, trust_env=False, headers=headers)
        self._clients.append(made)
        return made

    def engineer(self, name: str = "eva") -> httpx.Client:
        """Make an engineer, the first or another one, and log in."""
        if self.directory.people().engineers:
            code = self.directory.add(ROOT, name, AccessRole.ENGINEER)
        else:
            code = self.directory.first_engineer_code(ROOT)
        return self.redeemed(code, name)

    def person(self, role: str, name: str = "") -> httpx.Client:
        """Make a person with a role and log in."""
        name = name or f"{role}-1"
        return self.redeemed(self.directory.add(ROOT, name, AccessRole(role)), name)

    def redeemed(self, code: str, name: str) -> httpx.Client:
        """Use a code, and return the client that is logged in."""
        client = self.client()
        body = {"code": code, "name": name, "password": PASSWORD}
        answer = client.post("/api/v1/session/code", json=body)
        assert answer.status_code == 200, answer.text
        client.headers["X-CSRF-Token"] = answer.json()["csrf"]
        return client

    def program(self, scope: str, name: str = "") -> httpx.Client:
        """Make a token and return a client that sends it."""
        secret = self.directory.add_token(ROOT, name or f"{scope}-program", AccessRole(scope), 30)
        return self.client(Authorization=f"Bearer {secret}")

    def shows_a_part(self) -> None:
        """Let the line show one good part with its picture."""
        self.state.show(make_report(seen=(make_verdict(VerdictState.OK),)))

    def remembers(self, parts: int = 6) -> None:
        """Let inspection record parts; the second one is bad."""
        writer = HistoryWriter(self.history, {"c": "main"}, keeping_all(), {})
        writer.start()
        for number in range(1, parts + 1):
            part = verdict(number, "NG" if number == 2 else "OK")
            if number == 2:
                writer.expect([alarm(part)])
                writer.alarmed([alarm(part)])
            writer.finished([part])
        writer.close()

    def _execute(self, order: AnyOrder, peer: Peer) -> OrderAnswer:
        self.orders.append(order)
        head = f"{'0' * 64}:{len(self.orders)}"
        if self.inspection is not None:
            return self.inspection(order, peer)
        if self.is_refusing:
            return OrderAnswer(is_done=False, text="The slot holds another bundle.")
        return OrderAnswer(is_done=True, text="done", audit_seq=1, audit_head=head)


@contextmanager
def people_page(folder: Path, **more: Any) -> Iterator[PeoplePage]:
    """Serve a page until the end of the block."""
    folder.mkdir(exist_ok=True)
    page = PeoplePage(folder, **more)
    try:
        yield page
    finally:
        page.stop()


def at_once(count: int, work: Any) -> list[Any]:
    """Return what `work(number)` gave in so many threads."""
    found: list[Any] = [None] * count

    def run(number: int) -> None:
        found[number] = work(number)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


def let_in(client: httpx.Client, folder: Path, role: str = "operator") -> None:
    """Make a person in a page's folder and log a client of that page in."""
    name = f"{role}-1"
    folder.mkdir(parents=True, exist_ok=True)
    code = Directory.of(PeopleFile(folder)).add(ROOT, name, AccessRole(role))
    body = {"code": code, "name": name, "password": PASSWORD}
    answer = client.post("/api/v1/session/code", json=body)
    assert answer.status_code == 200, answer.text
    client.headers["X-CSRF-Token"] = answer.json()["csrf"]
