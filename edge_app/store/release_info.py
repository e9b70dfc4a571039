"""Two small files of the store: a release's card, and each product's highest serial."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from edge_app.errors import BundleError


class Card(BaseModel):
    """A release's description, readable without opening the bundle.

    Attributes:
        memory_mb: peak memory of its self-check.
    """

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    product: str
    serial: int
    memory_mb: int = 0


def read_card(path: Path) -> Card | None:
    """Return a release's card, or None."""
    try:
        return Card.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def read_serials(path: Path) -> dict[str, int]:
    """Return product → highest serial ever committed; empty where there is no file.

    Raises:
        BundleError: it cannot be read.
    """
    try:
        return {str(k): int(v) for k, v in json.loads(path.read_bytes()).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise BundleError(
            f"{path} cannot be read ({error}): without it an old bundle could come back "
            "unnoticed. Restore the file, or remove it to trust every serial once more."
        ) from error
