"""May this device install that bundle? Pure rules: no files, no clock, no network."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase

from edge_app.bundle.manifest import Manifest
from edge_app.errors import BundleError
from edge_app.mqtt.topics import DeviceName

EVERYONE = "*"


@dataclass(frozen=True, slots=True)
class Expiry:
    """When a signature or a key expires.

    Attributes:
        at: expired from this moment on, UTC.
        of: what expires, e.g. "its signature" or "the key line1".
    """

    at: datetime
    of: str


def check_admissible(
    manifest: Manifest,
    device: DeviceName,
    installed_high_water: int | None,
    allow_back: bool,
    *,
    now: datetime,
    expiry: Expiry | None = None,
    product: str | None = None,
    doubt: str = "",
) -> None:
    """Return if a verified bundle may be installed on this device now.

    A changeover between products that are already installed needs no check.

    Args:
        installed_high_water: the largest serial of this product ever installed here; None: none.
        allow_back: an older serial is permitted: `VerifiedBundle.allow_back`.
        now: with a time zone.
        expiry: `VerifiedBundle.expiry`.
        product: what was asked for; None: any product.
        doubt: why `now` may be wrong; "" if it is right.

    Raises:
        BundleError: it is another product, meant for other devices, expired, or older than what
            was installed.
    """
    what = f"Bundle {manifest.product} {manifest.serial} refused"
    if product is not None and product != manifest.product:
        raise BundleError(f"{what}: it is for the product {manifest.product}, not {product}.")
    check_target(manifest, device)
    check_not_expired(manifest, expiry, now, doubt)
    if installed_high_water is None or manifest.serial >= installed_high_water or allow_back:
        return
    raise BundleError(
        f"{what}: older than serial {installed_high_water} installed before. Push "
        f"{installed_high_water + 1} or later, or sign it with --allow-back to go back."
    )


def check_target(manifest: Manifest, device: DeviceName) -> None:
    """Return if the bundle is meant for this device.

    Raises:
        BundleError: none of its targets matches.
    """
    name = (device.site, device.line, device.device)
    if any(_matches(pattern, name) for pattern in manifest.targets):
        return
    raise BundleError(
        f"Bundle {manifest.product} {manifest.serial} refused: it is for "
        f"{', '.join(manifest.targets) or 'nobody'}, this device is {'/'.join(name)}. "
        "Push the bundle that is meant for it."
    )


def check_not_expired(
    manifest: Manifest, expiry: Expiry | None, now: datetime, doubt: str = ""
) -> None:
    """Return if the bundle may still be installed.

    Args:
        doubt: why `now` may be wrong, for people; "" if it is right, or nobody knows.

    Raises:
        BundleError: its signature or its key has expired.
    """
    if expiry is None or now < expiry.at:
        return
    advice = "Sign it again, or set this clock if that is wrong."
    if doubt:
        advice = f"But {doubt}: set it (NTP) first, then install the bundle again."
    raise BundleError(
        f"Bundle {manifest.product} {manifest.serial} refused: {expiry.of} expired on "
        f"{expiry.at:%Y-%m-%d %H:%M} UTC, here it is {now:%Y-%m-%d %H:%M}. {advice}"
    )


def _matches(pattern: str, name: tuple[str, str, str]) -> bool:
    """Compare level by level: a wildcard never matches a slash."""
    levels = pattern.split("/")
    return pattern == EVERYONE or (len(levels) == 3 and all(map(fnmatchcase, name, levels)))
