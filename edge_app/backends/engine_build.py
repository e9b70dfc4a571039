"""Building engines beside a running inspection: in a child process of low priority.

A builder that crashes, hangs or exhausts memory ends the child, never inspection.
`python -m edge_app.backends.engine_build` is that child, not a command for users.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from edge_app.backends.engine_cache import EngineCache, EngineKey, Entry
from edge_app.backends.tensorrt_build import EngineOptions, Progress, build_engine
from edge_app.errors import ModelError

NICENESS = 15
"""Of the child: inspection's threads always go first."""

OOM_SCORE = 500
"""Of the child, -1000 to 1000: when memory is short the kernel kills it before inspection."""

NOT_BY_DEFAULT = {("tensorrt_rtx", "7.5"), ("tensorrt_rtx_bindings", "7.5")}
"""TensorRT-RTX's engines run on Ampere and later; Turing has to be named (its "CPU-Only AOT")."""

PROGRESS_EVERY_S = 0.5

BUILD_TIMEOUT_S = 1800.0
"""Three times the 9.5 minutes reported elsewhere for a first build on a Jetson."""


def build_into(
    cache: EngineCache,
    key: EngineKey,
    graph: str,
    model: bytes,
    *,
    progress: Progress,
    timeout_s: float,
    workspace_mb: int | None = None,
    compute_capability: str | None = None,
) -> Entry:
    """Build one engine in a child process and store it.

    Args:
        graph: its name, for people.
        timeout_s: then the child is killed.

    Raises:
        ModelError: the build failed, was killed or took too long.
    """
    if compute_capability is None and (key.library, key.compute_capability) in NOT_BY_DEFAULT:
        compute_capability = "SM" + key.compute_capability.replace(".", "")
    options = EngineOptions(
        key.max_batch, key.precision != "fp32", compute_capability, workspace_mb
    )
    timing = cache.timing_cache_file(key)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cropliq-engine-") as scratch:
        folder = Path(scratch)
        (folder / "model.onnx").write_bytes(model)
        (folder / "options.json").write_text(json.dumps(asdict(options)), encoding="utf-8")
        if timing.is_file():
            (folder / "timing").write_bytes(timing.read_bytes())
        _run_child(folder, graph, progress, timeout_s)
        plan = (folder / "plan").read_bytes()
        entry = cache.store(key, graph, plan, time.monotonic() - started)
        learnt = (folder / "timing").read_bytes() if (folder / "timing").is_file() else b""
    if learnt:
        cache.store_timings(key, learnt)
    return entry


def _run_child(folder: Path, graph: str, progress: Progress, timeout_s: float) -> None:
    command = [sys.executable, "-m", "edge_app.backends.engine_build", str(folder)]
    with (folder / "stderr").open("w+b") as errors:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        timer = threading.Timer(timeout_s, child.kill)
        timer.start()
        try:
            failure = _listen(child, progress)
            code = child.wait()
        finally:
            is_late = not timer.is_alive()
            timer.cancel()
            child.kill()
            child.wait()
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip().splitlines()
    if code == 0:
        return
    if is_late:
        raise ModelError(
            f"Building the {graph}'s engine took longer than {timeout_s:.0f} s and was stopped. "
            "Give it more time with --timeout-s; a first build takes minutes on a Jetson."
        )
    if failure:
        raise ModelError(failure)
    raise ModelError(
        f"The process that built the {graph}'s engine ended with code {code}"
        f"{' (killed: too little memory?)' if code == -9 else ''}: {' '.join(said[-2:])}. "
        "Build it while inspection is stopped, or set --workspace-mb."
    )


def _listen(child: subprocess.Popen[str], progress: Progress) -> str:
    """Pass the child's progress on until it ends; return its error message, if any."""
    failure = ""
    assert child.stdout is not None  # a pipe, by the call above
    with child.stdout as lines:
        for line in lines:
            try:
                message = json.loads(line)
            except (ValueError, RecursionError):
                continue  # a library's own output
            if not isinstance(message, dict):
                continue
            if "error" in message:
                failure = str(message["error"])
            elif "phase" in message:
                progress(message["phase"], message["share"])
    return failure


class _Reporter:
    """Writes progress as JSON lines, a few a second at most."""

    def __init__(self) -> None:
        self._last_s = 0.0

    def __call__(self, phase: str, share: float) -> None:
        now_s = time.monotonic()
        if now_s - self._last_s >= PROGRESS_EVERY_S:
            self._last_s = now_s
            print(json.dumps({"phase": phase, "share": round(share, 3)}), flush=True)


def child_main(folder: Path) -> int:
    """Build the graph in `folder`; return the exit code."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # `systemctl kill -s HUP` means the service
    with suppress(OSError):  # a sandbox may forbid it: a slower line is better than no engine
        os.nice(NICENESS)
    with suppress(OSError):  # a container may forbid it
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))
    options = EngineOptions(**json.loads((folder / "options.json").read_text(encoding="utf-8")))
    timing = folder / "timing"
    known = timing.read_bytes() if timing.is_file() else b""
    try:
        built = build_engine((folder / "model.onnx").read_bytes(), options, known, _Reporter())
    except ModelError as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return 1
    (folder / "plan").write_bytes(built.plan)
    if built.timing_cache:
        timing.write_bytes(built.timing_cache)
    return 0


if __name__ == "__main__":
    raise SystemExit(child_main(Path(sys.argv[1])))
