"""Where pictures are kept and how others open them, as the configuration says."""

from __future__ import annotations

import logging
from pathlib import Path

from edge_app.alerts.evidence import EvidenceStore
from edge_app.config.model import AppConfig, is_loopback
from edge_app.host.age_clock import AgeClock
from edge_app.host.name_lookup import own_name

_log = logging.getLogger(__name__)


def evidence_folder(config: AppConfig) -> Path:
    """Return where inspection keeps evidence pictures."""
    return (config.device.state_dir / "evidence").absolute()


def open_evidence(config: AppConfig, clock: AgeClock) -> EvidenceStore | None:
    """Return the store of kept pictures; None where none are kept."""
    e = config.evidence
    if not e.enabled:
        return None
    if e.base_url is None and not is_loopback(config.page.host):
        _warn_of_short_name()
    return EvidenceStore(
        evidence_folder(config),
        e.max_age_h,
        e.max_mb << 20,
        e.jpeg_quality,
        config.evidence_base_url,
        clock,
        limits=e.limits,
    )


def _warn_of_short_name() -> None:
    name, is_full = own_name()
    if not is_full:
        _log.warning(
            "no name server answers: evidence is offered at this machine's short name, %s; give "
            "[evidence] base_url to be independent of them",
            name,
        )


def warn_of_local_evidence(config: AppConfig) -> None:
    """Say that nobody else can open the pictures that alerts name, where that is so."""
    is_local = config.evidence.base_url is None and is_loopback(config.page.host)
    is_for_others = config.mqtt.enabled and not is_loopback(config.mqtt.host)
    if config.evidence.enabled and is_local and is_for_others:
        _log.warning(
            "alerts name their pictures as http://%s:%d/...: only this device can open that. Set "
            "[page] host and token_file, or [evidence] base_url if a proxy serves the page",
            config.page.host,
            config.page.port,
        )
