"""Every method's bundle judges parts in the demo and survives a switch on the running line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.agent_and_line import Device, Line, device, write_config
from support.brokers import wait_until
from support.method_bundles import LineBundles

from edge_app.records import JsonObject
from export.methods.names import NAMES

pytestmark = [pytest.mark.needs("the extra train"), pytest.mark.slow, pytest.mark.timeout(600)]

TRIGGERED = "sim:tapered?mode=triggered&rate=1&defect_rate=0"
PATIENT = "[[camera]]\nverdict_deadline_ms = 60000.0\nqueue_depth = 64"
"""The line waits while this process trains the next method beside it."""

EDGE_APP = str(Path(sys.executable).with_name("edge-app"))
PARTS = 3

IS_EVERY = bool(os.environ.get("CROPLIQ_EVERY_METHOD"))
"""Every method, and a demo of each; otherwise the time is kept to what CI has."""

SEEN_ELSEWHERE = {"cropliq", "padim", "cutpaste-scar", "cutpaste-3way", "draem", "efficientad"}
"""The shipped bundle's method, and graphs of another method, wider or taught otherwise."""

METHODS = tuple(name for name in NAMES if IS_EVERY or name not in SEEN_ELSEWHERE)
DEMOS = METHODS if IS_EVERY else ("patchcore", "bgad")


@pytest.fixture(scope="module")
def bundles() -> LineBundles:
    return LineBundles()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Device, Line]]:
    """One device for all methods, from the first to the last."""
    config = write_config(tmp_path_factory.mktemp("device"), url=TRIGGERED)
    config.write_text(config.read_text().replace("[[camera]]", PATIENT))
    with device(config, tries_here=True) as both:
        yield both


@pytest.mark.parametrize("method", METHODS)
def test_a_methods_bundle_judges_in_the_demo_and_takes_over(
    method: str, bundles: LineBundles, running: tuple[Device, Line], tmp_path: Path
) -> None:
    """It judges every part of a demo, and parts of the line, on which another method judged till
    the switch."""
    agent, line = running
    began = time.monotonic()
    bundle = bundles.write(method, 1, tmp_path)
    built_s = time.monotonic() - began
    if method in DEMOS:
        summary = demo(bundle)
        assert (summary["parts"], summary["not_inspected"]) == (PARTS, 0)
    ended = agent.install(bundle, timeout_s=120.0)
    assert ended.state == "committed", ended.reason
    sha256 = agent.store.active("main") or ""
    wait_until(lambda: line.judged_by(sha256) >= 2, 60, f"parts judged by {method}")
    took_s = time.monotonic() - began
    print(f"{method:<18} built in {built_s:.1f} s, judged parts after {took_s:.1f} s")


def demo(bundle: Path) -> JsonObject:
    """Run the installed command headless; return its summary."""
    command = [EDGE_APP, "demo", "--bundle", str(bundle), "--parts", str(PARTS), "--headless"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    summary: JsonObject = json.loads(done.stdout.splitlines()[-1])
    return summary


def test_every_trigger_got_its_verdict(running: tuple[Device, Line]) -> None:
    """Over all switches: none is missing, none twice, none NOT_INSPECTED but for want of a model
    before the first."""
    _, line = running
    numbers = [v.source_number for v in line.verdicts]
    assert numbers[0] is not None
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    judged = {v.model.product for v in line.verdicts if v.model}
    assert judged == set(METHODS)
    assert set(line.unjudged) <= {"no_model"}
    first = next(i for i, v in enumerate(line.verdicts) if v.model)
    assert all(v.model for v in line.verdicts[first:])
