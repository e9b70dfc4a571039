"""One side of `start`: `edge-app run` in this process, which says what it has taken at each stage.

    python start_side.py CONFIG SECONDS

Nothing of the product is imported before it is told to start. Prints one JSON object a stage, and
ends SECONDS after the first verdict. Runs with this code or with an earlier release's in front of
it on the path, whose command has another module.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

LAST = "at the end"

JUDGED = ("OK", "NG")
"""A part that was not inspected, as of a picture without one, has cost no inspector."""


class Stages:
    """Prints what the process has taken so far, each stage once; what that takes is left out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: set[str] = set()
        self._own_s = 0.0

    def mark(self, stage: str) -> None:
        """Tell that a stage has been reached."""
        with self._lock:
            if stage in self._told:
                return
            self._told.add(stage)
            cpu_s = time.process_time()
            print(json.dumps({"stage": stage, "cpu_s": cpu_s - self._own_s, **memory()}))
            sys.stdout.flush()
            self._own_s += time.process_time() - cpu_s

    def after(self, stage: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with a mark at its end."""

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            found = work(*args, **kwargs)
            self.mark(stage)
            return found

        return wrapped


def memory() -> dict[str, float]:
    """Return resident, proportional and private memory, and the most that was resident, in MiB."""
    found = {}
    for name in ("smaps_rollup", "status"):
        for line in Path(f"/proc/self/{name}").read_text(encoding="ascii").splitlines():
            words = line.split()
            if words[-1] == "kB":
                found[words[0].rstrip(":")] = int(words[1]) / 1024
    return {
        "rss_mb": found["Rss"],
        "pss_mb": found["Pss"],
        "private_mb": found["Private_Clean"] + found["Private_Dirty"],
        "peak_mb": found["VmHWM"],
    }


def main() -> None:
    """Run until SECONDS after the first verdict."""
    config, seconds = sys.argv[1], float(sys.argv[2])
    stages = Stages()
    stages.mark("interpreter")

    def imported(app: Any) -> None:
        stages.mark("imports")
        watch(app, stages, seconds)

    sys.meta_path.insert(0, OnImport("edge_app.app", imported))
    raise SystemExit(command()(["run", "--config", config]))


class OnImport(MetaPathFinder):
    """Calls back with a module as soon as the command has imported it, at its usual time."""

    def __init__(self, name: str, then: Callable[[Any], None]) -> None:
        self._name, self._then = name, then

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """See MetaPathFinder; other modules are none of its business."""
        if name != self._name:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def executed(module: Any) -> None:
                execute(module)
                self._then(module)

            spec.loader.exec_module = executed  # type: ignore[method-assign]
        return spec


def command() -> Callable[[list[str]], int]:
    """Return the command, wherever this release has it."""
    for name in ("edge_app.cli.main", "edge_app.cli"):
        try:
            found = importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        if hasattr(found, "main"):
            work: Callable[[list[str]], int] = found.main
            return work
    raise SystemExit("no edge-app command is here")


def is_judged(report: Any) -> bool:
    """Tell whether a picture's report has a part that was found good or bad."""
    return any(part.state.name in JUDGED for part in report.finished)


def watch(app: Any, stages: Stages, seconds: float) -> None:
    """Have the app tell its stages: what it was made of, and its first verdict."""

    def seen(report: Any) -> None:
        if is_judged(report):
            stages.mark("first verdict")
            app.EdgeApp.first_verdict.set()

    def end() -> None:
        app.EdgeApp.first_verdict.wait()
        time.sleep(seconds)
        stages.mark(LAST)
        os.kill(os.getpid(), signal.SIGTERM)

    class Watched(app.EdgeApp):  # type: ignore[misc]
        """The app, with marks."""

        first_verdict = threading.Event()

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            stages.mark("configuration")
            opened: Any = sys.modules.get("edge_app.model.open_for_device")
            if opened is not None:
                opened.read_bundle = stages.after("bundle read", opened.read_bundle)
            super().__init__(*args, **kwargs, observers=[seen])
            stages.mark("model loaded")
            threading.Thread(target=end, name="end", daemon=True).start()

    app.EdgeApp = Watched


if __name__ == "__main__":
    main()
