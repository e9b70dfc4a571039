"""The installed commands against a real broker, a real server and simulated devices."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.alert_drafts import WHO
from support.broker_logins import acl_lines
from support.brokers import HOST, Listener, Mosquitto, wait_until
from support.child_processes import takes_ctrl_c
from support.format_2 import suspect_manifest
from support.signed_bundles import Signer
from support.small_bundles import bright_files, bright_manifest, write_bright_bundle

from benchmarks.fleet_device import SimulatedDevice
from deploy.bundles.serve import BundleServer
from deploy.bundles.sign import sign_bundle
from deploy.cli.main import main
from edge_app.agent.pull.download_rules import DownloadRules
from edge_app.bundle.archive import write_bundle
from edge_app.bundle.manifest import FEATURES, FORMATS, Manifest
from edge_app.bundle.signature import SigningTerms
from edge_app.mqtt.messages import DeviceInfo
from edge_app.mqtt.settings import MqttSettings
from edge_app.mqtt.topics import DeviceName, Topics

pytestmark = pytest.mark.needs("mosquitto")
COMMAND = str(Path(sys.executable).with_name("edge-deploy"))
PRESSES = [DeviceName("graz", "line-2", f"press-{n}") for n in range(1, 5)]
SIGNER = Signer("line1")


def signed(path: Path, serial: int = 1, **changed: Any) -> Path:
    """Return a signed bundle of the brightness product."""
    manifest: Manifest = bright_manifest().model_copy(update={"serial": serial, **changed})
    unsigned = path.with_suffix(".unsigned")
    write_bundle(unsigned, manifest, bright_files())
    sign_bundle(unsigned, SIGNER.key, path, SigningTerms())
    return path


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Return a folder and the address under which it is served."""
    folder = tmp_path / "served"
    folder.mkdir()
    with BundleServer(folder, (HOST, 0), log=lambda _: None) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield folder, server.url
        server.shutdown()
        thread.join()


@pytest.fixture
def presses(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[Callable[..., list[SimulatedDevice]]]:
    """Return a function that starts the four presses; some of them find some bundles bad."""
    started: list[SimulatedDevice] = []

    def start(bad: dict[int, str] | None = None, step_s: float = 0.0) -> list[SimulatedDevice]:
        rules = DownloadRules(allowed_hosts=(HOST,), max_bytes=1 << 24)
        settings = MqttSettings(HOST, mosquitto.port)
        for index, who in enumerate(PRESSES):
            wrong = [bad[index]] if bad and index in bad else []
            folder = tmp_path / who.device
            device = SimulatedDevice(who, settings, folder, rules, step_s=step_s, bad=wrong)
            started.append(device)
            device.start()
        return started

    yield start
    for device in started:
        device.stop()


@pytest.fixture
def groups(tmp_path: Path) -> Path:
    path = tmp_path / "groups.toml"
    path.write_text(f"[groups]\npresses = {json.dumps([str(who) for who in PRESSES])}\n")
    return path


def run(*words: object) -> subprocess.CompletedProcess[str]:
    """Run edge-deploy."""
    command = [COMMAND, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def sha_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_push_to_one_device_is_followed_to_its_end(
    mosquitto: Mosquitto,
    served: tuple[Path, str],
    presses: Callable[..., list[SimulatedDevice]],
) -> None:
    """push --wait shows the states and ends with 0; the other devices hear nothing."""
    folder, url = served
    devices = presses()
    bundle = signed(folder / "bright-1.bundle")
    done = run("push", bundle, "--broker", f"{HOST}:{mosquitto.port}", "--url", url,
               "--device", PRESSES[0], "--wait", "--timeout-s", 20)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "done: 1 of 1 committed, 0 failed, 0 under way"
    assert f"{PRESSES[0]}: committed" in done.stdout
    assert [device.store.active("main") for device in devices] == [sha_of(bundle), *[None] * 3]


def test_status_shows_every_device_with_its_update(
    mosquitto: Mosquitto,
    served: tuple[Path, str],
    presses: Callable[..., list[SimulatedDevice]],
    groups: Path,
) -> None:
    """A table for people, JSON for programs: asked, committed, refused with the reason."""
    folder, url = served
    bundle = signed(folder / "bright-7.bundle", serial=7)
    devices = presses(bad={2: sha_of(bundle)})
    devices[3].stop()
    at = ("--broker", f"{HOST}:{mosquitto.port}")
    pushed = run("push", bundle, *at, "--url", url, "--group", "presses", "--groups", groups)
    assert pushed.returncode == 0, pushed.stderr
    assert pushed.stdout == "bright 7 asked of 4 devices; see edge-deploy status\n"

    def states() -> list[str]:
        rows = json.loads(run("status", *at, "--json").stdout)
        return [row["state"] for row in rows]

    wait_until(lambda: states() == ["committed", "committed", "refused", "asked"], 15)
    table = run("status", *at, "--once").stdout.splitlines()
    assert table[0].split()[:4] == ["DEVICE", "INSPECTION", "AGENT", "SLOT"]
    assert "graz/line-2/press-3" in table[3]
    assert "golden set: 3 verdicts differ" in table[3]
    assert "bright 7" in table[1]
    assert "stopped" in table[4]


def test_a_withdrawn_push_never_happens(
    mosquitto: Mosquitto,
    served: tuple[Path, str],
    presses: Callable[..., list[SimulatedDevice]],
) -> None:
    """A device that was away finds nothing to do."""
    folder, url = served
    bundle = signed(folder / "a.bundle")
    at = ("--broker", f"{HOST}:{mosquitto.port}", "--device", PRESSES[0])
    assert run("push", bundle, *at, "--url", url).returncode == 0
    assert run("push", "--withdraw", *at).returncode == 0
    listener = Listener(mosquitto.port, Topics(PRESSES[0]).agent_status)
    devices = presses()
    wait_until(lambda: len(listener.bodies("/agent/status")) == 1)
    listener.close()
    assert devices[0].installs == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--device", "press-1"], "is not named in full"),
        ([], "give either --device (one or more) or --group"),
        (["--group", "presses"], "needs --groups FILE.toml"),
        (["--device", "graz/line-9/press-1"], "it is for graz/line-2/*"),
    ],
)
def test_a_push_to_nobody_or_to_the_wrong_device_is_refused(
    tmp_path: Path, words: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Told before the broker is even asked."""
    bundle = signed(tmp_path / "a.bundle", targets=("graz/line-2/*",))
    code = main(["push", str(bundle), "--broker", "127.0.0.1:1", "--url", "https://station/",
                 *words])  # fmt: skip
    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    assert why in said.err


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://station.plant/", "devices accept plain http from loopback only"),
        ("https://me:word@station/", "without a login"),
        ("station", "expected https://"),
    ],
)
def test_an_address_that_no_device_takes_is_refused(
    tmp_path: Path, url: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The device's own rules hold at the workstation already."""
    bundle = signed(tmp_path / "a.bundle")
    code = main(["push", str(bundle), "--broker", "127.0.0.1:1", "--url", url,
                 "--device", str(PRESSES[0])])  # fmt: skip
    assert code == 2
    assert why in capsys.readouterr().err


def test_an_unsigned_bundle_is_not_pushed(tmp_path: Path) -> None:
    """The message says how to sign it."""
    bundle = write_bright_bundle(tmp_path / "a.bundle")
    done = run("push", bundle, "--broker", "127.0.0.1:1", "--url", "https://station/",
               "--device", PRESSES[0])  # fmt: skip
    assert done.returncode == 2
    assert "is not signed; no device accepts it. Sign it first: edge-deploy sign" in done.stderr


def test_a_broker_that_refuses_the_pointer_is_told(
    start_mosquitto: Callable[..., Mosquitto], tmp_path: Path
) -> None:
    """With the shipped ACL the user `watch` may not push; `deploy` may."""
    broker = start_mosquitto(acl_lines(tmp_path, "watch", "deploy"), is_open=False)
    bundle = signed(tmp_path / "a.bundle")
    words = ["push", bundle, "--broker", f"{HOST}:{broker.port}", "--url", "https://station/",
             "--device", WHO, "--password-file", tmp_path / "password", "--username"]  # fmt: skip
    refused = run(*words, "watch")
    assert refused.returncode == 1
    assert "publish refused" in refused.stderr
    assert "the broker's ACL must let this user write" in refused.stderr
    assert run(*words, "deploy").returncode == 0


# -- roll-outs -------------------------------------------------------------------------------------


def rollout_words(mosquitto: Mosquitto, url: str, groups: Path) -> list[object]:
    return ["--broker", f"{HOST}:{mosquitto.port}", "--url", url, "--group", "presses",
            "--groups", groups, "--canary", 1, "--then", "all", "--wait", "committed",
            "--timeout-s", 30]  # fmt: skip


def test_a_rollout_goes_to_the_canary_first_then_to_all(
    mosquitto: Mosquitto,
    served: tuple[Path, str],
    presses: Callable[..., list[SimulatedDevice]],
    groups: Path,
) -> None:
    """The other three are sent nothing before the first has committed."""
    folder, url = served
    devices = presses()
    bundle = signed(folder / "a.bundle")
    done = run("rollout", bundle, *rollout_words(mosquitto, url, groups))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    second = lines.index(
        "sending to 3 of 4: graz/line-2/press-2, graz/line-2/press-3, graz/line-2/press-4"
    )
    assert lines.index("graz/line-2/press-1: committed") < second
    assert lines[-1] == "done: 4 of 4 committed, 0 failed, 0 under way"
    assert {device.store.active("main") for device in devices} == {sha_of(bundle)}
    again = run("rollout", bundle, *rollout_words(mosquitto, url, groups))
    assert "this roll-out has ended (done)" in again.stderr


def test_a_bad_bundle_stops_at_the_canary(
    mosquitto: Mosquitto,
    served: tuple[Path, str],
    presses: Callable[..., list[SimulatedDevice]],
    groups: Path,
) -> None:
    """The first device refuses it: nobody else is asked, its pointer is taken back, exit 1."""
    folder, url = served
    bundle = signed(folder / "a.bundle")
    devices = presses(bad=dict.fromkeys(range(4), sha_of(bundle)))
    done = run("rollout", bundle, *rollout_words(mosquitto, url, groups))
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == (
        "stopped: the canary failed: graz/line-2/press-1 (refused: golden set: 3 verdicts differ)"
    )
    assert [len(device.installs) for device in devices] == [1, 0, 0, 0]
    late = Listener(mosquitto.port, "inspect/v1/+/+/+/deploy/+/+")
    wait_until(lambda: bool(late.messages))
    assert [topic.rsplit("/", 1)[1] for topic, _, _ in late.messages] == ["reported"]
    late.close()


def test_a_rollout_resumes_after_the_workstation_was_killed(
    mosquitto: Mosquitto,
    served: tuple[Path, str],
    presses: Callable[..., list[SimulatedDevice]],
    groups: Path,
) -> None:
    """SIGKILL while the canary installs; the same command goes on and nobody installs twice."""
    folder, url = served
    devices = presses(step_s=0.4)
    bundle = signed(folder / "a.bundle")
    words = [COMMAND, "rollout", str(bundle), *map(str, rollout_words(mosquitto, url, groups))]
    first = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    wait_until(lambda: len(devices[0].installs) == 1, 15)
    first.send_signal(signal.SIGKILL)
    first.wait(10)
    done = run(*words[1:])
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("resumed: 0 of 4 committed, 0 failed, 1 under way\n")
    assert [len(device.installs) for device in devices] == [1, 1, 1, 1]


@pytest.mark.slow
def test_an_aborted_rollout_sends_nothing_more(
    mosquitto: Mosquitto,
    served: tuple[Path, str],
    presses: Callable[..., list[SimulatedDevice]],
    groups: Path,
) -> None:
    """Interrupted by hand, then --abort: the wishes are taken back, the file says so."""
    folder, url = served
    bundle = signed(folder / "a.bundle")
    words = [COMMAND, "rollout", str(bundle), *map(str, rollout_words(mosquitto, url, groups))]
    listener = Listener(mosquitto.port, Topics(PRESSES[0]).desired("main"))
    first = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, preexec_fn=takes_ctrl_c)
    wait_until(lambda: len(listener.messages) == 1)
    first.send_signal(signal.SIGINT)
    out, _ = first.communicate(timeout=20)
    assert first.returncode == 1
    assert "The same command resumes, --abort ends it." in out
    other = signed(folder / "b.bundle", serial=2)
    state = str(folder / "a.main.rollout.json")
    mixed = run("rollout", other, *rollout_words(mosquitto, url, groups), "--state", state)
    assert "is not the bundle that is being rolled out" in mixed.stderr
    assert run(*words[1:], "--abort").stdout == "aborted: aborted by hand\n"
    wait_until(lambda: [text for _, text, _ in listener.messages][1:] == [""])
    listener.close()
    assert "this roll-out has ended (aborted)" in run(*words[1:]).stderr
    assert all(device.installs == [] for device in presses())


@pytest.mark.slow
def test_a_rollout_outlives_a_broker_restart(
    mosquitto: Mosquitto,
    served: tuple[Path, str],
    presses: Callable[..., list[SimulatedDevice]],
    groups: Path,
) -> None:
    """The connection is renewed and the retained answers are read again."""
    folder, url = served
    devices = presses(step_s=0.4)
    bundle = signed(folder / "a.bundle")
    words = [COMMAND, "rollout", str(bundle), *map(str, rollout_words(mosquitto, url, groups))]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_until(lambda: len(devices[0].installs) == 1, 15)
        mosquitto.stop()
        mosquitto.start()
        out, notes = process.communicate(timeout=60)
    assert process.returncode == 0, notes
    assert "connecting again" in notes
    assert out.splitlines()[-1] == "done: 4 of 4 committed, 0 failed, 0 under way"


# -- bundles of format 2 ---------------------------------------------------------------------------


def says_of_itself(broker: Mosquitto, infos: dict[DeviceName, DeviceInfo]) -> None:
    """Retain what the devices' inspections say of themselves."""
    listener = Listener(broker.port, "inspect/v1/+/+/+/info")
    for who, info in infos.items():
        listener.publish(Topics(who).info, info.payload().decode(), retain=True)
    wait_until(lambda: len(listener.bodies("/info")) == len(infos))
    listener.close()


def mixed_fleet(broker: Mosquitto, old: set[int]) -> None:
    """Have some presses be of release 0.1.0, the others of this one."""
    new = DeviceInfo(hardware="x", bundle_formats=FORMATS, bundle_features=FEATURES)
    before = DeviceInfo(hardware="x", versions={"cropliq-edge-device": "0.1.0"})
    infos = {who: before if i in old else new for i, who in enumerate(PRESSES)}
    says_of_itself(broker, infos)


OLD = (
    "release 0.1.0 knows cropliq-bundle/1 only, and this bundle is cropliq-bundle/2 "
    "(suspect_limit): update the device first, or build it with edge-export build --format 1"
)


@pytest.mark.parametrize("wait", [False, True])
def test_a_push_names_and_passes_over_devices_that_do_not_know_the_format(
    wait: bool,
    mosquitto: Mosquitto,
    served: tuple[Path, str],
    presses: Callable[..., list[SimulatedDevice]],
    groups: Path,
) -> None:
    """The others get it; the exit code says that not all did."""
    folder, url = served
    devices = presses()
    mixed_fleet(mosquitto, {1, 3})
    bundle = signed(folder / "a.bundle", variants=suspect_manifest().variants)
    words = [*("--wait", "--timeout-s", 20)] if wait else []
    done = run("push", bundle, "--broker", f"{HOST}:{mosquitto.port}", "--url", url,
               "--group", "presses", "--groups", groups, *words)  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines()[:2] == [f"{PRESSES[i]}: {OLD}" for i in (1, 3)]
    wait_until(lambda: [len(device.installs) for device in devices] == [1, 0, 1, 0], 15)


@pytest.mark.parametrize(("old", "why"), [(0, "the canary failed: "), (2, "1 failed, 0 allowed: ")])
def test_a_rollout_stops_before_anything_is_sent(
    old: int,
    why: str,
    mosquitto: Mosquitto,
    served: tuple[Path, str],
    presses: Callable[..., list[SimulatedDevice]],
    groups: Path,
) -> None:
    """Its rules hold: a canary that cannot, or more than may fail, and nobody is asked."""
    folder, url = served
    devices = presses()
    mixed_fleet(mosquitto, {old})
    bundle = signed(folder / "a.bundle", variants=suspect_manifest().variants)
    done = run("rollout", bundle, *rollout_words(mosquitto, url, groups))
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines() == [
        f"{PRESSES[old]}: {OLD}",
        f"stopped: {why}{PRESSES[old]} ({OLD})",
    ]
    assert [device.installs for device in devices] == [[]] * 4


def test_a_rollout_goes_on_without_as_many_as_may_fail(
    mosquitto: Mosquitto,
    served: tuple[Path, str],
    presses: Callable[..., list[SimulatedDevice]],
    groups: Path,
) -> None:
    """--max-failures 1: one device is left at its old bundle, and named."""
    folder, url = served
    devices = presses()
    mixed_fleet(mosquitto, {2})
    bundle = signed(folder / "a.bundle", variants=suspect_manifest().variants)
    done = run("rollout", bundle, *rollout_words(mosquitto, url, groups), "--max-failures", 1)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == f"{PRESSES[2]}: {OLD}"
    assert done.stdout.splitlines()[-1] == "done: 3 of 4 committed, 1 failed, 0 under way"
    assert [len(device.installs) for device in devices] == [1, 1, 0, 1]
