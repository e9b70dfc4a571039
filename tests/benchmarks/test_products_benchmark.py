"""The products benchmark's machinery: trials of training goods, arms, the cache, the budget."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.small_bundles import write_bright_bundle
from support.tile_pictures import write_tiles

from benchmarks import products, products_arms
from benchmarks.products import Plan, main, make_missing, time_left
from benchmarks.products_anomalib import SIDE, AnomalibArm, anomalib_python
from benchmarks.products_arms import (
    RELEASE_COMMIT,
    BundleArm,
    Code,
    Job,
    OutOfTimeError,
    read_manifest,
    release_code,
    run_timed,
)
from benchmarks.products_cells import Key, Limit, Outcome, data_digest, read_cells
from benchmarks.products_data import (
    SETS,
    find_sets,
    pictures_of,
    reserve,
    test_counts,
    training_goods_trial,
)
from edge_app.errors import DataError
from export.data.dataset import scan_good_pictures
from export.evaluation.looks import PUBLIC_SETS, set_name

FAKE_RELEASE = '''
"""Stands in for a release's edge-export: builds by copying a bundle, judges everything NG."""
import json, shutil, sys
from pathlib import Path

def main():
    command, *rest = sys.argv[1:]
    given = dict(zip(rest[::2], rest[1::2]))
    data = Path(given["--data"]).name
    with open({calls!r}, "a") as log:
        log.write(json.dumps([command, given]) + "\\n")
    if command == "build":
        if data == "refuse":
            print("edge-export: the detector finds no product in 16 of 40", file=sys.stderr)
            return 2
        shutil.copyfile({bundle!r}, given["--out"])
        return 1 if data == "weak" else 0
    out = Path(given["--out"])
    out.mkdir(parents=True)
    rows = [
        {{"picture": f"{{kind}}/0.png", "kind": kind, "score": 9.0, "verdict": "NG", "reason": ""}}
        for kind in ("good", "scratch")
    ]
    (out / "evaluation.json").write_text(json.dumps({{"excluded": 0, "pictures": rows}}))
    return 0
'''


@pytest.fixture
def calls(tmp_path: Path) -> Callable[[], list[list[object]]]:
    file = tmp_path / "calls"
    return lambda: [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture
def fake(tmp_path: Path) -> BundleArm:
    """An arm of another release, with an option of its own."""
    root = tmp_path / "release"
    (root / "export").mkdir(parents=True)
    (root / "export" / "__init__.py").touch()
    bundle = write_bright_bundle(tmp_path / "bright.bundle")
    text = FAKE_RELEASE.format(calls=str(tmp_path / "calls"), bundle=str(bundle))
    (root / "export" / "cli.py").write_text(text)
    return BundleArm("old", Code(root, "export.cli", "f" * 64), ("--detector", "none"))


def job(tmp_path: Path, name: str = "data", seconds: float = 60.0) -> Job:
    return Job(tmp_path / name, 3, tmp_path / "work" / name, time.monotonic() + seconds)


def silent(_text: str) -> None:
    """Say nothing."""


def test_every_public_set_is_in_the_log_of_looks() -> None:
    """A set of the benchmark that `evaluate` would not log could be looked at unseen."""
    assert set(SETS) <= set(PUBLIC_SETS)


def test_an_arm_builds_judges_and_takes_what_is_done(
    fake: BundleArm, tmp_path: Path, calls: Callable[[], list[list[object]]]
) -> None:
    """The release's own commands, its options and the seed; a second run calls nothing."""
    found = fake.run(job(tmp_path), silent)
    assert found.failed == ""
    assert found.method == "test"
    assert found.limit is not None
    assert (found.limit.threshold, found.limit.rank) == (150.0, None)
    assert [r["verdict"] for r in found.rows] == ["NG", "NG"]
    assert found.build_s > 0
    (build, options), (evaluate, _) = calls()
    assert (build, evaluate) == ("build", "evaluate")
    assert isinstance(options, dict)
    assert (options["--seed"], options["--detector"]) == ("3", "none")
    assert fake.run(job(tmp_path), silent).rows == found.rows
    assert len(calls()) == 2


def test_a_refused_build_is_a_result_and_a_weak_bundle_is_judged(
    fake: BundleArm, tmp_path: Path
) -> None:
    """Exit 2 without a bundle: the reason stands in the cell. Exit 1 with one: it is measured."""
    refused = fake.run(job(tmp_path, "refuse"), silent)
    assert refused.failed == "edge-export: the detector finds no product in 16 of 40"
    assert refused.limit is None
    assert fake.run(job(tmp_path, "weak"), silent).failed == ""


def test_a_piece_of_a_bundle_is_not_taken_for_one(fake: BundleArm, tmp_path: Path) -> None:
    """A build that was ended while it wrote is done again."""
    one = job(tmp_path)
    one.work.mkdir(parents=True)
    (one.work / "product.bundle").write_bytes(b"half")
    assert fake.run(one, silent).method == "test"


def test_a_look_of_another_release_is_written_down(
    fake: BundleArm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes none itself: the benchmark does, with that release's digest."""
    monkeypatch.setattr(products_arms, "ROOT", tmp_path / "root")
    one = job(tmp_path, "mvtec_screw")
    fake.run(Job(one.data, 3, one.work, one.until, "benchmarks.products old seed 3"), silent)
    rows = (tmp_path / "root/benchmarks/results/looks.csv").read_text().splitlines()
    assert len(rows) == 2
    assert rows[1].startswith(f"mvtec_screw,{'f' * 64},")
    assert rows[1].endswith(",benchmarks.products old seed 3")


def test_this_codes_evaluate_writes_its_look_itself(
    fake: BundleArm,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    calls: Callable[[], list[list[object]]],
) -> None:
    """It is told what to call the look; on training goods there is none to write."""
    monkeypatch.setattr(products_arms, "ROOT", fake.code.root)
    for name, look in (("a", "benchmarks.products ours seed 3"), ("b", "")):
        one = job(tmp_path, name)
        fake.run(Job(one.data, 3, one.work, one.until, look), silent)
    options = [given for command, given in calls() if command == "evaluate"]
    assert [isinstance(o, dict) and o.get("--log-look") for o in options] == [
        "benchmarks.products ours seed 3",
        None,
    ]
    assert not (fake.code.root / "benchmarks").exists()


def test_another_releases_code_is_not_run_by_mistake(fake: BundleArm, tmp_path: Path) -> None:
    """Where its folder has no `export`, the installed one must not answer in its name."""
    empty = Code(tmp_path / "nowhere", "export.cli.main", "0" * 64)
    done = subprocess.run(empty.command("--help"), capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "AssertionError" in done.stderr


def test_a_command_past_the_budget_is_ended_and_its_time_kept(tmp_path: Path) -> None:
    """The process is gone, and the next try adds to its seconds."""
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    for _ in range(2):
        with pytest.raises(OutOfTimeError):
            # The job's time counts from here, its spent seconds from the process's start.
            run_timed(sleeper, job(tmp_path, seconds=0.4), "build", tmp_path, silent)
    spent = float((tmp_path / "work" / "data" / "build.seconds").read_text())
    assert 0.6 <= spent < 30


def test_the_manifest_of_a_later_format_gives_k_and_n(tmp_path: Path) -> None:
    """Read as plain JSON: `origin` names the rank and the good parts behind the limit."""
    manifest = read_manifest(write_bright_bundle(tmp_path / "bright.bundle"))
    thresholds = manifest["variants"][0]["thresholds"]
    thresholds["origin"] = {"rank": 2, "good_parts": 99, "nominal_rate": 0.02}
    found = products_arms.limit_of(manifest)
    assert (found.rank, found.good_parts, found.nominal_rate) == (2, 99, 0.02)
    del thresholds["origin"]
    assert products_arms.limit_of(manifest).nominal_rate == thresholds["false_alarm_rate"]


@pytest.mark.needs("the repository's history")
def test_the_releases_code_is_unpacked_once(tmp_path: Path) -> None:
    """f7f7a26's own `edge-export` answers, not ours."""
    code = release_code(tmp_path)
    assert code.root == tmp_path / f"release-{RELEASE_COMMIT}"
    assert release_code(tmp_path) == code
    version = subprocess.run(
        ["git", "-C", str(products_arms.ROOT), "show", f"{RELEASE_COMMIT}:export/cli.py"],
        capture_output=True,
        check=True,
    ).stdout
    assert (code.root / "export" / "cli.py").read_bytes() == version


@dataclass
class CountingArm:
    """Makes nothing, and counts how often it was asked."""

    name: str = "counting"
    code_digest: str = "c" * 64
    asked: list[int] = field(default_factory=list)
    ends_at: int | None = None
    fails_at: int | None = None

    def run(self, job: Job, on_wait: Callable[[str], None]) -> Outcome:
        if job.seed == self.ends_at:
            raise OutOfTimeError
        if job.seed == self.fails_at:
            raise DataError("ended by signal 9")
        self.asked.append(job.seed)
        rows = [
            {"picture": f"{kind}/0.png", "kind": kind, "score": score, "verdict": "OK"}
            for kind, score in (("good", 1.0), ("scratch", 2.0))
        ]
        return Outcome("", "none", Limit(5.0), rows, 0, 10.0, 1.0)


def plan(arm: CountingArm, seed: int, digest: str = "d" * 64) -> Plan:
    key = Key("screws", seed, arm.name, arm.code_digest)
    return Plan(key, arm, Path("screws"), digest, (1, 1))


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    """The same key is taken; other pictures under the same key are judged anew."""
    arm = CountingArm()
    for _ in range(2):
        assert make_missing([plan(arm, 0), plan(arm, 1)], tmp_path / "r", tmp_path / "w", 60)
    assert arm.asked == [0, 1]
    assert make_missing([plan(arm, 0, "e" * 64)], tmp_path / "r", tmp_path / "w", 60)
    assert arm.asked == [0, 1, 0]


def test_the_budget_ends_a_run_and_the_next_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was made before stays; the time to go is told from what was made."""
    arm = CountingArm(ends_at=1)
    plans = [plan(arm, 0), plan(arm, 1)]
    assert not make_missing(plans, tmp_path / "r", tmp_path / "w", 60)
    told = capsys.readouterr().out
    assert "[1 of 2] screws, seed 0, counting; about an unknown time to go" in told
    assert "[2 of 2] screws, seed 1, counting; about 11 s to go" in told
    assert "the same command goes on from here" in told
    arm.ends_at = None
    assert make_missing(plans, tmp_path / "r", tmp_path / "w", 60)
    assert "1 of 2 cells are there" in capsys.readouterr().out
    assert arm.asked == [0, 1]
    assert len(read_cells(tmp_path / "r", "test")) == 2


def test_a_cell_without_a_result_stays_empty_and_the_others_are_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told, the run is not whole, and the next run tries it again."""
    arm = CountingArm(fails_at=0)
    assert not make_missing([plan(arm, 0), plan(arm, 1)], tmp_path / "r", tmp_path / "w", 60)
    assert "no result: ended by signal 9" in capsys.readouterr().out
    assert [c["seed"] for c in read_cells(tmp_path / "r", "test")] == [1]


def test_a_killed_build_is_no_result(tmp_path: Path) -> None:
    """Out of memory says nothing about a product: it must not stand as "no bundle"."""
    killed = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    with pytest.raises(DataError, match="ended by signal 9"):
        run_timed(killed, job(tmp_path), "build", tmp_path, silent)


def test_a_terminated_run_ends_its_build(tmp_path: Path) -> None:
    """No build goes on unseen after `kill` of the benchmark."""
    script = f"""
import sys, time
from pathlib import Path
from benchmarks.products import end_builds_when_terminated
from benchmarks.products_arms import Job, run_timed
end_builds_when_terminated()
build = "import os, pathlib, time; pathlib.Path('pid').write_text(str(os.getpid())); time.sleep(60)"
job = Job(Path("data"), 0, Path({str(tmp_path)!r}), time.monotonic() + 60)
run_timed([sys.executable, "-c", build], job, "build", job.work, lambda text: None)
"""
    side = subprocess.Popen([sys.executable, "-c", script], cwd=products_arms.ROOT)
    until = time.monotonic() + 60
    while not (tmp_path / "pid").is_file() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < until, "the build did not start"
        time.sleep(0.1)
    side.terminate()
    assert side.wait(30) == 143
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_the_time_left_is_of_the_same_set_else_of_the_arm() -> None:
    """A set's own earlier cells tell it best; an arm never made is said to be unknown."""
    arm = CountingArm()
    done = [
        {"arm": "counting", "set": "screws", "build_s": 100.0, "evaluate_s": 20.0},
        {"arm": "counting", "set": "tiles", "build_s": 10.0, "evaluate_s": 0.0},
    ]
    assert time_left([plan(arm, 5)], done) == "2 min"
    assert "1 cells of unknown time" in time_left(
        [plan(arm, 5), plan(CountingArm(name="new"), 0)], done
    )


def test_a_third_of_the_training_goods_is_reserved_by_content(tmp_path: Path) -> None:
    """Always the same third, whatever the order; nothing is on both sides."""
    data = write_tiles(tmp_path / "tiles", good=30, test_good=1, blotted=1)
    pictures = scan_good_pictures(data).pictures
    built, reserved = reserve(pictures)
    again = reserve(list(reversed(pictures)))
    assert (len(built), len(reserved)) == (20, 10)
    assert {p.sha256 for p in reserved} == {p.sha256 for p in again[1]}
    assert not {p.sha256 for p in built} & {p.sha256 for p in reserved}


def test_a_trial_of_training_goods_opens_no_test_picture(tmp_path: Path) -> None:
    """test/ is not even there; every reserved picture is judged with each kind of anomaly."""
    import shutil

    data = write_tiles(tmp_path / "mvtec_screw", good=30, test_good=1, blotted=1)
    shutil.rmtree(data / "test")
    trial = training_goods_trial(data, "mvtec_screw", tmp_path / "work")
    assert set_name(trial) not in PUBLIC_SETS
    pictures = pictures_of(trial, ["train/good", "test"])
    assert sum(name.startswith("train/") for name, _ in pictures) == 20
    kinds = {name.split("/")[1] for name, _ in pictures if name.startswith("test/")}
    assert "good" in kinds
    assert len(kinds) >= 4
    good, bad = test_counts(pictures)
    assert good == 10
    assert bad == 10 * (len(kinds) - 1)
    digest = data_digest(pictures)
    assert training_goods_trial(data, "mvtec_screw", tmp_path / "work") == trial
    shutil.rmtree(tmp_path / "work")
    again = training_goods_trial(data, "mvtec_screw", tmp_path / "work")
    assert data_digest(pictures_of(again, ["train/good", "test"])) == digest


def test_a_set_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and where it was looked for."""
    with pytest.raises(DataError, match="mvtec_screw"):
        find_sets(tmp_path, ["mvtec_screw"])
    command = ["--data", str(tmp_path), "--sets", "mvtec_screw", "--arms", "whole-padim"]
    more = ["--work", str(tmp_path / "w"), "--results", str(tmp_path / "r")]
    assert main([*command, *more]) == 2
    assert "has no data set mvtec_screw" in capsys.readouterr().err


def test_the_table_shows_one_code_per_arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells of another digest are missing; --digest names an earlier code's."""
    arm = CountingArm(name="ours")
    make_missing([plan(arm, 0)], tmp_path / "r", tmp_path / "w", 60)
    text = products.table_text(tmp_path / "r", "test", ["screws"], ["ours"], {"ours": "d" * 64})
    assert "0 cells" in text
    table, command = tmp_path / "t.md", ["--sets", "mvtec_screw", "--arms", "ours", "--only-table"]
    more = ["--table", str(table), "--results", str(tmp_path / "r"), "--work", str(tmp_path / "w")]
    assert main([*command, *more, "--digest", "ours=cccc"]) == 0
    assert "Code: ours cccc." in table.read_text()
    assert main([*command, *more, "--digest", "mine=cccc"]) == 2


def test_anomalib_that_cannot_be_installed_leaves_its_cells_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence with the reason and the way out; a given interpreter is taken as it is."""

    def refuse(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "no network\n")

    monkeypatch.setattr(subprocess, "run", refuse)
    with pytest.raises(DataError, match=r"could not be installed \(no network\).*stay empty"):
        anomalib_python(None, tmp_path)
    assert anomalib_python(Path("/x/python"), tmp_path) == Path("/x/python")


def test_anomalibs_half_imports_nothing_of_ours() -> None:
    """It runs where only anomalib is installed; its digest changes with its text."""
    text = SIDE.read_text(encoding="utf-8")
    assert not any(
        name in text for name in ("edge_app", "from export", "calibration", "benchmarks.")
    )
    assert len(AnomalibArm(Path()).code_digest) == 64
