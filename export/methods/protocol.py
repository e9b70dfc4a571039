"""What every method takes and returns."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch

from edge_app.errors import DataError, ShapeError
from edge_app.records import JsonObject, U8Array
from export.defects.crops import DefectCrops
from export.defects.evidence import CrossFitted, Evidence
from export.workspace import OnProgress

MIN_CROPS = 4
"""Fewest good crops any method is given; what a product needs is in the hundreds."""

SIDE_STEP_PX = 32
"""Crop sides are multiples of it: the deepest network halves them five times."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSet:
    """Good parts, upright and aligned, and the real defects there are.

    Attributes:
        crops: uint8 (n, h, w, 3) BGR.
        mask: uint8 (h, w), > 0 on the product's silhouette, or None when it fills the crop.
        defects: for the methods that learn from them; the others never look at them.
        evidence: what its limit and its choices rest on; None: a part is held back for them.

    Raises:
        DataError: fewer than MIN_CROPS crops.
        ShapeError: another dtype or shape, sides that are no multiples of SIDE_STEP_PX, or a mask
            of another size, or defects of another size.
    """

    crops: U8Array
    mask: U8Array | None
    defects: DefectCrops | None = None
    evidence: Evidence | None = None

    def __post_init__(self) -> None:
        shape, step = self.crops.shape, SIDE_STEP_PX
        if len(shape) != 4 or shape[3] != 3 or self.crops.dtype != np.uint8:
            raise ShapeError(f"crops must be uint8 (n, h, w, 3), got {self.crops.dtype} {shape}")
        if 0 in shape[1:] or shape[1] % step or shape[2] % step:
            raise ShapeError(
                f"crop sides must be multiples of {step} px, got {shape[1]} × {shape[2]}: "
                "set crop_hw accordingly."
            )
        if len(self.crops) < MIN_CROPS:
            raise DataError(
                f"A method needs at least {MIN_CROPS} good crops (200 are better), got {shape[0]}."
            )
        if self.mask is not None and self.mask.shape != self.crop_hw:
            raise ShapeError(f"the mask must be {self.crop_hw} like the crops: {self.mask.shape}")
        if self.defects is not None and self.defects.crops.shape[1:] != shape[1:]:
            raise ShapeError(
                f"defects must be {shape[1:]} like the good crops: {self.defects.crops.shape[1:]}"
            )

    @property
    def crop_hw(self) -> tuple[int, int]:
        """(height, width) of a crop in pixels."""
        return int(self.crops.shape[1]), int(self.crops.shape[2])


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How long, where, and from which seed.

    Attributes:
        seed: with equal inputs and thread count the CPU gives equal weights.
        steps: optimiser steps, >= 1; methods that only fit densities ignore it.
        device: "cpu" or "cuda:0"; the trained graph is returned on the CPU.
        work: folder for checkpoints; made if missing. A stopped training goes on from there.
    """

    seed: int
    steps: int
    device: str
    work: Path


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A finished graph.

    Attributes:
        graph: uint8 (n, h, w, 3) BGR → score float32 (n,), larger is more anomalous, and map
            float32 (n, h / 4, w / 4), >= 0 on an absolute scale; in evaluation mode, on the CPU.
        about: JSON values: `method`, `settings`, and whatever figures the method has for the
            manifest and the report (`InspectorRecord`); no times or paths.
        fp32_nodes: scopes such as "/nearest/" whose ONNX nodes stay in fp32 when the rest becomes
            fp16; `onnx_file.write_graph` turns them into node names.
        fp16_nodes: where it names scopes, only their nodes may become fp16 and `fp32_nodes` is
            empty: for graphs of which little but the backbone tolerates fp16.
        cross_fitted: how models that had not seen them judged the crops; None where that was not
            asked for or would take too long.
    """

    graph: torch.nn.Module
    about: JsonObject
    fp32_nodes: tuple[str, ...] = ()
    fp16_nodes: tuple[str, ...] = ()
    cross_fitted: CrossFitted | None = None


@dataclass(frozen=True, slots=True)
class Traits:
    """What those who train a method must know about it.

    Attributes:
        takes_steps: it has optimiser steps; False for a memory or densities.
        max_steps: more do harm; None for no limit.
        shares_batches: several processes can train it together, each on its part of every batch.
        learns_from_defects: it is given the real defects there are.
        cross_fits: "refitted": it is quick enough to be trained once a fold; "itself": it judges by
            folds while it trains; "no": good parts are held back for its limit.
    """

    takes_steps: bool = True
    max_steps: int | None = None
    shares_batches: bool = True
    learns_from_defects: bool = False
    cross_fits: Literal["no", "refitted", "itself"] = "no"


FITTED_ONLY = Traits(takes_steps=False, shares_batches=False, cross_fits="refitted")
"""Of methods that fit a memory or densities: there is nothing for several processes to share."""


class Method(Protocol):
    """One method: CropLiq, or one of the literature."""

    @property
    def name(self) -> str:
        """What a person types after `--method`."""

    @property
    def paper(self) -> str:
        """Authors, title, venue and year."""

    @property
    def traits(self) -> Traits:
        """What those who train it must know."""

    def train(self, data: TrainingSet, settings: TrainSettings, on_progress: OnProgress) -> Trained:
        """Return the graph trained on good parts, and on real defects where it knows how.

        Raises:
            DataError: the crops cannot be trained on.
        """


def fingerprint(data: TrainingSet, *settings: object) -> str:
    """Return 16 hex digits that change with any pixel or setting: the name of a checkpoint."""
    digest = hashlib.sha256(repr(settings).encode())
    digest.update(np.ascontiguousarray(data.crops).data)
    digest.update(b"" if data.mask is None else np.ascontiguousarray(data.mask).data)
    digest.update(b"" if data.defects is None else data.defects.sha256.encode())
    return digest.hexdigest()[:16]
