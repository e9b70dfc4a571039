"""What the audit says of the configuration at a start: its digest, and what changed. No IO."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from edge_app.audit.records import canonical
from edge_app.config.model import AppConfig
from edge_app.secret_text import mask, shown_address

MAX_CHANGES = 200
"""Named of one start; more are counted."""

MAX_VALUE_CHARS = 300


def flat_configuration(config: AppConfig) -> dict[str, Any]:
    """Return key → value of every entry, lists by position, without passwords.

    A change of a password inside an address cannot be seen here: it is masked before and after.
    """
    flat: dict[str, Any] = {}
    _flatten("", config.model_dump(mode="json"), flat)
    return flat


def digest_of(flat: dict[str, Any]) -> str:
    """Return the SHA-256 of the masked entries."""
    return hashlib.sha256(canonical(flat)).hexdigest()


def changes_between(old: dict[str, Any], new: dict[str, Any]) -> list[dict[str, Any]]:
    """Return each key that differs, with both values; None where there was, or is, none."""
    keys = sorted(k for k in {**old, **new} if old.get(k) != new.get(k))
    shown = [{"key": k, "old": old.get(k), "new": new.get(k)} for k in keys[:MAX_CHANGES]]
    if len(keys) > MAX_CHANGES:
        shown.append({"key": "…", "old": None, "new": f"{len(keys) - MAX_CHANGES} more"})
    return shown


def parsed(text: str) -> dict[str, Any] | None:
    """Return what `remember` kept; None if it is nothing of ours."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _flatten(name: str, value: Any, into: dict[str, Any]) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            _flatten(f"{name}.{key}" if name else str(key), inner, into)
    elif isinstance(value, list) and any(isinstance(entry, dict) for entry in value):
        for index, inner in enumerate(value):
            _flatten(f"{name}[{index}]", inner, into)
    elif isinstance(value, str):
        text = shown_address(value) if "://" in value or name.endswith("url") else value
        into[name] = mask(text)[:MAX_VALUE_CHARS]
    elif isinstance(value, list):
        into[name] = mask(json.dumps(value))[:MAX_VALUE_CHARS]
    else:
        into[name] = value
