"""A page's web server in a thread of its own: settings and answers go in, HTTP comes out."""

from __future__ import annotations

import logging
import socket
import threading
import time

import anyio.to_thread
import uvicorn
from starlette.types import ASGIApp

from edge_app.accounts.directory import Directory
from edge_app.accounts.people_file import PeopleFile
from edge_app.config.page_certificate import context_of
from edge_app.errors import ConfigError
from edge_app.page.access import Access, LogIns
from edge_app.page.api.catalogue import COOKIE, TLS_COOKIE, Office
from edge_app.page.changeover import Changeover
from edge_app.page.connections import GuardedConnection
from edge_app.page.part_evidence import EvidenceFiles
from edge_app.page.request_headers import HeaderLimits
from edge_app.page.rights import Need, RightRoute
from edge_app.page.routes import Pages
from edge_app.page.settings import PageSettings, page_url
from edge_app.page.source import LineSource
from edge_app.page.tls_gate import gate_for

LOG = logging.getLogger(__name__)

BACKLOG = 32
"""Connections accepted at one go; each has a descriptor before it is counted."""
MAX_HEADER_BYTES = 16 << 10
MAX_THREADS = 8
"""Threads that draw and read; more would only hold more memory."""
HUNG_S = 15.0
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0


class PageServer:
    """Serves an application from `start` to `stop`, to those the settings allow.

    Args:
        settings: where, and for whom.
        app: answers the requests.
        stopping: set by `stop`, so that streams end.
        log_ins: who may log in; None: nobody.
    """

    def __init__(
        self,
        settings: PageSettings,
        app: ASGIApp,
        stopping: threading.Event,
        log_ins: LogIns | None = None,
    ) -> None:
        self._settings = settings
        self._stopping = stopping
        context = None if settings.tls is None else context_of(settings.tls)
        self._server = _Server(
            uvicorn.Config(
                Access(HeaderLimits(app), settings.token, log_ins),
                loop="asyncio",
                http=GuardedConnection if context is None else gate_for(context),
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                backlog=BACKLOG,
                h11_max_incomplete_event_size=MAX_HEADER_BYTES,
                timeout_graceful_shutdown=1,
            )
        )
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The page's address, without the token; its port is known once it was started."""
        port = self._socket.getsockname()[1] if self._socket else self._settings.port
        return page_url(self._settings.host, port, self._settings.tls is not None)

    @property
    def is_alive(self) -> bool:
        """Whether the server's loop turns."""
        return time.monotonic() - self._server.turned_s < HUNG_S

    def start(self) -> None:
        """Bind the port and serve in a thread; return once requests are answered.

        Raises:
            ConfigError: the address is taken, not this machine's, or not permitted.
        """
        self._socket = _bind(self._settings.host, self._settings.port)
        self._thread = threading.Thread(target=self._serve, name="page", daemon=True)
        self._thread.start()
        self._wait_until_served()

    def stop(self) -> None:
        """End all responses and free the port; hanging clients are disconnected. Idempotent."""
        self._stopping.set()
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(STOP_TIMEOUT_S)
        if self._socket is not None:
            self._socket.close()

    def _serve(self) -> None:
        try:
            self._server.run(sockets=[self._socket] if self._socket else None)
        except Exception:
            LOG.exception("The page has stopped after an internal error; inspection continues.")

    def _wait_until_served(self) -> None:
        waited = threading.Event()
        for _ in range(int(START_TIMEOUT_S / 0.02)):
            if self._server.started or not (self._thread and self._thread.is_alive()):
                return
            waited.wait(0.02)


class _Server(uvicorn.Server):
    """uvicorn's server with few threads and a sign of life."""

    turned_s = 0.0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        anyio.to_thread.current_default_thread_limiter().total_tokens = MAX_THREADS
        self.turned_s = time.monotonic()
        await super().startup(sockets)

    async def on_tick(self, counter: int) -> bool:
        self.turned_s = time.monotonic()
        return await super().on_tick(counter)


class LivePage(PageServer):
    """The page of a line.

    Args:
        settings: where, and for whom.
        source: the line's latest copies.
        evidence: finds the pictures that the alerts point to, if any are kept.
        changeover: changes products, or None if the page changes none.
        office: who may log in, and what the API is answered from.
    """

    def __init__(
        self,
        settings: PageSettings,
        source: LineSource,
        evidence: EvidenceFiles | None = None,
        changeover: Changeover | None = None,
        office: Office | None = None,
    ) -> None:
        stopping = threading.Event()
        office = office or Office(Directory.of(PeopleFile(None)))
        cookie = COOKIE if settings.tls is None else TLS_COOKIE
        pages = Pages(source, evidence, stopping.is_set, changeover, office, cookie)
        app = pages.app()
        self.routes = app.routes
        open_paths = frozenset(
            r.path for r in app.routes if isinstance(r, RightRoute) and r.need is Need.PUBLIC
        )
        log_ins = LogIns(office.directory, office.urls, open_paths, cookie)
        super().__init__(settings, app, stopping, log_ins)


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(64)
    except (OSError, UnicodeError) as error:
        bound.close()
        why = (error.strerror if isinstance(error, OSError) else None) or error
        raise ConfigError(
            f"The page cannot be served on {host}:{port}: {why}. "
            "Choose another page.port, or stop what uses this one."
        ) from error
    return bound
