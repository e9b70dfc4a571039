"""`edge-deploy rollout` resumes the whole order that is asked for, one process at a time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.signed_bundles import Signer
from support.small_bundles import bright_files, bright_manifest

from deploy.bundles.sign import sign_bundle
from deploy.cli.main import main
from deploy.fleet.rollout_lock import hold
from deploy.fleet.rollout_state import FORMAT, load_state, save_state
from edge_app.bundle.archive import write_bundle
from edge_app.bundle.signature import SigningTerms

SIGNER = Signer("line1")
NOBODY = "127.0.0.1:1"
"""A broker that is not there: what is refused is refused before it is asked."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with two bundles and two groups."""
    for serial in (1, 2):
        unsigned = tmp_path / "unsigned"
        manifest = bright_manifest().model_copy(update={"serial": serial})
        write_bundle(unsigned, manifest, bright_files())
        sign_bundle(unsigned, SIGNER.key, tmp_path / f"{serial}.bundle", SigningTerms())
    groups = {"pilot": ["graz/l/p1", "graz/l/p2"], "others": ["graz/l/p3"]}
    lines = [f"{name} = {json.dumps(devices)}" for name, devices in groups.items()]
    (tmp_path / "groups.toml").write_text("\n".join(["[groups]", *lines]) + "\n")
    return tmp_path


def words(folder: Path, **changed: str) -> list[str]:
    """Return the command's arguments, some of them changed."""
    options = {
        "broker": NOBODY, "url": "https://desk/", "group": "pilot", "slot": "main", "canary": "1",
        "then": "all", "wait": "committed", "groups": str(folder / "groups.toml"),
        "state": str(folder / "state.json"),
    }  # fmt: skip
    bundle = folder / f"{changed.pop('bundle', '1')}.bundle"
    options |= changed
    return ["rollout", str(bundle), *(w for k, v in options.items() for w in (f"--{k}", v))]


def begin(folder: Path, capsys: pytest.CaptureFixture[str], outcome: str = "running") -> Path:
    """Leave the state file of a roll-out that was begun and cut off; return it."""
    import argparse

    from deploy.cli import push
    from deploy.cli.main import _parser as parser

    arguments = parser().parse_args(words(folder))
    assert isinstance(arguments, argparse.Namespace)
    state = push._asked(arguments).model_copy(update={"outcome": outcome})
    file = folder / "state.json"
    save_state(file, state)
    capsys.readouterr()
    return file


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"group": "others"}, "devices: graz/l/p3 only here, graz/l/p1, graz/l/p2 only there"),
        ({"slot": "second"}, "--slot second, there main"),
        ({"url": "https://other/"}, "--url https://other/1.bundle, there https://desk/1.bundle"),
        ({"canary": "0"}, "waves (--canary, --then, order of devices) 2, there 1 + 1"),
        ({"canary": "2"}, "waves (--canary, --then, order of devices) 2, there 1 + 1"),
        ({"broker": "127.0.0.1:2"}, "--broker 127.0.0.1:2, there 127.0.0.1:1"),
        ({"wait": "probation"}, "--wait probation, there committed"),
        ({"bundle": "2"}, "is not the bundle that is being rolled out"),
    ],
)
@pytest.mark.parametrize("outcome", ["running", "done", "stopped"])
def test_another_order_is_not_taken_for_this_one(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    changed: dict[str, str],
    why: str,
    outcome: str,
) -> None:
    """Whatever is different is named, and nobody is asked: no "done" for devices never asked."""
    file = begin(folder, capsys, outcome)
    before = file.read_bytes()
    assert main(words(folder, **changed)) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert why in said.err or (outcome != "running" and "bundle bright 2" in said.err)
    assert file.read_bytes() == before


def test_the_same_order_is_resumed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It goes as far as the broker, which is not there."""
    begin(folder, capsys)
    assert main(words(folder)) == 1
    assert NOBODY in capsys.readouterr().err


def test_a_state_of_the_release_before_is_resumed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Format 1 knows neither broker nor --wait: these two are taken as they are asked for."""
    file = begin(folder, capsys)
    old = json.loads(file.read_text())
    for name in ("broker", "wait_for"):
        del old[name]
    for turn in old["turns"].values():
        del turn["before"]
    file.write_text(json.dumps(old | {"format": "cropliq-rollout/1"}))
    assert main(words(folder)) == 1
    assert NOBODY in capsys.readouterr().err
    assert main(words(folder, slot="second")) == 2
    state = load_state(file)
    assert state is not None
    assert state.format == FORMAT


def test_two_at_once_exclude_each_other(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second says who has it and what to do; --abort waits for its turn too."""
    file = begin(folder, capsys)
    with hold(file):
        for more in ([], ["--abort"], ["--restart"]):
            assert main([*words(folder), *more]) == 2
            said = capsys.readouterr().err
            assert "is being carried out by process" in said
            assert "Traceback" not in said
    assert main(words(folder)) == 1  # free again: no broker


def test_an_abort_at_another_broker_withdraws_nothing_and_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its pointers stand at the broker that it was sent to."""
    begin(folder, capsys)
    assert main([*words(folder, broker="127.0.0.1:2"), "--abort"]) == 2
    assert "was sent to the broker 127.0.0.1:1" in capsys.readouterr().err
