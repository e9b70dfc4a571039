"""The page's process: connect to inspection → learn the settings → serve, until stopped.

As a service it lives without inspection and says so; as inspection's child it ends with it.
"""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from edge_app.accounts.directory import Directory
from edge_app.accounts.people_file import PeopleFile
from edge_app.config.page_certificate import ServerCertificate
from edge_app.errors import ConfigError
from edge_app.host.log_limit import LogLimit
from edge_app.host.logging_setup import start_logging
from edge_app.host.sd_notify import ServiceNotifier
from edge_app.host.stop_signals import handle_signals
from edge_app.ipc.order_client import OrderClient
from edge_app.ipc.page_link import Settings
from edge_app.ipc.unix_socket import connected_to
from edge_app.page.api.catalogue import Office, Place
from edge_app.page.changeover import Changeover
from edge_app.page.courier import AuditCourier
from edge_app.page.kept_pictures import KeptPictures
from edge_app.page.limits import limit_child
from edge_app.page.remote import RemoteLine
from edge_app.page.server import LivePage
from edge_app.page.settings import PageSettings
from edge_app.page.settings_file import SettingsFile
from edge_app.shifts import Shifts

_log = logging.getLogger(__name__)

RETRY_S = 1.0
"""How often inspection's socket is tried, and a port that is taken."""

FIRST_S = 0.05
"""The pause until the first settings have come and are served."""


class PageProcess:
    """Serves the page that the latest settings describe.

    Args:
        kept: the settings of the last run; None: wait for inspection's.
        keep: called with settings that came from inspection.
        stop: ends everything.
        folder: where accounts are kept; None: where inspection says.
    """

    def __init__(
        self,
        kept: Settings | None,
        keep: Callable[[Settings], None],
        stop: threading.Event,
        folder: Path | None = None,
    ) -> None:
        self._wanted, self._keep, self._stop = kept, keep, stop
        self._folder = folder
        self._directory: Directory | None = None
        self._courier: AuditCourier | None = None
        self._served: Settings | None = None
        self._page: LivePage | None = None
        self._problem = ""
        self.line = RemoteLine(self._learn)

    @property
    def is_alive(self) -> bool:
        """Whether what is served is served."""
        return self._page is None or self._page.is_alive

    @property
    def is_settled(self) -> bool:
        """Whether the first settings have come."""
        return self._served is not None or bool(self._problem)

    def tend(self) -> None:
        """Serve what is wanted now; to be called about once a second."""
        wanted = self._wanted
        if wanted is None or wanted == self._served:
            return
        self.close()
        self._page = self._open(wanted) if wanted.is_enabled else None
        if self._page is not None or not wanted.is_enabled:
            self._served, self._problem = wanted, ""

    def close(self) -> None:
        """End the page."""
        if self._page is not None:
            self._page.stop()
            self._page = None
        if self._courier is not None:
            self._courier.stop()
            self._courier = None

    def _learn(self, settings: Settings) -> None:
        self._wanted = settings
        self._keep(settings)

    def _open(self, wanted: Settings) -> LivePage | None:
        """Start the page; None, said once, while it cannot be: the port may become free."""
        folder, agent = wanted.evidence_folder, wanted.changeover_socket
        try:
            page = LivePage(
                PageSettings(wanted.host, wanted.port, wanted.token, _certificate(wanted)),
                self.line,
                None if folder is None else KeptPictures(Path(folder)),
                None if agent is None else Changeover(Path(agent)),
                self._office(wanted),
            )
            page.start()
        except ConfigError as error:
            if str(error) != self._problem:
                self._problem = str(error)
                _log.warning("no live page: %s It is tried again.", error)
            return None
        _log.info("live page: %s%s", page.url, _fingerprint_words(wanted))
        return page

    def _office(self, wanted: Settings) -> Office:
        """Return what the API is answered from; people stay logged in over new settings."""
        if self._directory is None:
            told = None if wanted.people_folder is None else Path(wanted.people_folder)
            if self._folder is None and told is not None:
                with suppress(OSError):  # said by whoever needs it
                    told.mkdir(mode=0o700, exist_ok=True)
            self._directory = Directory.of(PeopleFile(self._folder or told))
        orders = None
        if wanted.orders_socket is not None:
            orders = OrderClient(Path(wanted.orders_socket))
            self._courier = AuditCourier(self._directory, orders)
            self._courier.start()
        return Office(
            self._directory,
            history=None if wanted.history is None else Path(wanted.history),
            audit=None if wanted.audit is None else Path(wanted.audit),
            orders=orders,
            place=Place(wanted.site, wanted.line, wanted.device),
            bad_parts=wanted.bad_parts,
            shifts=Shifts.of(wanted.shifts),
        )


def _certificate(wanted: Settings) -> ServerCertificate | None:
    if wanted.tls_certificate is None or wanted.tls_key is None:
        return None
    return ServerCertificate(wanted.tls_certificate, wanted.tls_key)


def _fingerprint_words(wanted: Settings) -> str:
    certificate = _certificate(wanted)
    return "" if certificate is None else f", certificate SHA-256 {certificate.fingerprint}"


def service_main(socket_path: Path, state_folder: Path | None) -> int:
    """Be `edge-app page`, a service; return the exit code.

    Args:
        socket_path: where inspection listens.
        state_folder: None: the settings are not kept.
    """
    stop = threading.Event()
    limit = _log_limited("INFO")
    handle_signals(
        {
            signal.SIGINT: stop.set,
            signal.SIGTERM: stop.set,
            signal.SIGHUP: lambda: _log.warning(
                "SIGHUP is ignored: the page is told its settings by inspection"
            ),
        }
    )
    file = SettingsFile(None if state_folder is None else state_folder / "settings.json")
    process = PageProcess(file.read(), file.write, stop, state_folder)

    def follow() -> None:
        while not stop.is_set():
            connection = _connect(socket_path)
            if connection is not None:
                process.line.read(connection, stop.is_set)
            stop.wait(RETRY_S)

    return _run(process, follow, stop, limit)


def child_main(descriptor: int, log_level: str) -> int:
    """Be the page of the process at the other end of a socket, and end with it."""
    limit_child()
    for number in (signal.SIGINT, signal.SIGHUP):  # meant for the whole, which tells us
        signal.signal(number, signal.SIG_IGN)
    stop = threading.Event()
    handle_signals({signal.SIGTERM: stop.set})
    limit = _log_limited(log_level)
    process = PageProcess(None, lambda _settings: None, stop)

    def follow() -> None:
        process.line.read(socket.socket(fileno=descriptor), stop.is_set)
        stop.set()

    return _run(process, follow, stop, limit)


def _run(
    process: PageProcess, follow: Callable[[], None], stop: threading.Event, limit: LogLimit
) -> int:
    reader = threading.Thread(target=follow, name="line", daemon=True)
    reader.start()
    notifier = ServiceNotifier.from_environment()
    notifier.ready()
    while not stop.is_set():
        process.tend()
        limit.report()
        if process.is_alive and reader.is_alive():
            notifier.alive()
        stop.wait(RETRY_S if process.is_settled else FIRST_S)
    notifier.stopping()
    process.close()
    return 0


def _connect(path: Path) -> socket.socket | None:
    try:
        return connected_to(path)
    except OSError as error:
        _log.debug("inspection cannot be reached on %s: %s", path, error)
        return None


def _log_limited(level: str) -> LogLimit:
    limit = start_logging(level)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # its start is ours to tell
    return limit
