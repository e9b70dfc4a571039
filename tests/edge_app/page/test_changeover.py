"""Changing products from the page: real agent, real line, real HTTP, a finger on a real browser."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from people_pages import PASSWORD, PeoplePage, let_in, people_page
from support.activation_bundles import manifest_of, write_release
from support.agent_and_line import TRIGGERED, Device, Line, device, write_config
from support.audit_files import changes_of
from support.brokers import free_port, wait_until
from support.chromium import browser

from edge_app.accounts.place import BY_HAND
from edge_app.agent.install.socket_server import PeerServer, Respond
from edge_app.ipc.protocol import Answer, Hello, SlotsCommand
from edge_app.ipc.protocol import PeerMessage as Said
from edge_app.page import changeover as changeover_module

TOKEN = "a-long-enough-token-0123"
SAME_SITE = {"Content-Type": "application/json"}


def config_of(folder: Path, page: str = "") -> Path:
    config = write_config(folder, url=TRIGGERED)
    served = f"[page]\nport = {free_port()}\n{page}"
    config.write_text(config.read_text().replace("[page]\nenabled = false", served))
    return config


def answers(client: httpx.Client) -> bool:
    """Tell whether the page's process serves by now."""
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def running(config: Path) -> Iterator[tuple[Device, Line, httpx.Client]]:
    """Run a device with two products and a client of its page."""
    with device(config, tries_here=True) as (agent, line):
        for product in ("alpha", "beta"):
            file = write_release(config.parent / f"{product}.bundle", manifest_of(product, 3))
            assert agent.install(file).state == "committed"
        url = str(line.app.page_url)
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
            wait_until(lambda: answers(client))
            let_in(client, line.app._config.device.state_dir / BY_HAND)
            yield agent, line, client


def test_a_slot_is_changed_over_and_the_page_says_what_happened(tmp_path: Path) -> None:
    """The list names what is installed; a changeover is answered in the agent's words; a product
    that is not installed is refused with the reason; every trigger is judged meanwhile."""
    with running(config_of(tmp_path)) as (agent, line, client):
        assert client.get("/api/state").json()["can_change_product"] is True
        products = [{"product": "alpha", "serial": 3}, {"product": "beta", "serial": 3}]
        slot = {"slot": "main", "active": "beta", "products": products}
        assert client.get("/api/slots").json() == {"slots": [slot]}
        wait_until(lambda: line.judges == "beta 3")
        started = len(line.verdicts)
        done = client.post("/api/select", json={"slot": "main", "product": "alpha"})
        assert done.status_code == 200, done.text
        assert done.json()["is_done"] is True
        assert done.json()["text"].startswith("slot main judges alpha (")
        wait_until(lambda: line.judges == "alpha 3")
        change = changes_of(line.app._config.device.state_dir)[-1]
        assert (change.event, change.new, change.old) == ("product", "alpha 3", "beta 3")
        assert (change.kind, change.name) == ("person", "operator-1")
        assert (change.role, change.via) == ("operator", "page")
        no = client.post("/api/select", json={"slot": "main", "product": "gamma"})
        assert (no.status_code, no.json()["is_done"]) == (409, False)
        assert "has no product 'gamma'; installed: alpha, beta" in no.json()["text"]
        no = client.post("/api/select", json={"slot": "second", "product": "alpha"})
        assert "there is no slot 'second'; there are: main" in no.json()["text"]
        wait_until(lambda: len(line.verdicts) > started + 3)
        assert all(v.state.value != "NOT_INSPECTED" for v in line.verdicts[started:])
        assert agent.store.installed("main")["alpha"] == agent.store.active("main")


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content-Type": "text/plain"}, '{"slot": "main", "product": "alpha"}', 403),
        ({}, '{"slot": "main", "product": "alpha"}', 403),
        ({**SAME_SITE, "Sec-Fetch-Site": "cross-site"}, '{"slot": "main", "product": "a"}', 403),
        ({**SAME_SITE, "Host": "evil.example"}, '{"slot": "main", "product": "alpha"}', 403),
        (SAME_SITE, "no JSON", 400),
        (SAME_SITE, '{"slot": "main"}', 400),
        (SAME_SITE, '{"slot": "main", "product": "alpha", "also": 1}', 400),
        (SAME_SITE, "[" * 100_000, 400),
    ],
    ids=["a form's", "untyped", "another site's", "rebound name", "broken", "half", "more", "big"],
)
def test_what_another_web_site_could_send_changes_nothing(
    tmp_path: Path, headers: dict[str, str], body: str, status: int
) -> None:
    """Forged, broken and endless requests never reach the agent's socket."""
    with people_page(tmp_path) as page:
        anna = page.person("operator")
        answer = anna.post("/api/select", headers=headers, content=body)
        assert answer.status_code == status


def test_with_the_pages_token_alone_nobody_changes_anything(tmp_path: Path) -> None:
    """Neither list nor change without it; with it the list (no agent is there), and no change; a
    program with a token of its own may change."""
    with people_page(tmp_path, token=TOKEN) as page:
        wish = {"slot": "main", "product": "alpha"}
        stranger = page.client()
        assert stranger.post("/api/select", json=wish).status_code == 401
        assert stranger.get("/api/slots").status_code == 401
        screen = page.client(Authorization=f"Bearer {TOKEN}")
        assert screen.post("/api/select", json=wish).status_code == 401
        for answer in (
            page.program("operator").post("/api/select", json=wish),
            screen.get("/api/slots"),
        ):
            assert answer.status_code == 503
            assert "The agent does not answer on" in answer.json()["text"]


def test_a_page_that_only_shows_has_no_such_address(tmp_path: Path) -> None:
    """changeover = false: nothing is offered and nothing can be asked for."""
    with running(config_of(tmp_path, "changeover = false")) as (_, _, client):
        assert client.get("/api/state").json()["can_change_product"] is False
        assert client.get("/api/slots").status_code == 404
        wish = {"slot": "main", "product": "alpha"}
        assert client.post("/api/select", json=wish).status_code == 404


class SlowDesk:
    """An agent that lets people wait."""

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def inspection_came(self, hello: Hello) -> None: ...

    def inspection_said(self, news: Said) -> None: ...

    def inspection_gone(self, is_planned: bool) -> None: ...

    def commanded(self, command: Said, respond: Respond) -> None:
        if not isinstance(command, SlotsCommand):
            self.go_on.wait(10)
        respond(Answer(is_ok=True, text="done"))


def test_an_agent_that_takes_long_is_said_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second changeover meanwhile is told to wait; the first is told that nobody knows yet."""
    monkeypatch.setattr(changeover_module, "SELECT_S", 1.0)
    desk = SlowDesk()
    server = PeerServer(tmp_path / "agent.sock", desk)
    server.start()
    texts: list[str] = []
    wish = {"slot": "main", "product": "alpha"}
    page = PeoplePage(tmp_path)

    def ask() -> None:
        texts.append(anna.post("/api/select", json=wish).json()["text"])

    try:
        anna = page.person("operator")
        first = threading.Thread(target=ask)
        first.start()
        wait_until(lambda: bool(texts) or bool(server._peers), what="the first is under way")
        ask()
        first.join(10)
    finally:
        desk.go_on.set()
        page.stop()
        server.stop()
    assert texts[0] == "Another changeover is running. Wait for it, then try again."
    assert texts[1].startswith("The agent has not answered within 1 s; it may still do")


@pytest.mark.needs("chromium")
def test_a_finger_on_a_phone_changes_the_product(tmp_path: Path) -> None:
    """The panel is opened, the other product stands ready to be chosen, one tap changes over, and
    the page says what happened; nothing is wider than the phone."""
    with (
        running(config_of(tmp_path)) as (_, line, _),
        browser("chromium", tmp_path / "profile") as phone,
    ):
        phone.open(f"{line.app.page_url}/login")
        phone.wait_for("document.querySelector('#stranger')?.hidden === false")
        log_in = "document.querySelector('#login-form')"
        phone.run(f"{log_in}.elements.name.value = 'operator-1'")
        phone.run(f"{log_in}.elements.password.value = '{PASSWORD}'")
        phone.tap("#login-form button")
        phone.wait_for("document.querySelector('#known').hidden === false")
        phone.run("location.href = '/'")
        phone.wait_for("document.querySelector('#who')?.textContent === 'operator-1, operator'")
        phone.wait_for("document.querySelector('#changeover')?.hidden === false")
        phone.tap("#changeover summary")
        phone.wait_for("document.querySelector('.slot-now')?.textContent === 'beta judges'")
        assert phone.run("document.querySelector('.slot select').value") == "alpha"
        assert phone.run("document.documentElement.scrollWidth <= innerWidth")
        assert phone.run("document.querySelector('.slot button').offsetHeight >= 44")
        phone.tap(".slot button")
        said = phone.wait_for(
            "document.querySelector('#outcome').dataset.level === 'good' &&"
            "document.querySelector('#outcome').textContent"
        )
        assert said.startswith("slot main judges alpha (")
        phone.wait_for("document.querySelector('.slot-now').textContent === 'alpha judges'")
        phone.wait_for("document.querySelector('#bundle').textContent.includes('alpha')")
        wait_until(lambda: line.judges == "alpha 3")
        phone.picture(tmp_path / "phone.png")
