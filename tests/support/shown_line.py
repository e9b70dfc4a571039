"""A line on simulated cameras with the demo's model, its page, and people: for tests that look.

Inspection, history, queue, orders and pictures are the real ones; only what a test says of the
device (a full disk, a broker that is gone) is put over the state that the page reads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx

from edge_app.accounts.directory import Actor, Directory
from edge_app.accounts.people_file import PeopleFile
from edge_app.accounts.roles import AccessRole
from edge_app.app import EdgeApp
from edge_app.audit.schema import AUDIT_FILE
from edge_app.config.load import config_of
from edge_app.history.schema import HISTORY_FILE
from edge_app.ipc.order_client import OrderClient, orders_socket
from edge_app.page.api.catalogue import Office, Place
from edge_app.page.changeover import Changeover
from edge_app.page.kept_pictures import KeptPictures
from edge_app.page.server import LivePage
from edge_app.page.settings import PageSettings
from edge_app.page.source import LocalSource
from edge_app.page.state import CameraView, Facts, PageState
from edge_app.records import JsonObject
from edge_app.runtime.evidence_setup import evidence_folder
from edge_app.shifts import Shifts
from edge_app.shown_state import ShownState

ROOT = Actor("root", "root")
PASSWORD = "four unlikely words here"
NUMBERED = "sim:tapered?mode=triggered&rate={rate}&seed={seed}&defect_rate={bad}"
BUNDLE = Path(str(files("edge_app").joinpath("assets").joinpath("demo-tapered.bundle")))


def triggered(rate: float = 1.0, seed: int = 44, bad: float = 0.1) -> str:
    """Return the address of a simulated camera that takes one numbered part at a time."""
    return NUMBERED.format(rate=rate, seed=seed, bad=bad)


class ToldSource(LocalSource):
    """The line's state, with what a test says of the device put over it."""

    def __init__(self, state: PageState) -> None:
        super().__init__(_ToldState(state))  # type: ignore[arg-type]
        self.told: _ToldState = self._state  # type: ignore[assignment]


class _ToldState:
    """A page's state whose facts a test may change."""

    def __init__(self, state: PageState) -> None:
        self._state = state
        self.over: dict[str, Any] = {}
        self.cameras: dict[str, ShownState] = {}

    def facts(self) -> Facts:
        return replace(self._state.facts(), **self.over)

    def read_cameras(self, describe: Callable[[CameraView], JsonObject]) -> list[JsonObject]:
        return self._state.read_cameras(
            lambda view: describe(replace(view, shown=self.cameras.get(view.name, view.shown)))
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._state, name)


class ShownLine:
    """A running line and its page.

    Args:
        folder: for everything it keeps.
        cameras: name → address.
        page: further keys of `[page]`.
        token: of the page; None: loopback only.
        mqtt: the table `[mqtt]`; None: no broker.
        changeover: changes products; None: the page offers no change.
    """

    def __init__(
        self,
        folder: Path,
        cameras: Mapping[str, str],
        page: Mapping[str, object] | None = None,
        token: str | None = None,
        mqtt: Mapping[str, object] | None = None,
        changeover: Changeover | None = None,
    ) -> None:
        state = folder / "state"
        document: JsonObject = {
            "device": {
                "site": "graz", "line": "line-1", "device": "press-17", "state_dir": str(state),
            },
            "bundle": {"path": str(BUNDLE), "allow_unsigned": True},
            "camera": [
                {"name": name, "url": url, "alarm_debounce_s": 0.0}
                for name, url in cameras.items()
            ],
            "mqtt": dict(mqtt or {"enabled": False}),
            "page": {"enabled": False, **(page or {})},
            "evidence": {"max_mb": 200},
            "outbox": {"reserve_mb": 1},
            "runtime": {"log_level": "ERROR"},
        }  # fmt: skip
        config = config_of(document, folder, "of the test")
        self.app = EdgeApp(config)
        self.source = ToldSource(self.app.page_state)
        self.directory = Directory.of(PeopleFile(folder / "people"))
        (folder / "people").mkdir()
        office = Office(
            self.directory,
            history=state / HISTORY_FILE,
            audit=state / AUDIT_FILE,
            orders=OrderClient(orders_socket(state, None)),
            place=Place(config.device.site, config.device.line, config.device.device),
            bad_parts=config.page.bad_parts,
            shifts=Shifts.of(config.page.shifts),
        )
        self.live = LivePage(
            PageSettings(port=0, token=token),
            self.source,
            KeptPictures(evidence_folder(config)),
            changeover,
            office,
        )
        self._clients: list[httpx.Client] = []
        self._thread = threading.Thread(target=self.app.run, daemon=True)

    @property
    def url(self) -> str:
        return self.live.url

    def say(self, **facts: object) -> None:
        """Put facts over the device's own; see `Facts`."""
        self.source.told.over = facts

    def client(self, role: str, name: str = "") -> httpx.Client:
        """Return a client that is logged in as a new person, named like the role."""
        name = name or f"{role}-1"
        code = self.directory.add(ROOT, name, AccessRole(role))
        client = httpx.Client(base_url=self.url, timeout=20, trust_env=False)
        self._clients.append(client)
        body = {"code": code, "name": name, "password": PASSWORD}
        answer = client.post("/api/v1/session/code", json=body)
        assert answer.status_code == 200, answer.text
        client.headers["X-CSRF-Token"] = answer.json()["csrf"]
        return client

    def waits_for(self, what: Any, timeout_s: float = 60.0) -> Any:
        """Wait until `what(client)` is true; return it."""
        end_s = time.monotonic() + timeout_s
        with httpx.Client(base_url=self.url, timeout=20, trust_env=False) as client:
            while not (found := what(client)):
                assert time.monotonic() < end_s, f"not within {timeout_s} s"
                time.sleep(0.2)
        return found

    def __enter__(self) -> ShownLine:
        self._thread.start()
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        self.live.stop()
        self.app.stop()
        self._thread.join(30)


def waiting(client: httpx.Client) -> JsonObject:
    """Return the queue of bad parts; none while there is no history yet, just after a start."""
    answer = client.get("/api/v1/take-out")
    return answer.json() if answer.status_code == 200 else {"waiting": 0, "parts": []}


def settle_all(client: httpx.Client, outcome: str = "taken_out") -> int:
    """Settle every bad part that waits; return how many."""
    parts = waiting(client).get("parts", [])
    for part in parts:
        body = {"part_id": part["part_id"], "outcome": outcome}
        answer = client.post(f"/api/v1/take-out/{part['id']}", json=body)
        assert answer.status_code in (200, 409), answer.text
    return len(parts)


@contextmanager
def shown_line(
    folder: Path, cameras: Mapping[str, str] | None = None, **more: Any
) -> Iterator[ShownLine]:
    """Run a line until the end of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    with ShownLine(folder, cameras or {"belt": triggered()}, **more) as line:
        yield line
