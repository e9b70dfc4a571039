"""The doctor's checks of the keys that this device trusts: for bundles and for commands."""

from __future__ import annotations

import stat
from datetime import datetime, timedelta
from pathlib import Path

from edge_app.bundle.trusted_keys import KEY_SUFFIX, REVOKED, TrustedKey, TrustPolicy, load_trust
from edge_app.config.model import AppConfig
from edge_app.doctor.checks import Check
from edge_app.errors import ConfigError

NAME = "trusted keys"
OPERATORS = "operators' keys"

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
    detail = _detail(trust)
    advice = _advice_on_rights(folder, "what is inspected")
    if not advice and _end_before(trust, now + SOON):
        advice = "Soon nothing new can be installed: make a new key with edge-deploy keygen."
    return Check(NAME, "warning" if advice else "ok", detail, advice)


def check_operator_keys(config: AppConfig, now: datetime) -> Check:
    """Whether operators' commands to change the product are accepted, and from whom."""
    folder = config.agent.operator_keys_dir
    if folder is None or not config.agent.enabled or not config.mqtt.enabled:
        detail = "cmd/select_product is off: it needs [agent] operator_keys_dir, and [mqtt]."
        return Check(OPERATORS, "absent", detail)
    try:
        trust = load_trust(folder)
    except ConfigError as error:
        advice = (
            "The agent does not start with this: put the operators' .pub files there "
            "(edge-deploy package --operator-keys includes them), or leave operator_keys_dir out."
        )
        return Check(OPERATORS, "fail", str(error), advice)
    detail = _detail(trust)
    if _end_before(trust, now):
        advice = (
            "Every command is refused: make a new key with edge-deploy keygen, or set this clock "
            "if it is wrong."
        )
        return Check(OPERATORS, "fail", f"{detail} All have expired.", advice)
    advice = _advice_on_rights(folder, "who changes products") or _advice_on_overlap(config, trust)
    if not advice and _end_before(trust, now + SOON):
        advice = "Soon every command is refused: make a new key with edge-deploy keygen."
    return Check(OPERATORS, "warning" if advice else "ok", detail, advice)


def _detail(trust: TrustPolicy) -> str:
    keys = ", ".join(_described(key) for key in _counting(trust))
    return f"{trust.folder}: {keys}; {len(trust.revoked)} revoked."


def _counting(trust: TrustPolicy) -> list[TrustedKey]:
    return [key for key in trust.keys.values() if key.key_id not in trust.revoked]


def _described(key: TrustedKey) -> str:
    until = "" if key.expires_at is None else f", until {key.expires_at:%Y-%m-%d}"
    return f"{key.name} ({key.key_id[:16]}{until})"


def _end_before(trust: TrustPolicy, moment: datetime) -> bool:
    """Tell whether all keys have expired by then."""
    return all(key.expires_at is not None and key.expires_at <= moment for key in _counting(trust))


def _advice_on_overlap(config: AppConfig, operators: TrustPolicy) -> str:
    """Name an operator who could sign bundles too; "" where there is none."""
    folder = config.bundle.trusted_keys_dir
    try:
        trusted = {} if folder is None else load_trust(folder).keys
    except ConfigError:  # reported by `check_keys`
        return ""
    both = [key.name for key in _counting(operators) if key.key_id in trusted]
    if not both:
        return ""
    return f"The key {both[0]} signs bundles too: take it out of one of the two folders."


def _advice_on_rights(folder: Path, what: str) -> str:
    """Return advice on files with the wrong mode; "" if all are right.

    Args:
        what: what anyone who can write there can decide.
    """
    found = [folder, *(p for p in sorted(folder.iterdir()) if p.exists())]
    loose = [str(p) for p in found if p.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)]
    if loose:
        return f"Whoever can write there decides {what}: chmod go-w {' '.join(loose)}."
    closed = [str(p) for p in found if _is_needed(p) and _is_roots_alone(p)]
    if closed:
        files = " ".join(closed)
        return f"Only root can read there: chgrp cropliq-edge {files}; chmod g+rX {files}."
    return ""


def _is_needed(path: Path) -> bool:
    return path.is_dir() or path.suffix == KEY_SUFFIX or path.name == REVOKED


def _is_roots_alone(path: Path) -> bool:
    found = path.stat()
    return found.st_uid == 0 and not found.st_mode & (stat.S_IRGRP | stat.S_IROTH)
