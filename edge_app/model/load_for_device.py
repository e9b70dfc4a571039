"""A bundle's model for this device: engine, precision and certificates as the TOML says."""

from __future__ import annotations

import logging
from pathlib import Path

from edge_app.backends.choice import BackendChoice, GraphOpener, key_here
from edge_app.backends.engine_cache import EngineCache
from edge_app.bundle.archive import Bundle
from edge_app.config.model import AppConfig
from edge_app.errors import ModelError
from edge_app.model.engine_jobs import EngineBuilder
from edge_app.model.loaded_model import LoadedModel
from edge_app.model.variant_selection import ParityCertificate, load_safest, write_certificate

_log = logging.getLogger(__name__)


def engine_dir(config: AppConfig) -> Path:
    """Return the folder in which engines are kept."""
    return config.runtime.engine_dir or config.device.state_dir / "engines"


def backend_choice(config: AppConfig) -> BackendChoice:
    """Return the `[runtime]` table as the graphs' opener takes it."""
    runtime = config.runtime
    return BackendChoice(
        runtime.backend,
        runtime.threads,
        engine_dir(config),
        runtime.max_batch,
        runtime.cuda_graphs,
    )


def engine_builder(config: AppConfig) -> EngineBuilder | None:
    """Return what builds a new bundle's engines; None where no engine can run or none is wanted."""
    runtime = config.runtime
    if runtime.backend in ("onnxruntime", "openvino"):
        return None
    try:
        key_here(b"", "fp32", runtime.max_batch)
    except ModelError:
        return None
    cache = EngineCache(engine_dir(config))
    return EngineBuilder(cache, key_here, runtime.max_batch, runtime.precision)


def load_for_device(bundle: Bundle, config: AppConfig) -> LoadedModel:
    """Return the wanted variant, or the next safer one that reproduces the golden set here.

    Raises:
        BundleError: no variant passes, or the wanted one is not in the bundle.
        ModelError: a graph cannot be loaded.
    """

    def keep(certificate: ParityCertificate) -> None:
        try:
            file = write_certificate(certificate, config.device.state_dir / "parity")
        except OSError as error:  # a full disk is no reason not to inspect
            _log.warning("the parity certificate cannot be written: %s", error)
        else:
            _log.info("parity certificate %s: %s", file.name, certificate.reason or "passed")

    runtime = config.runtime
    precision = runtime.precision
    if precision is not None and all(v.precision != precision for v in bundle.manifest.variants):
        _log.warning("the bundle has no %s variant; its preferred one is taken", precision)
        precision = None
    opener = GraphOpener(backend_choice(config))
    return load_safest(bundle, opener, precision, runtime.threads, keep).model
