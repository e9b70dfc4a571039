"""Several processes train one method: gloo on the CPU, started by torchrun as a build does it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from support.method_parts import parts
from support.tile_pictures import write_tiles
from support.two_processes import METHODS, train_and_keep

from edge_app.bundle.archive import read_bundle
from edge_app.errors import DataError
from export.cli.main import main
from export.methods.multi_process.launcher import (
    check_processes,
    torchrun_command,
    torchrun_environment,
    train_in_processes,
)
from export.methods.protocol import TrainSettings
from export.networks.distributed import is_first, own_part, processes

pytestmark = pytest.mark.needs("the extra train")

HERE = Path(__file__).parent
WITHOUT_BATCH_NORM = ("autoencoder-l2", "cutpaste", "cutpaste-patch")
"""Their losses are means over the crops, and no crop's depends on another's: two processes compute
what one does. BatchNorm (SimpleNet, DRAEM, f-AnoGAN's generator, EfficientAD), the hardest share of
all distances (EfficientAD) and the boundary (BGAD) see a process's own part of the batch."""

Weights = dict[str, np.ndarray]


def weights_in(path: Path) -> Weights:
    with np.load(path) as kept:
        return {name: kept[name] for name in kept.files}


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train every method in two processes; return the folder of their weights."""
    folder = tmp_path_factory.mktemp("together")
    paths = [str(p) for p in (HERE.parents[2], HERE.parents[1])]
    environment = {**torchrun_environment(2), "PYTHONPATH": ":".join(paths), "OMP_NUM_THREADS": "1"}
    command = torchrun_command(2, "support.two_processes", str(folder))
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_both_processes_end_with_the_same_weights(name: str, together: Path) -> None:
    """Bit for bit, running statistics included; and one checkpoint was written."""
    first, second = (weights_in(together / f"{name}-{rank}.npz") for rank in (0, 1))
    assert first.keys() == second.keys()
    for key in first:
        np.testing.assert_array_equal(first[key], second[key], err_msg=key)
    fingerprint = "?" * 16  # no "cutpaste-patch" for "cutpaste"
    assert len(list(together.glob(f"{name}-{fingerprint}.pt"))) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", WITHOUT_BATCH_NORM)
def test_two_processes_compute_what_one_does(name: str, together: Path, tmp_path: Path) -> None:
    """Losses and weights agree with one process's training of the same batches to rounding."""
    train_and_keep(name, tmp_path, "alone.npz")
    alone, shared = weights_in(tmp_path / "alone.npz"), weights_in(together / f"{name}-0.npz")
    for key in alone:
        np.testing.assert_allclose(shared[key], alone[key], rtol=1e-3, atol=1e-4, err_msg=key)


@pytest.mark.slow
def test_a_build_with_two_processes_writes_one_bundle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command, torchrun and all: the same contract, nothing left over but its log."""
    data = write_tiles(tmp_path / "tiles", good=32, test_good=1, blotted=1)
    out = tmp_path / "tiles.bundle"
    command = ["build", "--data", str(data), "--out", str(out), "--detector", "none"]
    options = ["--method", "cutpaste", "--steps", "4", "--false-alarm-rate", "0.05"]
    assert main([*command, *options, "--processes", "2"]) == 0
    assert read_bundle(out).manifest.provenance.method == "cutpaste"
    (weights,) = (tmp_path / "tiles.bundle.work").rglob("*.pt")
    kept = weights.parent
    assert len(list(kept.glob("*.onnx"))) == 1
    assert not (kept / "torchrun").exists()
    assert "cutpaste" in capsys.readouterr().err


@pytest.mark.slow
def test_a_batch_that_cannot_be_divided_is_told(tmp_path: Path) -> None:
    """The processes' own reason reaches the person who started the build."""
    settings = TrainSettings(seed=0, steps=2, device="cpu", work=tmp_path)
    with pytest.raises(DataError, match=r"batch of 4 .* between 3 processes: start 1, 2, 4 of"):
        train_in_processes("simplenet", parts(8), settings, 3, lambda _step, _share: None)


@pytest.mark.slow
def test_a_training_that_is_given_up_leaves_no_process_behind(tmp_path: Path) -> None:
    """What the progress callback raises ends torchrun and its processes, and comes out here; one
    process alone goes on from their checkpoint."""
    seen: list[float] = []

    def give_up(step: str, share: float) -> None:
        if step == "simplenet" and share >= 0.5:
            raise TimeoutError("out of time")

    def note(step: str, share: float) -> None:
        seen.extend([share] if step == "simplenet" else [])

    settings = TrainSettings(seed=0, steps=20, device="cpu", work=tmp_path)
    with pytest.raises(TimeoutError, match="out of time"):
        train_in_processes("simplenet", parts(8), settings, 2, give_up)
    assert not processes_that_name(str(tmp_path))
    METHODS["simplenet"].train(parts(8), settings, note)
    assert seen[0] >= 0.5
    assert seen[-1] == 1.0


def processes_that_name(text: str) -> list[str]:
    """Return the command lines of running processes that hold a text."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if text in command and "torchrun_rank" in command:
            found.append(command)
    return found


def test_alone_everything_is_its_own() -> None:
    """A process that was not started by torchrun has the whole batch and writes the results."""
    batch = np.arange(7)
    assert own_part(batch) is batch
    assert processes() == 1
    assert is_first()


@pytest.mark.parametrize(
    ("count", "device", "told"),
    [(0, "cpu", "at least 1 process, got 0"), (999, "cuda:0", "999 processes need a GPU each")],
)
def test_processes_that_cannot_be_started_are_refused(count: int, device: str, told: str) -> None:
    """Before anything is labelled or trained."""
    with pytest.raises(DataError, match=told):
        check_processes(count, device)


def test_the_order_is_refused_before_the_pictures_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and the reason."""
    arguments = ["build", "--data", str(tmp_path), "--out", str(tmp_path / "o"), "--processes", "0"]
    assert main(arguments) == 2
    assert "--processes is 0; expected a whole number from 1" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
