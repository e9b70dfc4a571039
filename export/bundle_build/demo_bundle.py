"""The demo's bundle: built from the simulated line's good parts, calibrated on its own stream."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2

from calibration.thresholds.recalibrate import recalibrate
from edge_app.cameras.registry import open_camera
from edge_app.simulator.config import SimulatorConfig
from edge_app.simulator.scene import good_line
from edge_app.simulator.truth import SEEDS, Product
from export.bundle_build.early_check import check_build
from export.bundle_build.pipeline import BuildOptions, build
from export.workspace import OnStep

CALIBRATION_PARTS = 2000
"""Good parts of the calibration seed, judged by the whole line as they come by."""

MAX_VIEWS = 3


def build_demo_bundle(
    product: Product,
    out: Path,
    *,
    pictures: int,
    seed: int,
    steps: int,
    serial: int,
    device: str,
    false_alarm_rate: float,
    on_step: OnStep,
) -> str:
    """Write the bundle and return its sha256.

    The build sees pictures alone: no truth of the simulator is used. Its own limit, at the usual
    rate, gives way to the k-th largest score of CALIBRATION_PARTS good parts of another seed.

    Args:
        false_alarm_rate: nominal, of that last limit.

    Raises:
        DataError: an option is of no use; nothing has been simulated by then.
    """
    data = out.with_name(f"{out.name}.pictures-{product}-{pictures}")
    options = BuildOptions(
        data=data,
        out=out,
        product=f"demo-{product}",
        detector="always",
        seed=seed,
        steps=steps,
        serial=serial,
        device=device,
        max_views=MAX_VIEWS,
    )
    check_build(replace(options, false_alarm_rate=false_alarm_rate))
    write_good_pictures(product, data / "train" / "good", pictures, on_step)
    build(options, on_step)
    url = f"sim:{product}?seed={SEEDS['calibration']}&parts={CALIBRATION_PARTS}&mode=file"
    camera = open_camera(url + "&defect_rate=0", "calibration")

    def on_parts(parts: int) -> None:
        on_step("stream", f"{parts} good parts judged", parts / CALIBRATION_PARTS)

    return recalibrate(out, camera, false_alarm_rate, on_parts, is_nominal=True).sha256


def write_good_pictures(product: Product, folder: Path, count: int, on_step: OnStep) -> None:
    """Write pictures of good parts as a person would take them: one part in each."""
    folder.mkdir(parents=True, exist_ok=True)
    line = good_line(SimulatorConfig(product=product, seed=SEEDS["training"]))
    for number in range(1, count + 1):
        file = folder / f"{number:05d}.png"
        if not file.is_file():
            pixels, _ = line.single(number)
            cv2.imwrite(str(file), pixels)
        on_step("simulate", f"{count} good parts", number / count)
