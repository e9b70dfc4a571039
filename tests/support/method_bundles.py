"""Bundles of the simulated part with each method's inspector, trained for a moment.

Detector, cue and registration are the shipped demo bundle's; only the inspector is each method's.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import edge_app
from edge_app.backends.onnx import OnnxRunner
from edge_app.bundle.archive import read_bundle
from edge_app.bundle.manifest import (
    GoldenPart,
    GoldenPicture,
    Manifest,
    Normalisation,
    Thresholds,
    stamped,
)
from edge_app.inspection.inspector import Inspector
from edge_app.model.loaded_model import LoadedModel, limits_of, load_model
from edge_app.model.looks import look_at
from edge_app.simulator.config import SimulatorConfig
from edge_app.simulator.scene import good_line
from edge_app.simulator.truth import SEEDS
from export.methods.onnx_file import write_graph
from export.methods.protocol import TrainingSet, TrainSettings
from export.methods.registry import method_of
from support.activation_bundles import signer
from support.signed_bundles import members_of, signed_tar

SHIPPED = Path(edge_app.__file__).parent / "assets" / "demo-tapered.bundle"
PARTS, GOLDEN, STEPS, BATCH = 20, 2, 2, 4

SMALLER: dict[str, dict[str, Any]] = {
    "draem": {"widths": (32, 16)},
    "bgad": {"couplings": 2},
}
"""DRAEM at a quarter of its width: at its full one a crop of this part takes a core seconds. BGAD
with a quarter of its couplings, for the time its export takes."""

Picture = np.ndarray[Any, np.dtype[np.uint8]]


class LineBundles:
    """Makes signed bundles; finds and cuts the simulated good parts once."""

    def __init__(self) -> None:
        self._shipped = read_bundle(SHIPPED)
        self._model = load_model(self._shipped, threads=1)
        scene = good_line(SimulatorConfig(product="tapered", seed=SEEDS["training"]))
        self._pictures: list[Picture] = [scene.single(n)[0] for n in range(1, PARTS + 1)]
        self.crops = [look_at(self._model, p)[0].crop for p in self._pictures]

    def write(self, method: str, serial: int, folder: Path) -> Path:
        """Train a method, write FOLDER/METHOD.bundle with its own product's name; return it."""
        graph = self._trained(method, folder / "work" / method)
        inspector = Inspector(OnnxRunner(graph, threads=1), self._model.spec.crop_hw)
        thresholds = self._thresholds(inspector)
        files = {**self._shipped.files, "inspector.onnx": graph.read_bytes()}
        files = {name: data for name, data in files.items() if not name.startswith("golden/")}
        limits = limits_of(thresholds)
        golden = self._golden(replace(self._model, inspector=inspector, limits=limits))
        manifest = self._manifest(method, serial, thresholds, [g for g, _ in golden])
        files |= {g.file: data for g, data in golden}
        path = folder / f"{method}.bundle"
        path.write_bytes(signed_tar(members_of(folder, files, manifest), signer()))
        return path

    def _trained(self, method: str, work: Path) -> Path:
        work.mkdir(parents=True)
        settings = TrainSettings(seed=0, steps=STEPS, device="cpu", work=work)
        graph = work / "inspector.onnx"
        chosen: Any = method_of(method)
        changes = dict(SMALLER.get(method, {}))
        if hasattr(chosen, "settings"):  # the ensemble has none
            if hasattr(chosen.settings, "batch"):
                changes["batch"] = BATCH
            chosen = replace(chosen, settings=replace(chosen.settings, **changes))
        data = TrainingSet(np.stack(self.crops), None)
        write_graph(chosen.train(data, settings, _silent), data.crop_hw, graph)
        return graph

    def _thresholds(self, inspector: Inspector) -> Thresholds:
        """Put the threshold well above what the good parts score: the line shall run quietly."""
        found = inspector.score(self.crops[:8])
        scores = sorted(float(a.score) for a in found)
        low, high = scores[0], scores[-1]
        peak = max(float(a.map_hw.max()) for a in found)
        margin = max(high - low, 0.2 * abs(high), 1e-6)
        shipped = self._shipped.manifest.variants[0].thresholds
        return shipped.model_copy(
            update={
                "suspect_threshold": None,
                "score_threshold": high + margin,
                "map_threshold": 1.5 * peak + 1e-6,
                "normalisation": Normalisation(low=low, high=high + margin),
                "calibration_scores": tuple(scores),
            }
        )

    def _golden(self, model: LoadedModel) -> list[tuple[GoldenPicture, bytes]]:
        golden = []
        for number, pixels in enumerate(self._pictures[:GOLDEN]):
            parts = tuple(
                GoldenPart(
                    box_cxcywhr=look.box_cxcywhr,
                    score=look.anomaly.score,
                    verdict="NG" if look.anomaly.score >= model.limits.score_threshold else "OK",
                )
                for look in look_at(model, pixels)
            )
            file = f"golden/{number}.png"
            golden.append((GoldenPicture(file=file, parts=parts), _png(pixels)))
        return golden

    def _manifest(
        self, method: str, serial: int, thresholds: Thresholds, golden: list[GoldenPicture]
    ) -> Manifest:
        plain = self._shipped.manifest
        changes = {"thresholds": thresholds, "golden": tuple(golden)}
        changed = plain.model_copy(
            update={
                "product": method,
                "serial": serial,
                "variants": (plain.variants[0].model_copy(update=changes),),
                "provenance": plain.provenance.model_copy(update={"method": method}),
            }
        )
        return stamped(changed)


def _png(pixels: Picture) -> bytes:
    ok, encoded = cv2.imencode(".png", pixels)
    assert ok
    return encoded.tobytes()


def _silent(_step: str, _share: float) -> None:
    """Two steps need no progress."""
