"""The page's own TLS: its certificate, and what is refused of one before the page is served."""

from __future__ import annotations

import hashlib
import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from edge_app.errors import ConfigError
from edge_app.host.small_file import read_small_text

MAX_BYTES = 48 << 10
"""A chain of ten certificates; it goes over the socket to the page in one line."""


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """What the page proves with that it is itself.

    Attributes:
        chain_pem: the certificate, then those that signed it.
        key_pem: its private key, without a password.
    """

    chain_pem: str
    key_pem: str = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """The certificate's SHA-256 as browsers show it: pairs of digits with colons.

        Raises:
            ConfigError: it is no certificate.
        """
        first = self.chain_pem[self.chain_pem.find("-----BEGIN CERTIFICATE") :]
        end = first.find("-----END CERTIFICATE-----")
        try:
            der = ssl.PEM_cert_to_DER_cert(first[: end + len("-----END CERTIFICATE-----")])
        except ValueError as error:
            raise ConfigError("[page] tls_certificate holds no certificate in PEM.") from error
        digest = hashlib.sha256(der).hexdigest().upper()
        return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))


def read_certificate(certificate: Path | None, key: Path | None) -> ServerCertificate | None:
    """Return a certificate that the page can be served with; None where none is configured.

    Raises:
        ConfigError: a file cannot be read, or the two do not belong together.
    """
    if certificate is None or key is None:
        return None
    found = ServerCertificate(_read(certificate, "certificate"), _read(key, "key"))
    context_of(found)
    return found


def context_of(certificate: ServerCertificate) -> ssl.SSLContext:
    """Return how TLS is spoken with a certificate: 1.2 and 1.3.

    Raises:
        ConfigError: it cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    data = f"{certificate.key_pem}\n{certificate.chain_pem}\n".encode()
    memory = os.memfd_create("page-certificate", os.MFD_CLOEXEC)  # never on a disk
    try:
        os.write(memory, data)
        context.load_cert_chain(f"/proc/self/fd/{memory}", password=_no_password)
    except (ssl.SSLError, OSError, ValueError) as error:
        why = getattr(error, "reason", None) or str(error)
        raise ConfigError(
            f"[page] tls_certificate and tls_key cannot be used: {why}. Expected a certificate and "
            "the private key that belongs to it, both PEM, the key without a password."
        ) from error
    finally:
        os.close(memory)
    return context


def _no_password() -> str:
    raise ValueError("the key has a password")


def _read(path: Path, what: str) -> str:
    try:
        return read_small_text(path, MAX_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise ConfigError(f"[page] tls_{what} {path} cannot be read: {why}.") from error
