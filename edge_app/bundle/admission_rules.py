"""May this device activate that bundle? Pure rules: no files, no clock, no network."""

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
    """The end of a signature's or a key's life.

    Attributes:
        at: the first moment that is too late, UTC.
        of: what ends then, e.g. "its signature" or "the key line1".
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
) -> None:
    """Return if a verified bundle may be installed on this device now.

    Changing a slot between products that are installed already is no installation: do not ask.

    Args:
        installed_high_water: the largest serial of this product ever installed here; None: none.
        allow_back: an older serial is permitted: `VerifiedBundle.allow_back`.
        now: with a time zone.
        expiry: `VerifiedBundle.expiry`.
        product: what was asked for; None: whatever comes.

    Raises:
        BundleError: it is another product, meant for others, expired, or older than what was
            installed.
    """
    what = f"Bundle {manifest.product} {manifest.serial} refused"
    if product is not None and product != manifest.product:
        raise BundleError(f"{what}: it is for the product {manifest.product}, not {product}.")
    check_target(manifest, device)
    check_not_expired(manifest, expiry, now)
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
        "Push the one that is meant for it."
    )


def check_not_expired(manifest: Manifest, expiry: Expiry | None, now: datetime) -> None:
    """Return if the bundle may still be installed.

    Raises:
        BundleError: its signature's or its key's time is over.
    """
    if expiry is None or now < expiry.at:
        return
    raise BundleError(
        f"Bundle {manifest.product} {manifest.serial} refused: {expiry.of} expired on "
        f"{expiry.at:%Y-%m-%d %H:%M} UTC, here it is {now:%Y-%m-%d %H:%M}. Sign it again, or set "
        "this clock if that is wrong."
    )


def _matches(pattern: str, name: tuple[str, str, str]) -> bool:
    """Compare level by level: a wildcard never reaches over a slash."""
    levels = pattern.split("/")
    return pattern == EVERYONE or (len(levels) == 3 and all(map(fnmatchcase, name, levels)))
