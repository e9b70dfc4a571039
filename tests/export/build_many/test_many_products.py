"""`edge-export build-many`: one bundle per product, and one failure stops nobody."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from support.tile_pictures import tile, write_tiles

from edge_app.bundle.archive import read_bundle
from edge_app.errors import DataError
from export.build_many.outcome import BuildOutcome, read_outcome, recorded
from export.build_many.ray_engine import needs
from export.build_many.run import Order, carry_out, orders_for, product_folders
from export.bundle_build.records import BuildResult
from export.cli.main import main

pytestmark = pytest.mark.needs("the extra train")

OPTIONS = ("--detector", "none", "--method", "padim-slim", "--false-alarm-rate", "0.05")


@pytest.fixture
def plant(tmp_path: Path) -> Path:
    """A folder with one good product, one with too few pictures, and one that is no product."""
    folder = tmp_path / "plant"
    write_tiles(folder / "lid", good=32, test_good=1, blotted=1)
    (folder / "few" / "good").mkdir(parents=True)
    for i in range(3):
        cv2.imwrite(str(folder / "few" / "good" / f"{i}.png"), tile(i))
    (folder / "notes").mkdir()
    return folder


def check(out: Path) -> None:
    """Assert that the lid was built and the other one has its reason."""
    few, lid = json.loads((out / "products.json").read_text())
    assert (few["product"], few["is_built"]) == ("few", False)
    assert "holds 3 different readable pictures" in few["told"]
    assert (lid["product"], lid["is_built"]) == ("lid", True)
    manifest = read_bundle(out / "lid.bundle").manifest
    assert (manifest.product, manifest.provenance.method) == ("lid", "padim-slim")
    assert not (out / "few.bundle").exists()
    assert (out / "few.log").read_text().count("edge-export: ") == 1
    outcome = json.loads((out / "lid.outcome.json").read_text())
    assert lid["told"] == f"{outcome['bundle']}  sha256 {outcome['sha256']}"


@pytest.mark.slow
def test_one_failure_stops_nobody(
    plant: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two at once: exit code 1, the reason of the one that failed, the other's bundle."""
    arguments = ["build-many", str(plant), "--out", str(tmp_path / "out"), "--jobs", "2", *OPTIONS]
    assert main(arguments) == 1
    told = capsys.readouterr()
    assert "few: edge-export: " in told.err
    assert f"1 of 2 products built: {tmp_path / 'out'}" in told.out
    check(tmp_path / "out")


@pytest.mark.slow
@pytest.mark.needs("the extra ray")
def test_a_local_ray_cluster_builds_the_same(plant: Path, tmp_path: Path) -> None:
    """The same command with tasks of a Ray cluster started for it."""
    command = ["-m", "export.cli.main", "build-many", str(plant), "--out", str(tmp_path / "out")]
    done = run_python(*command, "--jobs", "2", "--engine", "ray", *OPTIONS)
    assert done.returncode == 1, done.stderr
    check(tmp_path / "out")


@pytest.mark.slow
@pytest.mark.needs("the extra ray")
def test_a_task_that_dies_stops_nobody(plant: Path, tmp_path: Path) -> None:
    """A machine that does not see the folders fails its own build; the other's outcome comes."""
    good = orders_for([plant / "lid"], tmp_path, OPTIONS, 1)[0]
    nowhere = tmp_path / "not there"
    lost = Order("lost", (), str(nowhere / "lost.log"), str(nowhere / "lost.outcome.json"), 1)
    program = (
        "import sys\n"
        "from export.build_many.run import Order\n"
        "from export.build_many.ray_engine import by_ray\n"
        f"for outcome in by_ray([{good!r}, {lost!r}], 1):\n"
        "    print(outcome.product, outcome.is_built, outcome.message)\n"
    )
    done = run_python("-c", program)
    told = sorted(done.stdout.splitlines())
    assert told[0].startswith("lid True"), done.stderr
    assert told[1].startswith("lost False its Ray task ended: FileNotFoundError")


@pytest.mark.slow
@pytest.mark.needs("the extra ray")
def test_a_cluster_that_cannot_be_reached_is_told(plant: Path, tmp_path: Path) -> None:
    """Exit code 2, the address, and what to check."""
    command = ["-m", "export.cli.main", "build-many", str(plant), "--out", str(tmp_path / "out")]
    done = run_python(*command, "--engine", "ray", RAY_ADDRESS="127.0.0.1:9")
    assert done.returncode == 2, done.stderr
    assert "The Ray cluster at 127.0.0.1:9 (RAY_ADDRESS) cannot be used" in done.stderr
    assert "Traceback" not in done.stderr


def run_python(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run Python without the RAY_ADDRESS of this machine."""
    environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**environment, **more})


def test_a_build_that_is_killed_has_no_outcome(tmp_path: Path) -> None:
    """A child without an outcome file is a failed build, whatever an earlier run left there."""
    earlier = tmp_path / "gone.outcome.json"
    earlier.write_text(json.dumps({"bundle": "old.bundle", "sha256": "0" * 64}))
    order = Order("gone", ("build-many", "--help"), str(tmp_path / "gone.log"), str(earlier), 1)
    found = carry_out(order)
    assert not found.is_built
    assert found.message == f"ended with code 0 and without an outcome: see {tmp_path / 'gone.log'}"


def test_what_a_build_raises_is_in_its_outcome(tmp_path: Path) -> None:
    """The reason is read back; a file that is no outcome counts as none."""
    file = tmp_path / "lid.outcome.json"

    def broken() -> BuildResult:
        raise DataError("too few pictures")

    with pytest.raises(DataError):
        recorded(file, broken)
    assert read_outcome(file) == BuildOutcome(error="too few pictures")
    file.write_text("{")
    assert read_outcome(file) is None


ON_A_GPU = ("build", "--device", "cuda:0", "--processes", "2")


def test_a_task_asks_for_what_its_build_uses() -> None:
    """Its threads, at most what the largest machine has, and a GPU for each process."""
    machines = [{"CPU": 4.0}, {"CPU": 8.0, "GPU": 2.0}]
    on_cpu, on_gpu = Order("a", ("build",), "a.log", "", 16), Order("b", ON_A_GPU, "b.log", "", 2)
    assert needs(on_cpu, machines) == {"num_cpus": 8, "num_gpus": 0}
    assert needs(on_gpu, machines) == {"num_cpus": 2, "num_gpus": 2}
    with pytest.raises(DataError, match="b needs 2 GPUs on one machine"):
        needs(on_gpu, machines[:1])


def test_without_ray_the_message_says_what_to_install(
    plant: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, the extra's name and the other engine."""
    monkeypatch.setitem(sys.modules, "ray", None)
    arguments = ["build-many", str(plant), "--out", str(tmp_path / "out"), "--engine", "ray"]
    assert main(arguments) == 2
    assert "cropliq-edge[ray]" in capsys.readouterr().err


def test_only_folders_with_good_parts_are_products(plant: Path, tmp_path: Path) -> None:
    """Other folders are passed over; a folder without products is refused, with what is missing."""
    assert [p.name for p in product_folders(plant)] == ["few", "lid"]
    with pytest.raises(DataError, match="train/good or good"):
        product_folders(plant / "notes")
    with pytest.raises(DataError, match="is no folder"):
        product_folders(tmp_path / "nowhere")


def test_builds_at_once_share_the_processors(plant: Path, tmp_path: Path) -> None:
    """Every build may take its part of the processors, at least one."""
    processors = os.cpu_count() or 1
    for jobs, threads in ((1, processors), (10 * processors, 1)):
        orders = orders_for(product_folders(plant), tmp_path, (), jobs)
        assert {order.threads for order in orders} == {threads}
