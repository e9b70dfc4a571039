"""Power cuts: whatever is lost, exactly one complete, valid bundle is active afterwards."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.activation_bundles import manifest_of, signer, write_release
from support.agent_and_line import device, write_config
from support.brokers import wait_until
from support.child_processes import SCRIPT_ENVIRONMENT
from support.lossy_disk import Loss, LossyDisk
from support.signed_bundles import trusting

from edge_app.bundle.verify import verify_bundle
from edge_app.errors import BundleError
from edge_app.store.bundle_store import Store
from edge_app.store.durable_write import Step, perform
from edge_app.store.intent import Intent

SCRIPT = Path(__file__).parents[3] / "support" / "power_cut.py"


def cuts(folder: Path, side: str, stride: int, timeout_s: float = 200.0) -> list[dict[str, object]]:
    """Cut a device off at every `stride`-th moment and return what was found each time."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder), side, "1", str(stride)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env={**SCRIPT_ENVIRONMENT, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def assert_one_bundle(found: list[dict[str, object]], at_least: int) -> None:
    """After every cut the slot's bundle is whole and judges; both outcomes occurred."""
    assert len(found) >= at_least
    assert not found[-1]["has_died"], "no cut was left to make"
    for cut in found:
        assert cut["whole"], cut
        assert cut["judges"] == cut["active"], cut
    assert len({cut["active"] for cut in found}) == 2


def test_a_cut_of_both_processes(tmp_path: Path) -> None:
    """Agent and inspection die together at every 18th change on disk, state or order: they start
    with one whole bundle, the old or the new one, and leave no record."""
    assert_one_bundle(cuts(tmp_path, "both", 18), 3)


def test_the_inspection_process_dies_at_every_message(tmp_path: Path) -> None:
    """Before each line it says and each order it takes: systemd starts it again, and the slot's
    bundle judges."""
    assert_one_bundle(cuts(tmp_path, "inspection", 1), 10)


@pytest.mark.slow
@pytest.mark.parametrize("side", ["agent", "both"])
def test_a_cut_at_every_step_and_state(tmp_path: Path, side: str) -> None:
    """At every change on disk, state and order, the agent alone and the whole device."""
    assert_one_bundle(cuts(tmp_path, side, 1, 230.0), 50)


def recorded(tmp_path: Path) -> tuple[LossyDisk, list[tuple[Step, bytes]], Path]:
    """Install one bundle, then a second one from a file elsewhere; return the disk as it was before
    the second, and the steps of the second with what copies read."""
    steps: list[tuple[Step, bytes]] = []

    def do(step: Step) -> None:
        source = step.other.read_bytes() if step.kind == "copy" and step.other else b""
        perform(step)
        steps.append((step, source))

    config = write_config(tmp_path, "shadow_parts = 0\nprobation_parts = 1")
    with device(config, do) as (agent, line):
        first = write_release(tmp_path / "1.bundle", manifest_of("alpha", 1))
        assert agent.install(first).state == "committed"
        wait_until(lambda: line.judges == "alpha 1")
        disk = LossyDisk(agent.store.root)
        steps.clear()
        second = write_release(tmp_path / "2.bundle", manifest_of("alpha", 2))
        assert agent.install(second).state == "committed"
        root = agent.store.root
    return disk, steps, root


def test_a_disk_that_forgets_what_was_not_synced(tmp_path: Path) -> None:
    """After every step of an installation, with all names or all bytes lost that were not synced,
    `run` finds a bundle that is whole and signed, and never less than the one it had before."""
    disk, steps, root = recorded(tmp_path)
    assert len(steps) >= 40
    trust = trusting(signer().public())
    kinds: tuple[Loss, ...] = ("names_lost", "bytes_lost")
    active = []
    for number, (step, source) in enumerate(steps, 1):
        disk.replay(step, source)
        for loss in kinds:
            left = tmp_path / "left" / f"{number}-{loss}"
            disk.leave(loss, left)
            store = Store(left)
            choices = store.choices("main")
            assert choices, (number, step.kind, loss)
            verified = verify_bundle(store.release(choices[0]), trust)
            assert verified.sha256 == choices[0], (number, step.kind, loss)
            active.append(verified.manifest.serial)
    assert active == sorted(active), (
        "once the new bundle is on disk, no cut brings the old one back"
    )
    assert {active[0], active[-1]} == {1, 2}
    assert Store(root).intent("main") is None


def test_the_forgetful_disk_finds_a_missing_sync(tmp_path: Path) -> None:
    """The check above is worth something: without the file's own sync it meets a cut bundle."""
    disk, steps, _ = recorded(tmp_path)
    for step, source in steps:
        if step.kind != "sync" or step.path.suffix != ".bundle":
            disk.replay(step, source)
    disk.leave("bytes_lost", tmp_path / "left")
    store = Store(tmp_path / "left")
    with pytest.raises(BundleError):
        verify_bundle(store.release(store.choices("main")[0]), trusting(signer().public()))


def test_a_reported_commit_outlives_the_power(tmp_path: Path) -> None:
    """When the last step is done nothing is left to be synced: serial, links and bundle are there
    whatever is lost."""
    disk, steps, _ = recorded(tmp_path)
    for step, source in steps:
        disk.replay(step, source)
    for loss in ("names_lost", "bytes_lost"):
        disk.leave(loss, tmp_path / loss)
        store = Store(tmp_path / loss)
        assert store.high_water("alpha") == 2
        assert store.active("main") == store.installed("main")["alpha"]
        assert store.previous("main") == store.before("main")["alpha"] != store.active("main")


def test_the_bundle_is_synced_before_its_name_and_the_record_before_the_link(
    tmp_path: Path,
) -> None:
    """The order of one installation, as the kernel is asked: file, rename, folder; record, link."""
    _, steps, root = recorded(tmp_path)
    said = [(s.kind, s.path.name) for s, _ in steps]
    incoming = next(i for i, (kind, name) in enumerate(said) if kind == "copy")
    file = said[incoming][1]
    synced, renamed = said.index(("sync", file)), said.index(("rename", file))
    assert incoming < synced < renamed < said.index(("sync", "releases"), renamed)
    link = said.index(("rename", ".active.new"))
    record = said.index(("rename", ".intent-main.json.new"))
    assert (
        record < said.index(("sync", "state"), record) < link < said.index(("sync", "main"), link)
    )
    assert root.is_dir()


@pytest.mark.needs("strace")
def test_strace_sees_the_same_order(tmp_path: Path) -> None:
    """The kernel is really asked to sync file, name and folder, in a traced process."""
    program = (
        "import sys; from pathlib import Path; from edge_app.store.bundle_store import Store\n"
        "from edge_app.store.intent import Intent\n"
        "store = Store(Path(sys.argv[1])); store.prepare(['main'])\n"
        "store.set_intent(Intent(slot='main', kind='install', phase='switching',"
        " old_sha256=None, new_sha256='a' * 64))\n"
        "store.set_active('main', 'a' * 64)\n"
    )
    log = tmp_path / "strace.log"
    command = ["strace", "-f", "-y", "-e", "trace=fsync,rename,renameat,renameat2", "-o", str(log)]
    subprocess.run(
        [*command, sys.executable, "-c", program, str(tmp_path / "store")],
        check=True,
        timeout=60,
        env=SCRIPT_ENVIRONMENT,
    )
    lines = [line.split(maxsplit=1)[1] for line in log.read_text().splitlines()]
    text = [line for line in lines if "store" in line]
    order = [
        _index(text, "fsync", ".intent-main.json.new>"),
        _index(text, "rename", ".intent-main.json.new"),
        _index(text, "fsync", "store/state>"),
        _index(text, "rename", ".active.new"),
        _index(text, "fsync", "store/slots/main>", last=True),
    ]
    assert order == sorted(order), text


def _index(lines: list[str], call: str, what: str, last: bool = False) -> int:
    found = [i for i, line in enumerate(lines) if line.startswith(call) and what in line]
    assert found, (call, what, lines)
    return found[-1] if last else found[0]


@pytest.mark.parametrize("phase", ["switching", "probation", "committing", "rolling_back"])
def test_what_the_record_says_is_loaded(tmp_path: Path, phase: str) -> None:
    """On start `run` loads what the record says; the links count where there is none."""
    store = Store(tmp_path)
    store.prepare(["main"])
    old, new = (hashlib.sha256(name).hexdigest() for name in (b"old", b"new"))
    for sha256 in (old, new):
        store.release(sha256).write_bytes(b"")
    store.set_active("main", old)
    intent = Intent(slot="main", kind="install", phase="switching", old_sha256=old, new_sha256=new)
    store.set_intent(intent.model_copy(update={"phase": phase}))
    assert store.choices("main") == ([old] if phase == "rolling_back" else [new, old])
    store.clear_intent("main")
    assert store.choices("main") == [old]
