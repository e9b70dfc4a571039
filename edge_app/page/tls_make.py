"""Makes a certificate for a page that has none of its site; people know it by its fingerprint."""

from __future__ import annotations

import ipaddress
import socket
from datetime import datetime, timedelta, timezone

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edge_app.config.page_certificate import ServerCertificate
from edge_app.errors import ConfigError

VALID_DAYS = 3650
"""A device stands for years, and nobody is told when this one ends; its owner compares it once."""

EARLY_DAYS = 2
"""The device's clock may be ahead of a browser's."""


def own_names() -> list[str]:
    """Return the names and addresses by which this machine is likely to be opened."""
    name = socket.gethostname()
    return list(dict.fromkeys([name, f"{name}.local", "localhost", "127.0.0.1", "::1"]))


def make_certificate(names: list[str], now: datetime) -> ServerCertificate:
    """Return a new self-signed certificate and its key (ECDSA P-256).

    Args:
        names: host names and IP addresses it is for; the first is its subject.

    Raises:
        ConfigError: a name cannot stand in a certificate.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    try:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
        found = x509.SubjectAlternativeName([_general(name) for name in names])
    except (ValueError, UnicodeError) as error:
        raise ConfigError(
            f"A name cannot stand in a certificate: {error}. Expected host names and IP addresses."
        ) from error
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=EARLY_DAYS))
        .not_valid_after(now + timedelta(days=VALID_DAYS))
        .add_extension(found, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return ServerCertificate(
        certificate.public_bytes(serialization.Encoding.PEM).decode(),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
    )


def utc_now() -> datetime:
    """Return the time a certificate begins to be made at."""
    return datetime.now(timezone.utc)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
