"""One of the processes that train a method together, started by `launcher.py` through torchrun.

    torchrun -m export.methods.multi_process.rank FOLDER

All of them train; the first one reports on its standard output, one JSON object a line
(`{"step", "share"}`, at last `{"about"}` or `{"failed"}`), and writes the graph.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import torch

from edge_app.errors import EdgeError
from edge_app.records import JsonObject
from export.defects.crops import DefectCrops
from export.methods.protocol import TrainingSet, TrainSettings
from export.methods.registry import method_of
from export.methods.written import write_files
from export.networks.distributed import is_first
from export.workspace import OnProgress


def main(folder: Path) -> int:
    """Train as the order in `folder` says; return 0, or 1 after the reason was reported."""
    order: JsonObject = json.loads((folder / "order.json").read_text())
    device = join_others(order["device"])
    try:
        data = _crops(folder)
        settings = TrainSettings(order["seed"], order["steps"], device, Path(order["work"]))
        on_progress: OnProgress = _reported if is_first() else _silent
        method = method_of(order["method"])
        trained = method.train(data, settings, on_progress)
        if is_first():
            _report({"about": write_files(method, trained, data, settings.work).as_json()})
    except EdgeError as error:
        if is_first():
            _report({"failed": str(error)})
        return 1
    finally:
        torch.distributed.destroy_process_group()
    return 0


def join_others(device: str) -> str:
    """Join the processes that torchrun started; return this one's device.

    gloo on the CPU; on GPUs nccl, each process on the GPU of its number.
    """
    if not device.startswith("cuda"):
        torch.distributed.init_process_group("gloo")
        return device
    number = int(os.environ["LOCAL_RANK"])
    torch.cuda.set_device(number)
    torch.distributed.init_process_group("nccl")
    return f"cuda:{number}"


def _crops(folder: Path) -> TrainingSet:
    kept = {path.stem: np.load(path) for path in folder.glob("*.npy")}
    defects = DefectCrops(kept["defects"], kept["regions"]) if "defects" in kept else None
    return TrainingSet(kept["crops"], kept.get("mask"), defects)


def _reported(step: str, share: float) -> None:
    _report({"step": step, "share": share})


def _silent(_step: str, _share: float) -> None:
    """Only the first process reports."""


def _report(report: JsonObject) -> None:
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
