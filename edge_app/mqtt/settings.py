"""The broker's address and credentials, as configured."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from edge_app.errors import ConfigError
from edge_app.host.small_file import plain_file
from edge_app.store.secret_file import read_secret

RECONNECT_MIN_S = 1.0
"""A restarted broker is back within a second or two; alerts should follow at once."""
RECONNECT_MAX_S = 30.0
"""Long enough for a factory of devices not to hammer a broker that is down, short enough that
nobody walks to the device to see why it is silent."""
KEEPALIVE_S = 30
"""A dead device is seen as offline after at most 1.5 times this (MQTT 5, section 3.1.2.10)."""


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """The broker's address and our credentials. Secrets stay in files.

    Attributes:
        password_file: its first line is the password.
        ca_file: certificates to trust; None trusts the system's.
        cert_file: our client certificate (PEM), with `key_file` its key.
        tls: encrypt; also on if any of the three files is set.
        client_id: None makes one from the device's name.
    """

    host: str
    port: int = 1883
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    tls: bool = False
    keepalive_s: int = KEEPALIVE_S
    reconnect_min_s: float = RECONNECT_MIN_S
    reconnect_max_s: float = RECONNECT_MAX_S
    client_id: str | None = None

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.tls or any((self.ca_file, self.cert_file, self.key_file))

    def read_password(self) -> str | None:
        """Return the password, None if none is configured.

        Raises:
            ConfigError: the file cannot be read or is empty.
        """
        if self.password_file is None:
            return None
        return read_secret(Path(self.password_file), "MQTT password_file")

    def tls_context(self) -> ssl.SSLContext | None:
        """Return the TLS context, None for a plain connection.

        Raises:
            ConfigError: a certificate or key is missing or does not fit.
        """
        if not self.uses_tls:
            return None
        try:
            context = ssl.create_default_context(cafile=_text(self.ca_file))
            if self.cert_file is not None:
                context.load_cert_chain(plain_file(self.cert_file), _text(self.key_file))
        except (OSError, ssl.SSLError) as error:
            files = f"ca_file={self.ca_file}, cert_file={self.cert_file}, key_file={self.key_file}"
            raise ConfigError(f"MQTT certificates cannot be used ({files}): {error}") from error
        return context


def _text(path: Path | None) -> str | None:
    return None if path is None else plain_file(path)
