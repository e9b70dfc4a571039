"""Print how fast the simulated line renders: `python benchmarks/simulator_speed.py`.

Processor time of one thread (other work on the machine does not count), 768 x 1024 pixels, the test
seed with its 10 % of defective parts. Aim: 40 frames/s, so that `edge-app demo` never waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import cv2

from edge_app.simulator.config import SimulatorConfig
from edge_app.simulator.scene import SimulatedLine
from edge_app.simulator.truth import PRODUCTS

FRAMES = 120


def main() -> None:
    """Print one line per product."""
    cv2.setNumThreads(1)
    print("product   first picture ms   free-run frames/s   singles/s")
    for product in PRODUCTS:
        line = SimulatedLine(SimulatorConfig(product))
        first_s = seconds(line.frame, [0])
        frames_s = seconds(line.frame, range(1, FRAMES + 1))
        singles_s = seconds(line.single, range(501, 501 + FRAMES))
        print(
            f"{product:8}  {1000 * first_s:16.0f}  {FRAMES / frames_s:18.1f}"
            f"  {FRAMES / singles_s:10.1f}"
        )


def seconds(work: Callable[[int], object], numbers: Iterable[int]) -> float:
    """Return the processor time (not the clock) that some work takes for every number."""
    start = time.process_time()
    for number in numbers:
        work(number)
    return time.process_time() - start


if __name__ == "__main__":
    main()
