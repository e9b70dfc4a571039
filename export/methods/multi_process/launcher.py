"""One method trained by several processes of this machine, started through torchrun.

The build itself stays one process. For the training it leaves crops and order in a folder, starts
`torchrun` with `rank.py` beside this file, shows what the first of those processes reports, and
goes on with the graph that this one wrote.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from edge_app.errors import DataError
from edge_app.records import JsonObject
from export.methods.inspector_record import InspectorRecord
from export.methods.protocol import TrainingSet, TrainSettings
from export.workspace import OnProgress

FOLDER = "torchrun"
"""Below the training's own folder: crops and order, gone when the training is done."""

LOG = "torchrun.log"

STOP_S = 30.0
"""torchrun gives its processes this long to end before it kills them (its own default)."""


def train_in_processes(
    method: str, data: TrainingSet, settings: TrainSettings, processes: int, on_progress: OnProgress
) -> InspectorRecord:
    """Train a method in several processes; return what is known of `inspector.onnx`.

    The files are where a training in one process leaves them: below `settings.work`. On "cuda"
    each process takes a GPU of its own, from the first on; on the CPU they share the cores.

    Args:
        processes: how many, >= 2; they must divide the method's batch.

    Raises:
        DataError: there are fewer GPUs, or the training failed; its reason, or where the log is.
    """
    check_processes(processes, settings.device)
    settings.work.mkdir(parents=True, exist_ok=True)
    folder = settings.work / FOLDER
    _write_order(folder, method, data, settings)
    try:
        return _carried_out(folder, settings.work / LOG, processes, on_progress)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_processes(processes: int, device: str) -> None:
    """Refuse a number of processes that this machine cannot start.

    Raises:
        DataError: less than 1, or fewer GPUs than that.
    """
    if processes < 1:
        raise DataError(f"A training needs at least 1 process, got {processes}.")
    gpus = torch.cuda.device_count() if device.startswith("cuda") else processes
    if processes > 1 and gpus < processes:
        raise DataError(
            f"{processes} processes need a GPU each, this machine has {gpus}: start at most so "
            "many, or train with --device cpu."
        )


def torchrun_command(processes: int, *module_and_arguments: str) -> list[str]:
    """Return the command that starts so many processes of a module on this machine."""
    starting = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return [*starting, f"--nproc-per-node={processes}", "--module", *module_and_arguments]


def torchrun_environment(processes: int) -> dict[str, str]:
    """Return the environment in which processes share the cores and find one another."""
    environment = dict(os.environ)
    threads = max(1, (os.cpu_count() or 1) // processes)
    environment.setdefault("OMP_NUM_THREADS", str(threads))
    if sys.platform == "linux":  # gloo asks for the host's own name otherwise: it may have none
        environment.setdefault("GLOO_SOCKET_IFNAME", "lo")
    return environment


def _write_order(folder: Path, method: str, data: TrainingSet, settings: TrainSettings) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # of a training that was killed
    folder.mkdir()
    arrays = {"crops": data.crops}
    if data.mask is not None:
        arrays["mask"] = data.mask
    if data.defects is not None:
        arrays |= {"defects": data.defects.crops, "regions": data.defects.regions}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    order = {
        "method": method,
        "seed": settings.seed,
        "steps": settings.steps,
        "device": settings.device,
        "work": str(settings.work.absolute()),
    }
    (folder / "order.json").write_text(json.dumps(order))


def _carried_out(
    folder: Path, log: Path, processes: int, on_progress: OnProgress
) -> InspectorRecord:
    """Run the processes and return what the first one says of the graph."""
    command = torchrun_command(
        processes, "export.methods.multi_process.rank", str(folder.absolute())
    )
    with (
        log.open("w", encoding="utf-8") as file,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            env=torchrun_environment(processes),
        ) as run,
    ):
        try:
            last_report = _followed(run, on_progress)
            code = run.wait()
        except BaseException:  # out of time, or Ctrl-C: nobody trains on unseen
            _stop(run)
            raise
    if "about" in last_report:
        return InspectorRecord.from_json(last_report["about"])
    raise DataError(
        str(last_report.get("failed"))
        if "failed" in last_report
        else f"The training in {processes} processes ended with code {code} and no result: {log} "
        "has what they said."
    )


def _followed(run: subprocess.Popen[str], on_progress: OnProgress) -> JsonObject:
    """Pass on every report of the first process; return its last one, empty without one."""
    last: JsonObject = {}
    assert run.stdout is not None
    for line in run.stdout:
        report = _report(line)
        if "step" in report:
            on_progress(report["step"], report["share"])
        elif report:
            last = report
    return last


def _report(line: str) -> JsonObject:
    """Return a report's object; empty for any other line that a library printed."""
    try:
        report = json.loads(line)
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}


def _stop(run: subprocess.Popen[str]) -> None:
    run.terminate()
    try:
        run.wait(2 * STOP_S)
    except subprocess.TimeoutExpired:
        run.kill()
