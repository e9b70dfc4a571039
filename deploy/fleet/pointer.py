"""From a signed bundle file to the pointers that announce it to devices."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import quote, urlsplit

from deploy.bundles.sign import WORKSTATION_LIMITS
from edge_app.bundle.admission_rules import check_not_expired, check_target
from edge_app.bundle.archive import read_bundle
from edge_app.bundle.manifest import FORMAT_1, Manifest
from edge_app.bundle.trusted_keys import load_trust
from edge_app.bundle.verify import verify_bundle
from edge_app.config.model import is_loopback
from edge_app.errors import BundleError, ConfigError
from edge_app.mqtt.deploy_messages import Desired
from edge_app.mqtt.timestamps import rfc3339, uuid7
from edge_app.mqtt.topics import DeviceName


@dataclass(frozen=True, slots=True)
class Offer:
    """A bundle as it is offered to devices.

    Attributes:
        url: of the file itself.
        length: in bytes.
        format, requires: what a device must know to judge with it.
    """

    product: str
    serial: int
    sha256: str
    length: int
    url: str
    format: str = FORMAT_1
    requires: tuple[str, ...] = ()


def make_offer(
    bundle: Path, url: str, devices: Iterable[DeviceName], keys: Path | None = None
) -> Offer:
    """Return the offer of a bundle that each of these devices may install.

    Args:
        url: of the file, or with a slash at the end of the folder that it is served from.
        keys: the devices' trusted keys; None only checks that it is signed.

    Raises:
        BundleError: it is unsigned, not verified by `keys`, expired, or not meant for a device.
        ConfigError: devices cannot fetch from such an address, or the keys cannot be read.
    """
    manifest, sha256 = _verified(bundle, keys)
    for device in devices:
        check_target(manifest, device)
    return Offer(
        product=manifest.product,
        serial=manifest.serial,
        sha256=sha256,
        length=bundle.stat().st_size,
        url=_file_url(url, bundle.name),
        format=manifest.format,
        requires=manifest.requires,
    )


def make_pointer(
    offer: Offer,
    now_ns: int | None = None,
    random_bits: Callable[[int], int] = secrets.randbits,
) -> Desired:
    """Return a new pointer to an offer, for one device."""
    now_ns = time.time_ns() if now_ns is None else now_ns
    return Desired(
        message_id=uuid7(now_ns, random_bits),
        issued_at=rfc3339(now_ns),
        product=offer.product,
        serial=offer.serial,
        sha256=offer.sha256,
        length=offer.length,
        url=offer.url,
    )


def _verified(bundle: Path, keys: Path | None) -> tuple[Manifest, str]:
    if keys is not None:
        verified = verify_bundle(bundle, load_trust(keys), WORKSTATION_LIMITS)
        check_not_expired(verified.manifest, verified.expiry, datetime.now(timezone.utc))
        return verified.manifest, verified.sha256
    read = read_bundle(bundle, WORKSTATION_LIMITS)
    if not read.is_signed:
        raise BundleError(
            f"Bundle {bundle.name} is not signed; no device accepts it. Sign it first: edge-deploy "
            f"sign {bundle.name} --key FILE.key --out SIGNED"
        )
    return read.manifest, read.sha256


def _file_url(url: str, name: str) -> str:
    parts = urlsplit(url)
    is_plain_here = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if not parts.hostname or "@" in parts.netloc or not (parts.scheme == "https" or is_plain_here):
        raise ConfigError(
            f"--url {url!r}: expected https://HOST[:PORT]/ without a login; devices accept "
            "plain http from loopback only"
        )
    return url + quote(name) if url.endswith("/") else url
