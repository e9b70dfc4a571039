"""The demo as a person runs it: the installed command, the shipped bundle, a real subscriber."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from edge_app.demo import run as demo_run

EDGE_APP = str(Path(sys.executable).with_name("edge-app"))


def demo(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [EDGE_APP, "demo", *args], capture_output=True, text=True, timeout=200, check=False
    )


def test_a_headless_run_ends_with_one_json_object() -> None:
    """Forty parts of the test seed: every part has a verdict, defects are caught and received."""
    done = demo("--parts", "40", "--headless", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["parts"] == 40
    assert summary["not_inspected"] == 0
    assert summary["caught"] >= 1
    assert summary["alerts_received"] == summary["caught"] + summary["false_alarms"]
    assert summary["frames_per_second"] > 0
    assert set(summary["baseline"]) == {"method", "false_alarm_rate", "recall"}


def test_a_live_run_stops_by_itself() -> None:
    """With --seconds the demo with page and table ends with a summary and exit code 0."""
    done = demo("--seconds", "2", "--port", "0")
    assert done.returncode == 0, done.stderr
    assert "against its ground truth" in done.stdout
    assert "Live page" in done.stderr


def test_a_port_that_was_asked_for_is_never_replaced() -> None:
    """Taken: said at once, code 2. The usual one, which nobody asked for, is, and that is said."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        done = demo("--seconds", "2", "--port", str(port))
        assert done.returncode == 2
        assert f"--port {port} cannot be used: Address already in use" in done.stderr
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(demo_run, "USUAL_PORT", port)
            console = Console(file=StringIO())
            assert demo_run.page_port(None, console) not in (0, port)
            assert isinstance(console.file, StringIO)
            assert f"Port {port} cannot be used" in console.file.getvalue()


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--headless",), "--headless needs --parts or --seconds"),
        (("--bundle", "nowhere.bundle", "--parts", "1", "--headless"), "nowhere.bundle"),
    ],
)
def test_wrong_use_is_explained(args: tuple[str, ...], told: str) -> None:
    """Wrong use ends with code 2 and one sentence, not with a traceback."""
    done = demo(*args)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
