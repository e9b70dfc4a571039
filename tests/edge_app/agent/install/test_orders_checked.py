"""Orders that come in the middle of an update: only a possible one interrupts it, and each report
is about the order that caused it."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from support.activation_bundles import manifest_of, write_release
from support.agent_and_line import Device, Line, device, write_config
from support.brokers import wait_until

from edge_app.agent.install.inbox import Select
from edge_app.mqtt.deploy_messages import FINAL_STATES, Reported
from edge_app.mqtt.timestamps import uuid7
from edge_app.page.snapshot import state_json

ALL_GOOD = 256.0
ORDER_2, ORDER_3 = (uuid7(n, secrets.randbits) for n in (2, 3))
PHASES = {
    "shadow": "shadow_parts = 100000\nprobation_parts = 0",
    "probation": "shadow_parts = 0\nprobation_parts = 100000",
}
UPDATES = {
    "shadow": "a new bundle is being compared",
    "probation": "the bundle is new, on probation",
}


def release(folder: Path, serial: int, product: str = "alpha") -> Path:
    manifest = manifest_of(product, serial, ALL_GOOD)
    return write_release(folder / f"{product}-{serial}.bundle", manifest)


def begin(agent: Device, line: Line, folder: Path, phase: str) -> str:
    """Install alpha 1, then have alpha 2 in a phase; return the digest that judged before."""
    assert agent.install(release(folder, 1)).state == "committed"
    wait_until(lambda: line.judges == "alpha 1", 30)
    active = agent.store.active("main")
    assert active is not None
    agent.reports.clear()
    agent.agent.install(release(folder, 2), "main", "push", desired_id=ORDER_2)
    wait_until(lambda: phase in agent.states(), 40, phase)
    return active


def ask(agent: Device, product: str, is_late: bool = False) -> tuple[bool, str]:
    answers: list[tuple[bool, str]] = []
    flow = agent.agent._flows["main"]
    answer = lambda ok, text: answers.append((ok, text))  # noqa: E731
    flow.inbox.put(Select(product, answer, lambda: is_late))
    wait_until(lambda: bool(answers), 30, "an answer")
    return answers[0]


def told_install(agent: Device, file: Path, timeout_s: float = 30.0) -> Reported:
    """Install a file as a person does; return the end that this person is told of."""
    told: list[Reported] = []
    agent.agent.install(file, "main", "file", tell=told.append)
    wait_until(lambda: any(r.state in FINAL_STATES for r in told), timeout_s, "an end")
    return next(r for r in told if r.state in FINAL_STATES)


@pytest.mark.parametrize("phase", PHASES)
def test_an_order_that_is_not_possible_interrupts_nothing(tmp_path: Path, phase: str) -> None:
    """A product that is not installed, one that judges already, a late command; in a comparison a
    file that is no bundle, one for another device, one that is in use: each is answered, and the
    candidate is neither refused nor rolled back."""
    with device(write_config(tmp_path, PHASES[phase]), tries_here=True) as (agent, line):
        active = begin(agent, line, tmp_path, phase)
        wait_until(lambda: UPDATES[phase] in camera_text(line), 20, "the page's words")
        is_ok, text = ask(agent, "gamma")
        assert (is_ok, "installed: alpha" in text) == (False, True)
        is_ok, text = ask(agent, "alpha")
        assert (is_ok, "judges alpha already" in text) == (True, True)
        is_ok, text = ask(agent, "alpha", is_late=True)
        assert (is_ok, "expired before its turn" in text) == (False, True)
        if phase == "shadow":
            garbage = tmp_path / "garbage.bundle"
            garbage.write_bytes(b"no bundle at all" * 1000)
            assert told_install(agent, garbage).state == "refused"
            foreign = manifest_of("alpha", 3, ALL_GOOD).model_copy(
                update={"targets": ("paris/*/*",)}
            )
            ended = told_install(agent, write_release(tmp_path / "foreign.bundle", foreign))
            assert (ended.state, "it is for paris" in ended.reason) == ("refused", True)
            ended = told_install(agent, tmp_path / "alpha-1.bundle")
            assert (ended.state, ended.reason) == ("committed", "already in use")
            assert agent.store.active("main") == active
            assert list(agent.store.incoming.iterdir()) == []
        assert not [r for r in agent.reports if r.state in FINAL_STATES and r.desired_id]
        agent.agent.decide("main", True, lambda *_: None)
        wait_until(lambda: (ORDER_2, "committed") in ends(agent), 30, "the commit")
        wait_until(lambda: "bundle" not in camera_text(line), 20, "no words of an update")
    assert [state for order, state in ends(agent) if order] == ["committed"]


def camera_text(line: Line) -> str:
    """Return what the page says of the camera."""
    return str(state_json(line.app.page_state)["cameras"][0]["state_text"])


def ends(agent: Device) -> list[tuple[str | None, str]]:
    return [(r.desired_id, r.state) for r in agent.reports if r.state in FINAL_STATES]


def test_each_report_belongs_to_its_order(tmp_path: Path) -> None:
    """The same bundle once more while it is compared goes on comparing; a newer one gives it up:
    all are told of their own order."""
    with device(write_config(tmp_path, PHASES["shadow"]), tries_here=True) as (agent, line):
        begin(agent, line, tmp_path, "shadow")
        again: list[Reported] = []
        agent.agent.install(tmp_path / "alpha-2.bundle", "main", "file", tell=again.append)
        agent.agent.install(release(tmp_path, 3), "main", "push", desired_id=ORDER_3)
        wait_until(lambda: (ORDER_2, "refused") in ends(agent), 30, "the older one's end")
        wait_until(
            lambda: any(r.desired_id == ORDER_3 and r.state == "shadow" for r in agent.reports),
            40,
            "the newer one's comparison",
        )
        by_order = {r.desired_id: r.serial for r in agent.reports if r.serial is not None}
        assert by_order[ORDER_2] == 2
        assert by_order[ORDER_3] == 3
        refused = next(r for r in agent.reports if r.state == "refused")
        assert (refused.desired_id, "newer installation" in refused.reason) == (ORDER_2, True)
