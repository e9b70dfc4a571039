"""From capture to verdict at twenty parts a second, with everything on that a device has on:

    python -m benchmarks.latency [--seconds 300] [--parts-per-s 20] [--viewers 8]

`edge-app run` with the shipped bundle on ONNX Runtime, one thread; history, evidence, page, and a
mosquitto. One camera shows whole parts of the simulated line, one in each picture, one in ten
defective, at a fixed pace. Viewers ask for the newest picture with its map as the page does, and
one turns the pages of the history. The figures are the device's own: what it notes for each part in
its history, from the moment at which the picture was there to its verdict. Arms: all of it, and
without viewers; the first `WARM_S` seconds are left out. Written as JSON into
benchmarks/results/latency.json.

Not measured: the camera's own exposure and transfer, decoding (the pictures are raw files), several
cameras, the time until a broker or a PLC has the verdict. Viewers and broker run on the same cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.end_to_end import sim_frames
from benchmarks.outbox_chaos import HOST, Broker
from benchmarks.page_attack import Door, free_port, read_history, view
from edge_app.bundle.archive import read_bundle
from edge_app.history.schema import HISTORY_FILE
from edge_app.model.loaded_model import load_model
from edge_app.model.looks import look_at

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "latency.json"
PICTURES = 200
"""Rendered once and shown again and again."""
BUNDLE = ROOT / "edge_app" / "assets" / "demo-tapered.bundle"
WARM_S = 10.0
START_S = 60.0
QUANTILES = {"median": 50.0, "95 %": 95.0, "99 %": 99.0, "99.9 %": 99.9, "largest": 100.0}


def main() -> None:
    """Measure both arms, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--parts-per-s", type=float, default=20.0)
    parser.add_argument("--viewers", type=int, default=8)
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    found: dict[str, Any] = {
        "parts_per_s": args.parts_per_s, "seconds": args.seconds, "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0], "arms": {},
    }  # fmt: skip
    for viewers in (args.viewers, 0):
        with tempfile.TemporaryDirectory(prefix="latency-") as folder:
            arm = measured(Path(folder), args.seconds, args.parts_per_s, viewers)
        found["arms"][f"{viewers} viewers"] = arm
        Console(stderr=True).print(f"{viewers} viewers: {arm}")
    args.out.write_text(json.dumps(found, indent=1) + "\n")
    Console(width=110).print(table(found))


def measured(work: Path, seconds: float, parts_per_s: float, viewers: int) -> dict[str, Any]:
    """Return one arm's figures."""
    pictures = work / "pictures"
    pictures.mkdir()
    write_parts(pictures)
    broker, page_port = Broker(work), free_port()
    config = work / "edge-app.toml"
    config.write_text(configuration(work, broker.port, page_port, 1 / parts_per_s), "utf-8")
    command = [sys.executable, "-m", "edge_app.cli.main", "run", "--config", str(config)]
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with (work / "log").open("wb") as log:
        device = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        wait_for_parts(work, device)
        time.sleep(WARM_S)
        began_ns, cpu_s = time.time_ns(), cpu_of(device.pid)
        seen = asyncio.run(watch(page_port, viewers, seconds))
        took_s = cpu_of(device.pid) - cpu_s
    finally:
        device.send_signal(signal.SIGTERM)
        device.wait(30)
        broker.stop()
    return {**figures(work, began_ns, seconds), "core_share": round(took_s / seconds, 3), **seen}


def write_parts(folder: Path) -> None:
    """Write pictures of the belt that show one whole part, raw: a triggered camera's."""
    model, written = load_model(read_bundle(BUNDLE), 1), 0
    for frame in sim_frames(3 * PICTURES, options="seed=44&defect_rate=0.1"):
        if written < PICTURES and len(look_at(model, frame.pixels_hwc)) == 1:
            cv2.imwrite(str(folder / f"{written:04}.bmp"), frame.pixels_hwc)
            written += 1


def configuration(work: Path, broker_port: int, page_port: int, interval_s: float) -> str:
    """Return the device's TOML."""
    camera = f"folder:{work / 'pictures'}?loop=1&interval_s={interval_s}"
    return "\n".join([
        "[device]", 'site = "bench"', 'line = "l1"', 'device = "d1"',
        f'state_dir = "{work / "state"}"',
        "[bundle]", f'path = "{BUNDLE}"',
        "allow_unsigned = true",
        "[[camera]]", 'name = "cam1"', f'url = "{camera}"',
        "[mqtt]", f'host = "{HOST}"', f"port = {broker_port}",
        "[page]", f"port = {page_port}",
        "[runtime]", "threads = 1", 'backend = "onnxruntime"', "",
    ])  # fmt: skip


def wait_for_parts(work: Path, device: subprocess.Popen[bytes]) -> None:
    """Return once the first part is in the history.

    Raises:
        SystemExit: the device ended, or judged nothing in time.
    """
    end_s = time.monotonic() + START_S
    while time.monotonic() < end_s and device.poll() is None:
        with suppress(sqlite3.OperationalError):  # its tables are being made
            found = list((work / "state").rglob(HISTORY_FILE))
            if found and figures(work, 0, time.time())["parts"]:
                return
        time.sleep(0.5)
    raise SystemExit(f"The device judged nothing: {(work / 'log').read_text('utf-8')}")


async def watch(port: int, viewers: int, seconds: float) -> dict[str, Any]:
    """Look on for so long; return how many answers the viewers had."""
    door, done, end_s = Door(port), Counter[str](), time.monotonic() + seconds
    jobs = [view(door, end_s, done) for _ in range(viewers)]
    if viewers:
        jobs.append(read_history(door, end_s, done))
    await asyncio.gather(*jobs, asyncio.sleep(seconds))
    return {"answers": dict(sorted(done.items()))}


def figures(work: Path, began_ns: int, seconds: float) -> dict[str, Any]:
    """Return what the history says of the parts captured since then."""
    (file,) = (work / "state").rglob(HISTORY_FILE)
    asked = "SELECT state, latency_ms FROM parts WHERE captured_ns BETWEEN ? AND ?"
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as history:
        rows = history.execute(asked, (began_ns, began_ns + int(seconds * 1e9))).fetchall()
    if not rows:
        return {"parts": 0}
    latency_ms = np.array([row[1] for row in rows])
    return {
        "parts": len(rows),
        "states": dict(sorted(Counter(row[0] for row in rows).items())),
        "latency_ms": {
            n: round(float(np.percentile(latency_ms, q)), 1) for n, q in QUANTILES.items()
        },
    }


def cpu_of(pid: int) -> float:
    """Return the CPU seconds of a process and its descendants so far."""
    ticks = os.sysconf("SC_CLK_TCK")
    total = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        fields = _stat(stat)
        if fields and (int(stat.parent.name) == pid or pid in _ancestors(int(fields[1]))):
            total += (int(fields[11]) + int(fields[12])) / ticks
    return total


def _stat(stat: Path) -> list[str]:
    """Return a process's fields behind its name; none where it has ended."""
    try:
        return stat.read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _ancestors(pid: int) -> list[int]:
    found = []
    while pid > 1:
        found.append(pid)
        fields = _stat(Path(f"/proc/{pid}/stat"))
        pid = int(fields[1]) if fields else 0
    return found


def table(found: dict[str, Any]) -> Table:
    """Return the figures for people."""
    shown = Table(title=f"Capture to verdict, ms, {found['parts_per_s']:g} parts a second")
    for name in ("", "parts", *QUANTILES, "cores"):
        shown.add_column(name, justify="right" if name else "left")
    for name, arm in found["arms"].items():
        ms = (f"{v:.1f}" for v in arm["latency_ms"].values())
        shown.add_row(name, str(arm["parts"]), *ms, f"{arm['core_share']:.2f}")
    return shown


if __name__ == "__main__":
    if shutil.which("mosquitto", path=os.defpath + ":/usr/sbin") is None:
        raise SystemExit("This needs a mosquitto: apt-get install mosquitto.")
    main()
