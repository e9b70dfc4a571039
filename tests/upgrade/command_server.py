"""Starts the commands of one version of edge-app, each in a process of its own.

Usage: command_server.py ENTRY, in the folder that holds the version's packages. Each line on stdin
is a JSON object `{"argv", "log", "exec", "cut", "environment"}`, each line on stdout the pid.

Everything is imported once and commands are forked from it: an import costs two seconds, and a
test of twenty devices needs forty processes. With `exec` the command is started anew as
`python -m ENTRY` instead. `cut` ends the process as a power cut does, at the first file operation
below a store at which the disk stands as described (see `holds`): no version has to be changed for
that, Python's own audit events tell of every open, rename, link and removal.

`{log}.exit` holds the exit code once the process has ended.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import json
import os
import pkgutil
import signal
import sys
import threading
from pathlib import Path
from typing import Any

OPERATIONS = frozenset({"open", "os.rename", "os.remove", "os.symlink"})
_guard = threading.local()


def holds(store: Path, wanted: dict[str, Any], slot: str = "main") -> bool:
    """Tell whether a store's disk stands as described; only what docs/activation.md names is read.

    Args:
        wanted: `phase`, `kind`, `crashes`: of the slot's record; `active`, `previous`: the digest
            that a link names; `serials`: product → highest serial committed; `releases`: so many
            bundles; `starts`: of the pointer's bundle; `exists`: a pattern below the store.
    """
    record = _json(store / "state" / f"intent-{slot}.json")
    found: dict[str, Any] = {key: record.get(key) for key in ("phase", "kind", "crashes")}
    found |= {name: _link(store / "slots" / slot / name) for name in ("active", "previous")}
    found["starts"] = _json(store / "state" / f"pointer-{slot}.json").get("starts")
    found["serials"] = _json(store / "state" / "serials.json")
    found["releases"] = len(list((store / "releases").glob("*.bundle")))
    pattern = wanted.get("exists")
    if pattern is not None and not any(store.glob(pattern)):
        return False
    return all(found[key] == value for key, value in wanted.items() if key != "exists")


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError):
        return {}


def _link(path: Path) -> str | None:
    try:
        return path.readlink().name.removesuffix(".bundle")
    except OSError:
        return None


def cut_when(store: Path, wanted: dict[str, Any]) -> None:
    """End this process at its next file operation below the store once the disk stands so."""
    below = f"{store}{os.sep}"

    def hook(event: str, args: tuple[object, ...]) -> None:
        if event not in OPERATIONS or getattr(_guard, "is_on", False):
            return
        if not str(args[0]).startswith(below):
            return
        _guard.is_on = True
        try:
            if holds(store, wanted):
                os._exit(137)
        finally:
            _guard.is_on = False

    sys.addaudithook(hook)


def _import_all(entry: str) -> None:
    """Import the entry and every module beside it, but for the cameras' drivers."""
    package = importlib.import_module(entry.partition(".")[0])
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if "drivers" not in module.name and not module.name.endswith("__main__"):
            with contextlib.suppress(ImportError):
                importlib.import_module(module.name)


def _be_command(entry: str, asked: dict[str, Any]) -> int:
    os.environ.update(asked["environment"])
    null = os.open(os.devnull, os.O_RDONLY)
    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for target, source in ((0, null), (1, log), (2, log)):
        os.dup2(source, target)
    faulthandler.register(signal.SIGUSR2)  # what hangs says where
    if asked["exec"]:
        os.execv(sys.executable, [sys.executable, "-m", entry, *asked["argv"]])
    if asked["cut"]:
        cut_when(Path(asked["cut"]["store"]), asked["cut"]["wanted"])
    code = importlib.import_module(entry).main(asked["argv"])
    sys.stdout.flush()
    return int(code)


def _start(entry: str, asked: dict[str, Any]) -> int:
    """Fork the command below a process that writes down how it ended; return the command's pid."""
    said, say = os.pipe()
    if os.fork() == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        pid = os.fork()
        if pid == 0:
            os.close(say)
            code = 1
            try:
                code = _be_command(entry, asked)
            finally:
                os._exit(code)
        os.write(say, str(pid).encode())
        os.close(say)
        _, status = os.waitpid(pid, 0)
        Path(asked["log"] + ".exit").write_text(str(os.waitstatus_to_exitcode(status)))
        os._exit(0)
    os.close(say)
    with os.fdopen(said) as file:
        return int(file.read())


def main(entry: str) -> None:
    """Answer until stdin ends."""
    _import_all(entry)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    package = sys.modules[entry.partition(".")[0]]
    print(json.dumps({"file": package.__file__}), flush=True)
    for line in iter(sys.stdin.readline, ""):
        print(json.dumps({"pid": _start(entry, json.loads(line))}), flush=True)


if __name__ == "__main__":
    sys.path[0] = str(Path.cwd())
    main(sys.argv[1])
