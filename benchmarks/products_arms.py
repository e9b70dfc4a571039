"""The arms of `benchmarks.products`: what is built from a set's good pictures, and who judges.

Every arm that makes a bundle is judged by its own release's `edge-export evaluate`, which is the
device's path; its figures are computed here from the verdicts on every picture, the same way for
all. anomalib makes no bundle and judges by its own engine (`products_anomalib.py`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.products_cells import Limit, Outcome
from edge_app.errors import DataError
from edge_app.records import JsonObject
from export.evaluation.looks import (
    PACKAGES,
    append_look,
    code_digest,
    files_digest,
    set_name,
)

ROOT = Path(__file__).resolve().parent.parent

OURS, RELEASE, ANOMALIB = "ours", "0.1.0", "anomalib-patchcore"
WHOLE = {"whole-patchcore": "patchcore", "whole-padim": "padim"}
"""Arms that judge the whole picture, and their `--method`."""

ABLATIONS = {
    "ours-whole": ("--detector", "none"),
    "ours-detector": ("--detector", "always"),
    "ours-cropliq": ("--method", "cropliq"),
}
"""Our own build with one choice taken back: the way to the crop, or the inspector with its limit
from a quarter held back. Between 0.1.0 and ours they tell what each cause costs."""

RELEASE_COMMIT = "f7f7a26"
"""0.1.0, as devices in the field run it."""

POLL_S = 2.0

OnWait = Callable[[str], None]
"""Called every few seconds with what is being done."""


class OutOfTimeError(Exception):
    """The budget ended before the arm did; what it has done so far is kept."""


@dataclass(frozen=True, slots=True)
class Job:
    """One cell to be made.

    Attributes:
        data: the set's folder.
        work: the cell's own folder in the cache, kept between runs.
        until: `time.monotonic` at which to stop.
        look: what the log of looks names; "" where no test picture is judged.
    """

    data: Path
    seed: int
    work: Path
    until: float
    look: str = ""

    def log_look(self, digest: str) -> None:
        """Write down a look of code that writes none itself.

        Args:
            digest: of the code that judges.
        """
        if self.look:
            append_look(ROOT, set_name(self.data), digest, self.look)


class Arm(Protocol):
    """One column of the table."""

    @property
    def name(self) -> str:
        """The column's name."""
        ...

    @property
    def code_digest(self) -> str:
        """The sha256 of the code that builds and judges."""
        ...

    def run(self, job: Job, on_wait: OnWait) -> Outcome:
        """Build and judge; both are taken from the job's folder where they are done.

        Raises:
            OutOfTimeError: the job's time ended.
            DataError: it came to no result; one that refuses to build is a result.
        """
        ...


@dataclass(frozen=True, slots=True)
class Code:
    """A release's packages in a folder.

    Attributes:
        main: module whose `main()` is `edge-export`.
        digest: sha256 of its Python files.
    """

    root: Path
    main: str
    digest: str

    def command(self, *arguments: str | Path) -> list[str]:
        """Return what runs its `edge-export` in a process of its own, and no other release's."""
        script = (
            f"import export; assert export.__file__.startswith({str(self.root)!r}), export\n"
            f"from {self.main} import main\nraise SystemExit(main())"
        )
        return [sys.executable, "-c", script, *map(str, arguments)]


def this_code() -> Code:
    """Return this checkout's."""
    return Code(ROOT, "export.cli.main", code_digest(ROOT))


def release_code(work: Path) -> Code:
    """Return 0.1.0's, unpacked from the history into the cache once.

    Raises:
        DataError: the history lacks it.
    """
    folder = work / f"release-{RELEASE_COMMIT}"
    if not folder.is_dir():
        archive = subprocess.run(
            ["git", "-C", str(ROOT), "archive", RELEASE_COMMIT, *PACKAGES],
            capture_output=True, check=False,
        )  # fmt: skip
        if archive.returncode != 0:
            raise DataError(f"The arm 0.1.0 needs the history: {archive.stderr.decode().strip()}")
        partial = folder.with_name(folder.name + ".partial")
        partial.mkdir(parents=True, exist_ok=True)
        subprocess.run(["tar", "-x", "-C", str(partial)], input=archive.stdout, check=True)
        partial.rename(folder)
    names = [p.relative_to(folder).as_posix() for p in folder.rglob("*.py")]
    return Code(folder, "export.cli", files_digest(folder, names))


@dataclass(frozen=True, slots=True)
class BundleArm:
    """An arm that builds a bundle with `edge-export build` and judges with its `evaluate`.

    Attributes:
        options: of the build, besides data, out and seed.
    """

    name: str
    code: Code
    options: tuple[str, ...] = ()

    @property
    def code_digest(self) -> str:
        """See Arm."""
        return self.code.digest

    def run(self, job: Job, on_wait: OnWait) -> Outcome:
        """See Arm."""
        bundle = job.work / "product.bundle"
        built = job.work / "built"  # a build that was ended may leave a piece of a bundle
        if not built.is_file():
            failed = self._build(job, bundle, on_wait)
            if failed:
                return Outcome(failed, "", None, (), 0, _spent(job.work, "build"), 0.0)
            built.touch()
        out = job.work / "evaluation"
        if not (out / "evaluation.json").is_file():
            failed = self._evaluate(job, bundle, out, on_wait)
            if failed:
                raise DataError(f"{self.name} built a bundle and could not judge with it: {failed}")
        record = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
        manifest = read_manifest(bundle)
        return Outcome(
            failed="",
            method=str(manifest["provenance"]["method"]),
            limit=limit_of(manifest),
            rows=record["pictures"],
            excluded=record["excluded"],
            build_s=_spent(job.work, "build"),
            evaluate_s=_spent(job.work, "evaluate"),
        )

    def _build(self, job: Job, bundle: Path, on_wait: OnWait) -> str:
        """Build; return why there is no bundle, "" where there is one."""
        command = self.code.command("build", "--data", job.data, "--out", bundle)
        more = ["--seed", str(job.seed), "--product", "product", *self.options]
        failed, log = run_timed([*command, *more], job, "build", self.code.root, on_wait)
        if bundle.is_file():  # a weak bundle is written, and the exit code says so
            return ""
        return failed or f"no bundle was written: {_last_line(log)}"

    def _evaluate(self, job: Job, bundle: Path, out: Path, on_wait: OnWait) -> str:
        """Judge the test pictures; return the error's words, if any."""
        command = self.code.command(
            "evaluate", "--bundle", bundle, "--data", job.data, "--out", out
        )
        if self.code.root != ROOT:
            job.log_look(self.code_digest)
        elif job.look:
            command += ["--log-look", job.look]
        return run_timed(command, job, "evaluate", self.code.root, on_wait)[0]


def run_timed(
    command: list[str], job: Job, step: str, code_root: Path, on_wait: OnWait
) -> tuple[str, str]:
    """Run a command in the job's folder; return ("" or its error's last line, all it said).

    Its seconds are added to those of earlier tries, so that a resumed build's time is whole.

    Raises:
        OutOfTimeError: the job's time ended; the process was ended.
        DataError: somebody else ended it.
    """
    job.work.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    log = job.work / f"{step}.log"
    with log.open("w", encoding="utf-8") as said:
        side = subprocess.Popen(
            command, cwd=job.work, env=_environment(code_root), stdout=said,
            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            code = _waited(side, job.until, lambda: on_wait(f"{step}, {_elapsed(started)}"))
        finally:
            _add_spent(job.work, step, time.monotonic() - started)
    text = log.read_text(encoding="utf-8", errors="replace")
    if code < 0:  # out of memory, or by hand: says nothing about the product
        raise DataError(f"{step} was ended by signal {-code}; what it said is in {log}.")
    return ("" if code == 0 else _last_line(text)), text


def _waited(side: subprocess.Popen[bytes], until: float, on_wait: Callable[[], None]) -> int:
    try:
        while True:
            left = until - time.monotonic()
            if left <= 0:
                raise OutOfTimeError
            try:
                return side.wait(min(POLL_S, left))
            except subprocess.TimeoutExpired:
                on_wait()
    except BaseException:
        side.kill()
        side.wait()
        raise


def _environment(code_root: Path) -> Mapping[str, str]:
    passive = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
    return {**os.environ, **passive, "PYTHONPATH": str(code_root)}


def _elapsed(started: float) -> str:
    return f"{time.monotonic() - started:.0f} s"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def _add_spent(work: Path, step: str, seconds: float) -> None:
    (work / f"{step}.seconds").write_text(str(_spent(work, step) + seconds))


def _spent(work: Path, step: str) -> float:
    file = work / f"{step}.seconds"
    return float(file.read_text()) if file.is_file() else 0.0


def read_manifest(bundle: Path) -> JsonObject:
    """Return a bundle's manifest as plain JSON: a newer release's may hold what this one lacks."""
    with tarfile.open(bundle) as archive:
        member = archive.extractfile("manifest.json")
        assert member is not None
        found: JsonObject = json.loads(member.read())
    return found


def limit_of(manifest: JsonObject) -> Limit:
    """Return what a manifest says of its preferred variant's threshold."""
    thresholds = manifest["variants"][0]["thresholds"]
    origin = thresholds.get("origin") or {}
    return Limit(
        threshold=thresholds["score_threshold"],
        nominal_rate=origin.get("nominal_rate", thresholds["false_alarm_rate"]),
        rank=origin.get("rank"),
        good_parts=origin.get("good_parts"),
        promise=thresholds.get("promise", ""),
    )
