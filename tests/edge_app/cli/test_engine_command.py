"""`edge-app engine build | list | prune`: the installed command, engines built ahead of time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from support.engine_compiler import AHEAD_OF_TIME, tensorrt_rtx
from support.fake_cuda import stand_in_environment
from support.needs import needing
from support.small_bundles import write_bright_bundle, write_pictures

SERVICE = 54321
"""A user id that nobody has."""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return a configuration of the brightness bundle, its state in the test's folder."""
    write_bright_bundle(tmp_path / "a.bundle")
    write_pictures(tmp_path / "pictures", 1, set())
    file = tmp_path / "device.toml"
    file.write_text(
        '[device]\nsite = "s"\nline = "l"\ndevice = "d"\nstate_dir = "state"\n'
        '[bundle]\npath = "a.bundle"\nallow_unsigned = true\n'
        '[[camera]]\nname = "c"\nurl = "folder:pictures"\n'
        "[mqtt]\nenabled = false\n"
    )
    return file


def _engine(
    *arguments: str | Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("edge-app")), "engine", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=env
    )


@pytest.fixture
@needing("gcc")
def device(tmp_path: Path, config: Path) -> dict[str, str]:
    """Return the environment of a device with a GPU: stand-ins, and the demo bundle."""
    bundle = Path(str(files("edge_app").joinpath("assets/demo-tapered.bundle")))
    config.write_text(config.read_text().replace('"a.bundle"', f'"{bundle}"'))
    (tmp_path / "library").mkdir()
    return stand_in_environment(tmp_path / "library")


@pytest.mark.needs("TensorRT-RTX")
def test_engine_is_built_once_listed_and_pruned(config: Path) -> None:
    """The first build takes place, the second finds it there, list shows it, prune removes it."""
    trt = tensorrt_rtx()
    first = _engine("build", "--config", config, "--for", AHEAD_OF_TIME)
    assert first.returncode == 0, first.stderr
    assert "fp32 inspector: built in" in first.stdout
    second = _engine("build", "--config", config, "--for", AHEAD_OF_TIME)
    assert second.stdout == "fp32 inspector: exists already\n"
    again = _engine("build", "--config", config, "--for", AHEAD_OF_TIME, "--again")
    assert "fp32 inspector: built in" in again.stdout
    listed = _engine("list", "--config", config).stdout
    assert f"{trt.name} {trt.version}  SM86 (8.6)" in listed
    assert "1 engines" in listed
    assert "not for this machine" in listed
    assert "2 files removed" in _engine("prune", "--all", "--config", config).stdout
    assert list((config.parent / "state" / "engines").glob("*.plan")) == []


@pytest.mark.needs("TensorRT-RTX")
def test_build_for_an_unknown_gpu_says_so(config: Path) -> None:
    """A target that the builder does not know ends with exit code 1 and the reason."""
    done = _engine("build", "--config", config, "--for", "SM999")
    assert done.returncode == 1
    assert "cannot build for 'SM999'" in done.stderr


def test_a_target_that_is_no_gpu_is_wrong_use(config: Path) -> None:
    """What is no compute capability at all is refused before any work, with exit code 2."""
    done = _engine("build", "--config", config, "--for", "SM12345")
    assert done.returncode == 2
    assert "expected SM and two or three digits, got 'SM12345'" in done.stderr


def test_engines_are_certified_as_soon_as_they_are_built(
    config: Path, device: dict[str, str]
) -> None:
    """On a device the new engines reproduce the golden set at once, and the outcome is kept."""
    done = _engine("build", "--config", config, env=device)
    assert done.returncode == 0, done.stderr
    assert re.search(r"fp32: passed; \d+ golden pictures, worst IoU 1\.000", done.stdout)
    assert "will judge, on {'inspector': 'tensorrt 10.3.0', 'detector': 'tensorrt" in done.stdout
    (kept,) = (config.parent / "state" / "parity").glob("*-fp32.json")
    assert '"gpu": "Orin (stand-in)"' in kept.read_text()
    assert _engine("list", "--config", config, env=device).stdout.count("  fits") == 2


@pytest.mark.needs("root")
def test_what_root_builds_belongs_to_the_service(config: Path, device: dict[str, str]) -> None:
    """With sudo, engines and certificates get the state folder's owner, or the service could
    neither replace nor prune them."""
    state = config.parent / "state"
    state.mkdir()
    os.chown(state, SERVICE, SERVICE)
    assert _engine("build", "--config", config, env=device).returncode == 0
    written = [f for f in state.rglob("*") if f.is_file() or f.is_dir()]
    assert {"engines", "parity"} <= {f.name for f in written}
    assert {(f.stat().st_uid, f.stat().st_gid) for f in written} == {(SERVICE, SERVICE)}


def test_engines_that_fail_the_golden_set_are_not_used(
    config: Path, device: dict[str, str]
) -> None:
    """A GPU that computes wrongly: why, that ONNX Runtime judges in its place, and exit code 1."""
    done = _engine("build", "--config", config, env={**device, "STAND_IN_FACTOR": "0.5"})
    assert done.returncode == 1
    assert "built in" in done.stdout
    assert re.search(r"fp32: golden/\S+.*; \d+ golden pictures", done.stdout)
    assert "CPUExecutionProvider" in done.stdout.splitlines()[-1]


def test_update_of_tensorrt_voids_the_engines_and_says_so(
    config: Path, device: dict[str, str]
) -> None:
    """After a system update the engines do not fit; a build makes new ones, prune drops the old."""
    assert _engine("build", "--config", config, env=device).returncode == 0
    device["STAND_IN_VERSION"] = "10.13.0"
    assert "not for this machine" in _engine("list", "--config", config, env=device).stdout
    assert "built in" in _engine("build", "--config", config, env=device).stdout
    assert "4 files removed" in _engine("prune", "--config", config, env=device).stdout
    assert _engine("list", "--config", config, env=device).stdout.count("  fits") == 2


@pytest.mark.needs("a machine without a GPU")
def test_without_a_gpu_nothing_is_built_or_pruned(config: Path) -> None:
    """Without a driver build and prune refuse in one sentence; list still works."""
    build = _engine("build", "--config", config)
    assert build.returncode == 2
    assert "No NVIDIA GPU" in build.stderr
    prune = _engine("prune", "--config", config)
    assert prune.returncode == 2
    assert "--all" in prune.stderr
    assert _engine("list", "--config", config).stdout.startswith("0 engines, 0.0 MB in ")
