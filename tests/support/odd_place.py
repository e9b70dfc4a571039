"""Runs commands of the product in a place that is not as it should be; see test_odd_places.py.

Use: odd_place.py FOLDER UMASK RIGHTS < COMMANDS. FOLDER takes the outputs, RIGHTS "none" takes
root's right to read and write everywhere away. COMMANDS is a JSON list of argument lists, each with
the program first. Prints a JSON list of [exit code, output, errors].
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path

import calibration.cli.main
import deploy.cli.main
import edge_app.cli.main

MAINS = {
    "edge-app": edge_app.cli.main.main,
    "edge-calibrate": calibration.cli.main.main,
    "edge-deploy": deploy.cli.main.main,
}
PATIENCE_S = 60.0
SHOWN = "pictures shown"
"""What `edge-app run` says of a folder at its end."""
PR_CAPBSET_DROP = 24
DAC_OVERRIDE, DAC_READ_SEARCH = 1, 2


def without_rights() -> None:
    """Start this program again without root's right to pass over the rights of files."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in (DAC_OVERRIDE, DAC_READ_SEARCH):
        if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
    os.environ["ODD_PLACE_HAS_NO_RIGHTS"] = "1"
    os.execv(sys.executable, [sys.executable, *sys.argv])


def carry_out(words: list[str], out: Path) -> tuple[int, str, str]:
    """Run one command in a process of its own; one that would run for ever is ended in time."""
    names = [out / "stdout", out / "stderr"]
    files = [os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600) for name in names]
    child = os.fork()
    if child == 0:
        os.dup2(files[0], 1)
        os.dup2(files[1], 2)
        sys.argv = words
        try:
            code = MAINS[words[0]](words[1:])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    for file in files:
        os.close(file)
    end_s, is_told = time.monotonic() + PATIENCE_S, False
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if not is_told and SHOWN in names[1].read_text(errors="replace"):
            os.kill(child, signal.SIGTERM)
            is_told = True
        if time.monotonic() > end_s:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.02)
    printed, complained = (name.read_bytes().decode("utf-8", "backslashreplace") for name in names)
    return os.waitstatus_to_exitcode(status), printed, complained


if __name__ == "__main__":
    if sys.argv[3] == "none" and os.geteuid() == 0 and "ODD_PLACE_HAS_NO_RIGHTS" not in os.environ:
        without_rights()
    os.umask(int(sys.argv[2], 8))
    place = Path(sys.argv[1])
    ended = [carry_out(words, place) for words in json.load(sys.stdin)]
    assert sys.__stdout__ is not None
    sys.__stdout__.buffer.write(json.dumps(ended).encode())
