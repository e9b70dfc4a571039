"""Throws generated requests at the API of a running device: schemathesis, phase "fuzzing".

    python3 -m venv /somewhere/sch && /somewhere/sch/bin/pip install schemathesis
    python -m benchmarks.api_fuzz --schemathesis /somewhere/sch/bin/schemathesis [--examples 30]

schemathesis is no dependency of the project: it brings nine packages. The device is real
(`edge-app run`, a line, history, audit, orders), the caller a program with the scope engineer, so
that what is allowed is carried out: cameras are paused, limits set, people made. Every answer must
be one of docs/openapi.json, in status, kind and shape; of those from 500 on only 503 is meant.
Prints how often each status came.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.page_attack import _answers, _wait, door_to, free_port, write_line
from edge_app.accounts.directory import Actor, Directory
from edge_app.accounts.people_file import PeopleFile
from edge_app.accounts.place import BY_HAND
from edge_app.accounts.roles import AccessRole

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance"
)
INTENDED = '[checks.not_a_server_error]\nexpected-statuses = ["2xx", "3xx", "4xx", "503"]\n'
DOCUMENT = Path(__file__).parents[1] / "docs" / "openapi.json"


def fuzz(schemathesis: str, folder: Path, port: int, examples: int, seed: int) -> int:
    """Run the phase against a page; return schemathesis' exit code: 0 for no finding."""
    people = Directory.of(PeopleFile(folder / "state" / BY_HAND))
    token = people.add_token(Actor("root", "root"), "fuzz", AccessRole.ENGINEER, 1)
    settings, seen = folder / "schemathesis.toml", folder / "seen.har"
    settings.write_text(INTENDED)
    command = [
        schemathesis, "--config-file", str(settings), "run", str(DOCUMENT),
        "--url", f"http://127.0.0.1:{port}", "-H", f"Authorization: Bearer {token}",
        "--phases", "fuzzing", "--max-examples", str(examples), "--seed", str(seed),
        "--checks", CHECKS, "--continue-on-failure", "--request-timeout", "20", "--no-color",
        "--report", "har", "--report-har-path", str(seen),
    ]  # fmt: skip
    status = subprocess.run(
        command, cwd=folder, env={**os.environ, "NO_PROXY": "127.0.0.1"}, check=False
    ).returncode
    answers = [e["response"]["status"] for e in json.loads(seen.read_text())["log"]["entries"]]
    print(
        json.dumps({"answers": len(answers), "by_status": dict(sorted(Counter(answers).items()))})
    )
    return status


def main() -> int:
    """Run a device and fuzz it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--schemathesis", required=True, help="the program")
    parser.add_argument("--examples", type=int, default=30, help="of each operation, at most")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="api-fuzz-") as name:
        folder, port = Path(name), free_port()
        config = write_line(folder, 1, port)
        config.write_text(config.read_text().replace("[mqtt]\n", "[mqtt]\nenabled = false\n"))
        command = [sys.executable, "-m", "edge_app.cli.main", "run", "--config", str(config)]
        with (folder / "run.log").open("w") as log:
            line = subprocess.Popen(command, stderr=log, stdout=log)
        try:
            _wait(lambda: _answers(door_to(port, is_tls=False)), 60)
            time.sleep(3)  # some parts are recorded
            return fuzz(args.schemathesis, folder, port, args.examples, args.seed)
        finally:
            line.terminate()
            line.wait(30)


if __name__ == "__main__":
    sys.exit(main())
