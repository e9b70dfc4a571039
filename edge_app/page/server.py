"""The live page as a service in its own thread: started and stopped by the line, never in its way.

Settings and state come in; HTTP goes out. A fault of the page never affects inspection.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
import threading
from dataclasses import dataclass, field

import uvicorn
from starlette.types import ASGIApp

from edge_app.alerts.evidence import EvidenceStore
from edge_app.errors import ConfigError
from edge_app.page.access import Access
from edge_app.page.changeover import Changeover
from edge_app.page.routes import Pages
from edge_app.page.state import PageState

LOG = logging.getLogger(__name__)

MIN_TOKEN_CHARS = 16
MAX_CONNECTIONS = 64
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class PageSettings:
    """The page's address and who may open it.

    Attributes:
        host: address to bind to; anything but loopback needs a token.
        port: 0: any free one.
        token: at least 16 characters, or None: this machine only.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.token is not None and len(self.token) < MIN_TOKEN_CHARS:
            raise ConfigError(
                f"The page's token has {len(self.token)} characters, expected at least "
                f"{MIN_TOKEN_CHARS}. Make one with: openssl rand -hex 16"
            )
        if self.token is None and not is_loopback(self.host):
            raise ConfigError(
                f"The page would be open to everyone on {self.host}: give it a token "
                "(page.token_file), or bind it to 127.0.0.1."
            )


class PageServer:
    """Serves an application from `start` to `stop`, to those the settings allow.

    Args:
        settings: where, and for whom.
        app: answers the requests.
        stopping: set by `stop`, so that streams end.
    """

    def __init__(self, settings: PageSettings, app: ASGIApp, stopping: threading.Event) -> None:
        self._settings = settings
        self._stopping = stopping
        self._server = uvicorn.Server(
            uvicorn.Config(
                Access(app, settings.token),
                loop="asyncio",
                http="h11",
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                limit_concurrency=MAX_CONNECTIONS,
                timeout_graceful_shutdown=1,
            )
        )
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The page's address, without the token; its port is known once it was started."""
        port = self._socket.getsockname()[1] if self._socket else self._settings.port
        host = self._settings.host
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

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


class LivePage(PageServer):
    """The page of a running line.

    Args:
        settings: where, and for whom.
        state: the latest copies; the line updates it.
        evidence: the store whose pictures the alerts point to, if any are kept.
        changeover: changes products, or None if the page is read-only.
    """

    def __init__(
        self,
        settings: PageSettings,
        state: PageState,
        evidence: EvidenceStore | None = None,
        changeover: Changeover | None = None,
    ) -> None:
        stopping = threading.Event()
        pages = Pages(state, evidence, stopping.is_set, changeover)
        super().__init__(settings, pages.app(), stopping)


def is_loopback(host: str) -> bool:
    """Return whether an address is reachable from this machine only."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


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
