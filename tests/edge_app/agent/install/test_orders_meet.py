"""Orders that meet: the same bundle twice, one in the middle of another, one before a restart has
been gone on with, one of another slot."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest
from support.activation_bundles import manifest_of, write_release
from support.agent_and_line import PICTURES, Device, Line, device, write_config
from support.brokers import wait_until

from edge_app.agent.install import slot_worker as flow
from edge_app.cli.agent import install
from edge_app.mqtt.deploy_messages import FINAL_STATES
from edge_app.store.intent import Intent
from edge_app.store.release_info import Card

ALL_GOOD = 256.0


def release(folder: Path, serial: int, threshold: float = ALL_GOOD) -> Path:
    manifest = manifest_of("alpha", serial, threshold)
    return write_release(folder / f"alpha-{serial}.bundle", manifest)


def digest_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def pushed(agent: Device, file: Path) -> Path:
    """Put a file where a download ends."""
    target = agent.store.incoming / f"main-{digest_of(file)}.bundle"
    shutil.copy(file, target)
    return target


def test_one_bundle_pushed_twice_at_once_is_committed_twice(tmp_path: Path) -> None:
    """The first order moves the file away before the second one's turn: it is in use already."""
    with device(write_config(tmp_path), tries_here=True) as (agent, _):
        file = pushed(agent, release(tmp_path, 1))
        agent.agent.install(file, "main", "push")
        agent.agent.install(file, "main", "push")
        wait_until(lambda: len([r for r in agent.reports if r.state in FINAL_STATES]) == 2)
        ends = [(r.state, r.reason) for r in agent.reports if r.state in FINAL_STATES]
        assert ends == [("committed", ""), ("committed", "already in use")]


def test_a_person_hears_of_the_own_order_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Installed from a stick while a push is compared: the push gives way, and its end is not taken
    for the end of what was asked for."""
    config = write_config(tmp_path, "shadow_parts = 10\nprobation_parts = 0")
    with device(config, tries_here=True) as (agent, line):
        assert agent.install(release(tmp_path, 1)).state == "committed"
        wait_until(lambda: line.judges == "alpha 1")
        agent.reports.clear()
        agent.agent.install(pushed(agent, release(tmp_path, 2)), "main", "push")
        wait_until(lambda: "shadow" in agent.states(), 20, "the comparison")
        capsys.readouterr()
        assert install(agent.config.agent.socket, release(tmp_path, 3), "main") == 0
        assert "refused" not in capsys.readouterr().out
        refused = next(r for r in agent.reports if r.state == "refused")
        assert (refused.serial, "newer installation" in refused.reason) == (2, True)
        wait_until(lambda: line.judges == "alpha 3")


def test_an_order_before_inspection_is_back_does_not_hide_what_was_going_on(
    tmp_path: Path,
) -> None:
    """Cut off while a bundle was taken back, and a new one is there at once: the roll-back ends
    first, so that the new one, taken back too, gives way to the good one and not to the bad one."""
    config = write_config(tmp_path, "shadow_parts = 0\nprobation_parts = 100000")
    with device(config, tries_here=True) as (agent, line):
        assert agent.install(release(tmp_path, 1)).state == "committed"
        wait_until(lambda: line.judges == "alpha 1")
        good = agent.store.active("main")
    bad_file = release(tmp_path, 2)
    bad = digest_of(bad_file)
    agent.store.admit(bad_file, bad, Card(product="alpha", serial=2))
    agent.store.set_active("main", bad)
    agent.store.set_intent(
        Intent(slot="main", kind="install", phase="rolling_back", old_sha256=good, new_sha256=bad)
    )
    again = Device(config, tries_here=True)
    again.agent.start()
    again.agent.install(release(tmp_path, 3), "main", "push")
    wait_until(lambda: "self_check" in again.states())
    line = Line(again.config).start()
    try:
        wait_until(lambda: again.store.intent("main") is not None and _probation(again), 30)
        ends = [(r.state, r.serial) for r in again.reports if r.state in FINAL_STATES]
        assert ends == [("rolled_back", 2)]
        again.agent.decide("main", False, lambda *_: None)
        wait_until(lambda: ("rolled_back", 3) in {(r.state, r.serial) for r in again.reports})
        assert again.store.active("main") == good
        wait_until(lambda: line.judges == "alpha 1")
    finally:
        line.stop()
        again.stop()


def _probation(agent: Device) -> bool:
    return ("probation", 3) in {(r.state, r.serial) for r in agent.reports}


def test_another_slots_pruning_leaves_a_candidate_alone(tmp_path: Path) -> None:
    """While a bundle is compared, for an hour if need be, nothing in the store names it yet."""
    config = write_config(tmp_path, "shadow_parts = 100000\nprobation_parts = 0")
    with device(config, tries_here=True) as (agent, line):
        assert agent.install(release(tmp_path, 1)).state == "committed"
        wait_until(lambda: line.judges == "alpha 1")
        agent.reports.clear()
        file = release(tmp_path, 2)
        agent.agent.install(file, "main", "push")
        wait_until(lambda: "shadow" in agent.states(), 20, "the comparison")
        assert agent.store.prune(0) == []
        agent.agent.decide("main", True, lambda *_: None)
        assert agent.outcome().state == "committed"
        active = agent.store.active("main")
        assert active is not None
        assert agent.store.has(active)


@pytest.mark.parametrize("what", ["a device", "a pipe", "a folder", "nothing"])
def test_what_is_no_plain_file_is_refused_before_it_is_copied(tmp_path: Path, what: str) -> None:
    """A device would fill the disk and a pipe hold the slot for ever; the reason names the file."""
    path = {"a device": Path("/dev/zero")}.get(what, tmp_path / "stick.bundle")
    if what == "a pipe":
        os.mkfifo(path)
    elif what == "a folder":
        path.mkdir()
    half = Device(write_config(tmp_path), tries_here=True)
    half.agent.start()
    try:
        ended = half.install(path)
        assert list(half.store.incoming.iterdir()) == []
    finally:
        half.stop()
    assert ended.state == "refused"
    assert str(path) in ended.reason
    told = "cannot be read: No such file" if what == "nothing" else "is not a plain file"
    assert told in ended.reason


def test_inspection_that_comes_during_an_order_is_greeted_after_it(tmp_path: Path) -> None:
    """Started while a bundle is waiting for it, `run` still gets the other product made ready."""
    config = write_config(tmp_path, url=PICTURES)
    with device(config, tries_here=True) as (agent, _):
        for product in ("alpha", "beta"):
            file = write_release(tmp_path / f"{product}.bundle", manifest_of(product, 1))
            assert agent.install(file).state == "committed"
    again = Device(config, tries_here=True)
    again.agent.start()
    new = write_release(tmp_path / "next.bundle", manifest_of("beta", 2))
    again.agent.install(new, "main", "push")
    wait_until(lambda: "self_check" in again.states())
    line = Line(again.config).start()
    try:
        assert again.outcome().state == "committed"
        activation = line.app._slots._activation
        assert activation is not None
        alpha = again.store.installed("main")["alpha"]
        wait_until(lambda: activation._slots["main"].held(alpha) is not None, 20, "a standby")
    finally:
        line.stop()
        again.stop()


def test_a_lost_record_of_serials_takes_the_new_bundle_back_whole(tmp_path: Path) -> None:
    """Spoilt by the card while the bundle was on probation: nothing of the commit is done, so that
    a changeover cannot bring in what was taken back."""
    config = write_config(tmp_path, "shadow_parts = 0\nprobation_parts = 100000")
    with device(config, tries_here=True) as (agent, line):
        assert agent.install(release(tmp_path, 1)).state == "committed"
        wait_until(lambda: line.judges == "alpha 1")
        good = agent.store.active("main")
        agent.reports.clear()
        agent.agent.install(release(tmp_path, 2), "main", "file")
        wait_until(lambda: "probation" in agent.states(), 20, "the probation")
        record = agent.store.root / "state" / "serials.json"
        record.write_text("{")
        agent.agent.decide("main", True, lambda *_: None)
        ended = agent.outcome()
        assert ended.state == "rolled_back"
        assert f"{record} cannot be read" in ended.reason
        assert agent.store.installed("main") == {"alpha": good}
        assert agent.store.active("main") == good
        wait_until(lambda: line.judges == "alpha 1")


def test_an_unforeseen_failure_leaves_no_order_without_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits hears that it failed; the next order is taken as ever."""
    with device(write_config(tmp_path), tries_here=True) as (agent, _):
        with monkeypatch.context() as patched:
            patched.setattr(flow, "verify_file", lambda *_: 1 / 0)
            patched.setattr(flow, "installed_candidate", lambda *_: 1 / 0)
            ended = agent.install(release(tmp_path, 1))
            assert (ended.state, "ZeroDivisionError" in ended.reason) == ("refused", True)
            is_ok, text = agent.select("alpha")
            assert (is_ok, "ZeroDivisionError" in text) == (False, True)
        assert agent.install(release(tmp_path, 1)).state == "committed"
