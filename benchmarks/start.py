"""What the inspection process costs: CPU until its first verdict, and memory; beside an earlier
revision, in turns:

    python -m benchmarks.start [--against REVISION] [--turns 10] [--seconds 60] [--python PYTHON]

A turn starts `edge-app run` on a new state folder: the shipped bundle on ONNX Runtime (CPU), one
thread, evidence and history on, a broker (mosquitto, where it is installed), the page's socket
open and no page there. The camera is a folder of eight pictures of the simulated line, written
beforehand, two a second: the simulated line would paint its pictures in the process that is
measured. The first verdict is of the first part that was found good or bad: a picture without a
part, which may come first, needs no inspector. Per stage: CPU seconds of the whole process from its
very beginning, all threads, and resident, proportional and private memory. The arms take turns, so
that what disturbs one disturbs the other. A third arm imports numpy, OpenCV and ONNX Runtime and
nothing else: no code of ours can be below it. Modules were compiled by a run before. Written as
JSON into benchmarks/results/start.json.

Proportional and private memory depend on who else has the same libraries mapped: here the page and
the agent do not run, so that they are higher than on a device on which they do.

Not measured: real cameras, whose libraries come on top; the page, the agent and driver processes;
a GPU, TensorRT, OpenVINO; arm64; a start on cold disk caches; time on the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
from rich.console import Console
from rich.table import Table

from benchmarks.end_to_end import sim_frames
from benchmarks.outbox_chaos import Broker

ROOT = Path(__file__).resolve().parent.parent
RESULT = Path(__file__).parent / "results" / "start.json"
BUNDLE = "edge_app/assets/demo-tapered.bundle"
NOW, FLOOR = "now", "libraries alone"
FIRST, LAST = "first verdict", "at the end"
FIGURES = ("cpu_s", "rss_mb", "pss_mb", "private_mb", "peak_mb")
PICTURES = 8
LIBRARY_NAMES = (
    "numpy", "opencv-python", "opencv-python-headless", "onnxruntime", "pydantic", "paho-mqtt",
    "cryptography",
)  # fmt: skip
VERSIONS = """
import json
from importlib.metadata import distributions
installed = {{d.name: d.version for d in distributions()}}
print(json.dumps({{name: installed[name] for name in {names!r} if name in installed}}))
"""
LIBRARIES = """
import sys
sys.path.insert(0, {folder!r})
import cv2, numpy, onnxruntime
from start_side import Stages
Stages().mark({stage!r})
"""

Turn = dict[str, dict[str, float]]
"""Stage → figure → value."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What all turns share.

    Attributes:
        work: a folder for pictures, state and compiled modules.
        broker_port: None: there is no broker.
        seconds: from the first verdict to the end.
    """

    work: Path
    python: str
    broker_port: int | None
    seconds: float


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--against", metavar="REVISION", help="beside this revision's code")
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60, help="from first verdict to the end")
    parser.add_argument(
        "--python", default=sys.executable, help="of an environment with what a device installs"
    )
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="start-") as folder:
        work = Path(folder)
        write_pictures(work / "pictures")
        broker = Broker(work) if shutil.which("mosquitto", path=os.defpath + ":/usr/sbin") else None
        try:
            port = None if broker is None else broker.port
            setting = Setting(work, args.python, port, args.seconds)
            arms = {args.against: code_of(args.against, work)} if args.against else {}
            found = measure({**arms, NOW: ROOT}, setting, args.turns)
        finally:
            if broker is not None:
                broker.stop()
    result = {**circumstances(args.python, args.seconds, port), "arms": found}
    if args.against:
        result["ratio"] = ratios(found[NOW]["turns"], found[args.against]["turns"])
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    Console(width=132).print(table(found))
    print(json.dumps(result.get("ratio", {})))


def write_pictures(folder: Path) -> None:
    """Write whole parts of the simulated line, as a triggered camera shows them."""
    folder.mkdir()
    for number, frame in enumerate(sim_frames(PICTURES)):
        cv2.imwrite(str(folder / f"{number:03}.png"), frame.pixels_hwc)


def code_of(revision: str, work: Path) -> Path:
    """Return a folder with a revision's edge_app.

    Raises:
        SystemExit: the history has no such revision.
    """
    folder = work / "code"
    folder.mkdir()
    packed = subprocess.run(
        ["git", "-C", str(ROOT), "archive", revision, "edge_app"], capture_output=True, check=False
    )
    if packed.returncode != 0:
        raise SystemExit(f"revision {revision}: {packed.stderr.decode().strip()}")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=packed.stdout, check=True)
    return folder


def measure(arms: dict[str, Path], setting: Setting, turns: int) -> dict[str, Any]:
    """Return every arm's turns; a turn before them compiles and is not counted.

    Args:
        arms: name → folder with its `edge_app`.
    """
    found: dict[str, list[Turn]] = {name: [] for name in (FLOOR, *arms)}
    for number in range(turns + 1):
        for name in found:
            turn = libraries(setting) if name == FLOOR else run(arms[name], setting)
            if number:
                found[name].append(turn)
            print(f"{number}/{turns} {name}: {turn[FIRST]['cpu_s']:.3f} s CPU", file=sys.stderr)
    return {name: {"turns": got, "median": medians(got)} for name, got in found.items()}


def libraries(setting: Setting) -> Turn:
    """Return what importing the three libraries takes, under both stages' names."""
    text = LIBRARIES.format(folder=str(Path(__file__).parent), stage=FIRST)
    turn = marked([setting.python, "-c", text], environment(ROOT, setting))
    return {**turn, LAST: turn[FIRST]}


def run(code: Path, setting: Setting) -> Turn:
    """Return one start of an arm."""
    state = setting.work / "state"
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir()
    config = setting.work / "edge-app.toml"
    config.write_text(configuration(code / BUNDLE, setting), encoding="utf-8")
    side = Path(__file__).with_name("start_side.py")
    command = [setting.python, str(side), str(config), str(setting.seconds)]
    return marked(command, environment(code, setting))


def configuration(bundle: Path, setting: Setting) -> str:
    """Return the device's TOML."""
    camera = f"folder:{setting.work / 'pictures'}?loop=1&interval_s=0.5"
    is_on = setting.broker_port is not None
    return "\n".join([
        "[device]", 'site = "bench"', 'line = "l1"', 'device = "d1"',
        f'state_dir = "{setting.work / "state"}"',
        "[bundle]", f'path = "{bundle}"', "allow_unsigned = true",
        "[[camera]]", 'name = "cam1"', f'url = "{camera}"',
        "[mqtt]", f"enabled = {str(is_on).lower()}", 'host = "127.0.0.1"',
        f"port = {setting.broker_port or 1883}",
        "[runtime]", "threads = 1", 'backend = "onnxruntime"', "",
    ])  # fmt: skip


def environment(code: Path, setting: Setting) -> dict[str, str]:
    """Return the environment of an arm: its code first, compiled modules kept outside it."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return env | {
        "PYTHONPATH": str(code),
        "PYTHONSAFEPATH": "1",
        "PYTHONPYCACHEPREFIX": str(setting.work / "compiled"),
        "OMP_NUM_THREADS": "1",
        "CROPLIQ_PAGE_SOCKET": str(setting.work / "state" / "page.sock"),
    }


def marked(command: Sequence[str], env: dict[str, str]) -> Turn:
    """Return what a process says of its stages.

    Raises:
        SystemExit: it ended without a first verdict.
    """
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    stages: Turn = {}
    for line in done.stdout.splitlines():
        with suppress(ValueError):
            told = json.loads(line)
            stages[told.pop("stage")] = told
    if FIRST not in stages:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return stages


def medians(turns: Sequence[Turn]) -> Turn:
    """Return the median of every figure, stage by stage."""
    return {
        stage: {
            figure: round(statistics.median(turn[stage][figure] for turn in turns), 3)
            for figure in FIGURES
        }
        for stage in turns[0]
    }


def ratios(now: Sequence[Turn], before: Sequence[Turn]) -> dict[str, dict[str, float]]:
    """Return now over before, by stage and figure: the median of the turns' own ratios."""
    pairs = list(zip(now, before, strict=True))
    return {
        stage: {
            figure: round(
                statistics.median(n[stage][figure] / b[stage][figure] for n, b in pairs), 3
            )
            for figure in FIGURES
        }
        for stage in (FIRST, LAST)
    }


def circumstances(python: str, seconds: float, port: int | None) -> dict[str, Any]:
    """Return what the figures depend on."""
    code = VERSIONS.format(names=LIBRARY_NAMES)
    versions = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "libraries": json.loads(versions.stdout),
        "seconds": seconds,
        "has_broker": port is not None,
    }


def table(found: dict[str, Any]) -> Table:
    """Return the figures for people, by stage; medians of the turns."""
    shown = Table(title="medians; MiB resident (proportional, private)")
    shown.add_column("stage")
    for name in found:
        shown.add_column(f"{name}: CPU s", justify="right")
        shown.add_column("memory", justify="right")
    for stage in found[NOW]["median"]:
        cells: list[str] = []
        for arm in found.values():
            got = arm["median"].get(stage)
            cells += ["", ""] if got is None else [
                f"{got['cpu_s']:.3f}",
                f"{got['rss_mb']:.0f} ({got['pss_mb']:.0f}, {got['private_mb']:.0f})",
            ]  # fmt: skip
        shown.add_row(stage, *cells)
    return shown


if __name__ == "__main__":
    main()
