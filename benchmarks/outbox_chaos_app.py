"""The whole app as the device of `outbox_chaos`: a triggered line that does not wait for it.

    python -m benchmarks.outbox_chaos --parts 1000 --first 1 --pause-s 2 5 \\
        --device "python -m benchmarks.outbox_chaos_app {port} {state} {parts}"

The simulated line triggers in real time by the wall clock, whether the app lives or not, so every
kill costs parts, and those must turn up as a published gap. The threshold is set so low that every
judged part alarms.
"""

from __future__ import annotations

import os
import sys
import time
from importlib.resources import files
from pathlib import Path

TRIGGERS_PER_S = 8

CONFIG = """
[device]
site = "chaos"
line = "l1"
device = "d1"
state_dir = "{state}"
[bundle]
path = "{bundle}"
allow_unsigned = true
[[camera]]
name = "cam1"
url = "sim:tapered?mode=triggered&rate={rate}&epoch={epoch}&parts={parts}"
verdict_deadline_ms = 5000.0
[mqtt]
host = "127.0.0.1"
port = {port}
reconnect_max_s = 1.0
[page]
enabled = false
[evidence]
max_mb = 50
[threshold]
score_threshold = -1000000.0
reason = "chaos run: every judged part has to alarm"
[runtime]
threads = 1
log_level = "ERROR"
"""


def main() -> None:
    """Write the configuration once (the trigger's epoch must not move) and become the app."""
    port, state, parts = sys.argv[1:4]
    folder = Path(state)
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "edge-app.toml"
    if not config.exists():
        bundle = files("edge_app").joinpath("assets").joinpath("demo-tapered.bundle")
        text = CONFIG.format(
            state=folder,
            bundle=bundle,
            rate=TRIGGERS_PER_S,
            epoch=int(time.time()) + 4,
            parts=parts,
            port=port,
        )
        config.write_text(text)
    edge_app = Path(sys.executable).with_name("edge-app")
    os.execv(edge_app, [str(edge_app), "run", "--config", str(config)])


if __name__ == "__main__":
    main()
