"""Flips of a bundle's further precisions over the simulated line:

    python -m benchmarks.precision BUNDLE [--seconds 600] [--seed 44]

Thresholds are those of the bundle. Stops after the time given and counts what it has.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from calibration.parity import figures, flips, paired_scores
from calibration.variant import flip_table
from edge_app.bundle import read_bundle
from edge_app.cameras.protocol import Camera, CameraInfo
from edge_app.cameras.registry import open_camera
from edge_app.errors import EndOfStream
from edge_app.model import load_model
from edge_app.records import Frame


class Timed:
    """A camera that ends after so many seconds."""

    def __init__(self, camera: Camera, seconds: float) -> None:
        self._camera, self._end_s = camera, time.monotonic() + seconds

    def open(self) -> None:
        self._camera.open()

    def read(self, timeout_s: float) -> Frame:
        if time.monotonic() > self._end_s:
            raise EndOfStream("the time is up")
        return self._camera.read(timeout_s)

    def close(self) -> None:
        self._camera.close()

    def describe(self) -> CameraInfo:
        return self._camera.describe()


def main() -> None:
    """Judge the same parts in every precision and print what flips."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=44)
    parser.add_argument("--parts", type=int, default=5000)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    bundle = read_bundle(args.bundle)
    source = f"sim:tapered?seed={args.seed}&parts={args.parts}&mode=file&defect_rate=0.1"
    others = [v.precision for v in bundle.manifest.variants if v.precision != "fp32"]
    reference = load_model(bundle, args.threads, "fp32")
    models = [load_model(bundle, args.threads, precision) for precision in others]
    camera = Timed(open_camera(source, "bench"), args.seconds)
    limit = reference.limits.score_threshold
    found = paired_scores(reference, models, camera, lambda _: None)
    for model, pairs in zip(models, found, strict=True):
        own = model.limits.score_threshold
        told = figures(pairs, limit, own, source)
        bad = sum(score >= limit for score in pairs.reference)
        print(f"{model.identity.precision}: {told.flips} of {told.parts} parts flip "
              f"({told.flips / told.parts:.3%}), {bad} of them NG in fp32; {told}")  # fmt: skip
        print(flip_table(flips(pairs, limit, own)), end="")


if __name__ == "__main__":
    main()
