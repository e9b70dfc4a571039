"""From a pretext-trained backbone and good crops to a finished inspector.

Held-back good crops (a fifth) fix the scales of the score and of the map; the same crops with
pseudo-anomalies choose which terms the score sums and which map is exported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from edge_app.records import F32Array, F64Array, JsonObject, U8Array
from export.augment import Painted, pseudo_anomaly
from export.backbones.efficientnet_lite import normalise_pixels, stride_of
from export.cropliq import PretextNet
from export.density import fit_global, fit_positions
from export.inspector_choice import MAP_KINDS, choose_map, choose_weights
from export.inspector_graph import TERM_NAMES, Inspector, InspectorParts, TrainedInspector
from export.inspector_terms import (
    CoresetTerm,
    PatchEmbedding,
    PositionTerm,
    StatisticsTerm,
    statistics_embedding,
)

Progress = Callable[[str, float], None]

BATCH = 8
"""Crops a forward pass: more does not speed up two cores."""


@dataclass(frozen=True, slots=True)
class FitSettings:
    """What is fitted, with the defaults measured best (docs/methods.md).

    Attributes:
        local_taps: blocks of the patch embedding, finest grid first; that grid is the map's.
        global_taps: blocks of the global Gaussian.
        embedding_d: dimensions of the patch embedding.
        cell: side of a cell of positions that share a covariance.
        coreset_count: patches kept for the nearest-neighbour term.
        held_back_share: part of the good crops no density is fitted to.
    """

    local_taps: tuple[int, ...] = (2, 4, 7)
    global_taps: tuple[int, ...] = (4, 7, 10, 14)
    embedding_d: int = 64
    cell: int = 4
    coreset_count: int = 1000
    held_back_share: float = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What the terms and maps give on a set of crops.

    Attributes:
        terms: (n, 3) float64 log distances, in the order of TERM_NAMES.
        maps: map kind → (n, gh, gw) float32 on the kind's own grid.
    """

    terms: F64Array
    maps: dict[str, F32Array]


def fit_inspector(
    network: PretextNet,
    crops: U8Array,
    mask_hw: U8Array | None,
    settings: FitSettings,
    seed: int,
    pretext_accuracy: float,
    device: str,
    progress: Progress,
) -> TrainedInspector:
    """Return the inspector of one product.

    Args:
        crops: uint8 (n, h, w, 3) good crops, n >= 10.
        mask_hw: uint8 (h, w), > 0 where the product is, or None for everywhere. Outside it the map
            is 0 and nothing adds to the local terms.
        seed: of the split, the projection, the coreset and the pseudo-anomalies.
    """
    rng = np.random.default_rng((seed, 2))
    order = rng.permutation(len(crops))
    held_count = max(2, round(len(crops) * settings.held_back_share))
    held, fitted = crops[np.sort(order[:held_count])], crops[np.sort(order[held_count:])]
    network = network.eval().requires_grad_(False).to(device)
    inspector = _fitted(network, fitted, mask_hw, settings, rng, device, progress).to(device)
    painted = [pseudo_anomaly(rng, crop, mask_hw) for crop in held]
    report = _settle(inspector, held, painted, device, progress)
    h, w = int(crops.shape[1]), int(crops.shape[2])
    report |= {
        "method": "cropliq",
        "settings": {
            k: list(v) if isinstance(v, tuple) else v for k, v in asdict(settings).items()
        },
        "pretext_accuracy": round(pretext_accuracy, 4),
        "fitted_crops": len(fitted),
        "held_back_crops": len(held),
    }
    return TrainedInspector(inspector.to("cpu").eval(), (h, w), report)


def _fitted(
    network: PretextNet,
    crops: U8Array,
    mask_hw: U8Array | None,
    settings: FitSettings,
    rng: np.random.Generator,
    device: str,
    progress: Progress,
) -> Inspector:
    """Fit all terms to the crops; scales and choices are still open."""
    scales = _channel_scales(network, crops[:64], settings.local_taps, device)
    embedding = PatchEmbedding(_projections(scales, settings.embedding_d, rng)).to(device)
    features, statistics = [], []
    wanted = sorted({*settings.local_taps, *settings.global_taps})
    for done, batch in _batches(crops, device):
        taps = dict(zip(wanted, _taps(network, batch, wanted), strict=True))
        features.append(embedding([taps[b] for b in settings.local_taps]).cpu())
        statistics.append(statistics_embedding([taps[b] for b in settings.global_taps]).cpu())
        progress("features", done)
    grid = torch.cat(features).numpy()  # (n, d, gh, gw)
    weight = _grid_weight(mask_hw, crops.shape[1:3], stride_of(settings.local_taps[0]))
    progress("densities", 0.0)
    head = network.head.weight.detach()
    parts = InspectorParts(
        network.backbone,
        settings.local_taps,
        settings.global_taps,
        embedding,
        PositionTerm(fit_positions(grid, settings.cell), weight / grid.shape[1]),
        CoresetTerm(_coreset(grid, weight, settings.coreset_count, rng), weight),
        StatisticsTerm(fit_global(torch.cat(statistics).double().numpy())),
        head[1:].mean(0) - head[0],
    )
    progress("densities", 1.0)
    return Inspector(parts)


def _settle(
    inspector: Inspector,
    held: U8Array,
    painted: list[Painted],
    device: str,
    progress: Progress,
) -> JsonObject:
    """Fix scales, weights and the map from held-back crops; return what was measured."""
    good = _measure(inspector, held, device, progress, "held-back good")
    anomalies = np.stack([p.crop_hwc for p in painted])
    bad = _measure(inspector, anomalies, device, progress, "held-back painted")
    offset, scale = good.terms.mean(0), good.terms.std(0) + 1e-3
    weights, table = choose_weights((good.terms - offset) / scale, (bad.terms - offset) / scale)
    regions = np.stack([p.region_hw for p in painted])
    kind, localisation = choose_map(bad.maps, regions)
    for name, value in (("offset", offset), ("scale", scale), ("weight", weights)):
        getattr(inspector, name).copy_(torch.from_numpy(value))
    average = float(good.maps[kind].mean())
    inspector.map_kind = kind
    inspector.map_scale.fill_(1.0 / max(average, 1e-12))
    return {
        "map_kind": kind,
        "map_pixel_auroc_painted": localisation,
        "term_weights": dict(zip(TERM_NAMES, (float(w) for w in weights), strict=True)),
        "term_auroc_painted": table,
    }


def _measure(
    inspector: Inspector, crops: U8Array, device: str, progress: Progress, step: str
) -> Measured:
    terms: list[Tensor] = []
    maps: dict[str, list[Tensor]] = {kind: [] for kind in MAP_KINDS}
    with torch.no_grad():
        for done, batch in _batches(crops, device):
            taps = inspector.taps(batch)
            embedded = inspector.embedding([taps[b] for b in inspector.local_taps])
            terms.append(torch.stack([inspector.term(i, taps, embedded) for i in range(3)], 1))
            for kind in MAP_KINDS:
                maps[kind].append(inspector.map_of(kind, taps, embedded).cpu())
            progress(step, done)
    joined = {kind: torch.cat(pieces).numpy() for kind, pieces in maps.items()}
    return Measured(torch.cat(terms).cpu().double().numpy(), joined)


def _batches(crops: U8Array, device: str) -> Iterator[tuple[float, Tensor]]:
    """Yield (share done after this batch, uint8 batch)."""
    for start in range(0, len(crops), BATCH):
        batch = torch.from_numpy(crops[start : start + BATCH]).to(device)
        yield min(1.0, (start + BATCH) / len(crops)), batch


def _taps(network: PretextNet, batch: Tensor, wanted: list[int]) -> list[Tensor]:
    with torch.no_grad():
        return network.backbone(normalise_pixels(batch), wanted)


def _channel_scales(
    network: PretextNet, crops: U8Array, taps: tuple[int, ...], device: str
) -> list[F32Array]:
    """Return each tap's (c,) standard deviation over crops and positions."""
    squares: list[list[Tensor]] = [[] for _ in taps]
    for _, batch in _batches(crops, device):
        for store, tap in zip(squares, _taps(network, batch, list(taps)), strict=True):
            store.append(torch.stack([tap.mean((0, 2, 3)), tap.square().mean((0, 2, 3))]))
    moments = [torch.stack(s).mean(0).cpu() for s in squares]
    return [torch.sqrt((m[1] - m[0] ** 2).clamp(min=1e-8)).numpy() for m in moments]


def _projections(scales: list[F32Array], d: int, rng: np.random.Generator) -> list[F32Array]:
    """Return per tap a (d, c) piece of one random semi-orthogonal matrix, standardisation inside.

    Source: Kim et al., Semi-orthogonal embedding, 2021: keeps more than PaDiM's channel choice.
    """
    total = sum(len(s) for s in scales)
    matrix, _ = np.linalg.qr(rng.normal(size=(total, min(d, total))))
    pieces = np.split(matrix.T, np.cumsum([len(s) for s in scales])[:-1], axis=1)
    return [(p / s).astype(np.float32) for p, s in zip(pieces, scales, strict=True)]


def _grid_weight(mask_hw: U8Array | None, crop_hw: tuple[int, ...], stride: int) -> F32Array:
    """Return (gh, gw) float32: 1 where at least half of the position's pixels are product."""
    grid_hw = (crop_hw[0] // stride, crop_hw[1] // stride)
    if mask_hw is None:
        return np.ones(grid_hw, np.float32)
    blocks = (mask_hw > 0).reshape(grid_hw[0], stride, grid_hw[1], stride).mean((1, 3))
    return (blocks >= 0.5).astype(np.float32)


CANDIDATE_PATCHES = 20_000
"""Patches the coreset is chosen from: the greedy choice costs candidates × kept."""


def _coreset(grid: F32Array, weight_hw: F32Array, count: int, rng: np.random.Generator) -> F32Array:
    """Return (count, d) patches by greedy farthest-point choice (PatchCore, Roth et al. 2022)."""
    patches = grid.transpose(0, 2, 3, 1)[:, weight_hw > 0].reshape(-1, grid.shape[1])
    picked = rng.choice(len(patches), min(CANDIDATE_PATCHES, len(patches)), replace=False)
    candidates = torch.from_numpy(patches[np.sort(picked)])
    chosen = [0]
    distance = (candidates - candidates[0]).square().sum(1)
    for _ in range(min(count, len(candidates)) - 1):
        chosen.append(int(distance.argmax()))
        distance = torch.minimum(distance, (candidates - candidates[chosen[-1]]).square().sum(1))
    return candidates[chosen].numpy()
