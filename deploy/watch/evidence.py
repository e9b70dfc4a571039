"""Fetches an alert's picture and keeps it only if its sha256 is the one in the alert."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

from edge_app.errors import DataError
from edge_app.mqtt.messages import EvidenceBody

FETCH_TIMEOUT_S = 5.0
"""A device on the plant network answers in milliseconds or not at all."""
MAX_BYTES = 20 << 20
"""An evidence picture has a few megabytes at most."""


def fetch_evidence(evidence: EvidenceBody, folder: Path, name: str) -> Path:
    """Save an alert's picture below `folder` and return where.

    Args:
        name: the file's name without its extension; all but letters, digits and ._- is replaced.

    Raises:
        DataError: the address is not http(s), cannot be read, is too large, or the bytes are not
            those that the alert names; nothing is kept.
    """
    address = urlsplit(evidence.url)
    if address.scheme not in ("http", "https"):
        raise DataError(f"evidence {evidence.url} not fetched: only http and https addresses are")
    try:
        with urlopen(evidence.url, timeout=FETCH_TIMEOUT_S) as answer:
            picture: bytes = answer.read(MAX_BYTES + 1)
    except (URLError, OSError, ValueError) as error:
        raise DataError(f"evidence {evidence.url} cannot be fetched: {error}") from error
    _check(picture, evidence)
    return _save(picture, folder / (_clean(name) + _clean(Path(address.path).suffix)))


def _check(picture: bytes, evidence: EvidenceBody) -> None:
    if len(picture) > MAX_BYTES:
        raise DataError(f"evidence {evidence.url} refused: larger than {MAX_BYTES} bytes")
    found = hashlib.sha256(picture).hexdigest()
    if found != evidence.sha256:
        raise DataError(
            f"evidence {evidence.url} refused: sha256 is {found}, in the alert it is "
            f"{evidence.sha256}; the picture was changed or replaced"
        )


def _save(picture: bytes, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(picture)
    return target


def _clean(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", text)
