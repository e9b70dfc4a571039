"""What an attack on the live page costs the inspection beside it.

    python -m benchmarks.page_attack [--seconds 60]
    python -m benchmarks.page_attack --readers
    python -m benchmarks.page_attack --tls

Inspection (`edge-app run`, a process) judges pictures, every fourth part bad, and reports over a
real broker connection; its page is a process of its own. Without the token, an attacker opens 1,100
idle connections and opens them again when it is hung up on, sends 80,000 requests for another
protocol (upgrade), drips request bodies; 120 viewers ask for pictures. Then the same again without
an attack, with processes beside it that burn as much processor time as attacker and page did. What
counts: alerts delivered of parts judged bad, descriptors and memory of inspection, lines of log,
and the latency of a verdict in both.

`--readers` does what a plant does on a busy day in the attack's place: eight viewers, of whom each
asks for pictures and for pages of the history, and an export of the history that begins again and
again.

`--tls`: the page speaks TLS. Every second idle connection says nothing, so that its handshake never
begins; the others shake hands and say nothing then. Everything else goes through TLS.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from edge_app.demo.broker import EmbeddedBroker

HOST = "127.0.0.1"
CAUSE = re.compile(r"\b(?:DEBUG|INFO|WARNING|ERROR) [\w.]+: .{0,40}")
"""A log line's level, logger and first words, whether or not a time stands before them; numbers in
them (addresses, counts) make no other cause."""
UPGRADE = (
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
)
ANSWERED = b'{"page":"ok"}'
SLOW_BODY = (
    b"POST /api/select HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 4000\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Door:
    """Where the page is: its port, and how TLS is spoken there; None: plain HTTP."""

    port: int
    tls: ssl.SSLContext | None = None

    async def open(
        self, is_silent: bool = False
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect; silent: without a handshake."""
        tls = None if is_silent else self.tls
        return await asyncio.open_connection(HOST, self.port, ssl=tls)


def door_to(port: int, is_tls: bool) -> Door:
    """Return the way to a page whose own certificate nobody has compared."""
    if not is_tls:
        return Door(port)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return Door(port, context)


@dataclass(frozen=True, slots=True)
class Attack:
    """How many of each."""

    idle: int = 1100
    viewers: int = 120
    upgrades: int = 80_000
    slow_bodies: int = 50

    async def work(self, door: Door, seconds: float, _config: Path) -> Counter[str]:
        """Do all of it at once for so long; return what was done."""
        return await attack(door, self, seconds)


@dataclass(frozen=True, slots=True)
class Readers:
    """Eight people, and somebody's export."""

    viewers: int = 8

    async def work(self, door: Door, seconds: float, config: Path) -> Counter[str]:
        """Do all of it at once for so long; return what was done."""
        done: Counter[str] = Counter()
        end_s = time.monotonic() + seconds
        await asyncio.gather(
            *(view(door, end_s, done) for _ in range(self.viewers)),
            *(read_history(door, end_s, done) for _ in range(self.viewers)),
            _exports(config, end_s, done),
        )
        return done


@dataclass(slots=True)
class Heard:
    """What a subscriber heard: bad parts by result, alerts of new alarms, latencies."""

    bad_parts: set[str] = field(default_factory=set)
    alerted: set[str] = field(default_factory=set)
    seqs: list[int] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)

    def take(self, topic: str, body: dict[str, Any]) -> None:
        """Note one message."""
        if topic.endswith("/result"):
            self.latencies_ms.append(float(body["latency_ms"]))
            if body["verdict"] == "NG":
                self.bad_parts.add(body["part_id"])
        elif topic.endswith("/alert"):
            self.seqs.append(int(body["seq"]))
            if body["part_id"]:
                self.alerted.add(body["part_id"])


async def attack(door: Door, much: Attack, seconds: float) -> Counter[str]:
    """Do all of it at once for so long; return what was done."""
    done: Counter[str] = Counter()
    end_s = time.monotonic() + seconds
    shares = 8
    jobs: list[Awaitable[None]] = [
        *(_again(_idle, door, end_s, done, n % 2 == 0) for n in range(much.idle)),
        *(view(door, end_s, done) for _ in range(much.viewers)),
        *(_again(_slow_body, door, end_s, done) for _ in range(much.slow_bodies)),
        *(_upgrades(door, end_s, done, much.upgrades // shares) for _ in range(shares)),
    ]
    await asyncio.gather(*jobs)
    return done


Client1 = Callable[
    [asyncio.StreamReader, asyncio.StreamWriter, float, "Counter[str]"], Awaitable[None]
]


async def view(door: Door, end_s: float, done: Counter[str]) -> None:
    """Look at the newest picture, again and again, as the page does."""
    await _again(_viewer, door, end_s, done)


async def read_history(door: Door, end_s: float, done: Counter[str]) -> None:
    """Turn the pages of the history, from the newest part on."""
    await _again(_reader, door, end_s, done)


async def _again(
    client: Client1, door: Door, end_s: float, done: Counter[str], is_silent: bool = False
) -> None:
    """Connect again whenever the page hangs up."""
    while time.monotonic() < end_s:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.TimeoutError):
            reader, writer = await door.open(is_silent)
            try:
                await client(reader, writer, end_s, done)
            finally:
                writer.close()
        await asyncio.sleep(0.2)


async def _idle(
    reader: asyncio.StreamReader, _w: asyncio.StreamWriter, end_s: float, done: Counter[str]
) -> None:
    done["idle connections"] += 1
    await asyncio.wait_for(reader.read(1), max(0.1, end_s - time.monotonic()))


async def _viewer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, end_s: float, done: Counter[str]
) -> None:
    """Ask as the page's script does, and read the answer."""
    while time.monotonic() < end_s:
        writer.write(b"GET /frame/cam1.jpg?map=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
        await asyncio.wait_for(reader.readexactly(int(fields.get(b"content-length", 0))), 10)
        done[f"viewers' answers {head.split()[1].decode()}"] += 1
        await asyncio.sleep(0.08)


async def _reader(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, end_s: float, done: Counter[str]
) -> None:
    """Turn the pages of the history, from the newest part on."""
    asked = "/api/v1/parts?limit=100"
    while time.monotonic() < end_s:
        writer.write(f"GET {asked} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
        length = int(fields.get(b"content-length", 0))
        body = json.loads(await asyncio.wait_for(reader.readexactly(length), 10))
        done[f"pages of the history {head.split()[1].decode()}"] += 1
        following = body.get("next")
        asked = f"/api/v1/parts?limit=100{f'&cursor={following}' if following else ''}"
        await asyncio.sleep(0.5)


async def _exports(config: Path, end_s: float, done: Counter[str]) -> None:
    command = [sys.executable, "-m", "edge_app.cli.main", "history", "export", "--jsonl", "-"]
    while time.monotonic() < end_s:
        process = await asyncio.create_subprocess_exec(
            *command, "--config", str(config),
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        done["exports" if await process.wait() == 0 else "exports that failed"] += 1


async def _slow_body(
    _r: asyncio.StreamReader, writer: asyncio.StreamWriter, end_s: float, done: Counter[str]
) -> None:
    done["slow bodies"] += 1
    writer.write(SLOW_BODY)
    while time.monotonic() < end_s:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.5)


async def _upgrades(door: Door, end_s: float, done: Counter[str], count: int) -> None:
    """Send so many, a hundred at a time, and read what comes."""
    sent = 0
    while sent < count and time.monotonic() < end_s:
        with suppress(OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
            reader, writer = await door.open()
            writer.write(UPGRADE * 100)
            for _ in range(100):
                await asyncio.wait_for(reader.readuntil(ANSWERED), 5)
            writer.close()
            done["upgrade requests"] += 100
        sent += 100


def subscriber(port: int, heard: Heard) -> Client:
    """Return a connected client that notes results and alerts."""
    client = Client(CallbackAPIVersion.VERSION2)

    def on_message(_c: Client, _u: object, message: MQTTMessage) -> None:
        if message.payload:
            heard.take(message.topic, json.loads(message.payload))

    client.on_message = on_message
    client.connect(HOST, port)
    client.subscribe("inspect/v1/#", 1)
    client.loop_start()
    return client


def cost(pid: int) -> dict[str, float]:
    """Return what a process holds now; memory that is its own only."""
    folder = Path(f"/proc/{pid}")
    rows = [row.split() for row in (folder / "smaps_rollup").read_text().splitlines()]
    private_kb = sum(int(row[1]) for row in rows if row[0].startswith("Private_"))
    return {
        "descriptors": len(list((folder / "fd").iterdir())),
        "private_mb": private_kb / 1000,
        "threads": len(list((folder / "task").iterdir())),
    }


def run(
    config: Path,
    broker_port: int,
    door: Door,
    much: Attack | Readers | None,
    seconds: float,
    burn_share: float = 0.0,
) -> dict[str, Any]:
    """Inspect for so long, under attack or with other work beside it; return what was seen."""
    heard = Heard()
    client = subscriber(broker_port, heard)
    log = config.with_suffix(".log")
    command = [sys.executable, "-m", "edge_app.cli.main", "run", "--config", str(config)]
    with log.open("w") as stderr:
        line = subprocess.Popen(command, stderr=stderr, stdout=stderr)
    burners = [_burner(burn_share) for _ in range(2)] if burn_share else []
    done: Counter[str] = Counter()
    try:
        _wait(lambda: len(heard.latencies_ms) > 20 and _answers(door), 60)
        before, page_before = cost(line.pid), _page_cpu_s(line.pid)
        heard.latencies_ms.clear()
        peak: dict[str, float] = dict(before)
        stop = threading.Event()
        watcher = threading.Thread(target=_watch, args=(line.pid, peak, stop))
        watcher.start()
        own_before, began_s = _own_cpu_s(), time.monotonic()
        if much is None:
            time.sleep(seconds)
        else:
            done = asyncio.run(much.work(door, seconds, config))
        took_s = time.monotonic() - began_s
        beside_s = _own_cpu_s() - own_before + _page_cpu_s(line.pid) - page_before
        stop.set()
        watcher.join()
        latencies = list(heard.latencies_ms)
        is_served = _answers(door)
        time.sleep(3)  # what was judged last is on its way
        after = cost(line.pid)
    finally:
        line.terminate()
        line.wait(30)
        for burner in burners:
            burner.kill()
            burner.wait()
    time.sleep(1)
    client.disconnect()
    client.loop_stop()
    causes = Counter(re.sub(r"\d+", "#", c) for c in CAUSE.findall(log.read_text()))
    return {
        "attack": dict(done),
        "bad_parts": len(heard.bad_parts),
        "alerts_missing": len(heard.bad_parts - heard.alerted),
        "seq_gaps": _gaps(heard.seqs),
        "before": before,
        "peak": peak,
        "after": after,
        "log_lines_a_minute": {k: round(60 * n / took_s, 1) for k, n in causes.items()},
        "latency_ms": {
            "parts": len(latencies),
            "p50": round(float(np.percentile(latencies, 50)), 1),
            "p99": round(float(np.percentile(latencies, 99)), 1),
        },
        "cpu_beside": round(beside_s / took_s, 2),
        "page_answers_after": is_served,
    }


def write_line(folder: Path, broker_port: int, page_port: int, is_tls: bool = False) -> Path:
    """Write a configuration whose line judges ten pictures a second, every fourth bad."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from support.app_config import write_config
    from support.small_bundles import write_pictures

    write_pictures(folder / "in", 8, {3, 7})
    config: Path = write_config(
        folder,
        "folder:in?loop=1&interval_s=0.1",
        broker_port,
        mqtt="publish_results = true",
    )
    served = f"[page]\nport = {page_port}" + (_certificate(folder) if is_tls else "")
    config.write_text(config.read_text().replace("[page]\nenabled = false", served))
    return config


def _certificate(folder: Path) -> str:
    """Write a certificate of the page's own, and return what the configuration says of it."""
    from edge_app.page.tls_make import make_certificate, own_names, utc_now

    made = make_certificate(own_names(), utc_now())
    for name, text in (("page.crt", made.chain_pem), ("page.key", made.key_pem)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    return '\ntls_certificate = "page.crt"\ntls_key = "page.key"'


def _gaps(seqs: list[int]) -> int:
    return len(set(range(min(seqs), max(seqs) + 1)) - set(seqs)) if seqs else 0


def _burner(share: float) -> subprocess.Popen[bytes]:
    """Start a process that is busy for a share of one core's time, as low in priority as a page."""
    program = (
        f"import os, time\nos.nice(5)\nshare = {min(1.0, share / 2)!r}\n"
        "while True:\n"
        " end = time.perf_counter() + 0.02 * share\n"
        " while time.perf_counter() < end: pass\n"
        " time.sleep(0.02 * (1 - share))\n"
    )
    return subprocess.Popen([sys.executable, "-c", program])


def _watch(pid: int, peak: dict[str, float], stop: threading.Event) -> None:
    while not stop.wait(0.2):
        for key, value in cost(pid).items():
            peak[key] = max(peak[key], value)


def _own_cpu_s() -> float:
    """Return this process's time and that of the children that have ended."""
    return time.process_time() + sum(os.times()[2:4])


def _page_cpu_s(pid: int) -> float:
    """Return the processor time of a process's children, user and system."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def _answers(door: Door) -> bool:
    import httpx

    with suppress(httpx.HTTPError):
        scheme = "https" if door.tls else "http"
        url = f"{scheme}://{HOST}:{door.port}/healthz"
        return httpx.get(url, timeout=5, verify=door.tls or True).status_code == 200
    return False


def _wait(is_true: Callable[[], bool], timeout_s: float) -> None:
    end_s = time.monotonic() + timeout_s
    while not is_true():
        if time.monotonic() > end_s:
            raise SystemExit(f"not within {timeout_s:g} s")
        time.sleep(0.1)


def free_port() -> int:
    """Return a port of this machine that nobody has."""
    import socket

    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def compare(much: Attack | Readers, seconds: float, is_tls: bool = False) -> dict[str, Any]:
    """Run under attack and then the control run; return both."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="page-attack-") as name:
        for arm in ("attacked", "control"):
            folder, port = Path(name) / arm, free_port()
            folder.mkdir()
            with EmbeddedBroker() as broker:
                config = write_line(folder, broker.port, port, is_tls)
                share = 0.0 if arm == "attacked" else found["attacked"]["cpu_beside"]
                attacked = much if arm == "attacked" else None
                found[arm] = run(
                    config, broker.port, door_to(port, is_tls), attacked, seconds, share
                )
    return found


def main() -> None:
    """Print both runs as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full attack")
    parser.add_argument("--readers", action="store_true", help="readers in the attack's place")
    parser.add_argument("--tls", action="store_true", help="the page speaks TLS")
    args = parser.parse_args()
    full = Attack()
    much = Attack(*(max(1, int(args.scale * getattr(full, n))) for n in Attack.__slots__))
    beside = Readers() if args.readers else much
    print(
        json.dumps({"load": os.getloadavg(), **compare(beside, args.seconds, args.tls)}, indent=2)
    )


if __name__ == "__main__":
    main()
