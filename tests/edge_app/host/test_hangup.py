"""SIGHUP ends no service and none of their children; what it does is said in the log."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from support.app_config import EDGE_APP, running, write_config
from support.brokers import free_port, wait_until
from support.small_bundles import write_pictures


def lines_of(process: subprocess.Popen[str], last: str) -> str:
    """Return stderr up to a line that holds these words."""
    assert process.stderr is not None
    text = ""
    while last not in text:
        line = process.stderr.readline()
        assert line, text
        text += line
    return text


def test_inspection_checks_its_configuration(tmp_path: Path) -> None:
    """In order, then wrong; SIGTERM still ends it in order."""
    write_pictures(tmp_path / "in", 3, set())
    config = write_config(tmp_path, "folder:in?loop=1&interval_s=0.1", free_port())
    with running(config) as process:
        wait_until(lambda: (tmp_path / "state" / "last-good-config.json").exists(), 60)
        process.send_signal(signal.SIGHUP)
        lines_of(process, "is in order; restart the service to use it")
        config.write_text(config.read_text() + "\n[nonsense]\n")
        process.send_signal(signal.SIGHUP)
        assert "unknown table 'nonsense'" in lines_of(process, "goes on with the one it has")
        process.terminate()
        assert process.wait(30) == 0


def test_the_page_ignores_it_and_says_so(tmp_path: Path) -> None:
    """As a service of its own."""
    with subprocess.Popen(
        [EDGE_APP, "page", "--socket", str(tmp_path / "none.sock")],
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            status = Path(f"/proc/{process.pid}/status")
            wait_until(lambda: catches_hangup(status), 60)
            process.send_signal(signal.SIGHUP)
            lines_of(process, "SIGHUP is ignored")
            process.terminate()
            assert process.wait(30) == 0
        finally:
            process.kill()


def catches_hangup(status: Path) -> bool:
    caught = next(x for x in status.read_text().splitlines() if x.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) & 1 << (signal.SIGHUP - 1))


def test_a_drivers_process_ignores_it() -> None:
    """It is the parent's business, as SIGTERM is."""
    program = (
        "import signal, socket, os, edge_app.cameras.isolation.child as c; "
        "c.serve = lambda wire: print(repr(signal.getsignal(signal.SIGHUP)), flush=True); "
        "a, b = socket.socketpair(); c.main(b.fileno(), os.getppid())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert "SIG_IGN" in done.stdout
