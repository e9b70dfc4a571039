"""The two models of a comparison: today's, as this device judges with it, and the one to try."""

from __future__ import annotations

from pathlib import Path

from edge_app.activation.model_loader import Ready
from edge_app.activation.own_limits import LIMITS_FILE, OwnLimits
from edge_app.bundle.archive import Bundle, read_bundle
from edge_app.config.model import AppConfig
from edge_app.errors import BundleError, ConfigError
from edge_app.model.load_for_device import load_for_device
from edge_app.model.loaded_model import LoadedModel
from edge_app.model.open_for_device import how_signed, limits_of, trust_of
from edge_app.store.bundle_store import Store


def bundle_in_use(config: AppConfig, slot: str) -> Path:
    """Return the file that a slot judges with.

    Raises:
        ConfigError: the slot has none.
    """
    if config.agent.enabled:
        store = Store(config.agent.store_dir)
        sha256 = store.active(slot)
        if sha256 is not None and store.has(sha256):
            return store.release(sha256)
    if config.bundle.path is not None:
        return config.bundle.path
    raise ConfigError(
        f"slot {slot!r} has no bundle in use that this user can read. Name one with --old, or run "
        "the command as root."
    )


def model_of_today(path: Path, config: AppConfig, slot: str) -> LoadedModel:
    """Return a bundle's model with the limits that people have set for it on this device.

    Raises:
        BundleError, ModelError: it cannot be loaded here.
    """
    bundle = _opened(path, config)
    ready = Ready(bundle.sha256, load_for_device(bundle, config), how_signed(bundle))
    return OwnLimits(config.device.state_dir / LIMITS_FILE).applied(slot, ready).model


def model_to_try(path: Path, config: AppConfig, is_of: LoadedModel) -> LoadedModel:
    """Return a new bundle's model with the bundle's own limits.

    Args:
        is_of: today's model: another product's bundle is refused.

    Raises:
        BundleError, ModelError: it cannot be loaded here, or is for another product.
    """
    model = load_for_device(_opened(path, config), config)
    product, expected = model.identity.product, is_of.identity.product
    if product != expected:
        raise BundleError(
            f"{path.name} is for {product}, the parts that were kept are {expected}. Name a bundle "
            "for the same product."
        )
    return model


def _opened(path: Path, config: AppConfig) -> Bundle:
    """Return a bundle; one that is only tried here needs no signature where none is wanted."""
    return read_bundle(path, limits_of(config.bundle), trust_of(config.bundle), True)
