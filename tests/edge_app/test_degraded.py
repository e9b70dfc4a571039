"""A detector that fails, an engine that is missing: the device says that it is degraded."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from support.app_config import ROOT, write_config
from support.brokers import Listener, Mosquitto, wait_until

from edge_app.activation.slot_models import Cause
from edge_app.app import EdgeApp
from edge_app.backends import choice
from edge_app.backends.cuda_driver import Gpu
from edge_app.config.load import load_config
from edge_app.errors import ModelError
from edge_app.records import Detection, U8Array


class FailingNow:
    """A detector whose graph fails while `is_failing`; it finds nothing otherwise."""

    def __init__(self) -> None:
        self.is_failing = threading.Event()

    def find(self, pixels_hwc: U8Array) -> list[Detection]:
        if self.is_failing.is_set():
            raise ModelError("the graph failed")
        return []


def test_a_failing_detector_on_a_belt_is_degraded_until_it_works_again(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """`status` says degraded and which camera; one part is NOT_INSPECTED; then online again."""
    config = write_config(tmp_path, {"belt1": "sim:round?fps=10"}, mosquitto.port)
    listener = Listener(mosquitto.port, f"{ROOT}/#")
    app = EdgeApp(load_config(config))
    finder = FailingNow()
    line = app._pipelines[0].line
    line._stages = replace(line._stages, finder=finder)  # type: ignore[attr-defined]
    thread = threading.Thread(target=app.run)
    thread.start()

    def said() -> list[tuple[str, str]]:
        return [(b["state"], b["reason"]) for b in listener.bodies("/status")]

    try:
        wait_until(lambda: said() == [("online", "")], 20)
        finder.is_failing.set()
        wait_until(lambda: len(said()) == 2, 20)
        finder.is_failing.clear()
        wait_until(lambda: len(said()) == 3, 20)
    finally:
        app.stop()
        thread.join(20)
    assert said()[1] == ("degraded", "belt1: the detector fails, parts pass unseen")
    assert said()[2] == ("online", "")
    alerts = [a for a in listener.bodies("/cam/belt1/alert") if a["event"] == "new"]
    assert "model_error" in {a["reason"] for a in alerts}
    listener.close()


@pytest.mark.needs("TensorRT-RTX")
def test_a_line_without_its_engine_judges_on_and_says_so(
    mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU and TensorRT, but no engine: `status` and page name the graph and what to do, until a
    model that lacks nothing judges."""
    monkeypatch.setattr(choice, "find_gpu", lambda: Gpu("Orin", "8.7", True))
    config = write_config(tmp_path, "sim:round?mode=triggered&rate=5", mosquitto.port)
    listener = Listener(mosquitto.port, f"{ROOT}/#")
    app = EdgeApp(load_config(config))
    thread = threading.Thread(target=app.run)
    thread.start()

    def said() -> list[tuple[str, str]]:
        return [(b["state"], b["reason"]) for b in listener.bodies("/status")]

    try:
        wait_until(lambda: said() != [] and said()[-1][0] == "degraded", 20)
        _, reason = said()[-1]
        assert reason.startswith("slot main judges, but not as it was meant to: no engine for the")
        assert "edge-app engine build" in reason
        facts = dict(app.page_state.facts().bundle)
        assert facts["Engine"].startswith("no engine for the inspector")
        (ready,) = app._slots.ready.values()
        assert ready is not None
        whole = replace(ready, model=replace(ready.model, shortfall=""))
        app._slots.ready["main"] = whole
        app._model_changed("main", whole, Cause())
        wait_until(lambda: said()[-1] == ("online", ""), 20)
        assert "Engine" not in dict(app.page_state.facts().bundle)
    finally:
        app.stop()
        thread.join(20)
        listener.close()
