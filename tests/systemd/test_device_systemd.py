"""A device under a real systemd: installed by the README's commands, then stopped, killed, hung.

The tests run in this order on the folder's one system; each but the last leaves the service
running.
"""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
from devices import BUSY, CONFIG, IDLE, PATIENCE_S, WATCHDOG_S, Device, config_text
from support.brokers import free_port, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

HANGS_AT_SIGUSR2 = """
import signal, time

def hangs_in_a_driver(*_):
    while True:
        time.sleep(3600)

signal.signal(signal.SIGUSR2, hangs_in_a_driver)
"""
"""As sitecustomize.py: Python runs the handler in the main thread, from within its loop."""


def test_the_readmes_commands_install_and_start_the_service(device: Device) -> None:
    """Typed one after another, as the fixture did, they end with an active service."""
    assert device.container.show("edge-app", "ActiveState") == "active"
    device.wait_online()
    assert "broker connected" in device.container.show("edge-app", "StatusText")


def test_the_service_has_only_what_it_needs(device: Device) -> None:
    """Its own user, no capability, no new privileges, system calls filtered, secrets its own."""
    pid = device.main_pid()
    status = dict(
        line.split(":\t", 1)
        for line in device.container.run(f"cat /proc/{pid}/status").stdout.splitlines()
        if ":\t" in line
    )
    user_id = device.container.run("id -u cropliq-edge").stdout.strip()
    assert status["Uid"].split()[0] == user_id != "0"
    assert int(status["CapBnd"], 16) == 0
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    secrets = device.container.run("ls -l /etc/cropliq-edge/credentials | tail -n +2").stdout
    assert "page.token" in secrets
    assert all(line.startswith("-rw------- 1 root root") for line in secrets.splitlines())


def test_the_operators_keys_came_along(device: Device) -> None:
    """Where the example points, readable for the agent's user, whom nobody else's key serves."""
    folder = "/etc/cropliq-edge/operator_keys"
    listed = device.container.run(f"stat -c '%a %U %G %n' {folder} {folder}/*").stdout.split("\n")
    assert listed == [
        f"750 root cropliq-edge {folder}", f"640 root cropliq-edge {folder}/operator.pub", ""
    ]  # fmt: skip
    as_agent = "setpriv --reuid=cropliq-edge-agent --regid=cropliq-edge --clear-groups"
    device.container.run(f"{as_agent} cat {folder}/operator.pub")


def test_alerts_arrive_at_a_broker_outside(device: Device) -> None:
    """Half the simulated parts are defective: their alerts come in order, without a gap."""
    wait_until(lambda: len(device.alerts()) >= 4, PATIENCE_S)
    numbers = [alert["seq"] for alert in device.alerts()]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def dump_of_the_watchdogs_kill(device: Device, signal: str) -> str:
    """Have the service hang by a signal; return what it writes at the watchdog's.

    Offline within the watchdog's time, online again in a new session.
    """
    session, before = device.states()[-1][1], device.restarts()
    device.container.run(f"systemctl kill --signal={signal} --kill-whom=main edge-app")
    stopped_s = time.monotonic()
    wait_until(lambda: device.states()[-1] == ("offline", session), WATCHDOG_S + 1)
    assert time.monotonic() - stopped_s <= WATCHDOG_S + 1
    wait_until(lambda: device.states()[-1] == ("online", session + 1), PATIENCE_S)
    assert device.restarts() == before + 1
    journal = device.container.journal("edge-app")
    assert "Watchdog timeout" in journal
    dump = journal.split("Watchdog timeout")[-1]
    assert "Fatal Python error: Aborted" in dump, dump
    return dump


def test_a_frozen_service_is_restarted_within_its_deadline(device: Device) -> None:
    """Every thread stopped by SIGSTOP: which of them takes the SIGABRT then is the kernel's."""
    dump_of_the_watchdogs_kill(device, "STOP")


def test_a_main_loop_that_hangs_is_ended_and_says_where(device: Device) -> None:
    """Cameras, inspection and MQTT run on; the journal has the main loop's stack."""
    device.write("srv/hang/sitecustomize.py", HANGS_AT_SIGUSR2)
    device.set_watchdog(WATCHDOG_S, "Environment=PYTHONPATH=/srv/hang\n")
    device.container.run("systemctl restart edge-app")
    device.wait_online()
    dump = dump_of_the_watchdogs_kill(device, "USR2")
    assert "in hangs_in_a_driver" in dump, dump
    assert "in _tend" in dump, dump
    device.set_watchdog(WATCHDOG_S)  # from the next start on


def test_a_killed_service_is_back_at_once(device: Device) -> None:
    """After SIGKILL: offline, then online in a new session; alerts go on without a gap in `seq`."""
    session, restarts = device.states()[-1][1], device.restarts()
    before = len(device.alerts())
    device.container.run("systemctl kill --signal=KILL --kill-whom=main edge-app")
    wait_until(
        lambda: device.states()[-2:] == [("offline", session), ("online", session + 1)], PATIENCE_S
    )
    assert device.restarts() == restarts + 1
    wait_until(lambda: len(device.alerts()) > before + 2, PATIENCE_S)
    numbers = list(dict.fromkeys(alert["seq"] for alert in device.alerts()))
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_a_stop_is_clean_and_quick(device: Device) -> None:
    """`systemctl stop` takes under 5 s and `status` ends with stopped."""
    started_s = time.monotonic()
    device.container.run("systemctl stop edge-app")
    assert time.monotonic() - started_s < 5
    wait_until(lambda: device.states()[-1][0] == "stopped", 5)
    assert device.container.show("edge-app", "Result") == "success"
    device.container.run("systemctl start edge-app")
    device.wait_online()


def test_a_line_without_triggers_is_not_restarted(device: Device) -> None:
    """Fifteen of the watchdog's periods without a part, every deadline at 2 s: nothing happens."""
    device.configure(IDLE, "[watchdog]\ninspection_deadline_s = 2.0\ncamera_deadline_s = 2.0\n")
    device.set_watchdog(2)
    device.container.run("systemctl restart edge-app")
    device.wait_online()
    pid, before = device.main_pid(), len(device.alerts())
    time.sleep(30)
    assert (device.main_pid(), device.restarts()) == (pid, 0)
    assert "waiting_for_trigger" in device.container.show("edge-app", "StatusText")
    assert device.states()[-1][0] == "online"
    assert len(device.alerts()) == before


def test_without_a_broker_the_service_is_ready_and_keeps_its_alerts(device: Device) -> None:
    """Started while the broker is away it becomes active; the alerts arrive when it is back."""
    device.container.run("systemctl stop edge-app")
    device.broker.stop()
    before = len(device.alerts())
    device.configure(BUSY)
    device.set_watchdog(WATCHDOG_S)
    device.container.run("systemctl start edge-app")

    def status() -> str:
        return device.container.show("edge-app", "StatusText")

    wait_until(lambda: "broker connecting" in status() and " 0 alerts" not in status(), PATIENCE_S)
    device.broker.start()
    wait_until(lambda: len(device.alerts()) > before + 2, PATIENCE_S)
    assert any(alert["replayed"] for alert in device.alerts()[before:])


def test_installing_again_changes_nothing_and_keeps_it_running(device: Device) -> None:
    """The same archive once more: the same environment, the configuration untouched, active."""
    before = device.container.run("cat /etc/cropliq-edge/edge-app.toml").stdout
    done = device.container.run("cropliq-edge-device/install.sh")
    assert "installed already" in done.stdout
    assert device.container.run("cat /etc/cropliq-edge/edge-app.toml").stdout == before
    assert device.container.run("ls /opt/cropliq-edge/releases | wc -l").stdout.strip() == "1"
    assert device.container.show("edge-app", "ActiveState") == "active"


def test_the_page_is_a_service_of_its_own(device: Device) -> None:
    """Pulled up by edge-app without being enabled, under an account that is in none of ours; killed
    it is back, and without inspection it says so; evidence is readable by it and by nobody else."""
    port = free_port()
    text = config_text(device.broker.port, BUSY)
    device.write(CONFIG, text.replace("[page]\nenabled = false", f"[page]\nport = {port}"))
    device.container.run("systemctl restart edge-app")
    device.wait_online()
    url = f"http://127.0.0.1:{port}/api/state"  # the container shares our network

    def cameras() -> list[Any]:
        try:
            return list(httpx.get(url, trust_env=False).json()["cameras"])
        except httpx.TransportError:
            return []

    wait_until(lambda: bool(cameras()), PATIENCE_S)
    pid = device.container.show("edge-app-page", "MainPID")
    account = device.container.run(f"stat -c %U /proc/{pid}").stdout.strip()
    assert account == "cropliq-edge-page"
    groups = set(device.container.run(f"id -Gn {account}").stdout.split())
    assert "cropliq-edge" not in groups
    evidence = "/var/lib/cropliq-edge/evidence"
    wait_until(
        lambda: device.container.run(f"find {evidence} -name '*.jpg'").stdout != "", PATIENCE_S
    )
    as_page = "cd / && setpriv --reuid=cropliq-edge-page --regid=cropliq-edge-page --groups"
    find = f"find {evidence} -name '*.jpg' -exec cat {{}} +"
    device.container.run(f"{as_page}=cropliq-edge-read {find} >/dev/null")
    assert device.container.run(f"{as_page}=nogroup {find}", check=False).returncode != 0
    line_pid = device.main_pid()
    device.container.run("systemctl kill --signal=KILL --kill-whom=main edge-app-page")
    wait_until(lambda: device.container.show("edge-app-page", "MainPID") not in ("0", pid), 20)
    wait_until(lambda: bool(cameras()), PATIENCE_S)
    assert device.main_pid() == line_pid
    device.container.run("systemctl stop edge-app")
    wait_until(lambda: device.container.show("edge-app-page", "ActiveState") == "inactive", 20)
    device.container.run("systemctl start edge-app-page")

    def is_alone() -> bool:
        try:
            return "Inspection is not running" in httpx.get(url, trust_env=False).text
        except httpx.TransportError:
            return False

    wait_until(is_alone, PATIENCE_S)
    device.configure(BUSY)
    device.container.run("systemctl start edge-app")
    device.wait_online()


def test_on_a_jetson_the_service_reaches_the_camera_daemon(device: Device) -> None:
    """Where JetPack's release file is, /tmp is not hidden from the service: Argus listens there."""
    assert device.container.show("edge-app", "PrivateTmp") == "yes"
    device.write("etc/nv_tegra_release", "# R36 (release), REVISION: 4.0\n")
    device.container.run("cropliq-edge-device/install.sh")
    assert device.container.show("edge-app", "PrivateTmp") == "no"
    device.wait_online()


def test_a_damaged_archive_changes_nothing(device: Device) -> None:
    """One wrong byte in a wheel: install.sh says so before it touches anything."""
    pid = device.main_pid()
    device.container.run("cp -r cropliq-edge-device damaged && printf x >> damaged/constraints.txt")
    done = device.container.run("damaged/install.sh", check=False)
    assert done.returncode == 1
    assert "damaged or incomplete" in done.stderr
    assert device.main_pid() == pid


def test_uninstalling_leaves_configuration_and_alerts_unless_purged(device: Device) -> None:
    """`--uninstall` removes program and units; `--purge` the rest, users included; both twice."""
    for _ in range(2):
        device.container.run("cropliq-edge-device/install.sh --uninstall")
    wait_until(lambda: device.states()[-1][0] == "stopped", 5)
    left = device.container.run("ls -d /etc/cropliq-edge/edge-app.toml /var/lib/cropliq-edge")
    assert len(left.stdout.split()) == 2
    for _ in range(2):
        device.container.run("cropliq-edge-device/install.sh --uninstall --purge")
    gone = device.container.run(
        "ls -d /opt/cropliq-edge /etc/cropliq-edge /var/lib/cropliq-edge* /usr/local/bin/edge-app "
        "/etc/systemd/system/edge-app* ; id cropliq-edge; getent group cropliq-edge",
        check=False,
    )
    left_over = gone.stdout.split()
    assert left_over == ["/etc/systemd/system/edge-app.service.d"]
    settings = device.container.run(f"ls {left_over[0]}").stdout.split()
    assert settings == ["override.conf"]  # a person's own; ours are gone
