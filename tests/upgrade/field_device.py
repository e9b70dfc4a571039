"""A device as it stands in a factory: `edge-app run` and `edge-app agent` of a chosen version, on
one folder, with everything else only seen from outside: files, messages, exit codes.

Imports nothing of the product and nothing of the other tests: the fixtures' `make.py` uses it with
the release's code, the tests with the release's and with today's.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RELEASE = Path(__file__).parents[1] / "fixtures" / "release_0_1_0"
"""What was made by the code of release 0.1.0: tests/fixtures/release_0_1_0/README.md."""
RELEASE_COMMIT = "f7f7a26"
ENTRY = "edge_app.cli.main"
"""The module behind the command `edge-app` today."""
RELEASE_ENTRY = "edge_app.cli"
"""The same in release 0.1.0, for ever."""
SERVER = Path(__file__).with_name("command_server.py")
NOBODY_LISTENS = 1
"""A port that refuses connections: alerts wait on the disk."""
QUICK = "shadow_parts = 2\nprobation_parts = 2"
"""A new bundle earns its place within half a second of parts."""
ENDLESS_PROBATION = "shadow_parts = 0\nprobation_parts = 100000"
ENDLESS_COMPARISON = "shadow_parts = 100000\nprobation_parts = 2"
BY_HAND = 'shadow_parts = 2\nprobation_parts = 2\npromote = "hand"'
STRICT = "shadow_parts = 20\nprobation_parts = 2\nmax_disagreement = 0.0"
PATIENCE_S = 30.0


def wait_until(is_true: Callable[[], bool], what: str, timeout_s: float = PATIENCE_S) -> None:
    """Wait for a claim to become true; fail with `what` if it does not."""
    end_s = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < end_s, f"not within {timeout_s} s: {what}"
        time.sleep(0.02)


class Process:
    """One command that was started."""

    def __init__(self, pid: int, log: Path) -> None:
        self.pid, self.log = pid, log
        self._exit = Path(f"{log}.exit")

    @property
    def text(self) -> str:
        """What it has written to stdout and stderr."""
        return self.log.read_text() if self.log.exists() else ""

    @property
    def code(self) -> int | None:
        """Its exit code; negative for a signal; None while it runs."""
        try:
            text = self._exit.read_text()
        except FileNotFoundError:
            return None
        return int(text) if text else None

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait for the end and return the exit code."""
        if self.code is None:
            with suppress(ProcessLookupError):  # ended, and not yet written down
                os.kill(self.pid, number)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end and return the exit code; what hangs says where each thread is."""
        try:
            wait_until(lambda: self.code is not None, f"the end of {self.log.name}")
        except AssertionError as error:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGUSR2)
            time.sleep(0.5)
            raise AssertionError(f"{error}: {self.text[-5000:]}") from None
        assert self.code is not None
        return self.code


class Code:
    """One version of edge-app; use it as a context manager. Thread-safe.

    Args:
        root: holds the version's packages.
        entry: the module behind the command `edge-app`.
        logs: a folder for what commands write.

    Attributes:
        file: where the package was imported from.
        root: as given.
    """

    def __init__(self, root: Path, entry: str, logs: Path) -> None:
        self.root, self._entry, self._logs = root, entry, logs
        self._lock = threading.Lock()
        self._count = 0
        self.file = ""

    def __enter__(self) -> Code:
        environment = {k: v for k, v in os.environ.items() if k != "NOTIFY_SOCKET"}
        environment |= {"PYTHONPATH": str(self.root), "OMP_NUM_THREADS": "1"}
        self._server = subprocess.Popen(
            [sys.executable, str(SERVER), self._entry],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=self.root,  # the agent's trial process knows no PYTHONPATH
            env=environment,
        )
        self.file = self._answer()["file"]
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(10)
        self._server.stdout.close()

    def start(
        self,
        *argv: str,
        cut: tuple[Path, dict[str, Any]] | None = None,
        anew: bool = False,
        **environment: str,
    ) -> Process:
        """Start a command.

        Args:
            cut: a store, and how its disk stands when the process is to end as in a power cut.
            anew: as `python -m ENTRY` and not as a fork of what is imported already.
        """
        with self._lock:
            self._count += 1
            log = self._logs / f"{self._count:03d}-{argv[0]}.log"
            asked = {
                "argv": argv,
                "log": str(log),
                "exec": anew,
                "cut": cut and {"store": str(cut[0]), "wanted": cut[1]},
                "environment": environment,
            }
            assert self._server.stdin is not None
            self._server.stdin.write(json.dumps(asked) + "\n")
            self._server.stdin.flush()
            return Process(self._answer()["pid"], log)

    def _answer(self) -> Any:
        assert self._server.stdout is not None
        line = self._server.stdout.readline()
        assert line, f"no commands of {self.root}"
        return json.loads(line)


@dataclass
class FieldDevice:
    """A device's folder, and the processes that run on it.

    Args:
        folder: holds `edge-app.toml`, `state`, `store`, the folder `in` that one camera shows for
            ever and the folder `drop` that another one watches.
        code: the version that runs.
        anew: its commands are started as `python -m`; see `Code.start`.
    """

    folder: Path
    code: Code
    anew: bool = False
    run: Process | None = None
    agent: Process | None = None
    _started: list[Process] = field(default_factory=list)

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def config(self) -> Path:
        return self.folder / "edge-app.toml"

    # -- commands -------------------------------------------------------------------------------

    def command(self, *argv: str, **options: Any) -> Process:
        """Start a command with this device's configuration."""
        started = self.code.start(
            argv[0],
            "--config",
            str(self.config),
            *argv[1:],
            anew=options.pop("anew", self.anew),
            **options,
        )
        self._started.append(started)
        return started

    def start(self, agent_cut: dict[str, Any] | None = None, **environment: str) -> FieldDevice:
        """Start agent and inspection; the agent ends where the disk stands as in `agent_cut`."""
        cut = agent_cut and (self.store, agent_cut)
        self.agent = self.command("agent", cut=cut, anew=self.anew and not cut)
        self.start_run(**environment)
        wait_until(lambda: (self.folder / "agent.sock").exists(), f"a socket: {self.agent.text}")
        return self

    def start_run(self, **environment: str) -> None:
        """Start inspection."""
        self.run = self.command("run", **environment)

    def install(self, bundle: Path) -> Process:
        """Have the agent install a file; the command goes on by itself."""
        return self.command("install", str(bundle))

    def stop(self) -> None:
        """Stop both as systemd does; each must say that all is well."""
        for process in (self.agent, self.run):
            if process is not None and process.code is None:
                assert process.end() == 0, process.text
        self.cut_off()

    def cut_off(self) -> None:
        """End everything as a power cut does."""
        for process in self._started:
            process.end(signal.SIGKILL)
        self.run = self.agent = None
        self._started.clear()
        (self.folder / "agent.sock").unlink(missing_ok=True)

    # -- the disk -------------------------------------------------------------------------------

    def set(self, port: int | None = None, slot: str | None = None) -> None:
        """Change the broker's port, or the rules of the slot, in the configuration."""
        text = self.config.read_text()
        if port is not None:
            text = re.sub(r"(?m)^port = \d+$", f"port = {port}", text)
        if slot is not None:
            text = re.sub(r"(?ms)^shadow_parts.*\Z", f"{slot}\n", text)
        self.config.write_text(text)

    def put_picture(self, kind: str = "bad") -> str:
        """Give the watched folder one more picture, whole at once; return its name."""
        drop = self.folder / "drop"
        name = f"{len(list(drop.glob('*.png'))) + 1:04d}.png"
        shutil.copyfile(RELEASE / "pictures" / f"{kind}.png", drop / f".{name}")
        (drop / f".{name}").rename(drop / name)
        return name

    def link(self, name: str, slot: str = "main") -> str | None:
        """Return the digest that a link of the slot names: "active", "installed/alpha.bundle"."""
        try:
            return (self.store / "slots" / slot / name).readlink().name.removesuffix(".bundle")
        except FileNotFoundError:
            return None

    def record(self, slot: str = "main") -> dict[str, Any] | None:
        """Return what is going on in the slot; None when nothing is."""
        try:
            return dict(json.loads((self.store / "state" / f"intent-{slot}.json").read_bytes()))
        except FileNotFoundError:
            return None

    def evidence(self) -> list[Path]:
        """Return the pictures that were kept of bad parts."""
        return sorted((self.folder / "state" / "evidence").glob("*/*.jpg"))

    def outbox(self) -> tuple[list[dict[str, Any]], int]:
        """Return the alerts that wait, each with its `seq`, and the next number; read from a copy,
        for reading alone folds the write-ahead log back."""
        with tempfile.TemporaryDirectory() as copy:
            for path in (self.folder / "state").glob("outbox.sqlite*"):
                if path.suffix != ".reserve":
                    shutil.copy(path, copy)
            with closing(sqlite3.connect(Path(copy) / "outbox.sqlite")) as file:
                rows = file.execute("SELECT seq, body FROM alerts ORDER BY seq").fetchall()
                (last,) = file.execute("SELECT value FROM meta WHERE name = 'next_seq'").fetchone()
        return [{**json.loads(body), "seq": seq} for seq, body in rows], int(last)


def phases() -> list[str]:
    """Return the names of the release's states of a device."""
    return sorted(path.name for path in (RELEASE / "phases").iterdir())


def restore(phase: str, folder: Path) -> Path:
    """Lay a state of the release's out as a device's folder, and return that.

    What git does not keep is given back: empty folders, the outbox's reserve, and the times by
    which the watching camera knows the pictures that it has shown.
    """
    shutil.copytree(RELEASE / "phases" / phase, folder, symlinks=True)
    for name in json.loads((RELEASE / "empty_folders.json").read_text()).get(phase, ()):
        (folder / name).mkdir(parents=True, exist_ok=True)
    if (folder / "state" / "outbox.sqlite").exists():
        (folder / "state" / "outbox.sqlite.reserve").write_bytes(bytes(1 << 20))
    journal = folder / "drop" / ".edge-app-watch.jsonl"
    for line in journal.read_text().splitlines() if journal.exists() else ():
        _, name, mtime_ns = json.loads(line)
        if (folder / "drop" / name).exists():
            os.utime(folder / "drop" / name, ns=(mtime_ns, mtime_ns))
    furnish(folder)
    return folder


def furnish(folder: Path) -> None:
    """Give a device's folder its configuration, keys and cameras."""
    shutil.copy(RELEASE / "edge-app.toml", folder)
    for name in ("keys", "operators"):
        shutil.copytree(RELEASE / name, folder / name, dirs_exist_ok=True)
    for name in ("in", "drop"):
        (folder / name).mkdir(exist_ok=True)
    for number in range(3):
        shutil.copy(RELEASE / "pictures" / "good.png", folder / "in" / f"{number}.png")


@contextmanager
def device(folder: Path, code: Code, anew: bool = False) -> Iterator[FieldDevice]:
    """Return a device that is cut off at the end, whatever happens."""
    found = FieldDevice(folder, code, anew)
    try:
        yield found
    finally:
        found.cut_off()
