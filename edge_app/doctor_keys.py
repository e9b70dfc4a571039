"""The doctor's question about the keys that this device trusts."""

from __future__ import annotations

import stat
from datetime import datetime, timedelta
from pathlib import Path

from edge_app.config_model import AppConfig
from edge_app.doctor_checks import Check
from edge_app.errors import ConfigError
from edge_app.trust import TrustedKey, load_trust

NAME = "trusted keys"

SOON = timedelta(days=30)
"""Time to make a new key, bring it to every device and push a bundle signed with it."""


def check_keys(config: AppConfig, now: datetime) -> Check:
    """Whether there are keys that bundles can be verified with, and who can change them."""
    folder = config.bundle.trusted_keys_dir
    if folder is None:
        advice = "For signed bundles: set [bundle] trusted_keys_dir; docs/configuration.md, Keys."
        return Check(NAME, "absent", "No trusted keys are configured.", advice)
    try:
        trust = load_trust(folder)
    except ConfigError as error:
        return Check(NAME, "fail", str(error), "Put the public keys there.")
    keys = [key for key in trust.keys.values() if key.key_id not in trust.revoked]
    detail = f"{folder}: {', '.join(_told(key) for key in keys)}; {len(trust.revoked)} revoked."
    loose = _writable_by_others(folder)
    if loose:
        advice = f"Whoever can write there decides what is inspected: chmod go-w {' '.join(loose)}."
        return Check(NAME, "warning", detail, advice)
    if all(key.expires_at is not None and key.expires_at <= now + SOON for key in keys):
        advice = "Soon nothing new can be installed: make a new key with edge-deploy keygen."
        return Check(NAME, "warning", detail, advice)
    return Check(NAME, "ok", detail)


def _told(key: TrustedKey) -> str:
    until = "" if key.expires_at is None else f", until {key.expires_at:%Y-%m-%d}"
    return f"{key.name} ({key.key_id[:16]}{until})"


def _writable_by_others(folder: Path) -> list[str]:
    """Return the folder and those of its files that group or others may write."""
    found = [folder, *sorted(folder.iterdir())]
    return [str(p) for p in found if p.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)]
