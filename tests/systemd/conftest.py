"""One booted Debian for the whole folder, installed the way the README says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from devices import BUSY, WATCHDOG_S, Device, package, readme_commands
from support.booted_debian import Container
from support.brokers import Listener, Mosquitto
from support.debian_roots import debian_root
from support.needs import needing

from deploy.bundles.keys import generate_key


@pytest.fixture(scope="package")
@needing(
    "mosquitto", "root", "systemd-nspawn", "debootstrap", "an overlay file system",
    "a container that boots", "Debian for amd64",
)  # fmt: skip
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """Return a device on which the README's commands were typed; a broker listens outside."""
    folder = tmp_path_factory.mktemp("device")
    container = Container(debian_root("amd64"), folder / "device")
    broker = Mosquitto(folder / "broker")
    try:
        container.boot()
        operators = folder / "operators"
        generate_key(operators, "operator", None, None)
        package(container.root / "root/install.tar", "--operator-keys", str(operators))
        broker.start()
        listener = Listener(broker.port, "inspect/v1/graz/#", client_id="outside")
        device = Device(container, broker, listener, operators / "operator.key")
        type_in(device, readme_commands())
        yield device
        listener.close()
    finally:
        container.power_off()
        broker.stop()


def type_in(device: Device, commands: list[str]) -> None:
    """Run commands one after another; where a person would edit the configuration, we write it."""
    assert commands[-1] == "systemctl enable --now edge-app"
    for command in commands:
        if command.startswith("editor "):
            device.configure(BUSY)
            device.set_watchdog(WATCHDOG_S)
        else:
            device.container.run(command, timeout_s=900)
