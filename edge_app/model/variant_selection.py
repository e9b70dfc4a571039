"""A bundle's variant for this device: the preferred one that passes here, or the next safer.

An engine built on this device need not compute what the workstation measured. Whatever is not the
fp32 graphs on ONNX Runtime has to reproduce the golden set first, and gets a parity certificate.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from edge_app.backends.choice import GraphOpener
from edge_app.backends.cuda_driver import find_gpu
from edge_app.backends.onnx import PROVIDER
from edge_app.bundle.archive import Bundle
from edge_app.errors import BundleError, ModelError
from edge_app.host.file_ownership import give_to_owner, make_folder
from edge_app.model.golden_check import check_golden
from edge_app.model.loaded_model import LoadedModel, load_model

_log = logging.getLogger(__name__)

SAFETY = ("int8", "fp16", "fp32")
"""From the most fragile to the safest; each falls back on those after it."""


@dataclass(frozen=True, slots=True)
class ParityCertificate:
    """What the golden set came out as on this device's own engines.

    Attributes:
        providers: graph → what runs it, e.g. {"inspector": "tensorrt 10.3.0"}.
        gpu: its name; "" without one.
        reason: why it failed; "" when it passed, which means no flip.
        worst_iou: of a box with its expectation.
        worst_score_difference: as a fraction of the larger of score and threshold.
        latency_ms: median of one golden picture, detector to score.
    """

    bundle_sha256: str
    product: str
    precision: str
    providers: dict[str, str]
    gpu: str
    pictures: int
    reason: str
    worst_iou: float
    worst_score_difference: float
    latency_ms: float | None

    @property
    def is_passed(self) -> bool:
        return not self.reason


@dataclass(frozen=True, slots=True, eq=False)
class CertifiedModel:
    """A model to judge with, and the certificates on the way to it, the last one its own.

    Attributes:
        certificates: empty where the fp32 graphs run on ONNX Runtime: they are the reference.

    What was wanted and is missing, an engine or a variant, stands in `model.shortfall`.
    """

    model: LoadedModel
    certificates: tuple[ParityCertificate, ...]


def load_safest(
    bundle: Bundle,
    opener: GraphOpener,
    precision: str | None = None,
    threads: int = 0,
    keep: Callable[[ParityCertificate], None] = lambda _: None,
) -> CertifiedModel:
    """Load the wanted variant, or the next safer one that passes on this device.

    Where engines may be done without ("auto") and none passes, the safest runs on ONNX Runtime.

    Args:
        opener: decides between TensorRT and ONNX Runtime, graph by graph.
        precision: where to begin; None is the bundle's preferred variant.
        threads: of ONNX Runtime.
        keep: called with every certificate issued, passed or not.

    Raises:
        BundleError: no variant of that precision, or none passes.
        ModelError: the last variant's graphs cannot be loaded.
    """
    order = precisions_to_try(bundle, precision)
    issued: list[ParityCertificate] = []
    passed_over: list[str] = []
    for candidate in order:
        try:
            model = load_model(bundle, threads, candidate, opener)
        except ModelError as error:
            if candidate == order[-1]:
                raise
            _log.warning("The %s variant cannot be loaded here: %s", candidate, error)
            passed_over.append(f"the {candidate} variant cannot be loaded: {error}")
            continue
        missing = [f"no engine for the {g}: {why}" for g, why in opener.without_engine.items()]
        model = replace(model, shortfall="; ".join([*passed_over, *missing]))
        if candidate == "fp32" and set(opener.providers.values()) == {PROVIDER}:
            return CertifiedModel(model, tuple(issued))
        certificate = certify(model, bundle, opener.providers)
        issued.append(certificate)
        keep(certificate)
        if certificate.is_passed:
            return CertifiedModel(model, tuple(issued))
        _log.warning("The %s variant fails on this device: %s", candidate, certificate.reason)
        passed_over.append(f"the {candidate} variant fails its golden set: {certificate.reason}")
    if opener.do_without_engines():
        _log.warning(
            "This device's engines fail the golden set: ONNX Runtime judges in their place"
        )
        last = load_safest(bundle, opener, order[-1], threads, keep)
        shortfall = "; ".join(filter(None, [*passed_over, last.model.shortfall]))
        return CertifiedModel(
            replace(last.model, shortfall=shortfall), (*issued, *last.certificates)
        )
    raise BundleError(
        f"No variant of {bundle.manifest.product} serial {bundle.manifest.serial} passes its "
        f"golden set here ({'; '.join(f'{c.precision}: {c.reason}' for c in issued)}). "
        'Set runtime.backend = "onnxruntime", or build the engines again.'
    )


def precisions_to_try(bundle: Bundle, precision: str | None) -> list[str]:
    """Return the wanted precision (None: the bundle's preferred) and the safer ones it has.

    Raises:
        BundleError: no variant of that precision.
    """
    wanted = bundle.variant(precision).precision
    have = {v.precision for v in bundle.manifest.variants}
    return [p for p in SAFETY[SAFETY.index(wanted) :] if p in have]


def certify(model: LoadedModel, bundle: Bundle, providers: dict[str, str]) -> ParityCertificate:
    """Judge the golden set with the model's own engines and return what came of it."""
    result = check_golden(model, bundle)
    gpu = find_gpu()
    return ParityCertificate(
        bundle_sha256=bundle.sha256,
        product=bundle.manifest.product,
        precision=model.identity.precision,
        providers=dict(providers),
        gpu=gpu.name if gpu else "",
        pictures=result.pictures,
        reason=result.reason,
        worst_iou=round(result.worst_iou, 4),
        worst_score_difference=round(result.worst_score_difference, 6),
        latency_ms=result.latency_ms,
    )


def write_certificate(certificate: ParityCertificate, folder: Path) -> Path:
    """Write a certificate as JSON, one file per bundle and precision; return the file."""
    make_folder(folder)
    file = folder / f"{certificate.bundle_sha256[:16]}-{certificate.precision}.json"
    rounded = replace(
        certificate,
        latency_ms=None if certificate.latency_ms is None else round(certificate.latency_ms, 2),
    )
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(rounded), indent=1), encoding="utf-8")
    give_to_owner(partial)
    partial.replace(file)
    return file
