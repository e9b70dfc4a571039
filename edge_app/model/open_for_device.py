"""Open the bundle a configuration names, with the trust that the configuration gives."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from pathlib import Path

from edge_app.bundle.admission_rules import check_not_expired, check_target
from edge_app.bundle.archive import Bundle, BundleLimits, read_bundle
from edge_app.bundle.trusted_keys import TrustPolicy, load_trust
from edge_app.config.model import BundleConfig
from edge_app.errors import BundleError
from edge_app.mqtt.topics import DeviceName

_log = logging.getLogger(__name__)


def open_bundle(path: Path, config: BundleConfig, device: DeviceName) -> Bundle:
    """Return the bundle if it may judge on this device.

    A signed bundle needs a trusted key wherever keys are configured; an unsigned one needs
    `allow_unsigned`. An expired one is used with a warning: a date ends installing, not judging.

    Raises:
        BundleError: nothing vouches for it, it is meant for others, or see `read_bundle`.
        ConfigError: the trusted keys cannot be read.
    """
    trust = trust_of(config)
    if trust is None and not config.allow_unsigned:
        raise BundleError(
            f"Bundle {path.name} refused: nothing vouches for it. Name the folder of trusted keys "
            "in bundle.trusted_keys_dir, or set bundle.allow_unsigned = true if you trust where "
            "it comes from."
        )
    bundle = read_bundle(path, limits_of(config), trust, config.allow_unsigned)
    check_target(bundle.manifest, device)
    _warn(bundle, path)
    return bundle


def trust_of(config: BundleConfig) -> TrustPolicy | None:
    """Return the configured keys, or None where none are configured.

    Raises:
        ConfigError: see `load_trust`.
    """
    return None if config.trusted_keys_dir is None else load_trust(config.trusted_keys_dir)


def limits_of(config: BundleConfig) -> BundleLimits:
    """Return what the configuration allows a bundle to be."""
    return BundleLimits(max_bytes=config.max_bundle_mb << 20)


def how_signed(bundle: Bundle) -> str:
    """Return who vouches for a bundle, in a few words for people."""
    if bundle.verified is not None:
        return f"by key {bundle.verified.key_id[:16]}"
    return "not checked: no trusted keys configured" if bundle.is_signed else "no"


def _warn(bundle: Bundle, path: Path) -> None:
    if bundle.verified is None:
        _log.warning("bundle %s: signature: %s (bundle.allow_unsigned)", path, how_signed(bundle))
        return
    try:
        check_not_expired(bundle.manifest, bundle.verified.expiry, datetime.now(timezone.utc))
    except BundleError as error:
        _log.warning("still judging with an expired bundle, which no device installs: %s", error)
