"""The intent record of a slot: written before a switch, read after a power cut.

switching ──SWITCHED──→ probation ──→ committing ──→ (no record)
    └─────────────────────┴────────→ rolling_back ─→ (no record)
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from edge_app.store.durable_write import Perform, remove_durably, write_durably

_log = logging.getLogger(__name__)

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Phase = Literal["switching", "probation", "committing", "rolling_back"]
IntentKind = Literal["install", "select"]

MAX_CRASHES = 3
"""After this many crashes of the inspection process (ends without `bye`) while a new bundle is not
yet committed, the previous bundle is restored."""


class Figures(BaseModel):
    """One model's figures on the line: counts of parts, and their latency.

    Attributes:
        latency_ms_p95: capture to verdict; None while no part was judged.
    """

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", allow_inf_nan=False)

    parts: int = Field(0, ge=0)
    ng: int = Field(0, ge=0)
    not_inspected: int = Field(0, ge=0)
    latency_ms_p95: float | None = None


class Intent(BaseModel):
    """One slot's record.

    Attributes:
        kind: a new bundle, or a changeover to an installed product.
        old_sha256: the active bundle before; None when it was none of the store's.
        crashes: ends of the inspection process without `bye` since SWITCH.
        baseline: the old model's figures, for the comparison after a restart.
    """

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    slot: str
    kind: IntentKind
    phase: Phase
    old_sha256: Sha256 | None
    new_sha256: Sha256
    reason: str = ""
    crashes: int = Field(0, ge=0)
    baseline: Figures | None = None

    def choices(self) -> tuple[str, ...]:
        """Return what `edge-app run` loads at its start, best first."""
        old = () if self.old_sha256 is None else (self.old_sha256,)
        return old if self.phase == "rolling_back" else (self.new_sha256, *old)


def read_intent(path: Path) -> Intent | None:
    """Return the record, or None when there is none. An invalid one is logged and
    ignored: the agent writes it whole or not at all, so something else wrote it."""
    try:
        return Intent.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        _log.error("the record %s cannot be read and is ignored: %s", path, error)
        return None


def write_intent(do: Perform, path: Path, intent: Intent) -> None:
    """Store the record; once this returns it survives a power cut.

    Raises:
        OSError: it is not stored; the previous record is unchanged.
    """
    write_durably(do, path, intent.model_dump_json(indent=1).encode())


def clear_intent(do: Perform, path: Path) -> None:
    """Remove the record: from now on the slot's links decide.

    Raises:
        OSError: it is still there.
    """
    remove_durably(do, path)
