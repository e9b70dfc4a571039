"""The separate process in which a new bundle is tried first.

A bundle that crashes, hangs, exhausts the memory or returns NaN does so here, not in inspection:

    python -m edge_app.agent.install.trial_process BUNDLE MAX_BYTES MEMORY_BYTES CPU_S

prints one JSON line.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from edge_app.errors import BundleError, EdgeError

NICENESS = 10
"""The trial has lower priority than the line: it has minutes, a part has milliseconds."""

POLL_S = 0.1


class Stopped(EdgeError):
    """The agent is to end: the trial was aborted and says nothing about the bundle."""


class CheckResult(BaseModel):
    """What the trial found.

    Attributes:
        reason: why the bundle is refused; "" when it passed.
        memory_mb: the most the process had in memory.
        latency_ms: median of a golden picture; None when none was judged.
    """

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    reason: str
    pictures: int = 0
    memory_mb: int = 0
    latency_ms: float | None = None


@dataclass(frozen=True, slots=True)
class CheckLimits:
    """What the trial may use: bundle and address space in bytes, times in seconds."""

    bundle_bytes: int
    memory_bytes: int
    cpu_s: int
    wall_s: float


def self_check(
    file: Path, limits: CheckLimits, is_stopping: Callable[[], bool] = lambda: False
) -> CheckResult:
    """Try a verified bundle in a process of its own and return the result.

    Raises:
        BundleError: it crashed, hung, took too much, or did not come out as expected.
        Stopped: the agent is to end.
    """
    numbers = (limits.bundle_bytes, limits.memory_bytes, limits.cpu_s)
    command = [
        sys.executable,
        "-m",
        "edge_app.agent.install.trial_process",
        str(file),
        *map(str, numbers),
    ]
    environment = {k: v for k, v in os.environ.items() if k in ("PATH", "LD_LIBRARY_PATH")}
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )
    try:
        return _outcome(child, limits, is_stopping)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()


def _outcome(
    child: subprocess.Popen[bytes], limits: CheckLimits, is_stopping: Callable[[], bool]
) -> CheckResult:
    output = _wait(child, limits.wall_s, is_stopping)
    if child.returncode < 0:
        name = signal.Signals(-child.returncode).name
        hint = f" (more than {limits.cpu_s} s of CPU time)" if name == "SIGXCPU" else ""
        raise BundleError(f"self-check failed: the trial process died of {name}{hint}.")
    try:
        result = CheckResult.model_validate_json(output.splitlines()[-1] if output else b"")
    except ValidationError as error:
        raise BundleError(
            f"self-check failed: the trial process ended with code {child.returncode} and no "
            "result; most likely it ran out of its memory (agent.check_memory_mb)."
        ) from error
    if result.reason:
        raise BundleError(f"self-check failed: {result.reason}")
    return result


def _wait(child: subprocess.Popen[bytes], wall_s: float, is_stopping: Callable[[], bool]) -> bytes:
    end_s = time.monotonic() + wall_s
    while True:
        try:
            return child.communicate(timeout=POLL_S)[0]
        except subprocess.TimeoutExpired:
            if is_stopping():
                raise Stopped("the agent ends; the self-check was aborted.") from None
            if time.monotonic() > end_s:
                raise BundleError(
                    f"self-check failed: the trial process did not end within {wall_s:g} s "
                    "(agent.check_wall_s)."
                ) from None


def _limit(memory_bytes: int, cpu_s: int) -> None:
    """Let the kernel hold this process to its limits, and die with no core file."""
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 5))  # SIGXCPU, then SIGKILL


def _try_bundle(file: Path, max_bytes: int) -> CheckResult:
    from edge_app.bundle.archive import BundleLimits, read_bundle
    from edge_app.model.golden_check import check_golden
    from edge_app.model.loaded_model import load_model

    try:
        bundle = read_bundle(file, BundleLimits(max_bytes=max_bytes))
        golden = check_golden(load_model(bundle), bundle)
    except EdgeError as error:
        return CheckResult(reason=str(error))
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return CheckResult(
        reason=golden.reason,
        pictures=golden.pictures,
        memory_mb=peak_kb >> 10,
        latency_ms=golden.latency_ms,
    )


def main(arguments: Sequence[str]) -> int:
    """Try the bundle and print the result."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # `systemctl kill -s HUP` means the agent
    file, max_bytes, memory_bytes, cpu_s = arguments
    _limit(int(memory_bytes), int(cpu_s))
    try:
        result = _try_bundle(Path(file), int(max_bytes))
    except MemoryError:
        result = CheckResult(reason="it needs more memory than agent.check_memory_mb allows")
    print(json.dumps(result.model_dump()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
