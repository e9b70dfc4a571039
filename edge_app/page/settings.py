"""The page's settings: where it is served, for whom, and what its process is told of the rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edge_app.accounts.place import BY_HAND
from edge_app.audit.schema import AUDIT_FILE
from edge_app.config.model import AppConfig, is_loopback
from edge_app.config.page_certificate import ServerCertificate, read_certificate
from edge_app.errors import ConfigError
from edge_app.history.schema import HISTORY_FILE
from edge_app.ipc.order_client import orders_socket
from edge_app.ipc.page_link import Settings
from edge_app.runtime.evidence_setup import evidence_folder
from edge_app.store.secret_file import read_secret

MIN_TOKEN_CHARS = 16

"""In the state folder: accounts of a page that is no service, made with the first of them."""


@dataclass(frozen=True, slots=True)
class PageSettings:
    """The page's address and who may open it.

    Attributes:
        host: address to bind to; anything but loopback needs a token.
        port: 0: any free one.
        token: at least 16 characters, or None: this machine only.
        tls: the certificate to serve with; None: plain HTTP.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    token: str | None = field(default=None, repr=False)
    tls: ServerCertificate | None = None

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


def settings_of(config: AppConfig, page_socket: Path | None = None) -> Settings:
    """Return what the page's process is told of a configuration.

    Args:
        page_socket: of a page that is a service; None: it is a child.

    Raises:
        ConfigError: the token's file is empty, the token too short, or the certificate unfit.
    """
    page, agent = config.page, config.agent
    token = first_line(page.token_file) if page.enabled and page.token_file else None
    tls = None
    if page.enabled:
        tls = read_certificate(page.tls_certificate, page.tls_key)
        PageSettings(page.host, page.port, token, tls)  # checks them
    state = config.device.state_dir.absolute()
    can_change = agent.enabled and page.changeover
    return Settings(
        is_enabled=page.enabled,
        host=page.host,
        port=page.port,
        token=token,
        changeover_socket=str(agent.socket) if can_change else None,
        evidence_folder=str(evidence_folder(config)) if config.evidence.enabled else None,
        history=str(state / HISTORY_FILE) if config.history.enabled else None,
        audit=str(state / AUDIT_FILE),
        orders_socket=str(orders_socket(state, page_socket)),
        people_folder=str(state / BY_HAND),
        tls_certificate=None if tls is None else tls.chain_pem,
        tls_key=None if tls is None else tls.key_pem,
        site=config.device.site,
        line=config.device.line,
        device=config.device.device,
        bad_parts=page.bad_parts,
        shifts=tuple(page.shifts),
    )


def page_url(host: str, port: int, is_tls: bool = False) -> str:
    """Return the page's address, without the token."""
    scheme = "https" if is_tls else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def first_line(file: Path) -> str:
    """Return a secret file's first line.

    Raises:
        ConfigError: the file is empty or cannot be read.
    """
    return read_secret(file, "The secret file")
