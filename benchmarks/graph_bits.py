"""Whether graphs give the same bits here as with an earlier revision's code, and at what cost:

    python -m benchmarks.graph_bits --against REVISION --bundle FILE [--bundle FILE] [--turns 40]

Each arm is a process of its own that opens the bundle's graphs on ONNX Runtime (CPU, one thread).
A hundred crops, the bundle's golden ones with grain of a fixed seed, go through the inspector in
batches of one to five, and a picture of noise through the detector before each; every output of
every run goes into one SHA-256. Then the arms take turns, in alternating order: one turn is ten
runs of one crop and two of three, with the detector's before each. The ratio is the median of the
turns' own ratios of CPU time. Ends with 1 where a bit differs.

Not measured: OpenVINO and TensorRT, which do not come through here; other processors.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

CROPS = 100
BATCHES = (1, 2, 3, 1, 4, 2, 1, 1, 5, 1, 3, 2)
TURN = (1,) * 10 + (3,) * 2
SEED = 11


class Graphs:
    """A bundle's graphs and what goes into them.

    Args:
        bundle: the file; opened with the `edge_app` that is first on the path.
    """

    def __init__(self, bundle: Path) -> None:
        from edge_app.backends.onnx import OnnxRunner
        from edge_app.bundle.archive import read_bundle

        opened = read_bundle(bundle)
        variant = opened.variant()
        self._inspector = OnnxRunner(opened.files[variant.inspector], 1)
        self._detector = (
            None if variant.detector is None else OnnxRunner(opened.files[variant.detector], 1)
        )
        rng = np.random.default_rng(SEED)
        self._crops = grainy(golden_crops(opened, variant), rng)
        self._picture = {} if self._detector is None else noise(self._detector, rng)

    def digest(self) -> str:
        """Return the SHA-256 of every output for all crops, in batches of differing size."""
        found, at, number = hashlib.sha256(), 0, 0
        while at < CROPS:
            count = min(BATCHES[number % len(BATCHES)], CROPS - at)
            for outputs in self._judge(at, count):
                for name in sorted(outputs):
                    found.update(np.ascontiguousarray(outputs[name]).tobytes())
            at, number = at + count, number + 1
        return found.hexdigest()

    def turn_s(self) -> float:
        """Return the CPU seconds of one turn."""
        began_s = time.process_time()
        for count in TURN:
            self._judge(0, count)
        return time.process_time() - began_s

    def _judge(self, first: int, count: int) -> list[Any]:
        crops = np.stack(self._crops[first : first + count])
        found = [] if self._detector is None else [self._detector.run(self._picture)]
        return [*found, self._inspector.run({"crops": crops})]


def golden_crops(bundle: Any, variant: Any) -> list[Any]:
    """Return the upright crops of a variant's golden parts, uint8 (h, w, 3) each."""
    import cv2

    from edge_app.imaging.upright_crop import upright_crop

    spec, crops = bundle.manifest.crop.to_spec(), []
    for picture in variant.golden:
        data = np.frombuffer(bundle.files[picture.file], np.uint8)
        pixels = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
        crops += [upright_crop(pixels, part.box_cxcywhr, spec) for part in picture.parts]
    return crops


def grainy(crops: list[Any], rng: np.random.Generator) -> list[Any]:
    """Return CROPS crops, of those given in turn, each with grain and light of its own."""
    found = []
    for number in range(CROPS):
        crop = crops[number % len(crops)].astype(np.float64)
        crop += rng.normal(4 * (number % 5 - 2), 3 + number % 7, crop.shape)
        found.append(np.clip(crop, 0, 255).astype(np.uint8))
    return found


def noise(runner: Any, rng: np.random.Generator) -> dict[str, Any]:
    """Return inputs of noise for a graph."""
    return {
        tensor.name: rng.integers(0, 256, [axis or 1 for axis in tensor.shape]).astype(tensor.dtype)
        for tensor in runner.describe().inputs
    }


def side(bundle: Path) -> None:
    """Say the digest, then what a turn took, once for every line that comes in."""
    graphs = Graphs(bundle)
    print(json.dumps(graphs.digest()), flush=True)
    for _ in sys.stdin:
        print(json.dumps(graphs.turn_s()), flush=True)


def main() -> int:
    """Compare, and print one line a bundle."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--against", metavar="REVISION", required=True)
    parser.add_argument("--bundle", type=Path, action="append", required=True)
    parser.add_argument("--turns", type=int, default=40)
    args = parser.parse_args()

    from benchmarks.start import NOW, ROOT, code_of

    is_same = True
    with tempfile.TemporaryDirectory(prefix="graph-bits-") as folder:
        arms = {args.against: code_of(args.against, Path(folder)), NOW: ROOT}
        for bundle in args.bundle:
            found = compared(arms, bundle.resolve(), args.turns)
            print(json.dumps({"bundle": bundle.name, **found}), flush=True)
            is_same = is_same and found["same_bits"]
    return 0 if is_same else 1


def compared(arms: dict[str, Path], bundle: Path, turns: int) -> dict[str, Any]:
    """Return whether the arms' bits are the same, and the second's CPU time over the first's."""
    sides = [started(code, bundle) for code in arms.values()]
    try:
        digests = [answer(one) for one in sides]
        ratios = []
        for number in range(turns + 1):
            took = [0.0, 0.0]
            for arm in ((0, 1), (1, 0))[number % 2]:
                took[arm] = asked(sides[arm])
            if number:  # the first turn allocates
                ratios.append(took[1] / took[0])
    finally:
        for one in sides:
            one.kill()
            one.communicate()
    quartiles = statistics.quantiles(ratios, n=4)
    return {
        "same_bits": digests[0] == digests[1],
        "digests": [digest[:16] for digest in digests],
        "cpu_ratio": round(quartiles[1], 4),
        "quartiles": [round(quartiles[0], 4), round(quartiles[2], 4)],
        "turns": turns,
    }


def started(code: Path, bundle: Path) -> subprocess.Popen[str]:
    """Start an arm whose `edge_app` is the one in a folder."""
    env = os.environ | {"PYTHONPATH": str(code), "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, str(bundle)]
    return subprocess.Popen(
        command, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def asked(one: subprocess.Popen[str]) -> float:
    """Return what an arm's next turn takes, in CPU seconds."""
    assert one.stdin is not None
    one.stdin.write("\n")
    one.stdin.flush()
    return float(answer(one))


def answer(one: subprocess.Popen[str]) -> Any:
    """Return an arm's next answer.

    Raises:
        SystemExit: it has ended.
    """
    assert one.stdout is not None
    line = one.stdout.readline()
    if not line:
        raise SystemExit(f"an arm ended with {one.wait()}")
    return json.loads(line)


if __name__ == "__main__":
    if len(sys.argv) == 2 and not sys.argv[1].startswith("-"):
        side(Path(sys.argv[1]))
    else:
        raise SystemExit(main())
