"""A new bundle's engines are built before the switch: agent, line and NVIDIA's builder are real."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from support.activation_bundles import manifest_of, write_release
from support.agent_and_line import TRIGGERED, Device, device, write_config
from support.brokers import patient_s, wait_until
from support.engine_compiler import AHEAD_OF_TIME, key_of

from edge_app.activation import slots as model_slots
from edge_app.backends.engine_cache import EngineCache
from edge_app.bundle.archive import Bundle
from edge_app.config.model import AppConfig
from edge_app.model.engine_jobs import EngineBuilder, Percent
from edge_app.model.load_for_device import engine_dir


def ahead_of_time(config: AppConfig) -> EngineBuilder:
    """Return a builder for a GPU that is not here; the line itself runs on ONNX Runtime."""
    return EngineBuilder(EngineCache(engine_dir(config)), key_of, 4, target=AHEAD_OF_TIME)


class SlowBuilder(EngineBuilder):
    """A builder as slow as on a small Jetson: 90 s a bundle, told ten times a second."""

    def build_missing(self, _bundle: Bundle, percent: Percent) -> str:
        for step in range(900):
            percent(step / 9)
            time.sleep(0.1)
        return ""


def states_of(agent: Device) -> list[str]:
    """Return the states of the last order in order, repeated percentages counted once."""
    states = [report.state for report in agent.reports]
    return [s for i, s in enumerate(states) if i == 0 or s != states[i - 1]]


@pytest.mark.needs("TensorRT-RTX")
def test_engines_are_built_before_the_switch_and_told_in_percent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next serial with the same graphs builds nothing; an engine that was lost is built again.
    The line judges every part meanwhile."""
    monkeypatch.setattr(model_slots, "engine_builder", ahead_of_time)
    with device(write_config(tmp_path, url=TRIGGERED), tries_here=True) as (agent, line):
        first = write_release(tmp_path / "a.bundle", manifest_of("alpha", 1))
        assert agent.install(first, 60).state == "committed"
        assert states_of(agent) == [
            "verifying", "self_check", "building", "self_check", "switching", "committed",
        ]  # fmt: skip
        percents = [r.percent for r in agent.reports if r.state == "building"]
        assert percents[0] == 0.0
        assert len(EngineCache(engine_dir(agent.config)).entries()) == 1
        wait_until(lambda: line.judges == "alpha 1")
        started = len(line.verdicts)
        for serial, is_lost in ((2, False), (3, True)):
            if is_lost:
                EngineCache(engine_dir(agent.config)).prune(lambda _: False)
            file = write_release(tmp_path / "next.bundle", manifest_of("alpha", serial))
            assert agent.install(file, 60).state == "committed"
            assert ("building" in agent.states()) is is_lost
        assert all(v.state.value != "NOT_INSPECTED" for v in line.verdicts[started:])


def test_a_changeover_does_not_wait_for_a_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a minute of building is given up for it: the slot judges the other product, the new
    bundle is refused with the reason, and can be installed again."""
    config = write_config(tmp_path)
    with device(config, tries_here=True) as (agent, _):
        for product in ("alpha", "beta"):
            file = write_release(tmp_path / f"{product}.bundle", manifest_of(product, 1))
            assert agent.install(file).state == "committed"

    def slow(config: AppConfig) -> EngineBuilder:
        return SlowBuilder(EngineCache(engine_dir(config)), key_of, 4)

    monkeypatch.setattr(model_slots, "engine_builder", slow)
    with device(config, tries_here=True) as (agent, line):
        wait_until(lambda: line.judges == "beta 1")
        new = write_release(tmp_path / "new.bundle", manifest_of("beta", 2))
        agent.reports.clear()
        agent.agent.install(new, "main", "file")
        wait_until(lambda: "building" in agent.states(), 20, "a build")
        is_ok, text = agent.select("gamma")
        assert (is_ok, "installed: alpha, beta" in text) == (False, True)
        assert "refused" not in agent.states(), "an order that is not possible ends no build"
        is_ok, text = agent.select("alpha")
        assert is_ok, text
        assert float(text.split("(")[1].split()[0]) < 10_000, "a third of the build"
        refused = next(r for r in agent.reports if r.state == "refused")
        assert refused.reason == "given up for a changeover that came while its engines were built"
        wait_until(lambda: line.judges == "alpha 1")
        agent.reports.clear()
        agent.agent.install(new, "main", "file")
        wait_until(lambda: "building" in agent.states(), 20, "another build")
        time.sleep(1.5)  # the first build has ended meanwhile; what it says is not about this one
        assert "refused" not in agent.states()


def test_a_line_that_is_stopped_in_the_middle_of_a_build_ends_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bundle is refused with the reason; the builder does not hold the stop back."""

    def slow(config: AppConfig) -> EngineBuilder:
        return SlowBuilder(EngineCache(engine_dir(config)), key_of, 4)

    monkeypatch.setattr(model_slots, "engine_builder", slow)
    with device(write_config(tmp_path), tries_here=True) as (agent, line):
        file = write_release(tmp_path / "a.bundle", manifest_of("alpha", 1))
        agent.agent.install(file, "main", "file")
        wait_until(lambda: "building" in agent.states(), 20, "a build")
        asked_s = time.monotonic()
        line.stop()
        assert time.monotonic() - asked_s < patient_s(10.0)
        assert agent.outcome().state == "refused"
        assert "edge-app run was stopped" in agent.outcome().reason
