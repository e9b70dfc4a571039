"""Builds, a comparison and whole plants at once, killed without warning, started again, and again.

Two builds share one work folder, two `build-many` another; the rest have their own. Whatever is
written in the end is what an undisturbed run writes, to the byte, or the command was refused
because another works there.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.middle_detector import write_detector, write_parts
from support.needs import ROOT
from support.pictures_read import picture_at

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800), pytest.mark.needs("the extra train")]

SEED = int(os.environ.get("CROPLIQ_KILL_SEED", "0"))
KILLS = 2
IN_USE = "in use by another"
LIMIT_S = 1500.0


def write_product(folder: Path, first: int) -> None:
    """24 good parts to train on, and a few of both kinds to measure with."""
    write_parts(folder / "good", 24, first)
    write_parts(folder / "test" / "good", 4, first + 50)
    write_parts(folder / "test" / "bent", 4, first + 60)
    for path in (folder / "test" / "bent").iterdir():
        pixels = picture_at(path)
        pixels[55:75, 80:110] = 255
        cv2.imwrite(str(path), pixels)


@dataclass
class Job:
    """One command, started again whenever it is killed or refused.

    Attributes:
        results: bundles it writes.
        told: what it said at last.
    """

    name: str
    arguments: list[str]
    results: list[Path]
    code: int | None = None
    told: str = ""
    kills: int = 0
    refusals: int = 0
    moments_s: list[float] = field(default_factory=list)
    took_s: float = 0.0

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "export.cli.main", *self.arguments],
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, rng: np.random.Generator, kills: int, usual_s: float) -> None:
        """Kill the command at random moments, its children only every other time."""
        started = time.monotonic()
        until = started + LIMIT_S
        while time.monotonic() < until:
            process = self.start()
            try:
                moment = float(rng.uniform(0.05, 1.0)) * usual_s if self.kills < kills else LIMIT_S
                _, self.told = process.communicate(timeout=moment)
            except subprocess.TimeoutExpired:
                self.kills += 1
                self.moments_s.append(round(moment, 1))
                if self.kills % 2:
                    os.killpg(process.pid, signal.SIGKILL)
                else:
                    process.kill()
                process.wait()
                if process.stderr is not None:
                    process.stderr.close()  # a child that is left may hold the other end
                continue
            self.code, self.took_s = process.returncode, time.monotonic() - started
            if self.code == 0 or IN_USE not in self.told:
                return
            self.refusals += 1
            time.sleep(1.0)


def commands(plant: Path, out: Path) -> list[Job]:
    """Two builds and two plants in a work folder each, a build and a comparison by themselves."""
    detector = ["--detector", str(plant.parent / "detector.onnx")]
    quick = [*detector, "--method", "padim-slim", "--accept-weak"]

    def build(name: str, product: str, where: str) -> Job:
        bundle = out / where / "part.bundle"
        data = ["--data", str(plant / product), "--out", str(bundle), "--product", product]
        return Job(name, ["build", *data, *quick], [bundle])

    many = out / "many"
    plants = ["build-many", str(plant), "--out", str(many), "--jobs", "2", *quick]
    bundles = [many / "a.bundle", many / "b.bundle"]
    compared = out / "compared"
    compare = ["compare", "--data", str(plant / "a"), "--out", str(compared), "--product", "a"]
    methods = ["--methods", "padim-slim", *detector]
    return [
        build("build a", "a", "one"),
        build("build b, same work folder", "b", "one"),
        build("build b", "b", "two"),
        Job("build-many", plants, bundles),
        Job("build-many, same folder", plants, bundles),
        Job("compare", [*compare, *methods], []),
    ]


def run_all(jobs: list[Job], kills: int, usual_s: Mapping[str, float] | None = None) -> None:
    """Run the commands at once, to their ends."""
    threads = [
        threading.Thread(
            target=job.run,
            args=(np.random.default_rng([SEED, i]), kills, (usual_s or {}).get(job.name, 0.0)),
        )
        for i, job in enumerate(jobs)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def found_bundles(out: Path) -> dict[str, bytes]:
    files = sorted(p for p in out.rglob("*.bundle") if p.is_file())
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in files}


def test_killed_at_random_they_write_what_undisturbed_ones_write(tmp_path: Path) -> None:
    """Six commands, two kills each; every bundle is one of the undisturbed ones."""
    write_detector(tmp_path / "detector.onnx")
    for number, product in enumerate("ab"):
        write_product(tmp_path / "plant" / product, 100 * number)
    calm = commands(tmp_path / "plant", tmp_path / "calm")
    firsts = [calm[0], calm[2], calm[3], calm[5]]  # one for each work folder
    run_all(firsts, kills=0)
    first_a = (tmp_path / "calm" / "one" / "part.bundle").read_bytes()
    run_all([calm[1], calm[4]], kills=0)
    for job in calm:
        assert job.code == 0, f"{job.name}: {job.told}"
    meant = found_bundles(tmp_path / "calm")
    shared = {first_a, meant.pop("one/part.bundle")}
    assert len(shared) == 2  # the second build wrote its own over the first
    usual_s = {job.name: job.took_s for job in calm}

    jobs = commands(tmp_path / "plant", tmp_path / "killed")
    run_all(jobs, KILLS, usual_s)
    story = "\n".join(
        f"{j.name}: {j.code}, killed after {j.moments_s} s, {j.refusals} times refused; {j.told}"
        for j in jobs
    )
    print(story)
    assert all(job.code == 0 for job in jobs), story
    found = found_bundles(tmp_path / "killed")
    assert found.pop("one/part.bundle") in shared, story
    assert found.keys() == meant.keys(), story
    for name, content in meant.items():
        assert found[name] == content, f"{name}\n{story}"
