"""The installed app with a configuration of its own: small tables, a real file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from support.brokers import HOST
from support.small_bundles import write_bright_bundle

EDGE_APP = str(Path(sys.executable).with_name("edge-app"))
ROOT = "inspect/v1/graz/l2/d3"
"""Where this device publishes."""


def write_config(
    folder: Path,
    cameras: str | Mapping[str, str],
    broker_port: int,
    *,
    camera: str = "",
    mqtt: str = "",
    more: str = "",
) -> Path:
    """Write a bundle that judges by brightness and a configuration; return the latter's path.

    Args:
        cameras: the address of camera cam1, or each camera's name and address.
        camera: further lines of every camera's table.
        mqtt: further lines of the broker's table.
        more: further tables.
    """
    write_bright_bundle(folder / "a.bundle")
    named = {"cam1": cameras} if isinstance(cameras, str) else cameras
    tables = "".join(f'[[camera]]\nname = "{n}"\nurl = "{u}"\n{camera}\n' for n, u in named.items())
    config = folder / "edge-app.toml"
    config.write_text(
        f"""
[device]
site = "graz"
line = "l2"
device = "d3"
state_dir = "state"
[bundle]
path = "a.bundle"
allow_unsigned = true
{tables}
[mqtt]
host = "{HOST}"
port = {broker_port}
reconnect_max_s = 1.0
{mqtt}
[page]
enabled = false
[outbox]
reserve_mb = 1
{more}
"""
    )
    return config


def edge_app(*args: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command to its end."""
    return subprocess.run(
        [EDGE_APP, *args], capture_output=True, text=True, timeout=60, check=False
    )


@contextmanager
def running(config: Path) -> Iterator[subprocess.Popen[str]]:
    """Start `edge-app run` and kill it at the end if it is still there."""
    process = subprocess.Popen(
        [EDGE_APP, "run", "--config", str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
