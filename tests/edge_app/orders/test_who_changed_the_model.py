"""The audit names who asked the agent for another model, whichever way it came."""

from __future__ import annotations

import os
from pathlib import Path

from support.activation_bundles import manifest_of, write_release
from support.agent_and_line import Device, Line, device, write_config
from support.audit_files import Change, changes_of
from support.brokers import wait_until

from edge_app.ipc.client import ask
from edge_app.ipc.peers import account_of
from edge_app.ipc.protocol import DecideCommand, InstallCommand, Requester, SelectCommand
from edge_app.page.changeover import Changeover

ALL_GOOD, ALL_BAD = 256.0, 1.0
BERT = Requester(kind="machine", name="mes", role="operator", via="page")
CONSOLE = (
    "root" if os.geteuid() == 0 else "person",
    account_of(os.geteuid()),
    "console",
)


def release(folder: Path, serial: int, product: str = "alpha", limit: float = ALL_GOOD) -> Path:
    return write_release(folder / f"{product}-{serial}.bundle", manifest_of(product, serial, limit))


def who(change: Change) -> tuple[str, str, str]:
    return change.kind, change.name, change.via


def judges(line: Line, what: str) -> None:
    wait_until(lambda: line.judges == what, 20, what)


def test_console_page_and_signer_are_named(tmp_path: Path) -> None:
    """An installation by command, one that was pushed, a changeover by a program through the page,
    one by command: who, what before, what after, why."""
    with device(write_config(tmp_path), tries_here=True) as (agent, line):
        state, socket = agent.config.device.state_dir, agent.config.agent.socket
        file = release(tmp_path, 1)
        assert ask(socket, InstallCommand(path=str(file), slot="main")).is_ok
        agent.agent.install(release(tmp_path, 1, "beta"), "main", "push")
        judges(line, "beta 1")
        assert Changeover(socket).select("main", "alpha", BERT)[0]
        assert ask(socket, SelectCommand(slot="main", product="beta", by=BERT)).is_ok
        changes = changes_of(state, count=4)
    pushed = changes[1]
    assert [who(c) for c in changes] == [
        CONSOLE,
        ("key", pushed.name, "mqtt"),
        ("machine", "mes", "page"),
        CONSOLE,
    ]
    assert len(pushed.name) == 64
    assert set(pushed.name) <= set("0123456789abcdef")
    assert [(c.event, c.old, c.new) for c in changes] == [
        ("product", "", "alpha 1"),
        ("product", "alpha 1", "beta 1"),
        ("product", "beta 1", "alpha 1"),
        ("product", "alpha 1", "beta 1"),
    ]
    assert [c.why for c in changes] == ["installed", "installed"] + [
        "changed over to an installed product"
    ] * 2


def taken_back(agent: Device, line: Line, folder: Path, serial: int, limit: float) -> None:
    agent.agent.install(release(folder, serial, limit=limit), "main", "push")
    judges(line, f"alpha {serial}")


def test_a_roll_back_names_who_wanted_it(tmp_path: Path) -> None:
    """A person who takes a bundle back in its probation; a changeover that ends one; the rule that
    finds one worse: inspection itself."""
    config = write_config(tmp_path, "shadow_parts = 0\nprobation_parts = 100000")
    with device(config, tries_here=True) as (agent, line):
        state, socket = agent.config.device.state_dir, agent.config.agent.socket
        assert agent.install(release(tmp_path, 1)).state == "committed"
        judges(line, "alpha 1")
        taken_back(agent, line, tmp_path, 2, ALL_GOOD)
        wait_until(lambda: "probation" in agent.states())
        assert ask(socket, DecideCommand(slot="main", promote=False)).is_ok
        by_hand = changes_of(state, count=3)[2]
        judges(line, "alpha 1")
        wait_until(lambda: agent.store.intent("main") is None, 20)
        seen = len(line.verdicts)
        wait_until(lambda: len(line.verdicts) > seen + 12)
        taken_back(agent, line, tmp_path, 3, ALL_BAD)
        by_rule = changes_of(state, 20, count=5)[4]
    assert (*who(by_hand), by_hand.old, by_hand.new) == (*CONSOLE, "alpha 2", "alpha 1")
    assert by_hand.why.startswith("rolled back: taken back by hand")
    assert who(by_rule) == ("machine", "inspection", "device")
    assert (by_rule.old, by_rule.new) == ("alpha 3", "alpha 1")
    assert "raised an alarm" in by_rule.why
