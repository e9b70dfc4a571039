"""`make bench-gpu` on the stand-ins of driver, pycuda and TensorRT: every part runs and is told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.fake_cuda import stand_in_environment

ROOT = Path(__file__).parents[2]


@pytest.mark.needs("a machine without a GPU")
def test_without_a_gpu_one_sentence_is_said() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "No NVIDIA GPU here; `make bench` is what runs without one.\n"


@pytest.mark.slow
@pytest.mark.needs("gcc")
def test_every_part_is_measured(tmp_path: Path) -> None:
    """ONNX Runtime stands in for the engines: the line on them judges as the reference does."""
    out = tmp_path / "gpu.json"
    command = ("--frames", "24", "--calls", "3", "--out", str(out))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *command],
        cwd=ROOT, env=stand_in_environment(tmp_path), capture_output=True, text=True, timeout=200,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(out.read_text())
    assert found["left_out"] == {}
    assert found["machine"]["gpu"] == "Orin (stand-in)"
    for name in ("detector fp32", "inspector fp32", "inspector fp16"):
        assert found[f"engine {name}"]["build_s"] > 0
    assert set(found["graph detector fp32"]) == {"recorded, 1", "plain, 1"}
    assert set(found["graph inspector fp16"]) >= {"recorded, 1", "recorded, 8", "plain, 8"}
    line = found["line fp32"]
    assert line["providers"] == dict.fromkeys(("detector", "inspector"), "tensorrt 10.3.0")
    assert line["parts"] > 5
    assert line["verdicts_that_differ"] == 0
    assert line["engines"]["wall_ms"]["median"] > 0
    assert "Orin (stand-in), tensorrt 10.3.0" in done.stdout
