"""A running page, for every test of the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from edge_app.alerts.evidence import EvidenceStore
from edge_app.page.server import LivePage
from edge_app.page.settings import PageSettings
from edge_app.page.source import LocalSource
from edge_app.page.state import PageState


@pytest.fixture
def state() -> PageState:
    return PageState()


@pytest.fixture
def store(tmp_path: Path) -> EvidenceStore:
    return EvidenceStore(tmp_path / "evidence", 24, 10**7, 85, "http://camera-pc.plant:8080")


@pytest.fixture
def page(state: PageState, store: EvidenceStore) -> Iterator[LivePage]:
    """A page on loopback without a token, on a free port."""
    live = LivePage(PageSettings(port=0), LocalSource(state), store)
    live.start()
    yield live
    live.stop()


@pytest.fixture
def client(page: LivePage) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=page.url, timeout=10, trust_env=False) as http:
        yield http
