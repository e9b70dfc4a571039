"""Commands whose extra is not installed: one sentence that says what brings it, exit code 2."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from support.plugin_packages import packages_of

from edge_app.host.extras import EXTRAS

ROOT = Path(__file__).parents[1]
DEMO_BUNDLE = ROOT / "edge_app" / "assets" / "demo-tapered.bundle"

OPTIONAL = (*EXTRAS["train"], "amqtt", "av", "pypylon", "ray")

BLOCKER = f"""
import sys
from importlib.abc import MetaPathFinder
class Hidden(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {OPTIONAL!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hidden())
"""

TRAIN = r"(torch|onnx) is not installed; it comes with the extra `train`: `make train`, or .*"
CALIBRATE = r"onnx is not installed; it comes with the extra `calibrate`: pip install 'cropliq-.*"

COMMANDS = {
    "edge-export build --data . --out a.bundle": TRAIN,
    "edge-export label --data . --out a.bundle": TRAIN,
    "edge-export detector --data . --out a.bundle": TRAIN,
    "edge-export train --data . --out a.bundle": TRAIN,
    "edge-export compare --data . --out compared": TRAIN,
    "edge-export demo-bundle --out a.bundle": TRAIN,
    "edge-export build-many . --out bundles": TRAIN,
    "edge-export build-many . --out bundles --engine ray": r".*'cropliq-edge\[ray\]'.*",
    "edge-calibrate fp16 BUNDLE --source sim:tapered": CALIBRATE,
    "edge-calibrate int8 BUNDLE --source sim:tapered": CALIBRATE,
    "edge-calibrate thresholds BUNDLE --source basler: --parts 9": r".*'cropliq-edge\[basler\]'.*",
    "edge-app demo --headless --parts 2": r".*'cropliq-edge\[demo\]'.*",
    "edge-app camera snapshot basler: --out a.png": r".*'cropliq-edge\[basler\]'.*",
    "edge-app camera test rtsp://127.0.0.1:1/x": r".*'cropliq-edge\[rtsp\]'.*",
}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a Python that has all this one has but for what the extras bring, `-I` or not."""
    folder = tmp_path_factory.mktemp("device")
    venv.create(folder, symlinks=True)
    packages = packages_of(folder)
    (packages / "hidden_extras.py").write_text(BLOCKER)
    here = sysconfig.get_path("purelib")
    (packages / "hidden.pth").write_text(
        f"import site; site.addsitedir({here!r})\nimport hidden_extras\n"
    )
    return folder / "bin" / "python"


@pytest.mark.parametrize("words", COMMANDS)
def test_one_sentence_says_what_to_install(python: Path, tmp_path: Path, words: str) -> None:
    """No traceback, and nothing begun: one line, and exit code 2."""
    (tmp_path / "part" / "train" / "good").mkdir(parents=True)
    name, *arguments = words.replace("BUNDLE", str(DEMO_BUNDLE)).split()
    done = subprocess.run(
        [str(python), str(Path(sys.executable).with_name(name)), *arguments],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr
    assert re.fullmatch(f"{name}( [a-z]+)?: {COMMANDS[words]}\n", done.stderr), done.stderr


def test_training_without_its_detector_part_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """ultralytics may be left out on purpose: named when a detector is to be trained."""
    from export.cli import main as cli

    def detector(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'ultralytics.nn'", name="ultralytics.nn")

    monkeypatch.setattr(cli, "_detector", detector)
    assert cli.main(["detector", "--data", str(tmp_path), "--out", "a.bundle"]) == 2
    assert (
        "ultralytics is not installed; it comes with the extra `train`" in capsys.readouterr().err
    )


def test_a_module_that_no_extra_brings_is_our_own_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes out as it is, with its traceback."""
    from export.cli import main as cli

    def build(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'export.buildd'", name="export.buildd")

    monkeypatch.setattr(cli, "_build", build)
    with pytest.raises(ModuleNotFoundError, match=r"export\.buildd"):
        cli.main(["build", "--data", str(tmp_path), "--out", "a.bundle"])


@pytest.mark.needs("the extra train")
def test_the_extras_bring_what_is_said() -> None:
    """Each module belongs to a package that pyproject.toml lists in that extra."""
    brought = (
        {
            module: [
                found.metadata["Name"]
                for found in importlib.metadata.distributions()
                if any(
                    module in (f.parts[0], f.stem) for f in found.files or () if len(f.parts) < 3
                )
            ]
            for module in {m for modules in EXTRAS.values() for m in modules}
        }
        if sys.version_info < (3, 11)
        else importlib.metadata.packages_distributions()
    )
    listed = importlib.metadata.requires("cropliq-edge") or []
    for extra, modules in EXTRAS.items():
        wanted = {
            re.split(r"[ ;<>=]", line)[0].lower()
            for line in listed
            if f'extra == "{extra}"' in line.replace("'", '"')
        }
        for module in modules:
            assert wanted & {name.lower() for name in brought[module]}, (extra, module)


def test_the_interpreter_hides_the_extras(python: Path) -> None:
    """What the tests above stand on: isolated or not, torch is not there and numpy is."""
    for options in ([], ["-I"]):
        command = [str(python), *options, "-c", "import numpy, edge_app, torch"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
        assert done.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'torch'"
