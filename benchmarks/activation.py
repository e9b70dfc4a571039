"""Hot switches under load: 20 installations and 20 changeovers on a triggered line, and figures.

`python -m benchmarks.activation --switches 20 --changeovers 20 --rate 3` takes the shipped bundle,
signs it for two products, and runs agent and inspection as on a device: socket, store, throw-away
self-check, golden set in the inspection's own session. `--chance` measures instead how often a
model that is no worse is taken back in its probation.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from deploy.bundles.sign import sign_bundle
from edge_app.activation.probation import MAX_CHANCE, at_least
from edge_app.agent.main import make_agent
from edge_app.app import EdgeApp
from edge_app.bundle.archive import read_bundle, write_bundle
from edge_app.bundle.signature import SigningTerms
from edge_app.config.load import config_of
from edge_app.mqtt.deploy_messages import FINAL_STATES, Reported
from edge_app.records import FrameReport, PartVerdict, VerdictState
from edge_app.store.bundle_store import Store

PRODUCTS = ("alpha", "beta")
PATIENCE = {"verdict_deadline_ms": 5000.0}
"""On a machine that others use too, what is late is not the switch's doing; `latency_ms` tells."""


class Bench:
    """A device with one triggered camera, and a workstation that signs."""

    def __init__(self, folder: Path, rate: float) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        pem = self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (folder / "keys").mkdir()
        (folder / "keys" / "bench.pub").write_bytes(pem)
        self._plain = read_bundle(
            Path(str(files("edge_app").joinpath("assets").joinpath("demo-tapered.bundle")))
        )
        config = config_of(_document(rate), folder, "benchmark")
        self.verdicts: list[PartVerdict] = []
        self._reports: list[Reported] = []
        self._ended = threading.Event()
        self.store = Store(config.agent.store_dir)
        self._stop = threading.Event()
        self.agent = make_agent(config, self.store, self._note_report, self._stop)
        self.agent.start()
        self.app = EdgeApp(config, observers=[self._note])
        self._line = threading.Thread(target=self.app.run, daemon=True)
        self._line.start()

    def stop(self) -> None:
        self.app.stop()
        self._line.join()
        self._stop.set()
        self.agent.stop()

    def install(self, product: str, serial: int) -> float:
        """Install a bundle and return how long that took, in seconds."""
        manifest = self._plain.manifest.model_copy(update={"product": product, "serial": serial})
        file = self._folder / "next.bundle"
        write_bundle(file, manifest, self._plain.files)
        sign_bundle(file, self._key, file, SigningTerms())
        self._reports.clear()
        self._ended.clear()
        started_s = time.perf_counter()
        self.agent.install(file, "main", "benchmark")
        self._ended.wait()
        if self._reports[-1].state != "committed":
            raise SystemExit(f"not committed: {self._reports[-1].reason}")
        return time.perf_counter() - started_s

    def select(self, product: str) -> float:
        """Change over and return how long that took, in ms."""
        answered, answers = threading.Event(), list[tuple[bool, str]]()
        started_s = time.perf_counter()

        def answer(is_ok: bool, text: str) -> None:
            answers.append((is_ok, text))
            answered.set()

        self.agent.select("main", product, answer)
        answered.wait()
        if not answers[0][0]:
            raise SystemExit(answers[0][1])
        return (time.perf_counter() - started_s) * 1e3

    def _note(self, report: FrameReport) -> None:
        self.verdicts += report.finished

    def _note_report(self, report: Reported) -> None:
        self._reports.append(report)
        if report.state in FINAL_STATES:
            self._ended.set()


def _document(rate: float) -> dict[str, object]:
    return {
        "device": {"site": "s", "line": "l", "device": "d", "state_dir": "state"},
        "bundle": {"trusted_keys_dir": "keys"},
        "camera": [{"name": "cam1", "url": f"sim:tapered?mode=triggered&rate={rate}", **PATIENCE}],
        "mqtt": {"enabled": False},
        "page": {"enabled": False},
        "evidence": {"enabled": False},
        "runtime": {"threads": 1},
        "agent": {"enabled": True, "store_dir": "store", "socket": "agent.sock"},
        "slot": {"main": {"shadow_parts": 5, "probation_parts": 5}},
    }


def hot_switches(switches: int, changeovers: int, rate: float) -> dict[str, object]:
    """Run the switches and return what came of them."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), rate)
        for product in PRODUCTS:
            bench.install(product, 1)
        first = len(bench.verdicts)
        installs_s = [bench.install(PRODUCTS[n % 2], 2 + n // 2) for n in range(switches)]
        changes_ms = []
        for n in range(changeovers):
            changes_ms.append(bench.select(PRODUCTS[(switches + n) % 2]))
            time.sleep(1 / rate)
        bench.stop()
        judged = bench.verdicts[first:]
    numbers = [v.source_number or 0 for v in judged]
    models = {v.model.bundle_sha256 for v in judged if v.model}
    return {
        "triggers": numbers[-1] - numbers[0] + 1,
        "verdicts": len(judged),
        "not_inspected": [v.reason for v in judged if v.state is VerdictState.NOT_INSPECTED],
        "models_that_judged": len(models),
        "latency_ms": _spread([v.latency_ms for v in judged]),
        "install_s": _spread(installs_s),
        "changeover_ms": _spread(changes_ms),
    }


def taken_back_by_chance(runs: int, parts: int, seed: int = 0) -> dict[str, float]:
    """Return how often a model with the old one's own alarm rate is taken back in its probation."""
    rng = np.random.default_rng(seed)
    found = {}
    for rate in (0.002, 0.01, 0.05):
        for old_parts in (20, 200, 500):
            lost = sum(_is_taken_back(rng, rate, old_parts, parts) for _ in range(runs))
            found[f"alarm rate {rate:.1%}, {old_parts} old parts"] = lost / runs
    return found


def _is_taken_back(rng: np.random.Generator, rate: float, old_parts: int, parts: int) -> bool:
    share = (rng.binomial(old_parts, rate) + 1) / (old_parts + 2)
    bad_at = np.flatnonzero(rng.random(parts) < rate)
    return any(
        at_least(count, int(seen) + 1, share) < MAX_CHANCE for count, seen in enumerate(bad_at, 1)
    )


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {
        "median": round(float(np.median(values)), 1),
        "p95": round(float(np.quantile(values, 0.95)), 1),
        "max": round(max(values), 1),
    }


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description="Hot switches under load.")
    parser.add_argument("--switches", type=int, default=20)
    parser.add_argument("--changeovers", type=int, default=20)
    parser.add_argument("--rate", type=float, default=3.0, help="triggers per second")
    parser.add_argument("--chance", action="store_true")
    args = parser.parse_args()
    if args.chance:
        print(json.dumps(taken_back_by_chance(2000, 200), indent=1))
        return
    print(json.dumps(hot_switches(args.switches, args.changeovers, args.rate), indent=1))


if __name__ == "__main__":
    main()
